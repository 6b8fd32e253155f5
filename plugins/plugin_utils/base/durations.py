# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as people write them (``90d``, ``12h``, ``33%``), in seconds. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

from ansible_collections.fleet.tls.plugins.module_utils.renewal import renewal_moment, seconds_before
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import named

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
DURATION = re.compile(r"([0-9]{1,9})\s*([smhdwy])")
MILLISECONDS = re.compile(r"([0-9]{1,9})\s*ms")
PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")
# Nobody waits longer for an answer.
LONGEST_TIMEOUT = 600
# X.509 dates end with the year 9999, and nobody means more than this.
LONGEST_SECONDS = 500 * UNIT_SECONDS["y"]


@dataclass(frozen=True)
class RenewBefore:
    """How long before its end a certificate is renewed: a fraction of its lifetime, or seconds; exactly one is set.

    :param spread: see :func:`renewal_moment`.
    """

    fraction: float | None = None
    seconds: int | None = None
    spread: float = 0.0

    def moment(self, not_before: int, not_after: int) -> int:
        """When so little of this validity is left, seconds since the epoch: for thresholds."""
        return int(not_after - seconds_before(not_after - not_before, self.as_request()))

    def due_at(self, not_before: int, not_after: int) -> int:
        """When a certificate with this validity is to be renewed, seconds since the epoch."""
        return renewal_moment(not_before, not_after, self.as_request())

    def reached(self, not_before: int, not_after: int, now: float) -> bool:
        """Whether no more than this is left, which a warning goes by: unlike :meth:`moment` it takes a duration at its word,
        though that be the whole lifetime. All in seconds since the epoch.
        """
        before = self.seconds if self.fraction is None else (not_after - not_before) * self.fraction
        return not_after - now <= (before or 0)

    def as_request(self) -> dict[str, float | int]:
        """The form the host gets."""
        spread = {"spread": self.spread} if self.spread else {}
        return (
            {"fraction": self.fraction, **spread}
            if self.fraction is not None
            else {"seconds": self.seconds or 0, **spread}
        )

    def spread_by(self, *words: str) -> RenewBefore:
        """The same with a moment of its own for these words, always the same one."""
        digest = hashlib.sha256("\0".join(words).encode()).digest()
        return replace(self, spread=round(int.from_bytes(digest[:4], "big") / 2**32, 4))

    def fits(self, lifetime: int) -> bool:
        """Whether a certificate that lives ``lifetime`` seconds is not due from its first moment on."""
        return self.fraction is not None or (self.seconds or 0) < lifetime


def parse_duration(text: object, what: str = "duration", *, zero: bool = False) -> int:
    """``90d`` → seconds. Units: s, m, h, d, w, y (365 days).

    :param zero: whether ``0s`` is one as well.
    :raises SpecError: anything else, a bare number included: nobody can tell its unit; more than 500 years.
    """
    match = DURATION.fullmatch(str(text).strip())
    if not match or (int(match[1]) == 0 and not zero):
        raise SpecError(
            f"{what}: {named(text)} is not a duration",
            remedy="write a whole number with a unit, such as 90d, 12h or 30m",
        )
    seconds = int(match[1]) * UNIT_SECONDS[match[2]]
    if seconds > LONGEST_SECONDS:
        raise SpecError(
            f"{what}: {named(text)} is longer than 500 years", remedy="write a duration that people live to see"
        )
    return seconds


def parse_timeout(text: object, what: str = "timeout", longest: int = LONGEST_TIMEOUT) -> float:
    """``15s``, ``2m`` or ``500ms`` → seconds: how long something is waited for.

    :param longest: seconds.
    :raises SpecError: no duration, or more than ``longest``.
    """
    match = MILLISECONDS.fullmatch(str(text).strip())
    seconds = int(match[1]) / 1000 if match else float(parse_duration(text, what))
    if not 0 < seconds <= longest:
        raise SpecError(
            f"{what}: '{text}' is not above 0 and up to {duration_text(longest)}", remedy="write 15s, 2m or 500ms"
        )
    return seconds


def parse_renew_before(text: object, what: str = "renew_before") -> RenewBefore:
    """``33%`` or ``30d`` → RenewBefore.

    :param what: the option's name, for errors.
    :raises SpecError: neither, or a percentage outside 1 to 99.
    """
    match = PERCENT.fullmatch(str(text).strip())
    if not match:
        return RenewBefore(seconds=parse_duration(text, what))
    percent = float(match[1])
    if not 1 <= percent <= 99:
        raise SpecError(f"{what}: {text} is outside 1% to 99%", remedy="33% renews at two thirds of the lifetime")
    return RenewBefore(fraction=percent / 100)


def duration_text(seconds: int) -> str:
    """Seconds in the largest unit that leaves no rest, ``7776000`` → ``90d``."""
    for unit in ("d", "h", "m"):
        if seconds % UNIT_SECONDS[unit] == 0:
            return f"{seconds // UNIT_SECONDS[unit]}{unit}"
    return f"{seconds}s"
