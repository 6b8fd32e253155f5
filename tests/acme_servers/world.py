# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An issuer of type acme in a store of its own, a responder for its challenges, and requests to it: no Ansible in between."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from acme_servers.pebble import Pebble
from acme_servers.proxy import Proxy
from acme_servers.servers import in_threads
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import make_csr
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issued import check_issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec, parse_certificate
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.acme import AcmeIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.store.directory import DirectoryStore
from tools.ports import free_port

PASSPHRASE = "correct horse battery staple"


@dataclass
class Responder:
    """A web server that answers every http-01 challenge of one account key, as those of a fleet do.

    :param thumbprint: None: it answers none.
    """

    port: int = 0
    thumbprint: str | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def responding() -> Iterator[Responder]:
    """One that runs, in threads of this process."""
    responder = Responder()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.path.rpartition("/")[2]
            responder.asked.append(token)
            body = f"{token}.{responder.thumbprint}".encode() if responder.thumbprint else b"no such page"
            self.send_response_only(200 if responder.thumbprint else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with in_threads(ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)) as responder.port:
        yield responder


@dataclass
class World:
    """A CA, what stands in front of it, and an issuer that uses it.

    :param folder: of the test's own: the store is below it.
    """

    folder: Path
    pebble: Pebble
    proxy: Proxy
    responder: Responder
    numbers: list[int] = field(default_factory=list)

    def store(self, name: str = "store") -> DirectoryStore:
        """The store."""
        return DirectoryStore({"path": str(self.folder / name), "passphrase": PASSPHRASE})

    def options(self, **changes: Any) -> dict[str, Any]:
        """The issuer's options in ``tls_issuers``, less ``type``."""
        return {
            "directory_url": self.proxy.directory_url,
            "ca_certificate": str(self.pebble.pair.root),
            "anchors": self.pebble.root(),
            "terms_agreed": True,
            "challenge": {"type": "http-01", "check_address": self.responder.address},
            "timeout": "5m",
            **changes,
        }

    def issuer(self, store: str = "store", **changes: Any) -> AcmeIssuer:
        """A new one, as every process of a run makes it."""
        return AcmeIssuer("public", self.options(**changes), self.store(store))

    def ready(self, **changes: Any) -> AcmeIssuer:
        """One with an account, whose challenges are answered."""
        issuer = self.issuer(**changes)
        issuer.prepare(now())
        (self.responder.thumbprint,) = issuer.thumbprints()
        return issuer

    def request(
        self, name: str = "www", *, present: x509.Certificate | None = None, key: Any = None, **fields: Any
    ) -> IssueRequest:
        """A request of its own for a certificate of this name."""
        spec = make_spec(name, **fields)
        self.numbers.append(0)
        return IssueRequest(
            request_id=f"request-{len(self.numbers):04}",
            host="web1",
            certificate=spec.name,
            csr=make_csr(key or ec.generate_private_key(ec.SECP256R1()), spec),
            names=spec.names,
            usages=spec.usages,
            duration=None,
            reason="missing",
            present=present,
        )

    def rows(self) -> list[Issuance]:
        """The ledger."""
        return list(self.store().issuances())


def make_spec(name: str = "www", **fields: Any) -> CertificateSpec:
    """A wish, as an entry of tls_certificates makes it."""
    names = {} if fields.keys() & {"dns_names", "ip_addresses"} else {"dns_names": [f"{name}.example.com"]}
    return parse_certificate({"name": name, "issuer": "public", **names, **fields}, {"public": None})


def now() -> dt.datetime:
    """The clock."""
    return dt.datetime.now(dt.timezone.utc)


def obtained(issuer: AcmeIssuer, request: IssueRequest) -> Issued:
    """The answer to one request; it is a certificate, and the right one."""
    (answer,) = issuer.issue([request], now())
    if not isinstance(answer, Issued):
        raise answer
    check_issued(
        answer.chain, names=request.names, usages=request.usages, key=key_id(request.csr.public_key()), now=now()
    )
    check_chain(answer.chain, issuer.trust(), now())
    return answer


def refused(issuer: AcmeIssuer, request: IssueRequest) -> Exception:
    """The answer to one request; it is no certificate."""
    (answer,) = issuer.issue([request], now())
    assert isinstance(answer, Exception), "a certificate was issued"
    return answer
