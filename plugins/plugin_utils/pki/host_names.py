# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a certificate speaks for, as clients compare it. Pure."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import is_ip_address, parse_ip_address
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names


def speaks_for(names: Names, wanted: str) -> bool:
    """Whether a client that wants to reach ``wanted`` takes a certificate with these names.

    RFC 9525, section 6: a wildcard stands for one whole first label, an IP address is compared as such, and the common name
    does not count.
    """
    if is_ip_address(wanted):
        return parse_ip_address(wanted) in names.ip_addresses
    name = encoded(wanted).lower().rstrip(".")
    parent = name.partition(".")[2]
    return name in names.dns_names or (bool(parent) and f"*.{parent}" in names.dns_names)


def encoded(name: str) -> str:
    """A host's name as certificates have it (RFC 5890, A-labels); one that has no such form stays as it is, and matches nothing."""
    if name.isascii():
        return name
    try:
        import idna

        return idna.encode(name, uts46=True).decode("ascii")
    except ImportError:
        pass
    except ValueError:
        return name
    try:
        return name.encode("idna").decode("ascii")
    except ValueError:
        return name
