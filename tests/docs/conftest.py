# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the run says at its end: how many blocks ran, how many of them with a substitution, and which did not run and why."""

from __future__ import annotations

from collections import Counter
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """pytest's hook; in its main process, which has the reports of all others."""
    outcomes = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for key, value in report.user_properties
        if key == "blocks"
    ]
    if outcomes:
        for line in summary(outcomes):
            terminalreporter.write_line(line)


def summary(outcomes: list[dict[str, Any]]) -> list[str]:
    """The lines for outcomes of stories (docs.story.Outcome as dicts)."""
    ran = sum(each["ran"] for each in outcomes)
    substituted = [names for each in outcomes for names in each["substituted"]]
    not_run = {where: why for each in outcomes for where, why in each["not_run"].items()}
    counts = Counter(name for names in substituted for name in names)
    return [
        f"documentation: {ran} blocks ran, {len(substituted)} of them with substitutions; {len(not_run)} did not run",
        *(f"  substituted in {count}: {name}" for name, count in sorted(counts.items())),
        *(f"  not run: {where}: {why}" for where, why in sorted(not_run.items())),
    ]
