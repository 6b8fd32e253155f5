# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a change and of its way back, and the words for it; what really happens with files and servers is tested with each step."""

from __future__ import annotations

from typing import Callable

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.services.change import HostChange, carry_out, taken_again
from ansible_collections.fleet.tls.plugins.module_utils.system.time_limit import TimeIsUp


class World:
    """Which parts were called, and what they do."""

    def __init__(self, **errors: BaseException) -> None:
        self.errors = errors
        self.calls: list[str] = []

    def part(self, name: str) -> None:
        self.calls.append(name)
        if name in self.errors:
            raise self.errors[name]

    def prove(self) -> StepError | None:
        self.calls.append("prove")
        error = self.errors.get("prove")
        if isinstance(error, StepError) and error.code != "service_down":
            return error
        if error:
            raise error
        return None

    def noted(self, name: str) -> Callable[..., list[str]]:
        return lambda *_problem: (self.part(name), [f"{name} done"])[1]

    def change(self, *, undo: bool = True, undo_unproven: bool = True) -> HostChange:
        return HostChange(
            take=lambda: self.part("take"),
            prove=self.prove,
            undo=self.noted("undo") if undo else None,
            retake=lambda problem: taken_again([lambda: self.part("retake")], problem),
            prove_old=self.noted("prove_old"),
            undo_unproven=undo_unproven,
        )


BACK = ["undo", "retake", "prove_old"]


def refusal(code: str = "reload_failed", message: str = "no") -> StepError:
    return StepError(code, message)


def test_taken_and_proven() -> None:
    world = World()
    outcome = carry_out(world.change())
    assert (outcome.error, outcome.undone, world.calls) == (None, False, ["take", "prove"])


@pytest.mark.parametrize(
    ("errors", "before"),
    [
        ({"take": refusal()}, ["take"]),
        ({"prove": refusal("not_served")}, ["take", "prove"]),
        ({"prove": refusal("service_down")}, ["take", "prove"]),
    ],
)
def test_the_way_back(errors: dict[str, BaseException], before: list[str]) -> None:
    world = World(**errors)
    outcome = carry_out(world.change())
    assert world.calls == [*before, *BACK] and outcome.undone
    assert outcome.error is not None and outcome.error.message == "no; undo done; prove_old done"


def test_what_had_nothing_before_it_stays() -> None:
    world = World(take=refusal())
    outcome = carry_out(world.change(undo=False))
    assert world.calls == ["take"] and not outcome.undone and outcome.error is not None
    assert outcome.error.message == "no"


def test_a_proof_that_the_old_state_would_fail_as_well_is_no_reason() -> None:
    world = World(prove=refusal("not_served"))
    assert not carry_out(world.change(undo_unproven=False)).undone and world.calls == ["take", "prove"]
    # One that is down is.
    world = World(prove=refusal("service_down"))
    assert carry_out(world.change(undo_unproven=False)).undone


@pytest.mark.parametrize(
    ("code", "error", "note"),
    [
        ("reload_failed", refusal(message="no"), "it was failing already before this change"),
        ("reload_failed", refusal(message="other"), "with the old state: other"),
        ("validate_failed", refusal("reload_failed", "other"), "with the old state: other"),
        # HAProxy's words begin with its process id.
        ("validate_failed", refusal("validate_failed", "[7] no"), "it was failing already before this change: [7] no"),
    ],
)
def test_what_fails_on_the_way_back_is_told(code: str, error: StepError, note: str) -> None:
    outcome = carry_out(World(take=refusal(code, "service 'a': no"), retake=error).change())
    assert outcome.error is not None and note in outcome.error.message


@pytest.mark.parametrize("part", ["take", "prove"])
@pytest.mark.parametrize("interruption", [TimeIsUp("late"), KeyboardInterrupt(), RuntimeError()])
def test_whatever_interrupts_it_nothing_unproven_stays(part: str, interruption: BaseException) -> None:
    world = World(**{part: interruption})
    with pytest.raises(type(interruption)):
        carry_out(world.change())
    assert world.calls[-1] == "undo"
