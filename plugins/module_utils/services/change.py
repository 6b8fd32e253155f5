# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change of a host: taken, proven, and kept; or put back, taken again, and what worked before proven again.

The order of things, and what people are told of the way back, is the same for certificates, configurations, session ticket keys, clients
and the system's trust store. What taking and proving is, each of them says with the parts of its :class:`HostChange`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Callable

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError


def nothing() -> None:
    """A part that has nothing to do."""


def proven() -> None:
    """A proof that nobody asks for."""


def no_notes(_problem: StepError) -> Sequence[str]:
    """A part of the way back that has nothing to do."""
    return ()


@dataclass(frozen=True)
class HostChange:
    """A change whose files are in their places already.

    :param take: lets those who read the files take them; raises StepError.
    :param prove: shows that it works. Returns the error of a proof that failed; raises one where there is nobody left to prove.
    :param undo: puts the files back and returns, for people, what to know of that; None: there is nothing to go back to.
    :param retake: lets them take the old state, and returns what went wrong; gets the error that it is about.
    :param prove_old: shows that what worked before works again, and returns what does not.
    :param undo_unproven: whether a proof that failed is a reason to go back. It is none where the old state did not work either.
    """

    take: Callable[[], None] = nothing
    prove: Callable[[], StepError | None] = proven
    undo: Callable[[], Sequence[str]] | None = None
    retake: Callable[[StepError], Sequence[str]] = no_notes
    prove_old: Callable[[StepError], Sequence[str]] = no_notes
    undo_unproven: bool = True


@dataclass(frozen=True)
class ChangeOutcome:
    """What became of a change; ``error`` None: it is taken and proven. Its message has what became of the way back."""

    error: StepError | None
    undone: bool = False


def carry_out(change: HostChange) -> ChangeOutcome:
    """Take, prove, and where one of them fails go back. Whatever interrupts it, nothing unproven stays where there was something before."""
    undo = change.undo
    try:
        error = tried(change)
        if error is not None and not change.undo_unproven:
            undo = None
    except StepError as problem:
        error = problem
    except BaseException:
        if undo:
            undo()
        raise
    if error is None or undo is None:
        return ChangeOutcome(error)
    notes = [*undo(), *change.retake(error), *change.prove_old(error)]
    error.message = "; ".join([error.message, *dict.fromkeys(notes)])
    return ChangeOutcome(error, undone=True)


def tried(change: HostChange) -> StepError | None:
    """Taken and proven? Errors as the parts raise them."""
    change.take()
    return change.prove()


def taken_again(works: Iterable[Callable[[], object]], problem: StepError) -> list[str]:
    """Let each take the old state; what went wrong, for people."""
    notes = []
    for work in works:
        try:
            work()
        except StepError as error:
            notes.append(again(error, problem))
    return notes


def again(error: StepError, problem: StepError) -> str:
    """What to say of an error on the way back. A check that refuses what was there before too was failing already, whatever its words: they may
    have process ids and times in them. A reload that fails again need not have failed before."""
    if error.message in problem.message:
        return "it was failing already before this change"
    if error.code == problem.code == "validate_failed":
        return f"it was failing already before this change: {error.message}"
    return f"with the old state: {error.message}"
