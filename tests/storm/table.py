# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was counted as a Markdown table, and what of it is not as it has to be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEAD = (
    "event", "server", "handshakes", "failed", "refused", "wrongly accepted", "resumed", "of", "%", "reset by a new leaf",
    "mTLS resumed", "seconds",
)  # fmt: skip
# Of the resumptions that should work; of nginx and HAProxy in a step of their ring all of them.
LEAST = 0.999


@dataclass(frozen=True)
class Row:
    """An event on one kind of server.

    :param counts: what → how often: ``handshakes`` of clients that have to be accepted (of them ``failed``), ``refused`` of others,
        ``wrong``: let in all the same; ``tried`` and ``resumed``: sessions that should work, and did; ``reset``: ended by a new leaf on
        nginx; ``certified tried`` and ``certified resumed``: those of clients with a certificate on the node that has them.
    :param seconds: that the playbook took, and :param rc: how it ended.
    """

    event: str
    title: str
    kind: str
    counts: Mapping[str, int]
    seconds: float
    rc: int = 0

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
            self.title, self.kind, str(self["handshakes"]), str(self["failed"]), str(self["refused"]), str(self["wrong"]),
            str(self["resumed"]), str(self["tried"]), f"{100 * self.rate:.2f}", str(self["reset"]) if self.kind == "nginx" else "–",
            certified, f"{self.seconds:.0f}",
        ]  # fmt: skip

    def problems(self) -> list[str]:
        """What is not as it has to be."""
        found = [
            f"{self[what]} {words}"
            for what, words in (("failed", "failed handshakes"), ("wrong", "clients let in that should not be"))
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
        for what, words in (("refused", "client was there that has to be refused"), ("handshakes", "handshake")):
            if not self[what]:
                found.append(f"no {words}")
        if self.event == "revocation" and not self["revoked sessions"]:
            found.append("no session of the revoked client was tried while it was young")
        if self.rc:
            found.append(f"the playbook ended with {self.rc}")
        return [f"{self.title}, {self.kind}: {each}" for each in found]


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
        found.append(Row("all", "**all**", kind, counts, sum(row.seconds for row in mine)))
    return found


def problems(rows: Sequence[Row], least: int) -> list[str]:
    """What is not as it has to be, in words; ``least``: handshakes of each kind."""
    few = [
        f"{row.kind}: {row['handshakes']} handshakes, and {least} were asked for"
        for row in sums(rows)
        if row["handshakes"] < least
    ]
    return [each for row in rows for each in row.problems()] + few
