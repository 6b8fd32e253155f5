# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proxy says of a connection before anything else, to a server that takes connections from proxies only (HAProxy's
proxy-protocol.txt, versions 1 and 2). We are no proxy: the client that we name is ourselves."""

from __future__ import annotations

import ipaddress
import socket

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
# Version 2, command PROXY (section 2.2).
VERSION_AND_COMMAND = 0x21
# TCP over IPv4 and over IPv6.
FAMILIES = {4: 0x11, 6: 0x21}


def header(version: int, sock: socket.socket) -> bytes:
    """The header for a connection of ours.

    :param version: 1 (text, section 2.1) or 2 (bytes, section 2.2).
    """
    places = (sock.getsockname(), sock.getpeername())
    # Less the zone of a link-local address.
    client, server = (ipaddress.ip_address(place[0].partition("%")[0]) for place in places)
    ports = [int(place[1]) for place in places]
    if version == 1:
        return f"PROXY TCP{client.version} {client} {server} {ports[0]} {ports[1]}\r\n".encode()
    said = client.packed + server.packed + b"".join(port.to_bytes(2, "big") for port in ports)
    return SIGNATURE + bytes((VERSION_AND_COMMAND, FAMILIES[client.version])) + len(said).to_bytes(2, "big") + said
