# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificate an endpoint serves, and by which algorithms, at the least cost: a blocking handshake of the standard library's, half as
dear as one that listens to everything.

It tells nothing of a handshake that does not come about. Why it does not, and the leaf of a server that refuses us after it has shown
it, is for ``handshake.py`` to find out.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import ssl
import time
from typing import Any, NamedTuple

from ansible_collections.fleet.tls.plugins.module_utils.tls.groups import group_in_hello, group_in_key_exchange
from ansible_collections.fleet.tls.plugins.module_utils.tls.signatures import scheme_in_key_exchange, scheme_in_verify
from ansible_collections.fleet.tls.plugins.module_utils.tls.tcp import CONNECT_TIMEOUT, connected, remaining

# Handshake messages of a server that name its algorithms (RFC 8446 appendix B.3): ServerHello, ServerKeyExchange, CertificateVerify.
TELLING = (2, 12, 15)
HANDSHAKE_TIMEOUT = "timed out after {0:g} s, connected but without a complete handshake"


class Glance(NamedTuple):
    """The leaf (DER), the group in which keys were agreed on, and the server's signature: see ``groups.py`` and ``signatures.py``."""

    leaf: bytes
    group: str | None
    signature_scheme: str | None


def glance(host: str, port: int, server_name: str | None, timeout: float) -> Glance | None:
    """What is served; None: there was no handshake, or no certificate.

    :param server_name: as in ``endpoint.Endpoint``.
    :param timeout: seconds, for everything together.
    :raises socket.timeout: the time was up; the text says with what.
    """
    deadline = time.monotonic() + timeout
    words = CONNECT_TIMEOUT
    try:
        with connected(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), deadline) as sock:
            words = HANDSHAKE_TIMEOUT
            # A handshake takes the socket's timeout as the time for all of it.
            sock.settimeout(remaining(deadline))
            with shared_context().wrap_socket(sock, server_hostname=sent_name(server_name)) as tls:
                leaf = tls.getpeercert(binary_form=True)
                return seen(leaf, tls) if leaf else None
    except socket.timeout:
        raise socket.timeout(words.format(timeout)) from None
    except (OSError, ValueError):
        return None


def seen(leaf: bytes, tls: Any) -> Glance:
    """What a connection came to."""
    told, cipher = getattr(tls, "told", {}), (tls.cipher() or (None,))[0]
    hello, key_exchange, verify = (told.get(kind, b"") for kind in TELLING)
    return Glance(
        leaf,
        group_in_hello(hello) or group_in_key_exchange(key_exchange, cipher),
        scheme_in_verify(verify) or scheme_in_key_exchange(key_exchange, cipher, tls.version()),
    )


def note(connection: Any, direction: str, _version: int, content: int, kind: int, data: bytes) -> None:
    """Keep what names algorithms; what else is said passes by."""
    if direction == "read" and content == 22 and kind in TELLING:
        connection.__dict__.setdefault("told", {})[int(kind)] = data


def sent_name(server_name: str | None) -> str | None:
    """What is sent as SNI (RFC 6066 section 3): a name without its last dot, and never an address."""
    name = (server_name or "").rstrip(".")
    try:
        ipaddress.ip_address(name)
        return None
    except ValueError:
        return name or None


@functools.lru_cache(maxsize=1)
def shared_context() -> ssl.SSLContext:
    """One for all glances, which leave it as it is."""
    context = looking_context()
    if hasattr(context, "_msg_callback"):
        # See messages.Heard.
        context._msg_callback = note  # pylint: disable=protected-access
    return context


def looking_context() -> ssl.SSLContext:
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
