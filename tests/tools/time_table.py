# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of ./dev test: the seconds of each suite, where they went, and the slowest tests. Standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tools.running import Run

SLOWEST = 15
ROW = "{0:14} {1:8} {2:>8} {3:>6}  {4}"


@dataclass(frozen=True)
class Result:
    """How a suite ended: passed, failed or skipped, after so many seconds; ``reason`` where it did not pass."""

    name: str
    verdict: str
    seconds: float
    reason: str
    run: Run


def table(setups: Sequence[Run], results: Sequence[Result], seconds: float) -> str:
    """All of it, as lines; ``seconds``: of the whole run."""
    lines = [ROW.format("suite", "", "seconds", "cpu s", "where they went")]
    for setup in setups:
        if setup.steps or setup.notes:
            lines.append(
                ROW.format(setup.name, "", _round(sum(each.seconds for each in setup.steps)), "", _where(setup))
            )
    for result in results:
        where = "; ".join(part for part in (result.reason, _where(result.run)) if part)
        lines.append(ROW.format(result.name, result.verdict, _round(result.seconds), _round(result.run.cpu), where))
    total = sum(result.run.cpu for result in results)
    lines.append(ROW.format("all", "", _round(seconds), _round(total), "cpu: less what ran in containers"))
    tests = [(test, result) for result in results for test in result.run.tests]
    if tests:
        lines += ["", "slowest tests"]
        for test, result in sorted(tests, key=lambda each: -each[0].seconds)[:SLOWEST]:
            around = f", {test.around:.0f} s of it for its fixtures" if test.around > 1 else ""
            lines.append(f"{test.seconds:6.0f} s  {test.name} ({result.name}{around})")
    return "\n".join([*lines, ""])


def _round(seconds: float) -> str:
    return f"{seconds:.0f}"


def _where(run: Run) -> str:
    """The longest steps first, then what pytest counted, then what has to be noted."""
    steps = sorted((step for step in run.steps if step.seconds >= 1), key=lambda step: -step.seconds)
    words = [f"{step.name} {step.seconds:.0f}" for step in steps] if len(run.steps) > 1 else []
    if run.tests:
        outcomes = Counter(test.outcome for test in run.tests)
        counts = [f"{outcomes[each]} {each}" for each in ("passed", "failed", "skipped") if outcomes[each]]
        around = sum(test.around for test in run.tests)
        words.append("tests: {0}, {1:.0f} s for fixtures".format(", ".join(counts), around))
    return "; ".join([*(", ".join(words[i : i + 4]) for i in range(0, len(words), 4)), *run.notes])
