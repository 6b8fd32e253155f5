# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stateless answer to ACME's http-01 challenges (RFC 8555, 8.3): token, dot, thumbprint of the account's key. Pure."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError

# Base64url of a SHA-256, RFC 7638.
THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


def account_thumbprint(raw: Any) -> str:
    """The thumbprint that a server is to answer with; ``""``: it is to answer no challenge.

    :param raw: ``tls_acme_thumbprints``.
    :raises SpecError: no thumbprint, or those of two accounts: an answer names one, and a request does not say which.
    """
    texts = [raw] if isinstance(raw, str) else list(raw or ())
    found = list(dict.fromkeys(str(text) for text in texts))
    for text in found:
        if not THUMBPRINT.fullmatch(text):
            raise SpecError(
                f"tls_acme_thumbprints: '{text}' is not the thumbprint of a key",
                remedy="it has 43 letters, digits, hyphens and underscores (RFC 7638)",
            )
    if len(found) > 1:
        raise SpecError(
            f"tls_acme_thumbprints has those of {len(found)} accounts, and a server can answer for one",
            remedy="use one account key for all ACME issuers that validate over HTTP",
        )
    return found[0] if found else ""
