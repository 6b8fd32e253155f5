# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A handshake with all its messages noted as they came and went, by whom, when, how large, and what they said.

``SSLContext._msg_callback`` (CPython's debugging hook, 3.8 and later) shows every message in clear, what TLS encrypts too, and every
record's header as it is on the wire. Where a Python came without it there are no messages, and the trace says so.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.connections import Endpoint, HandshakeError, connect
from ansible_collections.fleet.tls.plugins.module_utils.exchange import drive
from ansible_collections.fleet.tls.plugins.module_utils.handshake import (
    Handshake,
    HandshakeResult,
    endpoint_of,
    result_as_answer,
    to_pem,
)
from ansible_collections.fleet.tls.plugins.module_utils.handshake_words import HUNG_UP
from ansible_collections.fleet.tls.plugins.module_utils.tls_contexts import context_for
from ansible_collections.fleet.tls.plugins.module_utils.tls_decode import TLS13, Decoded, decode
from ansible_collections.fleet.tls.plugins.module_utils.tls_messages import ALERT, HANDSHAKE, alert_name
from ansible_collections.fleet.tls.plugins.module_utils.wire import Tls

CAN_RECORD = hasattr(ssl.SSLContext, "_msg_callback")
# What OpenSSL calls the header of a record; no content type of TLS.
_RECORD = 256
_CHANGE_CIPHER_SPEC, _ENCRYPTED_RECORD = 20, 23
# A handshake has some 20 messages. A server that sends more than this is not worth the memory.
_MOST_MESSAGES = 200
_MOST_CERTIFICATES = 64
_MOST_THREADS = 32
# How long to listen for what a TLS 1.3 server still has to say right after its first session ticket: most send two.
_LAST_WORDS = 0.05
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
            decoded = decode(data, self.protocol, self._ciphers)
            if decoded.name in ("ServerHello", "HelloRetryRequest"):
                self.protocol = decoded.details.get("version")
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


@dataclass
class Connection:
    """One connection that was traced.

    :param ended: how, in one word: ``complete``, ``own_files``, ``connect``, ``starttls``, ``server_name``, ``not_tls``, ``timeout``,
        ``alert``, ``hung_up``, ``reset``, ``too_much``, ``client`` (we ended it) or ``broken``.
    :param connected: seconds until TCP was up; None: it never was.
    :param session: to resume; None: there is none.
    """

    result: HandshakeResult
    ended: str
    connected: float | None = None
    recorder: Recorder | None = None
    session: ssl.SSLSession | None = None

    def as_answer(self) -> dict[str, Any]:
        """JSON-ready (docs/host-protocol.md)."""
        recorder = self.recorder or Recorder(0, {})
        return {
            "ended": self.ended,
            "error": self.result.error,
            "cipher": self.result.cipher,
            "client_certificate": self.result.client_certificate,
            "connected": self.connected,
            "messages": recorder.messages,
            "dropped": recorder.dropped,
            "sent": recorder.bytes["client"],
            "received": recorder.bytes["server"],
            "resumable": self.session is not None,
        }


def trace_step(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The host step ``trace``: as ``handshake``, for fewer endpoints, with a trace each. Nothing is ever changed."""
    endpoints = [endpoint_of(wanted) for wanted in request.get("endpoints") or ()]
    resume = bool(request.get("resume"))
    with ThreadPoolExecutor(max_workers=max(1, min(_MOST_THREADS, len(endpoints)))) as pool:
        traces = list(pool.map(lambda endpoint: trace(endpoint, resume), endpoints))
    return False, {"results": [traced_as_answer(*pair) for pair in zip(endpoints, traces)]}


def traced_as_answer(endpoint: Endpoint, connections: list[Connection]) -> dict[str, Any]:
    """One entry of the step's answer, JSON-ready: what the first connection showed, and the trace of all."""
    shown = result_as_answer(endpoint, connections[0].result)
    return {**shown, "trace": {"recorded": CAN_RECORD, "connections": [each.as_answer() for each in connections]}}


def trace(endpoint: Endpoint, resume: bool = False) -> list[Connection]:
    """Shake hands and note what is said; raises nothing for an endpoint's sake.

    :param resume: and once more, with the session of the first connection, if there is one.
    """
    # Wait for a session ticket: it is the last message that a TLS 1.3 server has for everybody.
    endpoint = replace(endpoint, ticket=True)
    try:
        context = context_for(endpoint)
    except HandshakeError as error:
        return [Connection(HandshakeResult(error=str(error)), "own_files")]
    connections = [_connection(endpoint, context, None)]
    if resume and connections[0].session is not None:
        connections.append(_connection(endpoint, context, connections[0].session))
    return connections


def _connection(endpoint: Endpoint, context: ssl.SSLContext, session: ssl.SSLSession | None) -> Connection:
    begin, deadline = time.perf_counter(), time.monotonic() + endpoint.timeout
    names = {suite["id"] & 0xFFFF: suite["name"] for suite in context.get_ciphers()}
    recorder = Recorder(begin, {**_SIGNALS, **names})
    _listen(context, recorder)
    shaking = Handshake(endpoint, context, session)
    try:
        sock = connect(endpoint, deadline)
    except HandshakeError as error:
        return Connection(HandshakeResult(error=str(error)), "connect", recorder=recorder)
    connected = round(time.perf_counter() - begin, 6)
    with sock:
        drive(shaking.flow(), sock, deadline)
        ended = _ending(shaking)
        if ended in ("hung_up", "reset"):
            recorder.forget_last_words()
        tls, session = shaking.tls, None
        if ended == "complete" and tls is not None:
            session = _part(tls, sock, deadline)
        result = replace(shaking.result(), seconds=round(time.perf_counter() - begin, 3))
    return Connection(result, ended, connected, recorder, session)


def _listen(context: ssl.SSLContext, recorder: Recorder) -> None:
    """Have the recorder hear what the handshake's own listener hears, and after it. The callback's first argument is the connection:
    to keep it would keep both alive."""

    def note(connection: Any, direction: str, version: int, content: int, kind: int, data: bytes) -> None:
        connection.heard.note(connection, direction, version, content, kind, data)
        recorder.note(direction, content, data)

    if CAN_RECORD:
        context._msg_callback = note  # pylint: disable=protected-access


def _part(tls: Tls, sock: socket.socket, deadline: float) -> ssl.SSLSession | None:
    """Hear what the server still has to say, and leave in good order, or it would forget the session; returns that."""
    with contextlib.suppress(OSError, HandshakeError):
        if tls.protocol == TLS13:
            drive(tls.pump(lambda: tls.tls.read(4096), time.monotonic() + _LAST_WORDS), sock, deadline)
    session = tls.tls.session if tls.heard.ticket or tls.protocol != TLS13 else None
    with contextlib.suppress(OSError, HandshakeError):
        drive(tls.pump(tls.tls.unwrap, time.monotonic()), sock, deadline)
    return session if session is not None and (session.has_ticket or session.id) else None


def _ending(shaking: Handshake) -> str:
    """How a handshake ended, see :class:`Connection`."""
    problem, tls = shaking.problem, shaking.tls
    if problem is None:
        return "complete"
    if tls is None:
        return "starttls" if shaking.endpoint.starttls else "server_name"
    if isinstance(problem, HandshakeError):
        return "too_much"
    if isinstance(problem, socket.timeout):
        return "timeout"
    if tls.heard.alert is not None:
        return "alert"
    if tls.first_bytes and not 20 <= tls.first_bytes[0] <= 24:
        return "not_tls"
    if isinstance(problem, HUNG_UP):
        return "reset" if isinstance(problem, ConnectionError) else "hung_up"
    return "client" if isinstance(problem, ssl.SSLError) else "broken"
