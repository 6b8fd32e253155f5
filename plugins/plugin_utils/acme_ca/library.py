# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where the library ``acme`` (and with it ``josepy`` and ``requests``) is imported.

Only issuers of type ``acme`` need it, and only when something is due: where it is missing, our modules can be imported all the
same, and an issuer says what is missing the moment it would use it.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError

# Parts of the library that it may change in any release, which network.py uses. So a major version that nobody has tried is kept out.
PRIVATE = ("_post_once", "_send_request")
WANTED = "acme>=5.1,<6"

try:
    import josepy as jose
    import requests
    from acme import challenges, jws, messages
    from acme import errors as acme_errors
    from acme.client import ClientNetwork
except ImportError as error:
    LIBRARY_PROBLEM: str | None = str(error)
    jose = requests = challenges = jws = messages = acme_errors = None  # type: ignore[assignment]
    ClientNetwork: Any = object  # type: ignore[no-redef]
else:
    LIBRARY_PROBLEM = next(
        (f"this release has no ClientNetwork.{name}" for name in PRIVATE if not hasattr(ClientNetwork, name)), None
    )

__all__ = ("ClientNetwork", "acme_errors", "challenges", "jose", "jws", "messages", "requests", "require_acme")


def require_acme() -> None:
    """:raises DependencyError: the library is not on the controller, or is none that is known here."""
    if LIBRARY_PROBLEM:
        raise DependencyError(
            f"the Python package 'acme' is missing or unknown on the controller ({LIBRARY_PROBLEM})",
            remedy=f"install it where ansible runs: pip install '{WANTED}'",
        )
