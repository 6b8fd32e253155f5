# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One TLS handshake: which certificates does an endpoint serve, and does it want one of ours.

Nothing is verified here unless that is asked for. A probe has to show an expired or foreign certificate rather than hang up on it;
that the right one is served is proven by comparing the leaf, and who is trusted is judged on the controller.
"""

from __future__ import annotations

import functools
import socket
import ssl
import time
from dataclasses import dataclass, replace
from typing import Callable

from ansible_collections.fleet.tls.plugins.module_utils.tls.contexts import context_for
from ansible_collections.fleet.tls.plugins.module_utils.tls.conversation import Flow, drive
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import (
    Endpoint,
    HandshakeError,
    ask_for_tls,
    connect,
)
from ansible_collections.fleet.tls.plugins.module_utils.tls.groups import group_in_hello, group_in_key_exchange
from ansible_collections.fleet.tls.plugins.module_utils.tls.memory_tls import Tls, Wire
from ansible_collections.fleet.tls.plugins.module_utils.tls.messages import Heard
from ansible_collections.fleet.tls.plugins.module_utils.tls.signatures import scheme_in_key_exchange, scheme_in_verify
from ansible_collections.fleet.tls.plugins.module_utils.tls.wording import HUNG_UP, in_words

# How long to listen for the verdict on our client certificate where the server sends no session ticket (see _verdict).
_SHORTEST_LISTEN = 0.3


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
    :param alpn: the protocol that was agreed on (RFC 7301).
    :param group: in which keys were agreed on, see ``groups.py``.
    :param signature_scheme: with which the server signed the handshake, see ``signatures.py``; None where none was needed.
    """

    chain: tuple[str, ...] = ()
    protocol: str | None = None
    cipher: str | None = None
    error: str | None = None
    client_certificate: str | None = None
    seconds: float = 0.0
    ticket: bytes = b""
    alpn: str | None = None
    group: str | None = None
    signature_scheme: str | None = None


def served_leaf(
    host: str, port: int, server_name: str | None, timeout: float, starttls: str | None = None, proxy_protocol: int = 0
) -> bytes:
    """The certificate (DER) that an endpoint serves.

    A server that completes its half and then refuses us for want of a client certificate has served its leaf.

    :param timeout: seconds, for everything together.
    :param starttls, proxy_protocol: as in :class:`Endpoint`.
    :raises HandshakeError: there was no handshake.
    """
    endpoint = Endpoint(host, port, server_name, timeout, starttls=starttls, proxy_protocol=proxy_protocol)
    return shown_leaf(handshake(endpoint))


def shown_leaf(result: HandshakeResult) -> bytes:
    """The certificate (DER) of a handshake's result; see :func:`served_leaf`, which raises the same."""
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


class Handshake:
    """A handshake as it goes, after the connection is there.

    :param session: of a handshake before this one, to resume; with the same context.
    """

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        self.endpoint = endpoint
        self.tls: Tls | None = None
        self.problem: Exception | None = None
        self._context = context
        self._session = session
        self._client: str | None = None

    def flow(self) -> Flow:
        """The conversation; what goes wrong is kept, not raised."""
        try:
            yield from ask_for_tls(self.endpoint)
            self.tls = Tls(self._context, self.endpoint, self._session)
            yield from self._shake(self.tls)
        except (HandshakeError, OSError) as error:
            self.problem = error
        if self.tls is not None and self.tls.heard.requested:
            self._client = self._client_certificate(self.tls.heard)

    def talk(self, sock: socket.socket, deadline: float, talk: Callable[[Wire], None]) -> None:
        """What comes after a handshake that was completed; what goes wrong is kept, not raised."""
        if self.tls is None or self.problem is not None:
            return
        try:
            talk(Wire(sock, self.tls, deadline))
        except (HandshakeError, OSError) as error:
            self.problem = error
        if self._client and self.tls.heard.alert is not None:
            self._client = "refused"

    def result(self) -> HandshakeResult:
        """What it showed; ``seconds`` is for others to know."""
        heard, tls = (Heard(), None) if self.tls is None else (self.tls.heard, self.tls)
        first_bytes = tls.first_bytes if tls else b""
        protocol, cipher = (tls.protocol if tls else None) or heard.protocol, tls.cipher if tls else None
        return HandshakeResult(
            chain=tuple(map(to_pem, (tls.peer_chain if tls else ()) or heard.chain)),
            protocol=protocol,
            cipher=cipher,
            error=None if self.problem is None else in_words(self.problem, self.endpoint, heard, first_bytes),
            client_certificate=self._client,
            ticket=next((ticket for ticket in heard.tickets if ticket), b""),
            alpn=tls.alpn if tls else None,
            group=group_in_hello(heard.hello) or group_in_key_exchange(heard.key_exchange, cipher),
            signature_scheme=scheme_in_verify(heard.verify)
            or scheme_in_key_exchange(heard.key_exchange, cipher, protocol),
        )

    def session(self) -> ssl.SSLSession | None:
        """What a later handshake with the same context can resume; None: the server gave nothing."""
        session = None if self.tls is None or self.problem is not None else self.tls.tls.session
        return session if session is not None and (session.has_ticket or session.id) else None

    def resumed(self) -> bool:
        """Whether the handshake was completed by resuming the session it was given."""
        return self.tls is not None and self.problem is None and bool(self.tls.tls.session_reused)

    def _client_certificate(self, heard: Heard) -> str:
        if heard.alert is not None or isinstance(self.problem, HUNG_UP):
            return "refused"
        return "accepted" if self.endpoint.client_certificate and self.problem is None else "requested"

    def _shake(self, tls: Tls) -> Flow:
        """The handshake and what comes right after it."""
        begin = time.monotonic()
        yield from tls.pump(tls.tls.do_handshake)
        tls.keep_outcome()
        if (tls.heard.requested or self.endpoint.ticket) and tls.protocol == "TLSv1.3":
            listen = max(_SHORTEST_LISTEN, 3 * (time.monotonic() - begin))
            yield from _verdict(tls, time.monotonic() + listen)


def _verdict(tls: Tls, until: float) -> Flow:
    """Learn whether a TLS 1.3 server takes our client certificate, or the lack of one.

    The client is through with its handshake before the server has seen our Certificate message; the refusal comes as an alert
    a round trip later (RFC 8446 section 4.4.2.4). A session ticket means consent: it is sent after our Finished was checked. A
    server that sends neither is given the time of a few round trips, and its silence is consent.

    :raises OSError: the server refused, or hung up.
    """

    def verdict() -> None:
        try:
            tls.tls.read(4096)
        except ssl.SSLWantReadError:
            if not tls.heard.ticket:
                raise

    try:
        yield from tls.pump(verdict, until)
    except socket.timeout:
        return


def _attempt(endpoint: Endpoint, deadline: float, talk: Callable[[Wire], None] | None) -> HandshakeResult:
    try:
        shaking = Handshake(endpoint, context_for(endpoint))
        sock = connect(endpoint, deadline)
    except HandshakeError as error:
        return HandshakeResult(error=str(error))
    with sock:
        drive(shaking.flow(), sock, deadline)
        if talk is not None:
            shaking.talk(sock, deadline, talk)
        return shaking.result()


@functools.lru_cache(maxsize=4096)
def to_pem(der: bytes) -> str:
    """PEM of a certificate; the same text for the same one, for thousands of endpoints serve few."""
    return ssl.DER_cert_to_PEM_cert(der)
