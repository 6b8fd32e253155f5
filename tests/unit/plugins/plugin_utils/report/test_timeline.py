# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.report import timeline as picture
from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import parse_document
from ansible_collections.fleet.tls.tests.unit.support import health_documents as given


def ending(*days: float) -> picture.Timeline:
    """Certificates that end so many days from now."""
    made = [given.certificate(host=f"web{index}", not_after=given.moment(each)) for index, each in enumerate(days)]
    return picture.timeline(parse_document(given.document(made, [])))


@pytest.mark.parametrize(
    ("days", "x"),
    [
        (-400, picture.OVERDUE_X),
        (-0.1, picture.OVERDUE_X),
        (0.1, 92.0),
        (6.9, 92.0),
        (7.1, 108.0),
        (363.9, 908.0),
        (364, picture.LATER_X),
        (4000, picture.LATER_X),
    ],
)
def test_an_end_is_in_its_week(days: float, x: float) -> None:
    assert [mark.x for mark in ending(days).marks] == [x]


def test_marks_are_stacked_and_touch_neither_each_other_nor_the_edge() -> None:
    found = ending(*[30] * 16)
    heights = sorted(mark.y for mark in found.marks)
    assert all(lower - upper >= found.marks[0].height for upper, lower in zip(heights, heights[1:]))
    assert heights[0] - found.marks[0].height / 2 >= found.top
    assert heights[-1] + found.marks[0].height / 2 <= picture.BASELINE


def test_many_are_bars_with_their_number() -> None:
    found = ending(*[30] * 400, *[100] * 3)
    assert [(mark.is_bar, round(mark.height, 1)) for mark in found.marks] == [(True, 136.0), (True, 1.0)]
    assert [count for _x, _y, count in found.totals] == [400, 3]
    assert found.marks[0].label.startswith("400 ok: www on web0, ")


def test_the_threshold_is_a_zone_unless_it_is_a_part_of_a_lifetime() -> None:
    assert picture.threshold_x({"threshold": "14d"}) == picture.LEFT + 2 * 16
    assert picture.threshold_x({"threshold": "2y"}) == picture.RIGHT
    assert picture.threshold_x({"threshold": "33%"}) is None
    assert picture.threshold_x({"threshold": "14d, or a sixth of the lifetime"}) is None


def test_the_picture_in_words() -> None:
    found = picture.timeline(parse_document(given.sample()))
    assert [(line.name, line.count) for line in found.periods] == [
        ("Already over", 1), ("November 2026", 1), ("December 2026", 2), ("January 2027", 2), ("November 2027", 1), ("Later", 2),
    ]  # fmt: skip
    assert found.summary.startswith("Already over: 1; November 2026: 1; ")
    assert ending().summary == "Nothing with a known end."


def test_each_month_of_the_year_is_named_once() -> None:
    labels = [tick.label for tick in picture.ticks(dt.datetime(2026, 11, 24, tzinfo=dt.timezone.utc))]
    assert labels == ["Dec", "Jan 2027", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov"]


@pytest.mark.parametrize(
    ("days", "text"), [(29.5, "in 29 days"), (1.5, "in 36 hours"), (-2.2, "2 days ago"), (-0.05, "1 hour ago")]
)
def test_distances(days: float, text: str) -> None:
    assert picture.distance(days) == text
