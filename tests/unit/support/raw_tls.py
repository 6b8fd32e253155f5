# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TLS 1.2 server that presents whatever bytes it is told to as its certificates, which no real server would, and no more."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

HANDSHAKE, SERVER_HELLO, CERTIFICATE = 22, 2, 11
MOST = 16384


def message(kind: int, body: bytes) -> bytes:
    """A handshake message (RFC 5246 section 7.4)."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def records(data: bytes) -> bytes:
    """Handshake messages in as many records as they need (RFC 5246 section 6.2.1)."""
    parts = [data[start : start + MOST] for start in range(0, len(data), MOST)]
    return b"".join(bytes([HANDSHAKE, 3, 3]) + len(part).to_bytes(2, "big") + part for part in parts)


def presentation(chain: Sequence[bytes]) -> bytes:
    """ServerHello (ECDHE-ECDSA-AES128-GCM-SHA256, secure renegotiation) and Certificate."""
    hello = b"\x03\x03" + bytes(range(32)) + b"\0" + b"\xc0\x2b" + b"\0" + b"\x00\x05\xff\x01\x00\x01\x00"
    certificates = b"".join(len(der).to_bytes(3, "big") + der for der in chain)
    return records(
        message(SERVER_HELLO, hello) + message(CERTIFICATE, len(certificates).to_bytes(3, "big") + certificates)
    )


def presenting(choose: Callable[[bytes], Sequence[bytes]]) -> Callable[[socket.socket], None]:
    """What to do with a connection: ``choose`` has the ClientHello, and says which certificates (DER or not) are to be sent."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(presentation(choose(connection.recv(65536))))
        while connection.recv(4096):
            pass

    return answer
