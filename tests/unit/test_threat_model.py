# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every attack in docs/threat-model.md names a test, and that test is there."""

from __future__ import annotations

import re

import pytest

from tools import paths

ROWS = [
    line
    for line in (paths.ROOT / "docs" / "threat-model.md").read_text().splitlines()
    if line.startswith("| ") and "::" in line
]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_there_are_attacks() -> None:
    assert len(ROWS) > 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:60])
def test_the_test_of_an_attack_is_there(row: str) -> None:
    attack, defence, tests = (part.strip() for part in row.strip().strip("|").split("|"))
    assert attack and defence
    named = TEST.findall(tests)
    assert named and TEST.sub("", tests).strip(" ,") == ""
    for path, name in named:
        assert re.search(rf"^def {name}\(", (paths.ROOT / path).read_text(), re.MULTILINE), name
