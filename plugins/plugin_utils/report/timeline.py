# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The expiries of the coming year as a picture: where each mark goes, and the same in words. Pure, and no markup.

A column a week, its marks stacked, the worst lowest. Before them stands what is over, behind them what comes later than in a
year. Where columns get too high for single marks, their parts become bars with a number.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import parse_moment
from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import (
    SECONDS_A_DAY,
    WORST_FIRST,
    threshold_days,
    title_of,
)

YEAR_DAYS = 364
WEEKS = 52
# The picture's own units.
WIDTH, BELOW = 1000, 42
BASELINE = 164.0
HIGHEST_STACK, LOWEST_STACK = 136.0, 64.0
LEFT, RIGHT = 84.0, 916.0
OVERDUE_X, LATER_X = 38.0, 962.0
LARGEST_UNIT, SMALLEST_UNIT = 15.0, 8.5
BAR_WIDTH = 12.0
NAMED = 6
# Not strftime's, which speaks the language of whoever runs ansible-playbook.
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """Something that ends."""

    title: str
    severity: str
    end: dt.datetime


@dataclass(frozen=True)
class Mark:
    """One mark, or a bar that stands for many: its middle, its size, and what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    severity: str
    label: str
    is_bar: bool


@dataclass(frozen=True)
class Tick:
    """A month's beginning, and its name where there is room; a January's with its year."""

    x: float
    label: str


@dataclass(frozen=True)
class Period:
    """A line of the picture in words."""

    name: str
    count: int
    names: str


@dataclass(frozen=True)
class Timeline:
    """The whole picture.

    top: where the columns' lanes begin. threshold: where the zone ends in which certificates count as expiring; None: it has no fixed length.
    """

    top: float
    marks: list[Mark]
    totals: list[tuple[float, float, int]]
    ticks: list[Tick]
    threshold: float | None
    periods: list[Period]
    summary: str


def timeline(document: Mapping[str, Any]) -> Timeline:
    """The picture of a document."""
    now = parse_moment(document["generated"])
    found = items(document)
    columns: dict[float, list[Item]] = {}
    for item in found:
        columns.setdefault(column_x(item.end, now), []).append(item)
    highest = max((len(each) for each in columns.values()), default=1)
    unit = min(LARGEST_UNIT, HIGHEST_STACK / highest)
    marks = [mark for x, column in sorted(columns.items()) for mark in stack(x, column, unit, now)]
    counted = unit < SMALLEST_UNIT
    totals = [(x, BASELINE - len(each) * unit - 5, len(each)) for x, each in sorted(columns.items()) if counted]
    lines = periods(found, now)
    top = BASELINE - max(LOWEST_STACK, highest * unit) - (18 if counted else 8)
    return Timeline(top, marks, totals, ticks(now), threshold_x(document), lines, summary(lines))


def items(document: Mapping[str, Any]) -> list[Item]:
    """Certificates and authorities with a known end."""
    certificates = [
        Item(f"{title_of(each)} on {each['host']}", each["severity"], parse_moment(each["not_after"]))
        for each in document["certificates"]
        if each["not_after"]
    ]
    authorities = [
        Item(f"{each['kind']} of {each['issuer']}", each["severity"], parse_moment(each["not_after"]))
        for each in document["authorities"]
        if each["not_after"]
    ]
    return sorted(
        [*certificates, *authorities], key=lambda item: (WORST_FIRST.index(item.severity), item.end, item.title)
    )


def column_x(end: dt.datetime, now: dt.datetime) -> float:
    """The middle of the column in which an end belongs."""
    days = (end - now).total_seconds() / SECONDS_A_DAY
    if days <= 0:
        return OVERDUE_X
    if days >= YEAR_DAYS:
        return LATER_X
    width = (RIGHT - LEFT) / WEEKS
    return LEFT + (int(days // 7) + 0.5) * width


def place(days: float) -> float:
    """Where a moment is, so many days from now."""
    return LEFT + (RIGHT - LEFT) * days / YEAR_DAYS


def stack(x: float, column: Iterable[Item], unit: float, now: dt.datetime) -> list[Mark]:
    """The marks of one column, from the baseline up."""
    column = list(column)
    if unit >= SMALLEST_UNIT:
        size = unit - 2.5
        return [
            Mark(x, BASELINE - (index + 0.5) * unit, size, size, item.severity, label(item, now), False)
            for index, item in enumerate(column)
        ]
    bars, below = [], 0
    for severity in WORST_FIRST:
        same = [item for item in column if item.severity == severity]
        if same:
            height = len(same) * unit
            text = f"{len(same)} {severity}: {shortened([item.title for item in same])}"
            bars.append(Mark(x, BASELINE - below * unit - height / 2, BAR_WIDTH, height, severity, text, True))
            below += len(same)
    return bars


def label(item: Item, now: dt.datetime) -> str:
    """What a mark stands for."""
    return (
        f"{item.title}: {day(item.end)}, {distance((item.end - now).total_seconds() / SECONDS_A_DAY)} ({item.severity})"
    )


def ticks(now: dt.datetime) -> list[Tick]:
    """The months that begin within the year."""
    found = []
    for ahead in range(1, 13):
        years, month = divmod(now.month - 1 + ahead, 12)
        first = dt.datetime(now.year + years, month + 1, 1, tzinfo=dt.timezone.utc)
        days = (first - now).total_seconds() / SECONDS_A_DAY
        if days < YEAR_DAYS:
            found.append(Tick(place(days), f"{MONTHS[month][:3]} {first.year}" if month == 0 else MONTHS[month][:3]))
    return found


def threshold_x(document: Mapping[str, Any]) -> float | None:
    """The end of the zone in which certificates count as expiring."""
    days = threshold_days(document)
    return None if days is None else place(min(days, YEAR_DAYS))


def periods(found: Iterable[Item], now: dt.datetime) -> list[Period]:
    """What ends when, in words: what is over, each month, and later; periods without any are left out."""
    groups: dict[tuple[int, str], list[Item]] = {}
    for item in sorted(found, key=lambda each: (each.end, each.title)):
        days = (item.end - now).total_seconds() / SECONDS_A_DAY
        if days <= 0:
            key = (0, "Already over")
        elif days >= YEAR_DAYS:
            key = (2, "Later")
        else:
            key = (1, f"{MONTHS[item.end.month - 1]} {item.end.year}")
        groups.setdefault(key, []).append(item)
    return [
        Period(name, len(each), shortened([item.title for item in each])) for (_order, name), each in groups.items()
    ]


def summary(lines: Iterable[Period]) -> str:
    """One sentence for those who do not see the picture."""
    told = [f"{line.name}: {line.count}" for line in lines]
    return f"{'; '.join(told)}." if told else "Nothing with a known end."


def shortened(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def day(moment: dt.datetime) -> str:
    """``24 Nov 2026``."""
    return f"{moment.day} {MONTHS[moment.month - 1][:3]} {moment.year}"


def distance(days: float) -> str:
    """``in 29 days``, ``2 days ago``, ``in 5 hours``."""
    size = abs(days)
    count, unit = (int(size), "day") if size >= 2 else (int(size * 24), "hour")
    text = f"{count} {unit}{'s'[: count != 1]}"
    return f"in {text}" if days > 0 else f"{text} ago"
