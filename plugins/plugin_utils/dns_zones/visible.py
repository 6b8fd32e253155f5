# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether all authoritative servers show a record yet: a CA may ask any of them.

All servers are asked at the same time, each over one UDP socket for all names, so one that is silent costs nobody else's time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.library import dns
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.name_servers import NameServer, question

# Seconds that one answer may take; a server that misses it is asked again in the next round.
ANSWER_SECONDS = 3.0
PAUSE = 0.5
MOST_AT_ONCE = 16


@dataclass(frozen=True)
class Record:
    """A TXT record that has to be seen."""

    name: str
    value: str


def await_records(wanted: Mapping[NameServer, Collection[Record]], seconds: float) -> None:
    """Until every server shows every record that it is asked for.

    :param wanted: servers, by address, and the records of their zones.
    :param seconds: how long that may take. A server that never answers is waited for as long, and stops nobody then.
    :raises IssuerError: a server answers without a record when the time is over, or no server of a record answers.
    """
    end = time.monotonic() + seconds
    missing = {server: set(records) for server, records in wanted.items()}
    answered: set[NameServer] = set()
    shown: set[Record] = set()
    with concurrent.futures.ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        while True:
            rounds = {server: pool.submit(look, server, sorted(left, key=lambda each: each.name), end)
                      for server, left in missing.items() if left}  # fmt: skip
            for server, future in rounds.items():
                found, spoke = future.result()
                missing[server] -= found
                shown |= found
                # What it said last counts: one that has fallen silent cannot be seen to lack anything.
                (answered.add if spoke else answered.discard)(server)
            if not any(missing.values()):
                return
            if time.monotonic() + PAUSE > end:
                break
            time.sleep(PAUSE)
    without = sorted(str(server) for server, left in missing.items() if left and server in answered)
    unseen = {each for left in missing.values() for each in left} - shown
    if without or unseen:
        names = ", ".join(sorted({each.name for left in missing.values() for each in left})[:5])
        raise IssuerError(
            f"after {seconds:.0f} s not all authoritative servers show {names}"
            f" ({', '.join(without) or 'none answers'}); the CA was not asked",
            remedy="see why the zone's transfer takes so long, or lengthen challenge.timeout",
        )


def look(server: NameServer, records: Sequence[Record], end: float) -> tuple[set[Record], bool]:
    """Which of these records a server shows, and whether it answered at all."""
    found: set[Record] = set()
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    spoke = False
    with (
        contextlib.suppress(dns.exception.DNSException, OSError, ValueError),
        socket.socket(family, socket.SOCK_DGRAM) as udp,
    ):
        udp.setblocking(False)
        for record in records:
            patience = min(ANSWER_SECONDS, max(end - time.monotonic(), 0.2))
            answer, _tcp = dns.query.udp_with_fallback(
                question(record.name, "TXT"),
                server.host,
                port=server.port,
                timeout=patience,
                udp_sock=udp,
                ignore_unexpected=True,
                ignore_errors=True,
            )
            spoke = True
            if record.value in texts(answer):
                found.add(record)
    return found, spoke


def texts(answer: dns.message.Message) -> set[str]:
    """The TXT records of an answer; what is no text is none of ours."""
    return {
        b"".join(each.strings).decode("ascii", "replace")
        for rrset in answer.answer
        if rrset.rdtype == dns.rdatatype.TXT
        for each in rrset
    }
