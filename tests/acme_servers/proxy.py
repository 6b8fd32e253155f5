# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TLS proxy of the tests between the client and a real ACME server: it counts, and it makes things go wrong."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from acme_servers.servers import Pair, in_threads
from tools.ports import free_port

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Seen:
    """One request. ``payload``: what a signed one says, None: nothing, or it was a plain GET."""

    method: str
    path: str
    payload: dict[str, Any] | None


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def problem(cls, status: int, word: str, detail: str = "as the test wants it", **headers: str) -> Answer:
        """A problem document (RFC 8555, 6.7)."""
        body = json.dumps({"type": f"urn:ietf:params:acme:error:{word}", "detail": detail}).encode()
        pairs = [(key.replace("_", "-"), value) for key, value in headers.items()]
        return cls(status, [("Content-Type", "application/problem+json"), *pairs], body)

    @classmethod
    def json(cls, content: Any, **headers: str) -> Answer:
        """A JSON document."""
        pairs = [(key.replace("_", "-"), value) for key, value in headers.items()]
        return cls(200, [("Content-Type", "application/json"), *pairs], json.dumps(content).encode())


class Dropped(Exception):
    """End the connection without an answer."""


# Before a request is passed on: an answer in the server's place, None: pass it on.
Before = Callable[[Seen], "Answer | None"]
# What becomes of the server's answer.
After = Callable[[Seen, Answer], Answer]


@dataclass
class Proxy:
    """One that runs; ``before`` and ``after`` may be changed at any time.

    :param port: where it listens.
    :param upstream: port of the ACME server on 127.0.0.1.
    """

    port: int
    upstream: int
    path: str = "/dir"
    upstream_tls: bool = True
    before: list[Before] = field(default_factory=list)
    after: list[After] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    taken: list[Seen] = field(default_factory=list)

    @property
    def directory_url(self) -> str:
        """The directory, behind the proxy."""
        return f"https://127.0.0.1:{self.port}{self.path}"

    def paths(self, part: str) -> list[str]:
        """Paths of the requests so far that have ``part`` in them."""
        return [each.path for each in self.seen if part in each.path]

    def answer(self, request: Seen, headers: Mapping[str, str], body: bytes) -> Answer:
        """By a rule, or by the server, with what the rules make of it."""
        self.seen.append(request)
        answer = self.by_rules(request, headers, body)
        if answer.status < 400:
            self.taken.append(request)
        return answer

    def accepted(self, part: str) -> list[Seen]:
        """Signed requests so far with ``part`` in their path that were not refused, as one in twenty nonces is."""
        return [each for each in self.taken if each.method == "POST" and part in each.path]

    def by_rules(self, request: Seen, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer itself."""
        for rule in list(self.before):
            found = rule(request)
            if found is not None:
                return found
        answer = self.forward(request, headers, body)
        for change in list(self.after):
            answer = change(request, answer)
        return answer

    def forward(self, request: Seen, headers: Mapping[str, str], body: bytes) -> Answer:
        """Ask the server; Host stays, so that its addresses lead back here."""
        context = ssl._create_unverified_context()
        connection = (
            http.client.HTTPSConnection("127.0.0.1", self.upstream, timeout=300, context=context)
            if self.upstream_tls
            else http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=300)
        )
        with contextlib.closing(connection):
            passed = {key: value for key, value in headers.items() if key.lower() not in HOP_BY_HOP}
            connection.request(request.method, request.path, body or None, {**passed, "X-Forwarded-Proto": "https"})
            found = connection.getresponse()
            kept = [(key, value) for key, value in found.getheaders() if key.lower() not in HOP_BY_HOP]
            return Answer(found.status, kept, found.read())


def times(number: int, part: str, rule: Callable[[], Answer]) -> Before:
    """For the first ``number`` signed requests whose path has ``part`` in it."""
    left = [number]

    def before(request: Seen) -> Answer | None:
        if request.method == "POST" and part in request.path and left[0] > 0:
            left[0] -= 1
            return rule()
        return None

    return before


def sleeping(seconds: float, part: str) -> Before:
    """Answers to these paths take so long."""

    def before(request: Seen) -> None:
        if part in request.path:
            time.sleep(seconds)

    return before


def dropping(number: int, part: str) -> After:
    """The answers to the first ``number`` signed requests of these paths never arrive."""
    left = [number]

    def after(request: Seen, answer: Answer) -> Answer:
        if request.method == "POST" and part in request.path and left[0] > 0:
            left[0] -= 1
            raise Dropped
        return answer

    return after


@dataclass
class RenewalInfo:
    """Renewal information (RFC 9773) that a server without it gets from the proxy.

    :param windows: by ARI id; ``default`` for all others.
    """

    proxy: Proxy
    default: tuple[str, str]
    retry_after: str | None = "21600"
    windows: dict[str, tuple[str, str]] = field(default_factory=dict)
    failing: Answer | None = None

    def install(self) -> RenewalInfo:
        """From now on the directory names it."""
        self.proxy.before.append(self.before)
        self.proxy.after.append(self.after)
        return self

    def before(self, request: Seen) -> Answer | None:
        """GET /renewal-info/<id>."""
        if not request.path.startswith("/renewal-info/"):
            return None
        if self.failing:
            return self.failing
        start, end = self.windows.get(request.path.rpartition("/")[2], self.default)
        headers = {"Retry_After": self.retry_after} if self.retry_after else {}
        return Answer.json({"suggestedWindow": {"start": start, "end": end}}, **headers)

    def after(self, request: Seen, answer: Answer) -> Answer:
        """The directory with one more entry."""
        if request.path != self.proxy.path:
            return answer
        content = {**json.loads(answer.body), "renewalInfo": f"https://127.0.0.1:{self.proxy.port}/renewal-info"}
        return Answer(answer.status, answer.headers, json.dumps(content).encode())

    @property
    def requests(self) -> int:
        """How often it was asked."""
        return len(self.proxy.paths("/renewal-info/"))


@contextlib.contextmanager
def running(pair: Pair, upstream: int, *, path: str = "/dir", upstream_tls: bool = True) -> Iterator[Proxy]:
    """A proxy in front of the server on ``upstream``, in threads of this process."""
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    # The handshake belongs to each connection's own thread: a client that is slow must not keep the others waiting.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    proxy = Proxy(server.server_address[1], upstream, path, upstream_tls)
    server.proxy = proxy  # type: ignore[attr-defined]
    with in_threads(server):
        yield proxy


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = 120

    def handle_any(self) -> None:
        """Any method."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        request = Seen(self.command, self.path, payload_of(body))
        try:
            answer = self.server.proxy.answer(request, dict(self.headers.items()), body)  # type: ignore[attr-defined]
        except (Dropped, OSError):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        with contextlib.suppress(OSError):
            self.send_response_only(answer.status)
            for key, value in answer.headers:
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

    do_GET = do_POST = do_HEAD = handle_any

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test reads ``seen``."""


def payload_of(body: bytes) -> dict[str, Any] | None:
    """What a signed request says."""
    try:
        text = json.loads(body)["payload"]
        return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
    except (ValueError, KeyError, TypeError):
        return None
