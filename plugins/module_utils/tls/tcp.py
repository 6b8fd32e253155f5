# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP connection within a deadline (``time.monotonic()``). A module of its own because every look at a host pays for what it imports."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any

CONNECT_TIMEOUT = "timed out after {0:g} s while connecting"


def connected(addresses: Sequence[Any], deadline: float) -> socket.socket:
    """A connection to the first address that takes one; each has its share of the time: a dead family must not use it up.

    :param addresses: as ``socket.getaddrinfo`` has them.
    :raises OSError: none did; it is the last one's. ``socket.timeout``: the time was up.
    """
    problem = OSError("no address")
    for count, (family, kind, protocol, _name, address) in enumerate(addresses):
        sock = None
        try:
            share = remaining(deadline) / (len(addresses) - count)
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(share)
            sock.connect(address)
            return sock
        except OSError as error:
            problem = error
            if sock is not None:
                sock.close()
    raise problem


def deadline_in(seconds: float) -> float:
    """The moment in so many seconds."""
    return time.monotonic() + seconds


def remaining(deadline: float) -> float:
    """Seconds until then.

    :raises socket.timeout: none are left.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        # 0 would make the socket non-blocking, which is another thing.
        raise socket.timeout("timed out")
    return left
