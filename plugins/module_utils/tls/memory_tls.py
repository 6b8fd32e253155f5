# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS between two memory buffers: the handshake as a conversation, whoever carries the bytes."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
from typing import Any, Callable

from ansible_collections.fleet.tls.plugins.module_utils.tls.conversation import Flow, Read, drive
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError
from ansible_collections.fleet.tls.plugins.module_utils.tls.glance import sent_name
from ansible_collections.fleet.tls.plugins.module_utils.tls.messages import Heard, HeardObject

# A handshake is a few kilobytes; ML-DSA chains and long lists of client CAs stay far below this. More is not a handshake.
_MOST_BYTES = 512 * 1024


class Tls:
    """TLS state between two memory buffers.

    :param context: of ``tls_contexts.context_for``; many connections may share it.
    :raises HandshakeError: the server name cannot be sent.
    """

    def __init__(self, context: ssl.SSLContext, endpoint: Endpoint, session: ssl.SSLSession | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._count = 0
        self.heard = Heard()
        self.first_bytes = b""
        self.peer_chain: tuple[bytes, ...] = ()
        self.protocol: str | None = None
        self.cipher: str | None = None
        self.alpn: str | None = None
        try:
            self.tls = context.wrap_bio(
                self._incoming, self._outgoing, server_hostname=_server_name(endpoint), session=session
            )
        except (ValueError, TypeError):
            raise HandshakeError(f"'{endpoint.server_name}' cannot be sent as a server name") from None

        if isinstance(self.tls, HeardObject):
            self.tls.heard = self.heard

    def pump(self, operation: Callable[[], Any], until: float = math.inf) -> Flow:
        """Call ``operation``, feeding it bytes, until it is through, and return what it returned.

        :param until: as in :class:`Read`.
        :raises socket.timeout: the time was up, however steadily bytes were dripping in.
        :raises OSError: the connection broke; ``ssl.SSLError`` is one.
        :raises HandshakeError: absurdly many bytes.
        """
        while True:
            try:
                done = operation()
            except ssl.SSLWantReadError:
                yield from self._flush()
                self._feed((yield Read(16384, until)))
            except ssl.SSLError:
                # Our own alert, so that the server's log says why; the error that is on its way counts for more than this.
                with contextlib.suppress(OSError):
                    yield from self._flush()
                raise
            else:
                yield from self._flush()
                return done

    def keep_outcome(self) -> None:
        """Ask OpenSSL at once: after a post-handshake alert it would not tell."""
        self.protocol = self.tls.version()
        self.cipher = (self.tls.cipher() or (None,))[0]
        self.alpn = self.tls.selected_alpn_protocol()
        if self.heard.chain:
            self.peer_chain = self.heard.chain
        elif hasattr(self.tls, "get_unverified_chain"):
            self.peer_chain = tuple(self.tls.get_unverified_chain() or ())
        else:
            leaf = self.tls.getpeercert(binary_form=True)
            self.peer_chain = (leaf,) if leaf else ()

    def _feed(self, data: bytes) -> None:
        self._count += len(data)
        if self._count > _MOST_BYTES:
            raise HandshakeError(f"gave up: more than {_MOST_BYTES // 1024} KiB came, and no handshake")
        self.first_bytes = (self.first_bytes + data)[:64]
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> Flow:
        data = self._outgoing.read()
        if data:
            # Whoever hung up may have said why, and that is still there to be read; if not, reading fails too.
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                yield data


class Wire:
    """TLS over a blocking socket, with one deadline (``time.monotonic()``) over all that is done with it."""

    def __init__(self, sock: socket.socket, state: Tls, deadline: float) -> None:
        self._sock = sock
        self._state = state
        self._deadline = deadline
        self.tls = state.tls

    def run(self, operation: Callable[[], Any]) -> Any:
        """Call ``operation`` until it is through; see :meth:`Tls.pump`."""
        return drive(self._state.pump(operation), self._sock, self._deadline)


def _server_name(endpoint: Endpoint) -> str | None:
    if endpoint.verify:
        # The name to verify as well; OpenSSL itself sends no address.
        return (endpoint.server_name or "").rstrip(".") or endpoint.host
    return sent_name(endpoint.server_name)
