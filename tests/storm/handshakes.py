# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One handshake and one request of a client that verifies its server, and how both ended. Standard library only."""

from __future__ import annotations

import os
import socket
import ssl
import time
from dataclasses import dataclass

# Whoever waits longer has not been served, in seconds.
PATIENCE = 30
REFUSALS = (b"400", b"403")
# What a proxy says first (HAProxy's proxy-protocol.txt): in version 1, and the same client and server in version 2.
PROXY_V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n"
PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\xc3\x50\1\xbb"


@dataclass(frozen=True)
class Outcome:
    """How it ended.

    :param accepted: the request was answered with 200.
    :param refused: the server ended the connection after TCP, or answered that the client may not come in.
    :param words: what was said, for people.
    :param seconds: from the first packet to the end of the handshake.
    """

    accepted: bool
    refused: bool
    words: str
    resumed: bool = False
    session: ssl.SSLSession | None = None
    leaf: bytes = b""
    seconds: float = 0.0


class Context:
    """A client's context, and which files it was made from.

    :param bundle: a file of the CAs that are trusted.
    :param pair: a folder with fullchain.pem and privkey.pem that may be replaced as a whole; None: no certificate.
    :param ciphers: of TLS 1.2, as OpenSSL has them; empty: the usual ones.
    """

    def __init__(self, version: ssl.TLSVersion, bundle: str, pair: str | None, ciphers: str = "") -> None:
        self.bundle, self.pair = bundle, pair
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.minimum_version = self.tls.maximum_version = version
        if ciphers:
            self.tls.set_ciphers(ciphers)
        self.made_of = self.found()
        self.load()

    def found(self) -> tuple[object, ...]:
        """Which files there are now."""
        bundle = os.stat(self.bundle)
        return bundle.st_ino, bundle.st_mtime_ns, os.path.realpath(self.pair) if self.pair else None

    def load(self) -> None:
        """Both files of a pair from one generation."""
        self.tls.load_verify_locations(self.bundle)
        if self.pair:
            folder = os.path.realpath(self.pair)
            self.tls.load_cert_chain(folder + "/fullchain.pem", folder + "/privkey.pem")

    def is_current(self) -> bool:
        """Whether nothing has been replaced since."""
        return self.found() == self.made_of

    def keep_up(self) -> None:
        """Take what is there now: a session goes with its context, so that cannot be made anew while the session lasts."""
        found = self.found()
        if found != self.made_of:
            self.load()
            self.made_of = found


def shake(
    context: Context, address: str, where: tuple[str, int], session: ssl.SSLSession | None = None, first: bytes = b""
) -> Outcome:
    """One connection to its end; ``where``: the server's name and port; ``first``: what comes before TLS."""
    name, port = where
    begun = time.monotonic()
    try:
        plain = socket.create_connection((address, port), PATIENCE)
    except OSError as error:
        return Outcome(False, False, f"no connection: {error}")
    with plain:
        try:
            plain.sendall(first)
            with context.tls.wrap_socket(plain, server_hostname=name, session=session) as tls:
                seconds = time.monotonic() - begun
                # Before anything is read: an alert that comes then would take it away.
                leaf, resumed = tls.getpeercert(True) or b"", bool(tls.session_reused)
                answer = ask(tls, http(name))
                kept = tls.session
        except ssl.SSLCertVerificationError as error:
            return Outcome(False, False, f"the server is not trusted: {error}")
        except TimeoutError:
            return Outcome(False, False, f"no answer within {PATIENCE} s")
        except OSError as error:
            return Outcome(False, True, str(error))
    status, words = answer[9:12], answer[:60].decode("ascii", "replace")
    return Outcome(status == b"200", not answer or status in REFUSALS, words, resumed, kept, leaf, seconds)


def local(path: str, request: bytes, wanted: bytes) -> Outcome:
    """A request to a socket of the file system; ``wanted``: what a good answer has in it."""
    try:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(PATIENCE)
            plain.connect(path)
            answer = ask(plain, request)
    except OSError as error:
        return Outcome(False, False, str(error))
    return Outcome(wanted in answer, False, answer[:60].decode("ascii", "replace"))


def http(name: str) -> bytes:
    """A request."""
    return f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode()


def ask(connection: socket.socket, request: bytes) -> bytes:
    """The answer, up to its end."""
    connection.sendall(request)
    answer = b""
    while more := connection.recv(4096):
        answer += more
    return answer
