# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of handshakes and requests, noted under the event that goes on. Standard library only."""

from __future__ import annotations

import threading
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from storm.handshakes import Outcome

# Of each event.
SAMPLES = 6


@dataclass
class Notes:
    """Of all threads of a process.

    :param event, phase: what goes on: an event of the storm, and ``before``, ``during`` or ``after``.
    :param counts: (event, what) → how often; :param samples: event → what must not have been, in words.
    :param latencies: (event, phase) → seconds of each whole handshake of ours.
    """

    kind: str
    event: str = ""
    phase: str = ""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    latencies: defaultdict[tuple[str, str], array[float]] = field(
        default_factory=lambda: defaultdict(lambda: array("f"))
    )
    samples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, *what: str, event: str = "") -> None:
        """Count."""
        with self.lock:
            for each in what:
                self.counts[event or self.event, each] += 1

    def tell(self, what: str, outcome: Outcome, where: str) -> None:
        """Count something that must not be, and keep how it was for people."""
        self.note(what)
        words = outcome.words.splitlines()[0] if outcome.words else ""
        with self.lock:
            if len(self.samples[self.event]) < SAMPLES:
                self.samples[self.event].append(f"{self.kind}, {self.event}, {self.phase}: {what}: {where}: {words}")

    def good(self, outcome: Outcome, where: str, *also: str) -> bool:
        """One of a client of ours that has to be accepted: whether it was. ``also``: under what else it counts."""
        self.note("handshakes", *also)
        if not outcome.accepted:
            self.tell("failed", outcome, where)
        elif not outcome.resumed:
            with self.lock:
                self.latencies[self.event, self.phase].append(outcome.seconds)
        return outcome.accepted

    def theirs(self, outcome: Outcome, what: str, where: str) -> None:
        """A request to ``what`` of the user's own, which has to be answered. Those after an event count apart as well."""
        self.note("theirs", *([f"{what} after"] if self.phase == "after" else []))
        if not outcome.accepted:
            self.tell("theirs failed", outcome, f"the user's {what}, {where}")

    def bad(self, outcome: Outcome, where: str) -> None:
        """One of a client that has to be refused; that nobody answered is no refusal."""
        if outcome.refused:
            self.note("refused")
        else:
            self.tell("wrong" if outcome.accepted else "failed", outcome, where)

    def report(self) -> Report:
        """All of it, for another process."""
        with self.lock:
            return Report(
                self.kind,
                Counter(self.counts),
                {key: found[:] for key, found in self.latencies.items()},
                {event: list(found) for event, found in self.samples.items()},
            )


@dataclass(frozen=True)
class Report:
    """What a process of clients has noted so far; fields as in :class:`Notes`."""

    kind: str
    counts: Counter[tuple[str, str]]
    latencies: dict[tuple[str, str], array[float]]
    samples: dict[str, list[str]]

    def of(self, event: str) -> dict[str, int]:
        """What was counted under an event."""
        return {what: count for (name, what), count in self.counts.items() if name == event}

    def all(self, what: str) -> int:
        """How often under any event."""
        return sum(count for (_event, name), count in self.counts.items() if name == what)

    def times(self, event: str) -> dict[str, array[float]]:
        """Phase → seconds of each whole handshake, of an event."""
        return {phase: found for (name, phase), found in self.latencies.items() if name == event}
