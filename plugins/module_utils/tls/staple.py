# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stapled OCSP answer, as the program openssl shows it: Python's ssl cannot ask for one (RFC 6066 section 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError
from ansible_collections.fleet.tls.plugins.module_utils.tls.openssl_client import ask

STATUS = re.compile(r"^\s*OCSP Response Status: (\w+)", re.MULTILINE)
CERTIFICATE = re.compile(r"^\s*Cert Status: (good|revoked|unknown)", re.MULTILINE)
THIS_UPDATE = re.compile(r"^\s*This Update: ([A-Za-z0-9: ]{10,40})$", re.MULTILINE)
NEXT_UPDATE = re.compile(r"^\s*Next Update: ([A-Za-z0-9: ]{10,40})$", re.MULTILINE)


@dataclass(frozen=True)
class Staple:
    """A stapled answer.

    :param present: None: that cannot be told, see ``error``.
    :param status: ``good``, ``revoked``, ``unknown``; of an answer that is an error, the responder's word for that (``trylater``).
    :param this_update: as openssl prints dates, ``Nov 24 17:00:00 2026 GMT``; so is ``next_update``.
    """

    present: bool | None
    status: str | None = None
    this_update: str | None = None
    next_update: str | None = None
    error: str | None = None

    def as_answer(self) -> dict[str, Any]:
        """JSON-ready."""
        return dict(self.__dict__)


def staple_of(endpoint: Endpoint) -> Staple:
    """Ask an endpoint for a stapled answer, in a handshake of its own and within its time limit."""
    try:
        return read(ask(endpoint, ["-status"]))
    except HandshakeError as error:
        return Staple(None, error=str(error))


def read(words: str) -> Staple:
    """What ``openssl s_client -status`` says."""
    if "OCSP response: no response sent" in words:
        return Staple(False)
    if "OCSP response:" not in words:
        return Staple(None, error="openssl did not complete the handshake")
    found = [pattern.search(words) for pattern in (STATUS, CERTIFICATE, THIS_UPDATE, NEXT_UPDATE)]
    response, certificate, this, following = (match.group(1) if match else None for match in found)
    status = certificate if response == "successful" else response
    return Staple(True, status, this and this.strip(), following and following.strip())
