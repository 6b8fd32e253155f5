# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the storm of tests/storm takes for a failure."""

from __future__ import annotations

import pytest

from storm.table import Row, problems, table

GOOD = {"handshakes": 5000, "refused": 300, "tried": 2000, "resumed": 2000, "revoked sessions": 4}


def row(event: str = "tickets-1", kind: str = "nginx", rc: int = 0, **changes: int) -> Row:
    """An event as it has to be, but for ``changes``."""
    return Row(
        event, "a step", kind, {**GOOD, **{name.replace("_", " "): value for name, value in changes.items()}}, 9.0, rc
    )


def test_all_is_well() -> None:
    rows = [row(kind=kind) for kind in ("nginx", "apache", "haproxy")]
    assert problems(rows, 5000) == []
    assert table(rows).count(
        "\n"
    ) == 7 and "| a step | apache | 5000 | 0 | 300 | 0 | 2000 | 2000 | 100.00 | – |" in table(rows)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row(failed=1), "1 failed handshakes"),
        (row(wrong=1), "1 clients let in that should not be"),
        (row(resumed=1999), "1999 of 2000 sessions were resumed, and 100 % have to be"),
        (row("leaf", resumed=1997), "1997 of 2000 sessions were resumed, and 99.9 % have to be"),
        (row(kind="apache", resumed=1997), "1997 of 2000 sessions were resumed, and 99.9 % have to be"),
        (row(tried=0, resumed=0), "0 of 0 sessions"),
        (row(certified_tried=100, certified_resumed=99), "99 of 100 sessions of certified clients"),
        (row(refused=0), "no client was there that has to be refused"),
        (row("revocation", revoked_sessions=0), "no session of the revoked client"),
        (row(rc=2), "the playbook ended with 2"),
        (row(handshakes=4999), "nginx: 4999 handshakes, and 5000 were asked for"),
    ],
)
def test_what_is_wrong_is_told(bad: Row, words: str) -> None:
    (told,) = problems([bad], 5000)
    assert words in told


@pytest.mark.parametrize("good", [row("leaf", resumed=1998), row(kind="apache", resumed=1998)])
def test_one_in_a_thousand_may_be_lost_elsewhere(good: Row) -> None:
    assert problems([good], 5000) == []
