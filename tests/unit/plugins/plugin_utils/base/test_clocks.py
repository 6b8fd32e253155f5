# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.clocks import opinion_of
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import ControllerClockError


def named(*skews: float) -> dict[str, float]:
    return {f"web{number}": skew for number, skew in enumerate(skews)}


@pytest.mark.parametrize(
    ("skews", "words"),
    [
        (named(-432000, -432010, -431990), "432000 s ahead of those of 3 of 3 hosts"),
        (named(601, 610, 620), "610 s behind those of 3 of 3"),
        (named(-432000, -432001, -432002, 0, 5), "ahead of those of 3 of 5"),
        (named(-432000, -432030, -432060, 9e9, -9e9), "432030 s ahead"),
    ],
)
def test_most_hosts_are_right(skews: Mapping[str, float], words: str) -> None:
    with pytest.raises(ControllerClockError, match=words) as caught:
        opinion_of(skews).refuse()
    assert "tls_ignore_clocks" in str(caught.value) and caught.value.code == "controller_clock"


@pytest.mark.parametrize(
    ("skews", "strange"),
    [
        ({}, 0),
        (named(0, 1, -1), 0),
        (named(599, 598, 597), 0),
        # Too few, half, or not of one mind.
        (named(-432000, -432000), 2),
        (named(-432000, -432000, -432000, 0, 0, 0), 3),
        (named(-432000, -431000, -430000, -429000), 4),
        (named(-432000, -432061, 700), 3),
    ],
)
def test_a_few_are_told(skews: Mapping[str, float], strange: int) -> None:
    opinion = opinion_of(skews)
    opinion.refuse()
    assert len(opinion.warnings) == strange
