# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import (
    RenewBefore,
    duration_text,
    parse_duration,
    parse_renew_before,
    parse_timeout,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("30m", 1800),
        ("12h", 43200),
        ("90d", 7776000),
        ("2w", 1209600),
        ("10y", 315360000),
        (" 90 d ", 7776000),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "90",
        90,
        "d",
        "-1d",
        "0d",
        "1.5d",
        "90 days",
        "1d12h",
        None,
        True,
        "٩٠d",
        "501y",
        "9" * 5000 + "d",
        "999999999y",
    ],
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(SpecError) as caught:
        parse_duration(text, "issuer 'x': duration")
    assert caught.value.message.startswith("issuer 'x': duration: ") and caught.value.remedy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("33%", RenewBefore(fraction=0.33)),
        ("1 %", RenewBefore(fraction=0.01)),
        ("66.6%", RenewBefore(fraction=0.6659999999999999)),
        ("99%", RenewBefore(fraction=0.99)),
        ("30d", RenewBefore(seconds=2592000)),
    ],
)
def test_renew_before(text: str, expected: RenewBefore) -> None:
    found = parse_renew_before(text)
    assert found.seconds == expected.seconds
    assert found.fraction == pytest.approx(expected.fraction) if expected.fraction else found.fraction is None


@pytest.mark.parametrize("text", ["0%", "100%", "0.5%", "-3%", "%", "33", "third", "9" * 400 + "%"])
def test_what_is_no_renew_before(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_renew_before(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("renew_before", "moment"),
    [(RenewBefore(fraction=0.25), 1750), (RenewBefore(seconds=100), 1900), (RenewBefore(seconds=0), 2000)],
)
def test_moment(renew_before: RenewBefore, moment: int) -> None:
    assert renew_before.moment(1000, 2000) == moment


@pytest.mark.parametrize(
    ("renew_before", "lifetime", "fits"),
    [
        (RenewBefore(seconds=99), 100, True),
        (RenewBefore(seconds=100), 100, False),
        (RenewBefore(fraction=0.99), 1, True),
    ],
)
def test_fits(renew_before: RenewBefore, lifetime: int, fits: bool) -> None:
    assert renew_before.fits(lifetime) is fits


@pytest.mark.parametrize(
    ("seconds", "text"), [(7776000, "90d"), (43200, "12h"), (90, "90s"), (60, "1m"), (86400 + 3600, "25h")]
)
def test_duration_text(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(("text", "seconds"), [("15s", 15.0), ("2m", 120.0), ("500ms", 0.5), (" 10m ", 600.0)])
def test_how_long_something_is_waited_for(text: str, seconds: float) -> None:
    assert parse_timeout(text) == seconds


@pytest.mark.parametrize("text", ["15", 15, 1.5, True, "0s", "0ms", "-5s", "11m", "forever", "", None])
def test_nothing_to_wait_for(text: object) -> None:
    with pytest.raises(SpecError, match="^prove_timeout: ") as caught:
        parse_timeout(text, "prove_timeout")
    assert caught.value.remedy


def test_zero_where_it_means_something() -> None:
    assert parse_duration("0s", zero=True) == 0
    with pytest.raises(SpecError, match="'0' is not a duration"):
        parse_duration("0", zero=True)
