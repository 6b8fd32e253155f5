# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Something between us and a real server: it passes requests on, counts them, and breaks off or waits where a test says so."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bao.server import Cluster, Node

# What a rule answers: the request is passed on and answered; … passed on, its answer lost; … never answered, not even passed on; refused.
PASS, LOSE, HANG, REFUSE = "pass", "lose", "hang", "refuse"
Rule = Callable[[str, str], str]


class Proxy:
    """``rule(method, path)`` says what happens to a request; ``seen`` has all of them, as ``"POST v1/…"``."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.seen: list[str] = []
        self.rule: Rule = lambda method, path: PASS
        self.over = threading.Event()
        self.refusal = (503, b'{"errors":["local node not active but active cluster node not found"]}')
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            """All methods alike."""

            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def answer(self) -> None:
                proxy.handle(self)

            do_GET = do_POST = do_PUT = do_LIST = do_DELETE = answer

        class Server(ThreadingHTTPServer):
            """Broken connections are what it is for."""

            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(node.folder / "listener.pem", node.folder / "listener.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """One request."""
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length) if length else None
        self.seen.append(f"{request.command} {request.path.lstrip('/')}")
        what = self.rule(request.command, request.path.lstrip("/"))
        if what == HANG:
            self.over.wait(60)
            request.close_connection = True
            return
        if what == REFUSE:
            self.reply(request, *self.refusal)
            return
        context = ssl.create_default_context(cafile=str(self.node.ca))
        connection = http.client.HTTPSConnection("127.0.0.1", self.node.port, context=context, timeout=300)
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        connection.request(request.command, request.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if what == LOSE:
            request.close_connection = True
            return
        self.reply(request, answer.status, content)

    @staticmethod
    def reply(request: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
        """Answer with JSON."""
        request.send_response(status)
        if content or status != 204:
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def count(self, text: str) -> int:
        """How many of the requests so far have this in them."""
        return sum(text in each for each in self.seen)


@contextlib.contextmanager
def proxied(cluster: Cluster) -> Iterator[Proxy]:
    """A proxy in front of the cluster's first node."""
    proxy = Proxy(cluster.nodes[0])
    thread = threading.Thread(target=proxy.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy.server.shutdown()
        proxy.server.server_close()
        thread.join(10)
