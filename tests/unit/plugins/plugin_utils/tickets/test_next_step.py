# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.next_step import HostLook, Step, plan_step
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import Ring, RingProof, RingRecord

NOW, DAY = 1_800_000_000, 86400
CURRENT = HostLook(generation=7, current=True)
BOTH = {"web1": RingProof(7, NOW - DAY), "web2": RingProof(7, NOW - DAY)}


def plan(
    looks: dict[str, HostLook] | None = None,
    proven: dict[str, RingProof] | None = None,
    leave: tuple[str, ...] = (),
    passed: int = DAY,
    **changes: Any,
) -> Step:
    """What is to be done with two hosts, both current unless said otherwise, ``passed`` seconds after the last step."""
    record = RingRecord(7, Ring.new().ids, NOW - DAY, BOTH if proven is None else proven, **changes)
    seen = {"web1": CURRENT, "web2": CURRENT, **(looks or {})}
    return plan_step(record, seen, leave, DAY, NOW - DAY + passed)


def test_all_is_well() -> None:
    assert plan() == Step("begin", ("generation 7 gives way to 8",))


@pytest.mark.parametrize("passed, kind", [(0, "refuse"), (DAY - 1, "refuse"), (DAY, "begin"), (3 * DAY, "begin")])
def test_the_interval_is_at_least_the_lifetime_of_a_session(passed: int, kind: str) -> None:
    step = plan(passed=passed)
    assert step.kind == kind
    if kind == "refuse":
        # The numbers: how long ago, how long a session lives, how long to wait.
        assert f"{passed} s ago" in step.why[0] and "86400 s (1d)" in step.why[0]
        assert f"run again in {DAY - passed} s" in (step.remedy or "")


def test_the_interval_counts_from_the_last_host() -> None:
    late = {"web1": RingProof(7, NOW - DAY), "web2": RingProof(7, NOW - 10)}
    assert plan(proven=late).why[0].startswith("the last step was done 10 s ago")


@pytest.mark.parametrize(
    "look",
    [
        HostLook(generation=6, current=False),  # killed before this host
        HostLook(generation=7, current=False),  # killed before its proof; or a boot has given it a throw-away ring
    ],
)
def test_a_step_that_is_not_done_is_finished_first(look: HostLook) -> None:
    step = plan({"web2": look})
    assert (step.kind, step.why) == ("resume", ("the step to generation 7 is finished first on web2",))


def test_a_proof_that_was_not_noted_is_noted_first() -> None:
    step = plan(proven={"web1": RingProof(7, NOW - DAY), "web2": RingProof(6, NOW - 2 * DAY)})
    assert (step.kind, step.why) == ("resume", ("the step to generation 7 is finished first on web2",))


@pytest.mark.parametrize(
    "look, words",
    [
        (HostLook(problem="no route to host"), "web2 could not be looked at (no route to host)"),
        (HostLook(generation=5), "web2 is 2 steps behind (generation 5 of 7)"),
        (HostLook(), "web2 has no ring yet"),
        (HostLook(generation=8), "web2 has generation 8 of the ring, the store knows no newer than 7"),
        (HostLook(generation=7, same=False), "web2 has other keys for generation 7 of the ring than the store"),
    ],
)
def test_what_holds_a_step_back_is_named_and_can_be_left_behind(look: HostLook, words: str) -> None:
    step = plan({"web2": look})
    assert (step.kind, step.why) == ("refuse", (words,))
    assert step.remedy
    assert plan({"web2": look}, leave=("web2",)).kind == "begin"


def test_a_host_of_the_pool_that_is_not_in_the_run() -> None:
    proven = {**BOTH, "web3": RingProof(7, NOW - DAY)}
    step = plan(proven=proven)
    assert (step.kind, step.why) == ("refuse", ("web3 has the pool's ring and is not in this run",))
    assert plan(proven=proven, leave=("web3",)).kind == "begin"


def test_two_hosts_out_of_reach_are_both_named() -> None:
    step = plan({"web1": HostLook(problem="a"), "web2": HostLook(problem="b")})
    assert len(step.why) == 2


def test_a_stranger_cannot_be_left_behind() -> None:
    with pytest.raises(SpecError, match="no host of the pool is called 'wbe2'") as caught:
        plan(leave=("wbe2",))
    assert caught.value.remedy == "did you mean 'web2'?"


def test_never_two_steps_from_another() -> None:
    """Whatever has happened to the hosts, a step begins only when all of them have the last one."""
    states = [HostLook(generation=each, current=each == 7) for each in (5, 6, 7, 8)]
    for first in states:
        for second in states:
            step = plan({"web1": first, "web2": second})
            assert (step.kind == "begin") == (first.current and second.current)
