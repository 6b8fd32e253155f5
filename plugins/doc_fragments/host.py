# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what tasks with a host part share."""

from __future__ import annotations


class ModuleDocFragment:
    """Where things are on the host, and what is proven there."""

    DOCUMENTATION = r"""
options:
  directory:
    description: Where the collection keeps certificates, keys and its own records on the host.
    type: path
    default: /etc/fleet-tls
"""

    PRESETS = r"""
options:
  service_presets:
    description: Presets of your own, and changes of the built-in ones, for every service that is named here. As for M(fleet.tls.certificates).
    type: dict
    default: {}
"""

    # The description is the module's own: it says what has to be seen in that time.
    PROVEN = r"""
options:
  prove_timeout:
    type: str
    default: 15s
"""

    # What a host has, for a proof of all of it; with ENDPOINTS.
    SERVERS = r"""
options:
  certificates:
    description: The certificates of the host, as for M(fleet.tls.certificates).
    type: list
    elements: dict
    default: []
  service_presets:
    description: Presets of your own for the services in O(certificates), as for M(fleet.tls.certificates).
    type: dict
    default: {}
"""

    ENDPOINTS = r"""
options:
  endpoints:
    description:
      - Servers of the host that verify their clients, besides the endpoints of the services in O(certificates).
      - Sites as P(fleet.tls.sites#filter) returns them have them under C(endpoints).
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: An address, seen from the host.
        type: str
        default: 127.0.0.1
      port:
        description: A port.
        type: int
        required: true
      server_name:
        description: The name to ask for (SNI).
        type: str
      certificate:
        description: Not read.
        type: str
"""
