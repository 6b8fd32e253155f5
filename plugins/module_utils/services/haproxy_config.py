# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's configuration as far as others can clash with it: what binds where, and what holds for every bind. Pure but for reading.

HAProxy 2.2 configuration manual, chapters 2.2 (quoting) and 5.1 (bind).
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.module_utils.files.blocks import BEGIN, END
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_text

SECTIONS = (
    "global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers", "mailers", "cache", "program", "ring",
    "http-errors", "fcgi-app", "log-forward", "crt-store", "traces", "log-profile", "acme",
)  # fmt: skip
# What binds no TCP port of this host: sockets by path or number, and UDP (chapter 11, address formats).
OTHER_SOCKETS = re.compile(r"/|(unix|uxst|uxdg|abnsz?|fd|sockpair|rhttp|quic[46]|(dgram\+|quic\+|udp)[^@]*)@")
PORTS = re.compile(r"(?:([^$]*):)?(\d+)(?:-(\d+))?")
DEFAULT_OPTIONS = ("ssl-default-bind-options",)


@dataclass(frozen=True)
class Line:
    """A line of a configuration: where it is, the section around it (``frontend web``), its words."""

    path: str
    number: int
    section: str
    words: tuple[str, ...]

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.path}:{self.number}"


@dataclass(frozen=True)
class Bind:
    """An address and ports that somebody's section listens on; ``host`` "" is every IPv4 address.

    :param dual: every IPv6 address, and every IPv4 address with it.
    """

    line: Line
    host: str
    first: int
    last: int
    dual: bool

    def shares(self, host: str, port: int) -> bool:
        """Whether the kernel deals connections to ``host`` and ``port`` out between this and another bind there."""
        if not self.first <= port <= self.last:
            return False
        return self.host == host or (self.dual and host == "")


def configuration_files(command: Sequence[str]) -> list[str]:
    """What a HAProxy that is called like this reads: each ``-f`` a file, or a directory with ``*.cfg`` (management guide, chapter 3)."""
    found: list[str] = []
    for option, value in zip(command, command[1:]):
        if option == "-f":
            found += sorted(glob.glob(os.path.join(value, "*.cfg"))) if os.path.isdir(value) else [value]
    return found


def read_lines(paths: Iterable[str], *, ours: bool = False) -> Iterator[Line]:
    """The lines of files; those under a condition are left out, as nobody knows here whether they count.

    :param ours: those in our block as well.
    """
    for path in paths:
        with contextlib.suppress(OSError):
            yield from parse_lines(path, read_text(path, follow=True).splitlines(), ours=ours)


def parse_lines(path: str, lines: Sequence[str], *, ours: bool = False) -> Iterator[Line]:
    """:func:`read_lines` of one file."""
    section, in_ours, conditions = "", False, 0
    for number, text in enumerate(lines, 1):
        if text.startswith((BEGIN.decode(), END.decode())):
            in_ours = text.startswith(BEGIN.decode())
        words = words_of(text)
        if (in_ours and not ours) or not words:
            continue
        if words[0] in (".if", ".endif"):
            conditions += 1 if words[0] == ".if" else -1
        elif words[0] in SECTIONS:
            section = " ".join(words[:2])
        elif not conditions:
            yield Line(path, number, section, words)


def words_of(text: str) -> tuple[str, ...]:
    """A line's words."""
    try:
        return tuple(shlex.split(text, comments=True))
    except ValueError:
        return tuple(text.split())


def binds(lines: Iterable[Line]) -> Iterator[Bind]:
    """Where the sections of these lines listen."""
    for line in lines:
        if line.words[0] == "bind" and len(line.words) > 1:
            for address in line.words[1].split(","):
                bind = parse_bind(line, address)
                if bind:
                    yield bind


def parse_bind(line: Line, address: str) -> Bind | None:
    """One address of a ``bind``; None: no TCP port, or one that only the environment knows."""
    # One in another network namespace, or of one device, is met by none of our connections, or by few.
    if OTHER_SOCKETS.match(address) or {"namespace", "interface"} & set(line.words[2:]):
        return None
    family, _at, rest = address.rpartition("@")
    match = PORTS.fullmatch(rest)
    if not match:
        return None
    host = (match[1] or "").strip("[]")
    every_ipv6 = host == "::" or (family.endswith("6") and host in ("", "*"))
    return Bind(
        line,
        "::" if every_ipv6 else "" if host in ("", "*", "0.0.0.0") else host,
        int(match[2]),
        int(match[3] or match[2]),
        every_ipv6 and "v6only" not in line.words,
    )


def no_tickets(lines: Iterable[Line]) -> Line | None:
    """What takes session tickets away from every ``bind``."""
    found = (each for each in lines if each.section == "global" and each.words[0] in DEFAULT_OPTIONS)
    return next((each for each in found if "no-tls-tickets" in each.words[1:]), None)
