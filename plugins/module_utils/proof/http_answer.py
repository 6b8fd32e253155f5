# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request over a connection that has shaken hands: servers such as nginx refuse a client only here, with status 400."""

from __future__ import annotations

import re
import ssl

from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import HandshakeError
from ansible_collections.fleet.tls.plugins.module_utils.tls.memory_tls import Wire

MOST_BYTES = 16 * 1024
# RFC 9112, section 4.
STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})[^\r\n]*")
# Where web servers say in their error pages what it is that they do not like.
TITLE = re.compile(rb"<title>([^<]{1,100})</title>", re.IGNORECASE)
REFUSING = 400


def check_http(wire: Wire, host: str, path: str) -> None:
    """GET ``path`` and look at the answer's status.

    :raises HandshakeError: the status is 400 or above, or the answer is no HTTP. OSErrors as the connection has them.
    """
    status, data = get(wire, host, path)
    if status >= REFUSING:
        raise HandshakeError(f"the server refused GET {path} with {words(data)}")


def get(wire: Wire, host: str, path: str) -> tuple[int, bytes]:
    """GET ``path``: the answer's status, and its beginning; its body is not waited for where the status is good.

    :raises HandshakeError: the answer is no HTTP. OSErrors as the connection has them.
    """
    name = f"[{host}]" if ":" in host else host
    request = "GET {0} HTTP/1.1\r\nHost: {1}\r\nUser-Agent: fleet.tls\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    wire.run(lambda: wire.tls.write(request.format(path, name).encode()))
    data, status = b"", 0
    while len(data) < MOST_BYTES:
        try:
            more = wire.run(lambda: wire.tls.read(4096))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            more = b""
        data += more
        match = STATUS_LINE.match(data)
        status = int(match.group(1)) if match and b"\n" in data else 0
        if not more or (status and (status < REFUSING or TITLE.search(data))):
            break
    if not status:
        raise HandshakeError(f"the server's answer to GET {path} is not HTTP: '{printable(data)}'")
    return status, data


def words(data: bytes) -> str:
    """An error answer for people: its status line, and the title of its page where that says more."""
    line = printable(data).partition(" ")[2]
    title = TITLE.search(data)
    text = printable(title.group(1)) if title else ""
    return f"'{line}'" if text in ("", line) else f"'{line}' ({text})"


def printable(data: bytes) -> str:
    """The first line, as far as it can be shown."""
    line = data.strip().split(b"\n")[0].strip()[:100]
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
