# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to where a TLS handshake begins: an endpoint, a connection to it, and what has to be said in clear first."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.conversation import Flow, FromSocket
from ansible_collections.fleet.tls.plugins.module_utils.tls.tcp import CONNECT_TIMEOUT, connected

DEFAULT_TIMEOUT = 5.0


class HandshakeError(Exception):
    """No certificate was seen; the text says why, for people."""


@dataclass(frozen=True)
class Endpoint:
    """Where to shake hands, and as whom.

    :param server_name: what to ask for by SNI (RFC 6066 section 3); an IP address is never sent; None or "": no SNI.
    :param timeout: seconds for connecting, handshake and reading together (name resolution has the resolver's own limits).
    :param client_certificate: path of a PEM file with our certificate and its chain, for servers that ask for one.
    :param client_key: path of its unencrypted key; None: it is in the same file.
    :param alpn: protocols to offer (RFC 7301), most wanted first.
    :param ticket: wait for a session ticket where it comes after the handshake (TLS 1.3).
    :param verify: do as a client does: hang up on a certificate that ``trust`` does not lead to, or that is not for ``server_name``
        (without one: ``host``), and refuse what the local OpenSSL's own settings refuse.
    :param trust: path of the PEM bundle to verify with; None: what the system trusts.
    :param crls: path of PEM revocation lists, one of every CA in ``trust`` and below it: a revoked certificate is hung up on as well.
    :param starttls: the protocol in which TLS has to be asked for first, one of ``starttls.PROTOCOLS``; None: it begins at once.
    :param proxy_protocol: the version of the PROXY protocol that the endpoint expects before anything else, 1 or 2; 0: none.
    :param minimum_version: the lowest version of TLS to speak, ``TLSv1.2`` or ``TLSv1.3``; None: as low as the local OpenSSL can.
    :param maximum_version: the highest, in the same words.
    """

    host: str
    port: int
    server_name: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    client_certificate: str | None = None
    client_key: str | None = None
    alpn: tuple[str, ...] = ()
    ticket: bool = False
    verify: bool = False
    trust: str | None = None
    crls: str | None = None
    starttls: str | None = None
    proxy_protocol: int = 0
    minimum_version: str | None = None
    maximum_version: str | None = None

    @property
    def address(self) -> str:
        """``host:port``, with an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def connect(endpoint: Endpoint, deadline: float) -> socket.socket:
    """A TCP connection to the endpoint.

    :raises HandshakeError: none did.
    """
    try:
        return connected(resolve(endpoint), deadline)
    except OSError as error:
        raise HandshakeError(connect_problem(error, endpoint)) from None


def resolve(endpoint: Endpoint) -> list[Any]:
    """The addresses of an endpoint, as ``socket.getaddrinfo`` has them.

    :raises HandshakeError: its name does not resolve.
    """
    try:
        return socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise HandshakeError(f"the name {endpoint.host} does not resolve: {why}") from None


def connect_problem(error: OSError, endpoint: Endpoint) -> str:
    if isinstance(error, socket.timeout):
        return CONNECT_TIMEOUT.format(endpoint.timeout)
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    return f"cannot connect: {error.strerror or error}"


def ask_for_tls(endpoint: Endpoint) -> Flow:
    """Speak the endpoint's protocols until TLS may begin; nothing, where TLS begins at once.

    :raises HandshakeError: the server would not, or the time is up.
    """
    # Late: most endpoints begin with TLS.
    if endpoint.proxy_protocol:
        from ansible_collections.fleet.tls.plugins.module_utils.tls.proxy_protocol import header

        yield FromSocket(lambda sock: header(endpoint.proxy_protocol, sock))
    if not endpoint.starttls:
        return
    from ansible_collections.fleet.tls.plugins.module_utils.tls.starttls import PROTOCOLS, StartTlsError

    talk = PROTOCOLS.get(endpoint.starttls)
    if talk is None:
        raise HandshakeError(f"STARTTLS in the protocol '{endpoint.starttls}' is unknown")
    try:
        yield from talk(endpoint.server_name or endpoint.host)
    except StartTlsError as error:
        raise HandshakeError(f"{endpoint.starttls}: {error}") from None
    except socket.timeout:
        problem = f"timed out after {endpoint.timeout:g} s before TLS began"
        raise HandshakeError(f"{endpoint.starttls}: {problem}") from None
    except OSError as error:
        problem = f"the connection broke before TLS began: {error.strerror or error}"
        raise HandshakeError(f"{endpoint.starttls}: {problem}") from None
