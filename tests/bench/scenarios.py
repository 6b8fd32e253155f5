# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, in which order, and what is to be reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.hosts import Hosts
from bench.measure import check_changed, check_unchanged, measure
from tools import paths
from tools.playbook import ansible_environment, playbook_command

PLAYBOOKS = Path(__file__).resolve().parent / "playbooks"
VENV = "bench"
PING = "ping"
ROLE = "fleet.tls"
TASK = "fleet.tls (bare task)"
FAST = "fast"
FULL = "full"
# contestant -> its playbook, and where on the hosts its state is
PLAYS = {
    ROLE: ("fleet_tls_role.yml", "fleet.tls"),
    TASK: ("fleet_tls_task.yml", "fleet.tls"),
    FAST: ("fast.yml", "fast"),
    FULL: ("full.yml", "full"),
}


@dataclass(frozen=True)
class Scenario:
    """One line of the table.

    :param first: every run starts on hosts without certificates and has to issue them; else nothing is due.
    :param most: how many times a ping it may take; None: not compared.
    :param least: opponent -> how many times faster than it we want to be.
    :param most_rounds: where a round takes minutes, the most that are run, without a warm-up; None: as many as asked for.
    """

    title: str
    certificates: int
    contestants: tuple[str, ...]
    first: bool = False
    most: float | None = None
    least: dict[str, float] = field(default_factory=dict)
    most_rounds: int | None = None


SCENARIOS = (
    Scenario(
        "first issue, 5 a host", 5, (PING, ROLE, FAST, FULL), first=True, least={FAST: 10, FULL: 10}, most_rounds=2
    ),
    Scenario("no-op, 1 a host", 1, (PING, ROLE, TASK, FAST, FULL), most=1.25),
    Scenario("no-op, 5 a host", 5, (PING, ROLE, TASK, FAST, FULL), most=1.3, least={FAST: 3.3, FULL: 18}),
    Scenario("no-op, 20 a host", 20, (PING, ROLE, TASK), most=1.5),
)

Times = dict[str, list[float]]


class Bench:
    """Runs the scenarios on hosts; ``report`` hears of every run as soon as it is over."""

    def __init__(self, hosts: Hosts, rounds: int, warm_up: int, report: Callable[[str], None]) -> None:
        self.hosts = hosts
        self.rounds = rounds
        self.warm_up = warm_up
        self.report = report
        self.environment = ansible_environment(VENV, hosts.environment)
        self.served: dict[str, int] = {}

    def measure(self, scenario: Scenario) -> Times:
        """contestant -> seconds of each counted round; the contestants take turns, so that all see the same machine.

        :raises WrongResult: a run did not do its job.
        """
        times: Times = {contestant: [] for contestant in scenario.contestants}
        self.prepare(scenario)
        slow = scenario.most_rounds is not None
        warm_up, rounds = (0, min(self.rounds, scenario.most_rounds or 0)) if slow else (self.warm_up, self.rounds)
        for number in range(warm_up + rounds):
            for contestant in scenario.contestants:
                seconds = self.run(scenario, contestant)
                counted = number >= warm_up
                if counted:
                    times[contestant].append(seconds)
                self.report(
                    "{0}: {1} {2:.2f} s{3}".format(scenario.title, contestant, seconds, "" if counted else " (warm-up)")
                )
        return times

    def prepare(self, scenario: Scenario) -> None:
        """Bring the hosts to where every certificate of the scenario is installed and served."""
        for contestant in scenario.contestants:
            if contestant in (ROLE, FAST, FULL):
                playbook, place = PLAYS[contestant]
                known = self.served.get(place, 0)
                if known < scenario.certificates:
                    if not known:
                        self.hosts.forget(place)
                    check_changed(measure(self.command(scenario, contestant), self.environment), self.hosts.names)
                    self.served[place] = scenario.certificates
                    self.hosts.serve(self.served)
                    self.hosts.check_served(place, scenario.certificates)
                    # Ours notices when nginx serves what it did not serve at the last run, and says so once.
                    measure(self.command(scenario, contestant), self.environment)
                self.report(f"{scenario.title}: {contestant} is ready")

    def run(self, scenario: Scenario, contestant: str) -> float:
        """One run and all that shows it was a right one; its wall time in seconds."""
        if contestant == PING:
            finished = measure(self.command(scenario, contestant), self.environment)
            check_unchanged(finished, self.hosts.names)
            return finished.seconds
        place = PLAYS[contestant][1]
        if scenario.first:
            self.hosts.forget(place)
        finished = measure(self.command(scenario, contestant), self.environment)
        if scenario.first:
            check_changed(finished, self.hosts.names)
            self.hosts.check_served(place, scenario.certificates)
        else:
            check_unchanged(finished, self.hosts.names)
        return finished.seconds

    def command(self, scenario: Scenario, contestant: str) -> list[str]:
        """The command line of a contestant."""
        inventory = self.hosts.inventory(scenario.certificates)
        if contestant == PING:
            program = paths.venv(VENV) / "bin" / "ansible"
            return [str(program), "-i", str(inventory), "all", "-m", "ansible.builtin.ping"]
        return playbook_command(PLAYBOOKS / PLAYS[contestant][0], inventory, venv=VENV)
