# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One TLS handshake: which certificates does an endpoint serve, and does it want one of ours.

Nothing is verified here unless that is asked for. A probe has to show an expired or foreign certificate rather than hang up on it;
that the right one is served is proven by comparing the leaf, and who is trusted is judged on the controller.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os.path
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Callable

from ansible_collections.fleet.tls.plugins.module_utils import tls_messages
from ansible_collections.fleet.tls.plugins.module_utils.connections import (
    DEFAULT_TIMEOUT,
    Endpoint,
    HandshakeError,
    ask_for_tls,
    connect,
    remaining,
)

# A handshake is a few kilobytes; ML-DSA chains and long lists of client CAs stay far below this. More is not a handshake.
_MOST_BYTES = 512 * 1024
# Endpoints of one request that are tried at the same time.
_MOST_THREADS = 32
# How long to listen for the verdict on our client certificate where the server sends no session ticket (see _await_verdict).
_SHORTEST_LISTEN = 0.3
# How it looks when the other side ends the connection without a word.
_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, BrokenPipeError)


@dataclass(frozen=True)
class HandshakeResult:
    """What a handshake showed.

    :param chain: PEM texts as sent, leaf first. Before Python 3.13, the leaf alone where OpenSSL took a compressed
        Certificate message (RFC 8879).
    :param error: None, or why the handshake failed; the chain can be there all the same, when the server refused our side.
    :param client_certificate: None: not asked for. ``requested``: asked for, none was given, and the handshake was completed.
        ``accepted``: ours was taken by the TLS layer (nginx reports a bad one later, as HTTP 400). ``refused``: the server
        ended the connection after asking, because there was none or it was not good enough.
    :param seconds: from before the connect to the end.
    :param ticket: the first session ticket that came, empty where none did (or Python came without its message callback).
    """

    chain: tuple[str, ...] = ()
    protocol: str | None = None
    cipher: str | None = None
    error: str | None = None
    client_certificate: str | None = None
    seconds: float = 0.0
    ticket: bytes = b""


def served_leaf(host: str, port: int, server_name: str | None, timeout: float, starttls: str | None = None) -> bytes:
    """The certificate (DER) that an endpoint serves.

    A server that completes its half and then refuses us for want of a client certificate has served its leaf.

    :param timeout: seconds, for everything together.
    :param starttls: as in :class:`Endpoint`.
    :raises HandshakeError: there was no handshake.
    """
    result = handshake(Endpoint(host=host, port=port, server_name=server_name, timeout=timeout, starttls=starttls))
    if result.error is not None and not (result.chain and result.client_certificate == "refused"):
        raise HandshakeError(result.error)
    if not result.chain:
        raise HandshakeError("the server sent no certificate")
    return ssl.PEM_cert_to_DER_cert(result.chain[0])


def handshake(endpoint: Endpoint, talk: Callable[[Wire], None] | None = None) -> HandshakeResult:
    """Connect, shake hands, look, hang up. What goes wrong is in the result: this raises nothing for an endpoint's sake.

    :param talk: what to do with the connection after a handshake that was completed; a HandshakeError or OSError it raises counts as the
        handshake's own.
    """
    begin = time.monotonic()
    result = _attempt(endpoint, begin + endpoint.timeout, talk)
    return replace(result, seconds=round(time.monotonic() - begin, 3))


def handshake_step(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The host step ``handshake``: many endpoints at once. Nothing is ever changed."""
    endpoints = [_endpoint(wanted) for wanted in request.get("endpoints") or ()]
    with ThreadPoolExecutor(max_workers=max(1, min(_MOST_THREADS, len(endpoints)))) as pool:
        results = list(pool.map(handshake, endpoints))
    return False, {"results": [result_as_answer(*pair) for pair in zip(endpoints, results)]}


def result_as_answer(endpoint: Endpoint, result: HandshakeResult) -> dict[str, Any]:
    """One entry of the step's answer, JSON-ready (docs/host-protocol.md)."""
    return {
        "endpoint": endpoint.address,
        "server_name": endpoint.server_name,
        "chain": list(result.chain),
        "protocol": result.protocol,
        "cipher": result.cipher,
        "error": result.error,
        "client_certificate": result.client_certificate,
        "seconds": result.seconds,
    }


def _endpoint(wanted: dict[str, Any]) -> Endpoint:
    client = wanted.get("client") or {}
    return Endpoint(
        host=wanted["host"],
        port=int(wanted["port"]),
        server_name=wanted.get("server_name"),
        timeout=float(wanted.get("timeout") or DEFAULT_TIMEOUT),
        client_certificate=client.get("certificate"),
        client_key=client.get("key"),
        alpn=tuple(wanted.get("alpn") or ()),
        starttls=wanted.get("starttls"),
    )


def _attempt(endpoint: Endpoint, deadline: float, talk: Callable[[Wire], None] | None) -> HandshakeResult:
    heard = tls_messages.Heard()
    try:
        context = _context(endpoint, heard)
        sock = connect(endpoint, deadline)
    except HandshakeError as error:
        return HandshakeResult(error=str(error))
    with sock:
        try:
            ask_for_tls(sock, endpoint, deadline)
        except HandshakeError as error:
            return HandshakeResult(error=str(error))
        try:
            wire = Wire(sock, context, endpoint, deadline)
        except (ValueError, UnicodeError):
            return HandshakeResult(error="'{0}' cannot be sent as a server name".format(endpoint.server_name))
        problem = _shake(wire, heard)
        client = _client_certificate(endpoint, heard, problem)
        if problem is None and talk is not None:
            problem = _talk(wire, talk)
            client = "refused" if client and heard.alert is not None else client
        return HandshakeResult(
            chain=tuple(ssl.DER_cert_to_PEM_cert(der) for der in heard.chain or wire.peer_chain),
            protocol=wire.protocol or heard.protocol,
            cipher=wire.cipher,
            error=None if problem is None else _in_words(problem, wire, heard),
            client_certificate=client,
            ticket=next((ticket for ticket in heard.tickets if ticket), b""),
        )


def _client_certificate(endpoint: Endpoint, heard: tls_messages.Heard, problem: Exception | None) -> str | None:
    if not heard.requested:
        return None
    if heard.alert is not None or isinstance(problem, _HUNG_UP):
        return "refused"
    return "accepted" if endpoint.client_certificate and problem is None else "requested"


class Wire:
    """A socket, TLS state between two memory buffers, and one deadline over both."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, endpoint: Endpoint, deadline: float) -> None:
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._deadline = deadline
        self._count = 0
        self.endpoint = endpoint
        self.first_bytes = b""
        self.peer_chain: tuple[bytes, ...] = ()
        self.protocol: str | None = None
        self.cipher: str | None = None
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=_server_name(endpoint))

    def run(self, operation: Callable[[], Any], deadline: float | None = None) -> Any:
        """Call ``operation``, feeding it bytes, until it is through.

        :raises socket.timeout: the deadline (``time.monotonic()``) passed, however steadily bytes were dripping in.
        :raises OSError: the connection broke; ``ssl.SSLError`` is one.
        :raises HandshakeError: absurdly many bytes.
        """
        limit = self._deadline if deadline is None else min(deadline, self._deadline)
        while True:
            try:
                done = operation()
            except ssl.SSLWantReadError:
                self._flush(limit)
                self._fill(limit)
            except ssl.SSLError:
                self._say_goodbye(limit)
                raise
            else:
                self._flush(limit)
                return done

    def keep_outcome(self) -> None:
        """Ask OpenSSL at once: after a post-handshake alert it would not tell."""
        self.protocol = self.tls.version()
        self.cipher = (self.tls.cipher() or (None,))[0]
        if hasattr(self.tls, "get_unverified_chain"):
            self.peer_chain = tuple(self.tls.get_unverified_chain() or ())
        else:
            leaf = self.tls.getpeercert(binary_form=True)
            self.peer_chain = (leaf,) if leaf else ()

    def _fill(self, limit: float) -> None:
        self._sock.settimeout(remaining(limit))
        data = self._sock.recv(16384)
        self._count += len(data)
        if self._count > _MOST_BYTES:
            raise HandshakeError("gave up: more than {0} KiB came, and no handshake".format(_MOST_BYTES // 1024))
        self.first_bytes = (self.first_bytes + data)[:64]
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self, limit: float) -> None:
        data = self._outgoing.read()
        if data:
            self._sock.settimeout(remaining(limit))
            # Whoever hung up may have said why, and that is still there to be read; if not, reading fails too.
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                self._sock.sendall(data)

    def _say_goodbye(self, limit: float) -> None:
        """Send our own alert, so that the server's log says why; the error that is on its way counts for more than this."""
        with contextlib.suppress(OSError):
            self._flush(limit)


def _shake(wire: Wire, heard: tls_messages.Heard) -> Exception | None:
    """The handshake and what comes right after it; returns what went wrong."""
    begin = time.monotonic()
    try:
        wire.run(wire.tls.do_handshake)
        wire.keep_outcome()
        if (heard.requested or wire.endpoint.ticket) and wire.protocol == "TLSv1.3":
            _await_verdict(wire, heard, listen=max(_SHORTEST_LISTEN, 3 * (time.monotonic() - begin)))
    except (HandshakeError, OSError) as error:
        return error
    return None


def _talk(wire: Wire, talk: Callable[[Wire], None]) -> Exception | None:
    """What comes after the handshake; returns what went wrong."""
    try:
        talk(wire)
    except (HandshakeError, OSError) as error:
        return error
    return None


def _await_verdict(wire: Wire, heard: tls_messages.Heard, listen: float) -> None:
    """Learn whether a TLS 1.3 server takes our client certificate, or the lack of one.

    The client is through with its handshake before the server has seen our Certificate message; the refusal comes as an alert
    a round trip later (RFC 8446 section 4.4.2.4). A session ticket means consent: it is sent after our Finished was checked. A
    server that sends neither is given the time of a few round trips (``listen``, seconds), and its silence is consent.

    :raises OSError: the server refused, or hung up.
    """

    def verdict() -> None:
        try:
            wire.tls.read(4096)
        except ssl.SSLWantReadError:
            if not heard.ticket:
                raise

    try:
        wire.run(verdict, time.monotonic() + listen)
    except socket.timeout:
        return


def _in_words(problem: Exception, wire: Wire, heard: tls_messages.Heard) -> str:
    if isinstance(problem, HandshakeError):
        return str(problem)
    if isinstance(problem, socket.timeout):
        return "timed out after {0:g} s, connected but without a complete handshake".format(wire.endpoint.timeout)
    if heard.alert is not None:
        return "the server refused with the TLS alert {0}".format(tls_messages.alert_name(heard.alert))
    # Every TLS record starts with its content type, 20 to 24 (RFC 8446 section 5.1).
    if wire.first_bytes and not 20 <= wire.first_bytes[0] <= 24:
        return "not TLS: the server said '{0}'".format(_printable(wire.first_bytes))
    if isinstance(problem, ssl.SSLCertVerificationError):
        return "the server's certificate is not accepted: {0}".format(problem.verify_message)
    if isinstance(problem, _HUNG_UP):
        how = "reset" if isinstance(problem, ConnectionError) else "closed"
        asked = " after it had asked for a client certificate" if heard.requested else " during the handshake"
        return "the server {0} the connection{1}".format(how, asked)
    if isinstance(problem, ssl.SSLError):
        return "the TLS handshake failed: {0}".format(_reason(problem))
    return "the connection broke: {0}".format(getattr(problem, "strerror", None) or problem)


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


def _printable(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data.strip().split(b"\r\n")[0][:60])


def _server_name(endpoint: Endpoint) -> str | None:
    name = (endpoint.server_name or "").rstrip(".")
    if endpoint.verify:
        # The name to verify as well; OpenSSL itself sends no address.
        return name or endpoint.host
    try:
        ipaddress.ip_address(name)
        return None
    except ValueError:
        return name or None


def _context(endpoint: Endpoint, heard: tls_messages.Heard) -> ssl.SSLContext:
    """The context for an endpoint.

    :raises HandshakeError: our own client certificate, or the bundle, cannot be used.
    """
    context = _verifying(endpoint.trust) if endpoint.verify else _looking()
    if endpoint.alpn:
        context.set_alpn_protocols(list(endpoint.alpn))
    if hasattr(context, "_msg_callback"):
        context._msg_callback = heard.note  # pylint: disable=protected-access
    if endpoint.client_certificate:
        # "~" is expanded here, on the machine whose files they are.
        key = os.path.expanduser(endpoint.client_key) if endpoint.client_key else None
        _load_client(context, os.path.expanduser(endpoint.client_certificate), key)
    return context


def _looking() -> ssl.SSLContext:
    """A context for looking, never for talking: it takes what old servers have, down to TLS 1.0, SHA-1 signatures, small keys
    and no secure renegotiation, as far as the local OpenSSL can, because those servers' certificates expire too.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    # Anonymous suites would be handshakes without a certificate, which some mail servers prefer.
    context.set_ciphers("ALL:!aNULL:!eNULL:@SECLEVEL=0")
    context.options |= getattr(ssl, "OP_LEGACY_SERVER_CONNECT", 0x4)  # the constant came with Python 3.12
    return context


def _verifying(trust: str | None) -> ssl.SSLContext:
    """A context as clients have it. Not Python's default one, which since 3.13 asks more of a chain than other programs do.

    :raises HandshakeError: the bundle cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if trust is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(trust)
    except OSError as error:
        why = _reason(error) if isinstance(error, ssl.SSLError) else error.strerror or error
        raise HandshakeError("the trust bundle {0} cannot be used: {1}".format(trust, why)) from None
    return context


def _load_client(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    def no_passphrase() -> str:
        # Without a callback OpenSSL would ask at the terminal, and wait.
        raise HandshakeError("the client key {0} is encrypted: give one that is not".format(key or certificate))

    try:
        context.load_cert_chain(certificate, key, password=no_passphrase)
    except ssl.SSLError as error:
        why = _reason(error)
        raise HandshakeError(
            "the client certificate {0} and its key cannot be used: {1}".format(certificate, why)
        ) from None
    except OSError as error:
        name = " or ".join(path for path in (certificate, key) if path)
        problem = "the client certificate cannot be read ({0}): {1}".format(name, error.strerror or error)
        raise HandshakeError(problem) from None
