# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on this host: /proc/net/tcp and the processes that hold those sockets. Standard library, no privileges but root's."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class Place(NamedTuple):
    """Where somebody wants to listen; ``v6only``: an IPv6 address without the IPv4 ones that it may bring."""

    address: Address
    port: int
    v6only: bool = False


TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTENING = "0A"
# Passes sockets on to the services it starts.
INIT = "systemd"


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket; an unspecified address stands for all of the host's."""

    address: Address
    port: int
    inode: str = ""

    def meets(self, address: Address, port: int) -> bool:
        """Whether two listeners could not be there side by side, so that a connection to one would meet the other."""
        if self.port != port:
            return False
        if self.address.is_unspecified or address.is_unspecified:
            # 0.0.0.0 and an IPv6 address go together; :: takes IPv4 as well, as a rule.
            return self.address.version == address.version or 6 in [
                each.version for each in (self.address, address) if each.is_unspecified
            ]
        return plain(self.address) == plain(address)


def plain(address: Address) -> Address:
    """An IPv4 address in IPv6's clothes as what it is."""
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def parse_table(text: str) -> list[Listener]:
    """The listeners of /proc/net/tcp or tcp6 (proc(5)): addresses are words in the machine's byte order, ports are hexadecimal."""
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*\d+: ([0-9A-F]{8,32}):([0-9A-F]{4}) \S+ (\w\w) .*", line)
        if match and match[3] == LISTENING:
            words = bytes.fromhex(match[1])
            packed = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
            fields = line.split()
            found.append(
                Listener(ipaddress.ip_address(packed), int(match[2], 16), fields[9] if len(fields) > 9 else "")
            )
    return found


def listeners() -> list[Listener]:
    """All listeners of this host."""
    found = []
    for table in TABLES:
        with contextlib.suppress(OSError):
            with open(table, encoding="ascii") as stream:
                found += parse_table(stream.read())
    return found


def holders(inodes: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
    """Inode of a socket → (process id, name) of those who have it open, as far as we may look into them."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, list[tuple[int, str]]] = {inode: [] for inode in wanted.values()}
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        for link in open_files(pid) & set(wanted):
            with contextlib.suppress(OSError):
                found[wanted[link]].append((int(pid), process_name(pid)))
    return found


def open_files(pid: str) -> set[str]:
    """What the descriptors of a process lead to; processes end and close files while we look, and some are not ours to look into."""
    found = set()
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(folder):
            with contextlib.suppress(OSError):
                found.add(os.readlink(os.path.join(folder, descriptor)))
    return found


def process_name(pid: int | str) -> str:
    """The name of a process (at most 15 bytes)."""
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
        return stream.read().strip()


def intruder(
    places: Sequence[Place], programs: Sequence[str], *, anywhere: bool = False
) -> tuple[int, int, str] | None:
    """The first of ``places`` that another process holds: port, its process id and name.

    :param programs: names of the processes that may.
    :param anywhere: in containers too.
    :returns: None: all are free, or held by one of ``programs``, or by somebody we may not look into.
    """
    met = [
        (place, each)
        for each in listeners()
        for place in places
        if each.meets(place.address, place.port) and not (place.v6only and each.address.version == 4)
    ]
    known = holders({each.inode for _place, each in met}) if met else {}
    own = [each for _place, each in met if is_held_by(known.get(each.inode, []), (*programs, INIT), anywhere)]
    # Who has a place already does not have to get it.
    had = {(each.address, each.port) for each in own}
    for place, each in met:
        owners = known.get(each.inode, [])
        if owners and each not in own and (place.address, place.port) not in had and not is_free(place):
            return (place.port, *owners[0])
    return None


def is_held_by(owners: Iterable[tuple[int, str]], programs: Sequence[str], anywhere: bool) -> bool:
    """Whether one of these processes is one of ``programs``, on this host; in a container only with ``anywhere``."""
    return any(is_one_of(name, programs) and (anywhere or is_of_this_host(pid)) for pid, name in owners)


def is_free(place: Place) -> bool:
    """Whether the kernel would give it to somebody: a listener on every IPv6 address may or may not hold the IPv4 ones as well."""
    family = socket.AF_INET6 if place.address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(place.v6only))
            probe.bind((str(place.address), place.port))
    except OSError:
        return False
    return True


def is_of_this_host(pid: int | str) -> bool:
    """Whether a process has this host's files: those of a container have others. A mount namespace of its own alone says nothing, as
    systemd's services have them (PrivateTmp)."""
    try:
        if os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt"):
            return True
        theirs, ours = os.stat(f"/proc/{pid}/root/"), os.stat("/")
    except OSError:
        return True  # gone, or not ours to look into
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def is_one_of(name: str, programs: Iterable[str]) -> bool:
    """Whether a process' name, which the kernel cuts, is one of these."""
    return any(name == program[:15] for program in programs)


def local_addresses(host: str) -> list[Address]:
    """The addresses of a name or address that are this machine's own; a socket can be bound to no other."""
    found = []
    with contextlib.suppress(OSError, UnicodeError):
        for family, _kind, _protocol, _name, where in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind(where)
                found.append(ipaddress.ip_address(str(where[0]).partition("%")[0]))
    return found
