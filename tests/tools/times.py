# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long each test took, and why one failed: written by pytest (tests/conftest.py has the hook), read by ./dev test. Standard library only."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The environment variable that names the file to write; without it nothing is written.
VARIABLE = "FLEET_TLS_TEST_TIMES"


@dataclass(frozen=True)
class Test:
    """A test that ran: its id, how it ended, its seconds, and those of them in which fixtures were set up and torn down."""

    __test__ = False  # nothing for pytest to collect

    name: str
    outcome: str
    seconds: float
    around: float


def pytest_runtest_logreport(report: Any) -> None:
    """pytest's hook: a line for each setup, call and teardown. Called in pytest's main process only, with pytest-xdist too."""
    path = os.environ.get(VARIABLE)
    if path and "PYTEST_XDIST_WORKER" not in os.environ:
        words = {"name": report.nodeid, "when": report.when, "outcome": report.outcome, "seconds": report.duration}
        if report.failed:
            # pytest tells it at the end of the run, which may be an hour away.
            words["why"] = report.longreprtext
        with open(path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(words) + "\n")


def read(path: Path) -> list[Test]:
    """The tests of such a file, in the order in which they began; none where there is no file."""
    if not path.exists():
        return []
    phases: dict[str, list[dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        phase = json.loads(line)
        phases.setdefault(phase["name"], []).append(phase)
    return [_test(name, each) for name, each in phases.items()]


def _test(name: str, phases: list[dict[str, Any]]) -> Test:
    outcomes = {phase["outcome"] for phase in phases}
    outcome = next((each for each in ("failed", "skipped") if each in outcomes), "passed")
    around = sum(phase["seconds"] for phase in phases if phase["when"] != "call")
    return Test(name, outcome, sum(phase["seconds"] for phase in phases), around)
