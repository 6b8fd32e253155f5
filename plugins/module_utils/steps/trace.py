# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host step ``trace``: handshakes with all their messages noted, and what each one came to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.scan.jobs import Job, JobResult, Resumed
from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import jobs_of, seen_as_answer
from ansible_collections.fleet.tls.plugins.module_utils.tls.asker import openssl_version
from ansible_collections.fleet.tls.plugins.module_utils.tls.contexts import context_for
from ansible_collections.fleet.tls.plugins.module_utils.tls.conversation import drive
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError, connect
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Handshake, HandshakeResult
from ansible_collections.fleet.tls.plugins.module_utils.tls.memory_tls import Tls
from ansible_collections.fleet.tls.plugins.module_utils.tls.staple import staple_of
from ansible_collections.fleet.tls.plugins.module_utils.tls.wording import HUNG_UP
from ansible_collections.fleet.tls.plugins.module_utils.trace import recorder as recording
from ansible_collections.fleet.tls.plugins.module_utils.trace.decode import TLS13

_MOST_THREADS = 32
# SSL_OP_NO_TX_CERTIFICATE_COMPRESSION and SSL_OP_NO_RX_CERTIFICATE_COMPRESSION, which Python has no names for.
_NO_COMPRESSED_CERTIFICATES = 1 << 32 | 1 << 33
# How long to listen for what a TLS 1.3 server still has to say right after its first session ticket. Most send two, and the second one
# often waits for our acknowledgement of the first, which Linux puts off for 40 ms.
_LAST_WORDS = 0.1


@dataclass
class Connection:
    """One connection that was traced.

    :param ended: how, in one word: ``complete``, ``own_files``, ``connect``, ``starttls``, ``server_name``, ``not_tls``, ``timeout``,
        ``alert``, ``hung_up``, ``reset``, ``too_much``, ``client`` (we ended it) or ``broken``.
    :param connected: seconds until TCP was up; None: it never was.
    :param session: that a later connection can resume; None: there is none.
    :param resumed: whether this one resumed the session it was given.
    """

    endpoint: Endpoint
    result: HandshakeResult
    ended: str
    connected: float | None = None
    recorder: recording.Recorder | None = None
    session: ssl.SSLSession | None = None
    resumed: bool = False

    def as_answer(self) -> dict[str, Any]:
        """JSON-ready (docs/host-protocol.md)."""
        recorder = self.recorder or recording.Recorder(0, {})
        return {
            "endpoint": self.endpoint.address,
            "ended": self.ended,
            "error": self.result.error,
            "cipher": self.result.cipher,
            "connected": self.connected,
            "messages": recorder.messages,
            "dropped": recorder.dropped,
            "sent": recorder.bytes["client"],
            "received": recorder.bytes["server"],
        }


def trace_step(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md."""
    jobs = jobs_of(request)
    with ThreadPoolExecutor(max_workers=max(1, min(_MOST_THREADS, len(jobs)))) as pool:
        return False, {"results": list(pool.map(traced, jobs)), "openssl": openssl_version()}


def traced(job: Job) -> dict[str, Any]:
    """One entry of the step's answer, JSON-ready: what the step ``handshake`` tells, and the trace of all connections."""
    attempts = 0
    while True:
        attempts += 1
        connections = trace(job.endpoint, (job.endpoint, *job.resume_at) if job.resumption else ())
        first, *others = connections
        if first.result.chain or attempts > job.retries:
            break
    resumed = tuple(
        Resumed(each.endpoint, each.resumed if each.result.error is None else None, each.result.error)
        for each in others
    )
    staple = staple_of(job.endpoint) if job.stapling and first.result.chain else None
    told = seen_as_answer(job, JobResult(first.result, attempts, resumed, staple))
    shown = {"recorded": recording.CAN_RECORD, "connections": [each.as_answer() for each in connections]}
    return {**told, "trace": shown}


def trace(endpoint: Endpoint, resume_at: Sequence[Endpoint] = ()) -> list[Connection]:
    """Shake hands and note what is said; raises nothing for an endpoint's sake.

    :param resume_at: and once more at each of these, with the session of the first connection, if there is one.
    """
    try:
        context = context_for(endpoint)
    except HandshakeError as error:
        return [Connection(endpoint, HandshakeResult(error=str(error)), "own_files")]
    if ssl.OPENSSL_VERSION_INFO >= (3, 2):
        # Certificates in clear, both ways: Python can unpack one of the three ways to pack them (RFC 8879).
        context.options |= _NO_COMPRESSED_CERTIFICATES
    first = _connection(endpoint, context, None)
    if first.session is None:
        return [first]
    return [first, *(_connection(place, context, first.session) for place in resume_at)]


def _connection(endpoint: Endpoint, context: ssl.SSLContext, session: ssl.SSLSession | None) -> Connection:
    begin, deadline = time.perf_counter(), time.monotonic() + endpoint.timeout
    recorder = recording.record(context, begin)
    # A session ticket is the last message that a TLS 1.3 server has for everybody: wait for it.
    shaking = Handshake(replace(endpoint, ticket=True), context, session)
    try:
        sock = connect(endpoint, deadline)
    except HandshakeError as error:
        return Connection(endpoint, HandshakeResult(error=str(error)), "connect", recorder=recorder)
    connected = round(time.perf_counter() - begin, 6)
    with sock:
        drive(shaking.flow(), sock, deadline)
        ended, given = _ending(shaking), None
        if ended in ("hung_up", "reset"):
            recorder.forget_last_words()
        if ended == "complete" and shaking.tls is not None:
            _hear_all(shaking.tls, sock, deadline)
            given = shaking.session()
            _part(shaking.tls, sock, deadline)
        result = replace(shaking.result(), seconds=round(time.perf_counter() - begin, 3))
    return Connection(endpoint, result, ended, connected, recorder, given, shaking.resumed())


def _hear_all(tls: Tls, sock: socket.socket, deadline: float) -> None:
    """What the server still has to say."""
    if tls.protocol == TLS13:
        with contextlib.suppress(OSError, HandshakeError):
            drive(tls.pump(lambda: tls.tls.read(4096), time.monotonic() + _LAST_WORDS), sock, deadline)


def _part(tls: Tls, sock: socket.socket, deadline: float) -> None:
    """Leave in good order: else many servers forget the session."""
    with contextlib.suppress(OSError, HandshakeError):
        drive(tls.pump(tls.tls.unwrap, time.monotonic()), sock, deadline)


def _ending(shaking: Handshake) -> str:
    """How a handshake ended, see :class:`Connection`."""
    problem, tls = shaking.problem, shaking.tls
    if problem is None:
        return "complete"
    if tls is None and shaking.endpoint.proxy_protocol and isinstance(problem, OSError):
        return "broken"
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
