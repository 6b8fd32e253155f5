"""A stand-in for an acme-dns server: its HTTP API, in front of a real BIND in which it writes the records."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dns.name
import dns.query
import dns.tsig
import dns.update

from acme_servers.bind import Bind
from acme_servers.servers import in_threads
from tools.ports import free_port


@dataclass
class AcmeDns:
    """One that runs.

    :param zone: of ``bind``, in which the names are made.
    :param accounts: what was handed out, by subdomain.
    """

    bind: Bind
    zone: str
    port: int = 0
    accounts: dict[str, dict[str, str]] = field(default_factory=dict)

    def register(self) -> dict[str, str]:
        """A new account."""
        subdomain = secrets.token_hex(8)
        account = {
            "username": secrets.token_hex(8),
            "password": secrets.token_hex(20),
            "subdomain": subdomain,
            "fulldomain": f"{subdomain}.{self.zone}",
        }
        self.accounts[subdomain] = account
        return {**account, "allowfrom": []}  # type: ignore[dict-item]

    def update(self, headers: Any, content: dict[str, str]) -> bool:
        """Write a record; False: not this account's."""
        account = self.accounts.get(content["subdomain"])
        if account is None or (headers["X-Api-User"], headers["X-Api-Key"]) != (
            account["username"],
            account["password"],
        ):
            return False
        import base64

        key = dns.tsig.Key("update", base64.b64decode(self.bind.secret), "hmac-sha256")
        message = dns.update.UpdateMessage(self.zone, keyring={key.name: key})
        message.replace(dns.name.from_text(account["fulldomain"]), 1, "TXT", f'"{content["txt"]}"')
        dns.query.tcp(message, "127.0.0.1", port=self.bind.port, timeout=20)
        return True


@contextlib.contextmanager
def running(bind: Bind, zone: str) -> Iterator[AcmeDns]:
    """One, in threads of this process."""
    server = AcmeDns(bind, zone)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            if self.path == "/register":
                self.answer(201, server.register())
            elif server.update(self.headers, content):
                self.answer(200, {"txt": content["txt"]})
            else:
                self.answer(401, {"error": "forbidden"})

        def answer(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with in_threads(ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)) as server.port:
        yield server
