# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows and freezes: when what can wait may be done, and until when it waits. Pure."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, parse_boolean

# Only who has windows needs the library.
try:
    import cronsim
except ImportError as error:
    LIBRARY_PROBLEM: str | None = str(error)
else:
    LIBRARY_PROBLEM = None

SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True)
class Window:
    """Opens whenever ``cron`` (five fields, Debian's rules) fires on the clocks of ``zone``, for ``duration``."""

    cron: str
    duration: dt.timedelta
    zone: zoneinfo.ZoneInfo

    def is_open(self, now: dt.datetime) -> bool:
        """Whether it is open at ``now``."""
        # Backwards from the next second: one that opens at this very moment is open.
        last = next(self.openings(now.replace(microsecond=0) + SECOND, reverse=True), None)
        return last is not None and now < last + self.duration

    def next_opening(self, now: dt.datetime) -> dt.datetime | None:
        """When it opens next, in UTC; None: never again."""
        return next(self.openings(now), None)

    def openings(self, start: dt.datetime, *, reverse: bool = False) -> Iterator[dt.datetime]:
        """The moments at which it opens after (or before) ``start``, in UTC."""
        for moment in cronsim.CronSim(self.cron, start.astimezone(self.zone), reverse=reverse):
            yield moment.astimezone(dt.timezone.utc)


@dataclass(frozen=True)
class Freeze:
    """Nothing that can wait is done from ``start`` to ``end``; None: without a bound on that side."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None
    reason: str = ""

    def covers(self, now: dt.datetime) -> bool:
        """Whether it holds at ``now``."""
        return (self.start is None or self.start <= now) and (self.end is None or now < self.end)

    def __str__(self) -> str:
        return f"a freeze ({self.reason})" if self.reason else "a freeze"


@dataclass(frozen=True)
class Wait:
    """What waits: ``until`` (UTC; None: until the freeze is lifted), and ``why`` in words."""

    until: dt.datetime | None
    why: str

    def __str__(self) -> str:
        moment = f"{self.until:%Y-%m-%dT%H:%M:%SZ}" if self.until else "it is lifted"
        return f"waits until {moment}: {self.why}"


@dataclass(frozen=True)
class Maintenance:
    """All windows and freezes of a task. Without any, nothing waits."""

    windows: tuple[Window, ...] = ()
    freezes: tuple[Freeze, ...] = ()

    def wait(self, now: dt.datetime, since: dt.datetime | None = None, end: dt.datetime | None = None) -> Wait | None:
        """How long something waits that could be done ``now``; None: it does not.

        :param since: when it became due; :param end: when what it replaces ends. Nothing waits past the middle between them.
        """
        opening, why = self.next_chance(now)
        if not why:
            return None
        last = since + (end - since) / 2 if since and end else None
        if last is not None and last <= now:
            return None
        if last is not None and (opening is None or last < opening):
            return Wait(last, f"{why}, and it waits no longer than half of what was left when it became due")
        return Wait(opening, why)

    def next_chance(self, now: dt.datetime) -> tuple[dt.datetime | None, str]:
        """From when on it may be done (None: nobody can tell), and what holds it back until then; ``""``: nothing does."""
        moment, why = now, ""
        # A freeze is passed once, and a window is waited for once after each of them.
        for _round in range(2 * len(self.freezes) + 2):
            freeze = next((each for each in self.freezes if each.covers(moment)), None)
            if freeze is not None:
                why = why or str(freeze)
                if freeze.end is None:
                    return None, why
                moment = freeze.end
            elif self.windows and not any(window.is_open(moment) for window in self.windows):
                why = why or "no maintenance window is open"
                openings = [each for window in self.windows if (each := window.next_opening(moment))]
                if not openings:
                    return None, why
                moment = min(openings)
            else:
                break
        return moment, why


def parse_maintenance(windows: Any, freeze: Any) -> Maintenance:
    """The options ``windows`` and ``freeze`` as :class:`Maintenance`.

    :param windows: ``[{cron: "0 2 * * sun", duration: 3h, timezone: Europe/Berlin}]``.
    :param freeze: a boolean, or ``[{from: 2026-12-18, until: 2027-01-04, timezone: Europe/Berlin, reason: holidays}]``.
    :raises SpecError: another form; :raises DependencyError: windows without the library that reads cron's fields.
    """
    found = tuple(parse_window(each, f"windows[{number}]") for number, each in enumerate(listed(windows, "windows")))
    return Maintenance(found, parse_freezes(freeze))


def listed(value: Any, what: str) -> list[Any]:
    """A list, or one mapping for a list of one.

    :raises SpecError: something else.
    """
    if value is None or value == "":
        return []
    if isinstance(value, Mapping):
        return [value]
    if not isinstance(value, (list, tuple)):
        raise SpecError(f"{what}: not a list of mappings")
    return list(value)


def parse_window(raw: Any, what: str) -> Window:
    """One entry of ``windows``."""
    fields = Fields(raw, ("cron", "duration", "timezone"), what)
    cron, duration = fields.text("cron"), fields.text("duration")
    if not cron or not duration:
        raise SpecError(f"{what}: cron and duration are needed", remedy='write {cron: "0 2 * * sun", duration: 3h}')
    if LIBRARY_PROBLEM:
        raise DependencyError(
            f"{what}: the Python package 'cronsim' is missing on the controller ({LIBRARY_PROBLEM})",
            remedy="install it where ansible runs: pip install cronsim",
        )
    window = Window(cron, dt.timedelta(seconds=parse_duration(duration, f"{what}: duration")), parse_zone(fields, what))
    try:
        if len(cron.split()) != 5:
            raise cronsim.CronSimError("not five fields")
        known = window.next_opening(dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc))
    except cronsim.CronSimError as error:
        raise SpecError(
            f"{what}: cron: '{cron}' cannot be read ({error})",
            remedy='write five fields, as in "0 2 * * sun": minute, hour, day, month, weekday',
        ) from None
    if known is None:
        raise SpecError(f"{what}: cron: '{cron}' never comes")
    return window


def parse_zone(fields: Fields, what: str) -> zoneinfo.ZoneInfo:
    """The field ``timezone``: a name of the IANA database, UTC without it."""
    name = fields.text("timezone") or "UTC"
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise SpecError(
            f"{what}: timezone: '{name}' is unknown on the controller",
            remedy="write a name such as Europe/Berlin; where all are unknown, install tzdata",
        ) from None


def parse_freezes(value: Any) -> tuple[Freeze, ...]:
    """The option ``freeze``."""
    if value is None or isinstance(value, (bool, str, int)):
        return (Freeze(),) if value not in (None, "") and parse_boolean(value, "freeze") else ()
    return tuple(parse_freeze(each, f"freeze[{number}]") for number, each in enumerate(listed(value, "freeze")))


def parse_freeze(raw: Any, what: str) -> Freeze:
    """One entry of ``freeze``."""
    fields = Fields(raw, ("from", "until", "timezone", "reason"), what)
    zone = parse_zone(fields, what)
    start, end = (parse_moment(fields.text(name), zone, f"{what}: {name}") for name in ("from", "until"))
    if start is None and end is None:
        raise SpecError(f"{what}: from or until is needed", remedy="write {from: 2026-12-18, until: 2027-01-04}")
    if start is not None and end is not None and end <= start:
        raise SpecError(f"{what}: until is not after from")
    return Freeze(start, end, fields.text("reason") or "")


def parse_moment(text: str | None, zone: zoneinfo.ZoneInfo, what: str) -> dt.datetime | None:
    """ISO 8601 in UTC: a day (its first moment), or a moment; of ``zone`` where it names none."""
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise SpecError(
            f"{what}: '{text}' is not a moment", remedy="write 2026-12-18 or 2026-12-18T22:00:00+01:00"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(dt.timezone.utc)
