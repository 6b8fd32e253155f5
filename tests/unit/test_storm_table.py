# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the storm of tests/storm takes for a failure."""

from __future__ import annotations

import pytest

from storm.table import PHASES, Row, latency, percentile, problems, table

GOOD = {
    "handshakes": 5000, "ECDSA": 120, "RSA": 110, "proxied": 100, "passed on": 90, "theirs": 80, "site after": 8, "app socket after": 9,
    "stats socket after": 7, "refused": 300, "tried": 2000, "resumed": 2000, "revoked sessions": 4,
}  # fmt: skip
TIMES = {phase: [0.002, 0.004, 0.0305] for phase in PHASES}


def row(
    event: str = "tickets-1", kind: str = "nginx", rc: int = 0, times: dict[str, list[float]] = TIMES, **changes: int
) -> Row:
    """An event as it has to be, but for ``changes``."""
    counts = {**GOOD, **{name.replace("_", " "): value for name, value in changes.items()}}
    return Row(event, "a step", kind, counts, 9.0, rc, times)


def test_all_is_well() -> None:
    rows = [row(kind=kind) for kind in ("nginx", "apache", "haproxy")]
    assert problems(rows, 5000) == []
    lines = table(rows).splitlines()
    assert len(lines) == 8 and len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith(
        "| a step | apache | 5000 | 0 | 110, 100, 90 | 80 | 0 | 300 | 0 | 2000 | 2000 | 100.00 | – | – |"
    )
    assert lines[3].endswith("| – | 4.0 / 30 | 4.0 / 30 | 4.0 / 30 | 9 |")


def test_sums_take_all_events_together() -> None:
    rows = [row(times={**TIMES, "during": [0.001] * 98}), row("leaf", times={**TIMES, "during": [0.09, 0.08]})]
    (line,) = (line for line in table(rows).splitlines() if "**all**" in line)
    assert (
        line.endswith("| 4.0 / 30 | 1.0 / 80 | 4.0 / 30 | 18 |") and "| 10000 | 0 | 220, 200, 180 | 160 | 0 |" in line
    )


def test_percentiles_are_values_that_were_measured() -> None:
    hundred = [float(each) for each in range(100, 0, -1)]
    assert [percentile(hundred, percent) for percent in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    assert percentile([3.0], 99) == 3.0 and percentile([1.0, 2.0], 50) == 1.0
    assert latency([]) == "–"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row(failed=1), "1 failed handshakes"),
        (row(theirs_failed=2), "2 failed requests to what is the user's own"),
        (row(wrong=1), "1 clients let in that should not be"),
        (row(resumed=1999), "1999 of 2000 sessions were resumed, and 100 % have to be"),
        (row("leaf", resumed=1997), "1997 of 2000 sessions were resumed, and 99.9 % have to be"),
        (row(kind="apache", resumed=1997), "1997 of 2000 sessions were resumed, and 99.9 % have to be"),
        (row(tried=0, resumed=0), "0 of 0 sessions"),
        (row(certified_tried=100, certified_resumed=99), "99 of 100 sessions of certified clients"),
        (row(refused=0), "there was no client that has to be refused"),
        (row(RSA=0), "there was no client of RSA only"),
        (row(proxied=0), "there was no client behind a proxy"),
        (row(passed_on=0), "there was no client that was passed on"),
        (row(site_after=0), "there was no request at the user's site after it"),
        (row(kind="haproxy", stats_socket_after=0), "there was no request at the user's stats socket"),
        (row(times={**TIMES, "during": []}), "no handshake was timed during it"),
        (row("revocation", revoked_sessions=0), "no session of the revoked client"),
        (row(rc=2), "the playbook ended with 2"),
        (row(handshakes=4999), "nginx: 4999 handshakes, and 5000 were asked for"),
    ],
)
def test_what_is_wrong_is_told(bad: Row, words: str) -> None:
    (told,) = problems([bad], 5000)
    assert words in told


@pytest.mark.parametrize(
    "good", [row("leaf", resumed=1998), row(kind="apache", resumed=1998), row(stats_socket_after=0)]
)
def test_one_in_a_thousand_may_be_lost_elsewhere(good: Row) -> None:
    assert problems([good], 5000) == []
