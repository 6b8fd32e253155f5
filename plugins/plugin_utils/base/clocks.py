# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is it the controller's clock that is wrong? What the hosts' clocks say of it. Pure.

A host's clock alone decides nothing: it may be wrong, or a liar's. Most hosts at once, and all with the same difference, are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import ControllerClockError

# Seconds: within which clocks agree, and from which on one is wrong.
AGREEING = 60.0
WRONG = 600.0
FEWEST = 3


@dataclass(frozen=True)
class ClockOpinion:
    """What is thought of the controller's clock.

    :param off: by how many seconds it is wrong, as most hosts have it (negative: it is ahead of them); None: it is not.
    :param agreeing: how many hosts say so.
    :param asked: how many told their clocks.
    :param strange: hosts whose clocks are far from the controller's, though too few of them agree, with the seconds.
    """

    off: float | None
    agreeing: int
    asked: int
    strange: Mapping[str, float]

    def refuse(self) -> None:
        """:raises ControllerClockError: the controller's clock is wrong."""
        if self.off is not None:
            direction = "ahead of" if self.off < 0 else "behind"
            raise ControllerClockError(
                f"the controller's clock is {abs(self.off):.0f} s {direction} those of {self.agreeing} of {self.asked} hosts:"
                " nothing that has a date was made, and all that works was kept",
                remedy="set the controller's clock and run again; if it is right and theirs are wrong, set tls_ignore_clocks: true",
            )

    @property
    def in_doubt(self) -> bool:
        """Whether a clock is wrong, and too few hosts say whose."""
        return self.off is None and bool(self.strange)

    @property
    def warnings(self) -> list[str]:
        """In words, where too few hosts say so to refuse anything."""
        return [
            f"the clock of {host} is {skew:+.0f} s off the controller's: one of them is wrong"
            for host, skew in sorted(self.strange.items())
        ]


def opinion_of(skews: Mapping[str, float]) -> ClockOpinion:
    """What hosts say of the controller's clock.

    :param skews: host → by how many seconds its clock is ahead of the controller's.
    """
    sorted_skews = sorted(skews.values())
    largest: list[float] = []
    for first in range(len(sorted_skews)):
        agreeing = [each for each in sorted_skews[first:] if each - sorted_skews[first] <= AGREEING]
        largest = max(largest, agreeing, key=len)
    strange = {host: skew for host, skew in skews.items() if abs(skew) > WRONG}
    middle = largest[len(largest) // 2] if largest else 0.0
    if len(largest) >= FEWEST and len(largest) * 2 > len(skews) and abs(middle) > WRONG:
        return ClockOpinion(middle, len(largest), len(skews), {})
    return ClockOpinion(None, len(largest), len(skews), strange)


def skew_between(asked: float, host_clock: float, answered: float) -> float:
    """Seconds by which a host's clock is ahead; it was read at some moment between question and answer.

    A look may take minutes (RSA keys on small machines): all moments of it are right.
    """
    return min(host_clock - asked, 0.0) + max(host_clock - answered, 0.0)
