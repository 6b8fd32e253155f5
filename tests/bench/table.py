# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measured times as a Markdown table: medians, ratios, and the targets beside them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from bench.scenarios import FAST, FULL, PING, ROLE, TASK, Scenario, Times

HEAD = ("median of {0}", PING, ROLE, TASK, FAST, FULL, "× ping", "faster than fast", "faster than full", "target")


def table(measured: Sequence[tuple[Scenario, Times]], rounds: int) -> str:
    """One line a scenario."""
    head = [HEAD[0].format(f"{rounds} rounds"), *HEAD[1:]]
    rows = [head, ["---"] * len(head)] + [row(scenario, times) for scenario, times in measured]
    return "\n".join("| {0} |".format(" | ".join(each)) for each in rows)


def row(scenario: Scenario, times: Times) -> list[str]:
    """A scenario's cells; a dash where nothing was measured or nothing is to be compared."""
    medians = {contestant: median(values) for contestant, values in times.items() if values}
    ours = medians[ROLE]
    seconds = [f"{medians[each]:.2f} s" if each in medians else "–" for each in HEAD[1:6]]
    over_ping = f"{ours / medians[PING]:.2f}"
    faster = [f"{medians[each] / ours:.1f} ×" if each in medians else "–" for each in (FAST, FULL)]
    title = f"{scenario.title} ({len(times[ROLE])} rounds)" if scenario.most_rounds else scenario.title
    return [title, *seconds, over_ping, *faster, verdicts(scenario, medians)]


def verdicts(scenario: Scenario, medians: Mapping[str, float]) -> str:
    """Each target with "met" or "not met"."""
    ours = medians[ROLE]
    found = []
    if scenario.most is not None:
        met = ours <= scenario.most * medians[PING]
        found.append(f"≤ {scenario.most:g} × ping: {word(met)}")
    for opponent, least in scenario.least.items():
        if opponent in medians:
            met = medians[opponent] >= least * ours
            found.append(f"≥ {least:g} × faster than {opponent}: {word(met)}")
    return "; ".join(found) or "–"


def word(met: bool) -> str:
    """In the table's language."""
    return "met" if met else "**not met**"
