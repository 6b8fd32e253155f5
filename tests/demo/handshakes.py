# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handshakes and requests of a client that verifies what it sees."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Site:
    """Where TLS is served, and under which name."""

    address: str
    port: int
    server_name: str


@dataclass
class Storm:
    """What came of many requests."""

    done: int = 0
    failed: list[str] = field(default_factory=list)


def leaf(site: Site, context: ssl.SSLContext, timeout: float = 5.0) -> bytes:
    """The verified leaf, DER."""
    with socket.create_connection((site.address, site.port), timeout) as plain:
        with context.wrap_socket(plain, server_hostname=site.server_name) as secure:
            return secure.getpeercert(binary_form=True) or b""


def request(site: Site, context: ssl.SSLContext, timeout: float = 5.0) -> str:
    """One HTTP request over a handshake of its own; status line and body in one line."""
    with socket.create_connection((site.address, site.port), timeout) as plain:
        with context.wrap_socket(plain, server_hostname=site.server_name) as secure:
            answer = ask(secure, site)
    head, _blank, body = answer.decode(errors="replace").partition("\r\n\r\n")
    return f"{head.splitlines()[0] if head else 'no answer'} {body.strip().splitlines()[0] if body.strip() else ''}"


def ask(secure: ssl.SSLSocket, site: Site) -> bytes:
    """The answer to a request for ``/``, to its end."""
    secure.sendall(f"GET / HTTP/1.0\r\nHost: {site.server_name}\r\n\r\n".encode())
    answer = b""
    while chunk := secure.recv(65536):
        answer += chunk
    return answer


def visit(
    site: Site, context: ssl.SSLContext, session: ssl.SSLSession | None = None, timeout: float = 5.0
) -> tuple[bool, ssl.SSLSession | None]:
    """A request of a client that comes back: whether the server resumed ``session``, and the session for the next time.

    :param context: the same for all visits of a client.
    """
    with socket.create_connection((site.address, site.port), timeout) as plain:
        with context.wrap_socket(plain, server_hostname=site.server_name, session=session) as secure:
            # With TLS 1.3, the session comes with the answer.
            ask(secure, site)
            return bool(secure.session_reused), secure.session


@dataclass
class Sessions:
    """The last session that was begun while a condition held."""

    last: ssl.SSLSession | None = None
    problem: str = ""


@contextlib.contextmanager
def sessions_while(
    condition: Callable[[], bool], site: Site, context: ssl.SSLContext, pause: float = 0.1
) -> Iterator[Sessions]:
    """Begin sessions one after the other as long as ``condition`` holds and the block lasts."""
    result, over = Sessions(), threading.Event()

    def work() -> None:
        try:
            while condition() and not over.is_set():
                result.last = visit(site, context)[1]
                over.wait(pause)
        except OSError as error:
            result.problem = str(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield result
    finally:
        over.set()
        thread.join(timeout=10)


def eventually(site: Site, context: ssl.SSLContext, wait: float = 5.0) -> str:
    """:func:`request`, tried until somebody listens: a reload returns before the new listener is there."""
    end = time.monotonic() + wait
    while True:
        try:
            return request(site, context)
        except ConnectionRefusedError as error:
            if time.monotonic() > end:
                return str(error)
            time.sleep(0.05)
        except OSError as error:
            return str(error)


@contextlib.contextmanager
def storm(sites: Mapping[str, Site], root: Path, pause: float = 0.1) -> Iterator[Storm]:
    """Requests to all sites in turn, as long as the block lasts; a new handshake each, fully verified.

    :param pause: seconds between two requests.
    """
    result, over = Storm(), threading.Event()
    context = ssl.create_default_context(cafile=str(root))

    def work() -> None:
        while not over.is_set():
            for name, site in sites.items():
                try:
                    answer = request(site, context)
                    if " 200 " not in answer:
                        result.failed.append(f"{name}: {answer}")
                except OSError as error:
                    result.failed.append(f"{name}: {error}")
                result.done += 1
                # A pause, so that this is not a load test of a small machine.
                if over.wait(pause):
                    return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield result
    finally:
        over.set()
        thread.join(timeout=10)
