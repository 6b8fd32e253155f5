# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few TLS messages that a handshake probe has to read itself: hellos, certificates and requests for them, tickets, alerts."""

from __future__ import annotations

import ssl
from typing import Any

# Content types and handshake types: RFC 8446 section 5.1 and appendix B.3 (the same numbers in TLS 1.0 to 1.3).
ALERT = 21
HANDSHAKE = 22
SERVER_HELLO = 2
NEW_SESSION_TICKET = 4
CERTIFICATE = 11
SERVER_KEY_EXCHANGE = 12
CERTIFICATE_REQUEST = 13
CERTIFICATE_VERIFY = 15

CLOSE_NOTIFY = 0
# Of RFC 5077's recommended form: bytes of the key's name; and less than name, IV and MAC is no ticket.
KEY_NAME = 16
SHORTEST_TICKET = 64

# RFC 8446 section 6 and, for what only older versions send, RFC 5246 section 7.2.
ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}


def alert_name(description: int) -> str:
    """The RFC's name of an alert, or its number where it is none that we know."""
    return ALERTS.get(description, str(description))


def certificates_in(message: bytes, tls13: bool) -> tuple[bytes, ...]:
    """The certificates (DER, leaf first) of a whole Certificate message, header included.

    RFC 5246 section 7.4.2; in TLS 1.3 (RFC 8446 section 4.4.2) a context comes first and each certificate has extensions.
    A message that is not well-formed gives what could be read before the fault: it has been OpenSSL's to refuse it.
    """
    body = message[4:]
    if tls13:
        body = body[1 + body[0] :] if body else b""
    end = min(len(body), 3 + int.from_bytes(body[:3], "big"))
    position = 3
    found = []
    while position + 3 <= end:
        start = position + 3
        position = start + int.from_bytes(body[position:start], "big")
        if position > end:
            break
        found.append(body[start:position])
        if tls13:
            position += 2 + int.from_bytes(body[position : position + 2], "big")
    return tuple(found)


def ticket_in(message: bytes, tls13: bool) -> bytes:
    """The ticket of a whole NewSessionTicket message, header included; empty where there is none.

    RFC 5077 section 3.3: a lifetime hint of 4 bytes, then the ticket with a length of 2. In TLS 1.3 (RFC 8446 section 4.6.1) 4 bytes
    of ``age_add`` and a nonce with a length of 1 come between. The first 16 bytes of a ticket that a server encrypts for itself
    are the name of the key (RFC 5077 section 4); OpenSSL keeps to that, and so does every server that uses it.
    """
    start = 8
    if tls13:
        start = 12
        start += 1 + int.from_bytes(message[start : start + 1], "big")
    end = start + 2 + int.from_bytes(message[start : start + 2], "big")
    return message[start + 2 : end] if end <= len(message) else b""


def key_name(ticket: bytes) -> str | None:
    """The name of the key that a ticket is encrypted with (RFC 5077 section 4), hexadecimal; None where it is no such ticket.

    A ticket of a session that stays in the server's own cache is as short as a session id.
    """
    return ticket[:KEY_NAME].hex() if len(ticket) >= SHORTEST_TICKET else None


class Heard:
    """What the server said, noted from OpenSSL's message callback.

    ``SSLContext._msg_callback`` is CPython's debugging hook (3.8 and later). It is the only way to learn six things: that a
    TLS 1.3 server asked for a client certificate, the chain of a TLS 1.2 server that then refused us (OpenSSL keeps no peer
    certificate of a handshake that failed), the full chain with Python 3.9, session tickets, the group
    of the key exchange, and the algorithm of the server's signature. Where a Python came without it, the public
    interface gives what it can, see ``wire.py``.

    :ivar hello: the last ServerHello, whole; ``key_exchange``: the ServerKeyExchange; ``verify``: its CertificateVerify. See ``groups.py``
        and ``signatures.py``.
    """

    def __init__(self) -> None:
        self.chain: tuple[bytes, ...] = ()
        self.protocol: str | None = None
        self.requested = False
        self.ticket = False
        self.tickets: tuple[bytes, ...] = ()
        self.hello = b""
        self.key_exchange = b""
        self.verify = b""
        self.alert: int | None = None

    def note(self, _connection: Any, direction: str, version: int, content: int, kind: int, data: bytes) -> None:
        """The callback; ``data`` is one whole message in clear, header included, whatever the version encrypts."""
        if direction != "read":
            return
        if content == ALERT and len(data) == 2:
            # "Closed in good order" says nothing about us, and neither does a warning (level 1), which only TLS 1.2 has.
            if data[0] == 2 and data[1] != CLOSE_NOTIFY:
                self.alert = data[1]
        elif content == HANDSHAKE:
            if kind == CERTIFICATE and not self.chain:
                self.chain = certificates_in(data, tls13=version >= ssl.TLSVersion.TLSv1_3)
                self.protocol = ssl.TLSVersion(version).name.replace("_", ".")
            self.requested = self.requested or kind == CERTIFICATE_REQUEST
            if kind == SERVER_HELLO:
                self.hello = data
            elif kind == SERVER_KEY_EXCHANGE:
                self.key_exchange = data
            elif kind == CERTIFICATE_VERIFY:
                self.verify = data
            elif kind == NEW_SESSION_TICKET:
                self.ticket = True
                self.tickets += (ticket_in(data, tls13=version >= ssl.TLSVersion.TLSv1_3),)


class HeardObject(ssl.SSLObject):
    """A connection that knows who notes its messages."""

    heard: Heard


def listen(context: ssl.SSLContext) -> None:
    """Have the messages of all connections of a context noted, each by its own :class:`Heard`."""
    if hasattr(context, "_msg_callback"):
        context.sslobject_class = HeardObject
        context._msg_callback = _note  # pylint: disable=protected-access


def _note(connection: Any, direction: str, version: int, content: int, kind: int, data: bytes) -> None:
    connection.heard.note(connection, direction, version, content, kind, data)
