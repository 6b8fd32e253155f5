# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real https server that has files, for issuer ``fetch``: it knows ETags, dates, tokens and client certificates, and counts."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

# What a path answers instead of its file: the handler does as it likes.
Special = Callable[[http.server.BaseHTTPRequestHandler], None]


@dataclass
class Files:
    """What is served, and what was asked for: ``(path, status)``.

    :param token: what ``Authorization`` has to be; None: anything.
    :param tags: ``etag``, ``date`` or ``none``.
    """

    url: str = ""
    contents: dict[str, bytes] = field(default_factory=dict)
    special: dict[str, Special] = field(default_factory=dict)
    token: str | None = None
    tags: str = "etag"
    changed: float = field(default_factory=time.time)
    asked: list[tuple[str, int]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)

    def put(self, path: str, content: bytes | str) -> str:
        """Serve this; its URL."""
        self.contents[path] = content.encode() if isinstance(content, str) else content
        self.changed += 2
        return f"{self.url}{path}"

    def statuses(self) -> list[int]:
        """Of all answers."""
        return [status for _path, status in self.asked]


def handler_of(files: Files) -> type[http.server.BaseHTTPRequestHandler]:
    """A request handler for these files."""

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 30

        def log_message(self, format: str, *args: Any) -> None:
            """Not to the terminal."""

        def do_GET(self) -> None:
            files.agents.add(self.headers.get("User-Agent", ""))
            if self.path in files.special:
                files.special[self.path](self)
                return
            status, content, headers = self.answer()
            files.asked.append((self.path, status))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def answer(self) -> tuple[int, bytes, dict[str, str]]:
            """Status, body and headers."""
            if files.token is not None and self.headers.get("Authorization") != files.token:
                return 401, f"not with {self.headers.get('Authorization')}".encode(), {}
            if self.path not in files.contents:
                return 404, b"no such file", {}
            content = files.contents[self.path]
            etag, date = f'"{hashlib.sha256(content).hexdigest()[:16]}"', formatdate(files.changed, usegmt=True)
            headers = {"etag": {"ETag": etag}, "date": {"Last-Modified": date}}.get(files.tags, {})
            known = (self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since"))
            if (files.tags == "etag" and known[0] == etag) or (files.tags == "date" and known[1] == date):
                return 304, b"", headers
            return 200, content, headers

    return Handler


class Server(http.server.ThreadingHTTPServer):
    """One that says nothing of clients that it could not agree with."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Not to the terminal."""


@contextmanager
def https_files(certificate: Path, key: Path, client_ca: Path | None = None) -> Iterator[Files]:
    """A server on loopback with this pair (the chain, leaf first).

    :param client_ca: clients have to show a certificate of this CA.
    """
    files = Files()
    server = Server(("127.0.0.1", 0), handler_of(files))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    # The handshake belongs to the thread of its connection: a client that is refused must not stop the server.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    files.url = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
