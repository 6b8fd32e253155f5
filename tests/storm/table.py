# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was counted as a Markdown table, and what of it is not as it has to be. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PHASES = ("before", "during", "after")
HEAD = (
    "event", "server", "handshakes", "failed", "RSA, proxied, passed on", "theirs", "failed", "refused", "wrongly accepted", "resumed", "of", "%",
    "reset by a new leaf", "mTLS resumed", *(f"ms {phase}" for phase in PHASES), "seconds",
)  # fmt: skip
# Of the resumptions that should work; of nginx and HAProxy in a step of their ring all of them.
LEAST = 0.999
# What has to have been there, in words; on HAProxy the user has sockets as well.
THERE = {
    "refused": "client that has to be refused", "handshakes": "handshake", "ECDSA": "client of ECDSA only", "RSA": "client of RSA only",
    "proxied": "client behind a proxy", "passed on": "client that was passed on to the upstream", "site after": "request at the user's site after it",
}  # fmt: skip
THERE_ON_HAPROXY = {
    "app socket after": "request at the user's socket after it", "stats socket after": "request at the user's stats socket after it",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """An event on one kind of server.

    :param counts: what → how often: ``handshakes`` of clients of ours that have to be accepted, of them ``failed``, ``ECDSA`` and ``RSA`` (for
        that sort of key only), ``proxied`` (behind the PROXY protocol) and ``passed on`` (with an answer of the upstream); ``theirs``, requests to
        what is the user's own, of them ``theirs failed``, and ``site after``, ``app socket after`` and ``stats socket after`` the event;
        ``refused`` of others, ``wrong``: let in all the same; ``tried`` and ``resumed``: sessions that should work, and did; ``reset``: ended by
        a new leaf on nginx; ``certified tried`` and ``certified resumed``: those of clients with a certificate on the node that has them.
    :param seconds: that the playbook took, and :param rc: how it ended.
    :param times: phase → seconds that each whole handshake of ours took, from the first packet to its end.
    """

    event: str
    title: str
    kind: str
    counts: Mapping[str, int]
    seconds: float
    rc: int = 0
    times: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __getitem__(self, what: str) -> int:
        return self.counts.get(what, 0)

    @property
    def rate(self) -> float:
        """Of the resumptions."""
        return self["resumed"] / self["tried"] if self["tried"] else 0.0

    def cells(self) -> list[str]:
        """Of the table."""
        certified = f"{self['certified resumed']} of {self['certified tried']}" if self["certified tried"] else "–"
        return [
            self.title, self.kind, str(self["handshakes"]), str(self["failed"]), f"{self['RSA']}, {self['proxied']}, {self['passed on']}",
            str(self["theirs"]), str(self["theirs failed"]), str(self["refused"]), str(self["wrong"]), str(self["resumed"]), str(self["tried"]),
            f"{100 * self.rate:.2f}", str(self["reset"]) if self.kind == "nginx" else "–", certified,
            *(latency(self.times.get(phase, ())) for phase in PHASES), f"{self.seconds:.0f}",
        ]  # fmt: skip

    def problems(self) -> list[str]:
        """What is not as it has to be."""
        found = [
            f"{self[what]} {words}"
            for what, words in (
                ("failed", "failed handshakes"),
                ("theirs failed", "failed requests to what is the user's own"),
                ("wrong", "clients let in that should not be"),
            )
            if self[what]
        ]
        least = 1.0 if self.event.startswith("tickets") and self.kind != "apache" else LEAST
        if self.rate < least:
            found.append(
                f"{self['resumed']} of {self['tried']} sessions were resumed, and {100 * least:g} % have to be"
            )
        if self["certified resumed"] < LEAST * self["certified tried"]:
            found.append(
                f"{self['certified resumed']} of {self['certified tried']} sessions of certified clients were resumed"
            )
        found += [f"there was no {words}" for what, words in there(self.kind).items() if not self[what]]
        found += [f"no handshake was timed {phase} it" for phase in PHASES if not self.times.get(phase)]
        if self.event == "revocation" and not self["revoked sessions"]:
            found.append("no session of the revoked client was tried while it was young")
        if self.rc:
            found.append(f"the playbook ended with {self.rc}")
        return [f"{self.title}, {self.kind}: {each}" for each in found]


def there(kind: str) -> dict[str, str]:
    """What has to have been counted of a kind of server, in words."""
    return {**THERE, **(THERE_ON_HAPROXY if kind == "haproxy" else {})}


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of them that is not smaller than so many percent of them (nearest rank); they are some."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def latency(seconds: Sequence[float]) -> str:
    """The median and the 99th percentile in milliseconds."""
    if not seconds:
        return "–"
    return " / ".join(f"{1000 * percentile(seconds, percent):.{0 if percent > 50 else 1}f}" for percent in (50, 99))


def table(rows: Sequence[Row]) -> str:
    """One line an event and kind, and the sums."""
    lines = [
        list(HEAD),
        ["---"] * 2 + ["---:"] * (len(HEAD) - 2),
        *(row.cells() for row in rows),
        *(row.cells() for row in sums(rows)),
    ]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def sums(rows: Sequence[Row]) -> list[Row]:
    """Of all events, a row a kind."""
    found = []
    for kind in dict.fromkeys(row.kind for row in rows):
        mine = [row for row in rows if row.kind == kind]
        counts = {what: sum(row[what] for row in mine) for row in mine for what in row.counts}
        times = {phase: [each for row in mine for each in row.times.get(phase, ())] for phase in PHASES}
        found.append(Row("all", "**all**", kind, counts, sum(row.seconds for row in mine), times=times))
    return found


def problems(rows: Sequence[Row], least: int) -> list[str]:
    """What is not as it has to be, in words; ``least``: handshakes of each kind."""
    few = [
        f"{row.kind}: {row['handshakes']} handshakes, and {least} were asked for"
        for row in sums(rows)
        if row["handshakes"] < least
    ]
    return [each for row in rows for each in row.problems()] + few
