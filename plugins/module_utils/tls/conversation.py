# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation with a server as a generator, which neither waits nor knows a socket: whoever drives it does, one after the other
over a blocking socket (here), or thousands at once on an event loop (``scanner.py``)."""

from __future__ import annotations

import math
import socket
from collections.abc import Generator
from typing import Any, Callable, NamedTuple, Union

from ansible_collections.fleet.tls.plugins.module_utils.tls.tcp import remaining


class Read(NamedTuple):
    """A wish for bytes: ``most`` at most; ``b""`` is the answer when the other side hung up.

    :param until: give up waiting then (``time.monotonic()``), or at the conversation's own deadline where that is earlier.
    """

    most: int
    until: float = math.inf


class FromSocket(NamedTuple):
    """Bytes to be sent that depend on the connection: its addresses, say."""

    make: Callable[[socket.socket], bytes]


# What a conversation yields: bytes that are all to be sent, or a Read; it is answered with what was read (nothing, for bytes). Errors of
# the connection (OSError; socket.timeout: the time is up) are thrown into it.
Flow = Generator[Union[bytes, FromSocket, Read], bytes, Any]


def drive(flow: Flow, sock: socket.socket, deadline: float) -> Any:
    """Have a conversation over a socket.

    :param deadline: ``time.monotonic()``, for all of it.
    :returns: what the conversation returns; it raises what that raises.
    """
    try:
        wish = next(flow)
        while True:
            try:
                got = b""
                if isinstance(wish, Read):
                    sock.settimeout(remaining(min(deadline, wish.until)))
                    got = sock.recv(wish.most)
                else:
                    sock.settimeout(remaining(deadline))
                    sock.sendall(wish.make(sock) if isinstance(wish, FromSocket) else wish)
            except OSError as error:
                wish = flow.throw(error)
            else:
                wish = flow.send(got)
    except StopIteration as end:
        return end.value
