# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where the library ``dnspython`` is imported: only solvers that write to DNS, and the CAA check, need it."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError

try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.nameserver
    import dns.query
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype
    import dns.rdtypes.ANY.TKEY
    import dns.resolver
    import dns.tsig
    import dns.update
except ImportError as error:
    LIBRARY_PROBLEM: str | None = str(error)
    dns = None  # type: ignore[assignment]
else:
    LIBRARY_PROBLEM = None

__all__ = ("LIBRARY_PROBLEM", "dns", "require_dns")


def require_dns() -> None:
    """:raises DependencyError: the library is not on the controller."""
    if LIBRARY_PROBLEM:
        raise DependencyError(
            f"the Python package 'dnspython' is missing on the controller ({LIBRARY_PROBLEM})",
            remedy="install it where ansible runs: pip install 'dnspython>=2.4'",
        )
