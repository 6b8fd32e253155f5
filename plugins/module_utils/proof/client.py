# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof of an mTLS client: handshakes from its own host, with its own files, that the servers accept."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import FULLCHAIN, PRIVKEY
from ansible_collections.fleet.tls.plugins.module_utils.proof.http_answer import check_http
from ansible_collections.fleet.tls.plugins.module_utils.system.polling import ask_until
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import DEFAULT_TIMEOUT, Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import HandshakeResult, handshake
from ansible_collections.fleet.tls.plugins.module_utils.tls.memory_tls import Wire

# It is a handshake with a server elsewhere, which may be reloading.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
MOST_THREADS = 16


@dataclass(frozen=True)
class Proof:
    """What one endpoint did; ``result.error`` None: it accepted the client, and is who it has to be."""

    endpoint: Endpoint
    result: HandshakeResult

    @property
    def good(self) -> bool:
        """Whether it proves the client."""
        return self.result.error is None

    @property
    def where(self) -> str:
        """The endpoint for people."""
        return f"{self.endpoint.address} (SNI {self.endpoint.server_name or 'none'})"

    def as_answer(self) -> dict[str, Any]:
        """JSON-ready, see docs/host-protocol.md."""
        return {
            "endpoint": self.endpoint.address,
            "server_name": self.endpoint.server_name,
            "protocol": self.result.protocol,
            "cipher": self.result.cipher,
            "client_certificate": self.result.client_certificate,
            "error": self.result.error,
            "seconds": self.result.seconds,
        }


def prove(endpoints: Sequence[dict[str, Any]], folder: str, bundle: str | None, timeout: float) -> list[Proof]:
    """Shake hands with all endpoints, each again until it accepts or the time is up: its server may be reloading.

    :param endpoints: of step client.
    :param folder: the directory of the pair to show.
    :param bundle: path of the trust bundle; None: what the system trusts.
    :param timeout: seconds.
    """
    if not endpoints:
        return []
    end = time.monotonic() + timeout
    with ThreadPoolExecutor(max_workers=min(MOST_THREADS, len(endpoints))) as pool:
        return list(pool.map(lambda wanted: prove_one(wanted, folder, bundle, end), endpoints))


def prove_one(wanted: dict[str, Any], folder: str, bundle: str | None, end: float) -> Proof:
    """One endpoint, until ``end`` (``time.monotonic()``), at least once."""

    def ask(left: float) -> Proof:
        endpoint = Endpoint(
            host=wanted["host"],
            port=int(wanted["port"]),
            server_name=wanted.get("server_name"),
            timeout=min(DEFAULT_TIMEOUT, max(1.0, left)),
            client_certificate=os.path.join(folder, FULLCHAIN),
            client_key=os.path.join(folder, PRIVKEY),
            alpn=("http/1.1",) if wanted.get("request") else (),
            verify=True,
            trust=bundle,
        )
        return Proof(endpoint, handshake(endpoint, talk_for(wanted)))

    left = max(0.0, end - time.monotonic())
    return ask_until(ask, lambda proof: proof.good, left, first=FIRST_PAUSE, longest=LONGEST_PAUSE)


def talk_for(wanted: dict[str, Any]) -> Any:
    """What to do after the handshake with an endpoint; None: nothing."""
    path = wanted.get("request")
    host = wanted.get("server_name") or wanted["host"]

    def talk(wire: Wire) -> None:
        check_http(wire, str(host), str(path))

    return talk if path else None


def refused(proofs: Sequence[Proof]) -> StepError | None:
    """The error for endpoints that did not accept the client, in their own words; None: all did."""
    bad = [proof for proof in proofs if not proof.good]
    if not bad:
        return None
    said = "; ".join(f"{proof.where}: {proof.result.error}" for proof in bad)
    return StepError("not_accepted", said, remedy(bad[0].result))


def remedy(result: HandshakeResult) -> str:
    """What to look at, by whose word it was."""
    error = str(result.error)
    if error.startswith("the server's certificate is not accepted"):
        return "see that the bundle has the CA of that server, and that its certificate is for this name"
    if result.client_certificate == "refused" or error.startswith("the server refused"):
        return "see that the server trusts the CA of this client's certificate, has current CRLs of it, and lists the certificate in none"
    if error.startswith(("the client", "the trust bundle")):
        return "run fleet.tls.certificates for it again, and see who else writes there"
    return "see that the server runs and can be reached from here"
