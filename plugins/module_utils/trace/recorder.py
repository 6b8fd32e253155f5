# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every TLS message of a connection noted as it came or went: by whom, when, how large, and what it said.

``SSLContext._msg_callback`` (CPython's debugging hook, 3.8 and later) shows every message in clear, what TLS encrypts too, and every
record's header as it is on the wire.
"""

from __future__ import annotations

import ssl
import time
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import to_pem
from ansible_collections.fleet.tls.plugins.module_utils.tls.messages import ALERT, HANDSHAKE, alert_name
from ansible_collections.fleet.tls.plugins.module_utils.trace.decode import TLS13, Decoded, decode

# Whether this Python can.
CAN_RECORD = hasattr(ssl.SSLContext, "_msg_callback")
# What OpenSSL calls the header of a record; no content type of TLS.
_RECORD = 256
_CHANGE_CIPHER_SPEC, _ENCRYPTED_RECORD = 20, 23
# A handshake has some 20 messages. A server that sends more than this is not worth the memory.
_MOST_MESSAGES = 200
_MOST_CERTIFICATES = 64
# Signals in the list of cipher suites that are none (RFC 5746 section 3.3, RFC 7507).
_SIGNALS = {0x00FF: "TLS_EMPTY_RENEGOTIATION_INFO_SCSV", 0x5600: "TLS_FALLBACK_SCSV"}


class Recorder:
    """Notes the messages of one connection.

    :param begin: ``time.perf_counter()`` of the moment that times are told from.
    :param ciphers: names of cipher suites by their numbers.
    """

    def __init__(self, begin: float, ciphers: dict[int, str]) -> None:
        self._begin = begin
        self._ciphers = ciphers
        self._record = {"client": 0, "server": 0}
        self._changed = {"client": False, "server": False}
        self._cipher: str | None = None
        self.protocol: str | None = None
        self.messages: list[dict[str, Any]] = []
        self.dropped = 0
        self.bytes = {"client": 0, "server": 0}

    def note(self, direction: str, content: int, data: bytes) -> None:
        """What the callback was told: a record's header, or one whole message in clear, header included."""
        sender = "client" if direction == "write" else "server"
        if content == _RECORD:
            self._note_record(sender, data)
        elif content == HANDSHAKE:
            decoded = decode(data, self.protocol, self._ciphers, self._cipher)
            if decoded.name in ("ServerHello", "HelloRetryRequest"):
                self.protocol, self._cipher = decoded.details.get("version"), decoded.details.get("cipher")
            self._keep(sender, "handshake", decoded, len(data))
        elif content == ALERT and len(data) == 2:
            level = {1: "warning", 2: "fatal"}.get(data[0], str(data[0]))
            said = {"level": level, "description": alert_name(data[1])}
            self._keep(sender, "alert", Decoded("Alert", said), len(data))

    def forget_last_words(self) -> None:
        """Leave out the alert that OpenSSL has for a server that is gone: nobody hears it."""
        while self.messages and self.messages[-1]["sender"] == "client" and self.messages[-1]["content"] == "alert":
            self.messages.pop()

    def _note_record(self, sender: str, header: bytes) -> None:
        if len(header) < 5:
            return
        self.bytes[sender] += 5 + int.from_bytes(header[3:5], "big")
        self._record[sender] = header[0]
        # The only message that OpenSSL does not report from a server; it has a record of its own.
        if header[0] == _CHANGE_CIPHER_SPEC:
            self._keep(sender, "change_cipher_spec", Decoded("ChangeCipherSpec"), 1)
            self._changed[sender] = True

    def _keep(self, sender: str, content: str, decoded: Decoded, size: int) -> None:
        if len(self.messages) >= _MOST_MESSAGES:
            self.dropped += 1
            return
        encrypted = self._record[sender] == _ENCRYPTED_RECORD or (self._changed[sender] and self.protocol != TLS13)
        self.messages.append(
            {
                "sender": sender,
                "at": round(time.perf_counter() - self._begin, 6),
                "protocol": self.protocol,
                "content": content,
                "name": decoded.name,
                "size": size,
                "encrypted": encrypted and content != "change_cipher_spec",
                "details": decoded.details,
                "certificates": [to_pem(der) for der in decoded.certificates[:_MOST_CERTIFICATES]],
            }
        )


def record(context: ssl.SSLContext, begin: float) -> Recorder:
    """A recorder for the next connection of a context, which hears what the handshake's own listener hears, and after it.

    The callback's first argument is the connection: to keep it would keep both alive.
    """
    names = {suite["id"] & 0xFFFF: suite["name"] for suite in context.get_ciphers()}
    recorder = Recorder(begin, {**_SIGNALS, **names})

    def note(connection: Any, direction: str, version: int, content: int, kind: int, data: bytes) -> None:
        connection.heard.note(connection, direction, version, content, kind, data)
        recorder.note(direction, content, data)

    if CAN_RECORD and hasattr(context, "_msg_callback"):
        context._msg_callback = note  # pylint: disable=protected-access
    return recorder
