# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that several modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """What each fragment promises is tested."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and tell what would change without changing it.
  diff_mode:
    description: Tells what changed, or would change, in diff mode.
  idempotent:
    description: A second run with the same options changes nothing.
  platform:
    description: Where it can be used.
    platforms: posix
"""

    # A task that changes things.
    CHANGES = r"""
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
"""

    # A task that only looks.
    INFO = r"""
attributes:
  check_mode:
    support: full
    details: It never changes anything.
  diff_mode:
    support: N/A
    details: It never changes anything.
  idempotent:
    support: full
  platform:
    support: full
"""
