# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the internal modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Options ``request``, ``secrets`` and ``seconds``."""

    DOCUMENTATION = r"""
options:
  request:
    description: What is asked for, as described in C(docs/host-protocol.md) of the collection.
    type: dict
    required: true
  secrets:
    description:
      - Private keys (PEM) by certificates' or canaries' names, where the controller made them.
      - Session ticket keys (base64) by their places in the ring.
      - Passphrases of keys and keystores.
    type: dict
    default: {}
  seconds:
    description: How long the step may take. After that, and soon after its connection is gone, it rolls back and ends.
    type: float
notes:
  - Needs nothing on the host but Python and, where keys are made, the C(openssl) program.
"""
