# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Free ports for servers of tests. Standard library only."""

from __future__ import annotations

import contextlib
import random
import socket

# Below the ports that the kernel hands out for outgoing connections (ip_local_port_range starts at 32768): one of those can
# become somebody's between the moment it is found free and the moment its server starts.
FIRST, LAST = 10240, 32767
TRIES = 1000
# What marks a port as ours for as long as this process lives, seen by all processes of the machine; see free_port().
_RESERVED: list[socket.socket] = []


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody listens on, and that no other call will get, in this process or another, while this one lives.

    :raises RuntimeError: none was found.
    """
    for port in (random.randint(FIRST, LAST) for _try in range(TRIES)):
        # An abstract name (unix(7)) leaves nothing behind: it ends with its process.
        mark = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            mark.bind(f"\0fleet-tls-test-port-{port}")
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
                probe.bind((address, port))
            _RESERVED.append(mark)
            return port
        mark.close()
    raise RuntimeError(f"no free port on {address}")
