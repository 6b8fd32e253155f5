# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what has to do with the controller's clock."""

from __future__ import annotations


class ModuleDocFragment:
    """Option ``ignore_clocks``."""

    DOCUMENTATION = r"""
options:
  ignore_clocks:
    description:
      - Goes on where at least three hosts, and more than half of those that this run has heard, agree within a minute that the controller's
        clock is more than ten minutes wrong. Otherwise nothing that has a date is made then (error V(controller_clock)), and all that works stays.
    type: bool
    default: false
"""
