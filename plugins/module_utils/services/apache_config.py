# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apache's virtual hosts as Apache itself lists them (``-S``): whichever it names first for an address, port and name gets the requests."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

ADDRESS = re.compile(r"(\S+):(\d+|\*)\s+(.*)")
HOST = re.compile(r"(?:port \S+ namevhost )?(\S+) \((.*):(\d+)\)$")
ALIAS = re.compile(r"(?:wild )?alias (\S+)")


@dataclass
class VirtualHost:
    """One of them; ``host`` "" is every address, ``port`` 0 every port."""

    host: str
    port: int
    path: str
    line: int
    names: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.path}:{self.line}"

    def takes(self, host: str, port: int, name: str) -> bool:
        """Whether requests for ``name`` at this address and port reach it. One of a single address takes those of every address there."""
        if host not in ("", self.host) or self.port not in (0, port):
            return False
        return any(fnmatch.fnmatchcase(name.lower(), each.lower()) for each in self.names)


def parse_virtual_hosts(text: str) -> list[VirtualHost]:
    """What ``apachectl -S`` prints, in the order in which Apache looks at them."""
    found: list[VirtualHost] = []
    host, port = "", 0
    for line in text.splitlines():
        words = line.strip()
        if words.startswith("ServerRoot:"):
            break
        address = ADDRESS.fullmatch(line)
        if address:
            host = "" if address[1].strip("[]") in ("*", "_default_", "0.0.0.0", "::") else address[1].strip("[]")
            port = 0 if address[2] == "*" else int(address[2])
            words = address[3]
        match, alias = HOST.match(words), ALIAS.match(words)
        if match and not words.startswith("default server"):
            found.append(VirtualHost(host, port, match[2], int(match[3]), [match[1]]))
        elif alias and found:
            found[-1].names.append(alias[1])
    return found


def first_taker(hosts: Sequence[VirtualHost], host: str, port: int, name: str) -> VirtualHost | None:
    """Which of somebody else's virtual hosts gets the requests for a site of ours, which is read last."""
    return next((each for each in hosts if each.takes(host, port, name)), None)
