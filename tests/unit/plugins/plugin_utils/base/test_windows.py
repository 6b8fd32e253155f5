# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows and freezes: when they let something happen, and until when it waits."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base import windows as windows_module
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.windows import parse_maintenance

SUNDAYS = {"cron": "0 2 * * sun", "duration": "3h", "timezone": "Europe/Berlin"}
HOLIDAYS = {"from": "2026-12-18", "until": "2027-01-04", "timezone": "Europe/Berlin", "reason": "holidays"}


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).astimezone(dt.timezone.utc)


def until(now: str, windows: Any = (), freeze: Any = False, since: str = "", end: str = "") -> str | None:
    wait = parse_maintenance(windows, freeze).wait(at(now), at(since) if since else None, at(end) if end else None)
    return f"{wait.until:%Y-%m-%dT%H:%M}" if wait and wait.until else ("lifted" if wait else None)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-29T00:59:59Z", "2026-11-29T01:00"),
        ("2026-11-29T01:00:00Z", None),
        ("2026-11-29T01:00:30Z", None),
        ("2026-11-29T03:59:59Z", None),
        ("2026-11-29T04:00:00Z", "2026-12-06T01:00"),
        # Summer time: an hour earlier in UTC. On the day it begins there is no 02:00, and the window opens at 03:00.
        ("2026-07-04T12:00:00Z", "2026-07-05T00:00"),
        ("2026-03-29T00:30:00Z", "2026-03-29T01:00"),
        ("2026-03-29T01:00:00Z", None),
        # On the day it ends 02:00 comes twice, and the window opens once, for three hours.
        ("2026-10-24T23:59:00Z", "2026-10-25T00:00"),
        ("2026-10-25T02:59:00Z", None),
        ("2026-10-25T03:00:00Z", "2026-11-01T01:00"),
    ],
)
def test_a_window_opens_on_the_clocks_of_its_zone(now: str, expected: str | None) -> None:
    assert until(now, [SUNDAYS]) == expected
    assert until(now, SUNDAYS) == expected


def test_the_window_that_opens_first_counts() -> None:
    nightly = {"cron": "30 22 * * *", "duration": "90m"}
    assert until("2026-11-28T12:00Z", [SUNDAYS, nightly]) == "2026-11-28T22:30"
    assert until("2026-11-28T23:59Z", [SUNDAYS, nightly]) is None
    assert until("2026-11-29T00:00Z", [SUNDAYS, nightly]) == "2026-11-29T01:00"


def test_nothing_waits_without_windows_and_freezes() -> None:
    assert until("2026-11-29T12:00Z") is None
    assert until("2026-11-29T12:00Z", None, "") is None


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-12-17T22:59Z", None),
        ("2026-12-17T23:00Z", "2027-01-03T23:00"),
        ("2027-01-03T22:59Z", "2027-01-03T23:00"),
        ("2027-01-03T23:00Z", None),
    ],
)
def test_a_freeze_has_two_ends(now: str, expected: str | None) -> None:
    assert until(now, freeze=[HOLIDAYS]) == expected


def test_after_a_freeze_the_next_window_is_waited_for() -> None:
    # The window of 3 January is within the freeze.
    assert until("2026-12-20T12:00Z", [SUNDAYS], HOLIDAYS) == "2027-01-10T01:00"
    assert until("2026-12-13T12:00Z", [SUNDAYS], HOLIDAYS) == "2027-01-10T01:00"
    second = {"from": "2027-01-10", "until": "2027-01-11"}
    assert until("2026-12-13T12:00Z", [SUNDAYS], [HOLIDAYS, second]) == "2027-01-17T01:00"


@pytest.mark.parametrize("freeze", [True, "true", "yes", 1])
def test_a_freeze_for_good_is_lifted_by_people(freeze: Any) -> None:
    assert until("2026-11-29T12:00Z", freeze=freeze) == "lifted"
    assert until("2026-11-29T01:30Z", [SUNDAYS], freeze) == "lifted"
    assert until("2026-11-29T12:00Z", freeze="false") is None


def test_nothing_waits_past_half_of_what_was_left() -> None:
    span = {"since": "2026-11-20T00:00Z", "end": "2026-12-20T00:00Z"}
    assert until("2026-11-30T00:00Z", freeze=True, **span) == "2026-12-05T00:00"
    assert until("2026-12-04T23:59Z", freeze=True, **span) == "2026-12-05T00:00"
    assert until("2026-12-05T00:00Z", freeze=True, **span) is None
    # A window before that comes first, one after it does not.
    assert until("2026-11-30T00:00Z", SUNDAYS, **span) == "2026-12-05T00:00"
    assert until("2026-11-28T00:00Z", SUNDAYS, **span) == "2026-11-29T01:00"


def test_what_is_said() -> None:
    wait = parse_maintenance([], HOLIDAYS).wait(at("2026-12-20T00:00Z"))
    assert str(wait) == "waits until 2027-01-03T23:00:00Z: a freeze (holidays)"
    wait = parse_maintenance(SUNDAYS, False).wait(at("2026-12-20T12:00Z"))
    assert str(wait) == "waits until 2026-12-27T01:00:00Z: no maintenance window is open"


@pytest.mark.parametrize(
    ("windows", "freeze", "message"),
    [
        ("sunday", False, "windows: not a list"),
        (["0 2 * * sun"], False, r"windows\[0\] must be a mapping"),
        ([{"cron": "0 2 * * sun"}], False, "cron and duration are needed"),
        ([{**SUNDAYS, "timezone": "Europe/Berlinn"}], False, "'Europe/Berlinn' is unknown"),
        ([{**SUNDAYS, "timezone": "../../etc/passwd"}], False, "is unknown on the controller"),
        ([{**SUNDAYS, "cron": "0 2 * * sonntag"}], False, "cannot be read"),
        ([{**SUNDAYS, "cron": "0 0 2 * * sun"}], False, "not five fields"),
        ([{**SUNDAYS, "cron": "0 0 31 2 *"}], False, "cannot be read|never comes"),
        ([{**SUNDAYS, "duration": "3"}], False, "is not a duration"),
        ([{**SUNDAYS, "zone": "UTC"}], False, "unknown option 'zone'"),
        ([], "perhaps", "neither true nor false"),
        ([], [{"reason": "x"}], "from or until is needed"),
        ([], [{"from": "2027-01-04", "until": "2026-12-18"}], "until is not after from"),
        ([], [{"until": "christmas"}], "is not a moment"),
    ],
)
def test_what_cannot_be_meant_is_refused(windows: Any, freeze: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_maintenance(windows, freeze)


def test_the_library_is_needed_for_windows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_module, "LIBRARY_PROBLEM", "No module named 'cronsim'")
    assert until("2026-12-20T00:00Z", freeze=HOLIDAYS) == "2027-01-03T23:00"
    with pytest.raises(DependencyError, match="pip install cronsim"):
        parse_maintenance(SUNDAYS, False)
