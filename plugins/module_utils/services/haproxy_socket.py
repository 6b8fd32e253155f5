# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's session ticket keys at its runtime socket: read, and shifted only as far as needed. No reload.

``show tls-keys`` prints secrets. They stay in this module's hands: nothing of an answer goes into a message.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence

from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import RING_SIZE, haproxy_keys, haproxy_line

SECONDS = 5.0
MOST_BYTES = 1024 * 1024
# "2 (/etc/fleet-tls/tickets/web/haproxy.keys)", and below it "2.0 <base64>", see HAProxy's management.txt.
HEADER = re.compile(r"(?:# )?([0-9]+) \((.*)\)")
KEY = re.compile(r"([0-9]+)\.[0-9]+ (\S+)")


class SocketProblem(Exception):
    """The runtime socket is no way to the keys; the text says why, for people, and holds no secret."""


def shown_keys(path: str, file: str) -> tuple[bytes, ...] | None:
    """The ring that HAProxy has for a ``tls-ticket-keys`` file; None: its configuration does not name that file.

    :param path: of the socket.
    :raises SocketProblem: no socket, no answer, not enough rights.
    """
    number, lines = None, []
    for line in ask(path, "show tls-keys *").splitlines():
        header, key = HEADER.fullmatch(line.strip()), KEY.fullmatch(line.strip())
        if header:
            number = header[1] if header[2] == file else None
        elif key and key[1] == number:
            lines.append(key[2])
    if not lines:
        return None
    keys = haproxy_keys("\n".join(lines))
    if keys is None:
        raise SocketProblem(f"HAProxy's socket {path} shows keys of another kind")
    return keys


def set_keys(path: str, file: str, wanted: Sequence[bytes]) -> int:
    """Bring HAProxy's ring for a file to ``wanted`` ([prev, cur, next]); returns by how many keys it was shifted.

    Each ``set ssl tls-key`` drops the oldest key and adds a newest, so only what is missing at the end is sent; sent twice, it would
    be two steps.

    :raises SocketProblem: as :func:`shown_keys`; the file is not in use; HAProxy has other keys afterwards.
    """
    present = shown_keys(path, file)
    if present is None:
        raise SocketProblem(f"HAProxy's configuration does not use {file}")
    missing = shift(present, wanted)
    for key in missing:
        ask(path, f"set ssl tls-key {file} {haproxy_line(key)}")
    if missing and shown_keys(path, file) != tuple(wanted):
        raise SocketProblem(f"HAProxy did not take the keys at its socket {path}")
    return len(missing)


def shift(present: Sequence[bytes], wanted: Sequence[bytes]) -> list[bytes]:
    """The keys to add, in order, so that the last three are ``wanted``; none where they are already."""
    have = list(present)[-RING_SIZE:]
    for count in range(RING_SIZE + 1):
        if have[count:] == list(wanted)[: RING_SIZE - count]:
            return list(wanted)[RING_SIZE - count :]
    return list(wanted)


def ask(path: str, command: str) -> str:
    """One command, and the answer until HAProxy closes.

    :raises SocketProblem: there is none.
    """
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(path)
            connection.sendall(command.encode() + b"\n")
            while len(answer) < MOST_BYTES:
                data = connection.recv(65536)
                if not data:
                    break
                answer += data
    except OSError as error:
        problem = error.strerror or f"no answer in {SECONDS:g} s"
        raise SocketProblem(f"HAProxy's socket {path}: {problem}") from None
    text = answer.decode(errors="replace")
    for refusal in ("Permission denied", "Unknown command"):
        if refusal in text:
            raise SocketProblem(f"HAProxy's socket {path}: {refusal} (it needs 'level admin')")
    return text
