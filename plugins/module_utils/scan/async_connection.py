# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation on an event loop: connect, and carry bytes both ways, thousands of times at once."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import socket
import time
from collections.abc import Sequence
from typing import Any, Callable

from ansible_collections.fleet.tls.plugins.module_utils.tls.conversation import Flow, FromSocket, Read
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError, connect_problem
from ansible_collections.fleet.tls.plugins.module_utils.tls.tcp import remaining

# How long to wait for a descriptor where all are taken, by others than us.
_PAUSE = 0.05


class Line:
    """One place for a connection at a time.

    Its own waiting instead of asyncio's streams and ``sock_recv``: those cost as much as the handshake does.

    :ivar since: when something last happened (``time.monotonic()``, which is the loop's clock too).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.since = time.monotonic()
        self._loop = loop

    async def connect(self, endpoint: Endpoint, found: Sequence[Any], deadline: float) -> socket.socket:
        """A TCP connection to the first address that takes one; each has its share of the time.

        :param found: of ``socket.getaddrinfo``.
        :raises HandshakeError: none did.
        """
        problem = "no address"
        for count, (family, kind, protocol, _name, address) in enumerate(found):
            sock = None
            try:
                share = time.monotonic() + remaining(deadline) / (len(found) - count)
                sock = await self._socket(family, kind, protocol, share)
                sock.setblocking(False)
                code = sock.connect_ex(address)
                if code == errno.EINPROGRESS:
                    await self._wait(sock.fileno(), share, self._loop.add_writer, self._loop.remove_writer)
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                return sock
            except OSError as error:
                problem = connect_problem(error, endpoint)
                if sock is not None:
                    sock.close()
            except BaseException:
                if sock is not None:
                    sock.close()
                raise
        raise HandshakeError(problem)

    async def drive(self, flow: Flow, sock: socket.socket, deadline: float) -> Any:
        """Have a conversation; as :func:`exchange.drive`."""
        try:
            wish = next(flow)
            while True:
                try:
                    got = b""
                    if isinstance(wish, Read):
                        got = await self._receive(sock, wish.most, min(deadline, wish.until))
                    else:
                        data = wish.make(sock) if isinstance(wish, FromSocket) else wish
                        await self._send(sock, data, deadline)
                except OSError as error:
                    wish = flow.throw(error)
                else:
                    wish = flow.send(got)
        except StopIteration as end:
            return end.value

    async def _socket(self, family: int, kind: int, protocol: int, deadline: float) -> socket.socket:
        while True:
            try:
                return socket.socket(family, kind, protocol)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
            await asyncio.sleep(min(_PAUSE, remaining(deadline)))

    async def _receive(self, sock: socket.socket, count: int, deadline: float) -> bytes:
        while True:
            remaining(deadline)
            try:
                return sock.recv(count)
            except (BlockingIOError, InterruptedError):
                await self._wait(sock.fileno(), deadline, self._loop.add_reader, self._loop.remove_reader)

    async def _send(self, sock: socket.socket, data: bytes, deadline: float) -> None:
        while data:
            remaining(deadline)
            try:
                data = data[sock.send(data) :]
            except (BlockingIOError, InterruptedError):
                await self._wait(sock.fileno(), deadline, self._loop.add_writer, self._loop.remove_writer)

    async def _wait(
        self, descriptor: int, deadline: float, add: Callable[..., Any], remove: Callable[[int], Any]
    ) -> None:
        """Wait until a descriptor is ready.

        :raises socket.timeout: it was not, until then.
        """
        waiter = self._loop.create_future()
        timer = None if deadline == math.inf else self._loop.call_at(deadline, _expire, waiter)
        add(descriptor, _wake, waiter)
        try:
            await waiter
        finally:
            remove(descriptor)
            if timer is not None:
                timer.cancel()
        self.since = time.monotonic()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(socket.timeout("timed out"))
