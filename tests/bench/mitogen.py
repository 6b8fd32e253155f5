# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long fleet.tls.deploy takes with Mitogen, beside the same without it on the same hosts in the same run; run by ./dev bench mitogen.

Every run starts without open connections, as one does that a timer starts once a day. Says how fast, never fails for slowness: the exit
status is 1 only when a run did not do its job.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.bench import versions
from bench.deploy import Deployment, arguments
from bench.hosts import Hosts, WrongResult
from bench.measure import Finished, check_changed, measure
from fleet.fleet import FleetError
from fleet.podman import PodmanError
from tools import mitogen

WITHOUT, WITH = "without", "with Mitogen"
MOST = 1.0
HEAD = (
    WITHOUT,
    WITH,
    "× without",
    *(f"CPU seconds, {name}" for name in (WITHOUT, WITH)),
    "× without",
    *(f"largest process, {name}" for name in (WITHOUT, WITH)),
    "target",
)


class Cold(Deployment):
    """A deployment whose every run connects anew."""

    def measured(self, command: Sequence[str]) -> Finished:
        """As before; no connection of an earlier run is found in the new directory."""
        # In /tmp whatever TMPDIR says: the path of a socket has to be short.
        with tempfile.TemporaryDirectory(prefix="tls-", dir="/tmp") as folder:
            return measure(command, {**self.environment, "ANSIBLE_SSH_CONTROL_PATH_DIR": folder})

    def renewed(self) -> Finished:
        """The playbook, and every certificate is due."""
        done = self.run("--extra-vars", '{"tls_force": true}')
        check_changed(done, self.hosts.names)
        return done


@dataclass(frozen=True)
class Job:
    """A row of the table.

    :param compared: whether it has a target.
    """

    title: str
    work: Callable[[Cold], Finished]
    compared: bool = True
    runs: dict[str, list[Finished]] = field(default_factory=lambda: {WITHOUT: [], WITH: []})


def row(job: Job) -> list[str]:
    """Its cells: medians, and how they compare."""
    seconds = {name: median(each.seconds for each in found) for name, found in job.runs.items()}
    cpu = {name: median(each.cpu for each in found) for name, found in job.runs.items()}
    largest = {name: max(each.largest for each in found) / 1_000_000 for name, found in job.runs.items()}
    ratio = seconds[WITH] / seconds[WITHOUT]
    return [
        job.title,
        *(f"{each:.2f} s" for each in seconds.values()),
        f"{ratio:.2f}",
        *(f"{each:.2f}" for each in cpu.values()),
        f"{cpu[WITH] / cpu[WITHOUT]:.2f}",
        *(f"{each:.0f} MB" for each in largest.values()),
        f"≤ {MOST:.1f} × without: {'met' if ratio <= MOST else '**not met**'}" if job.compared else "–",
    ]


def table(jobs: Sequence[Job], rounds: int) -> str:
    """All of them, as a Markdown table."""
    head = [f"median of {rounds} rounds", *HEAD]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *map(row, jobs)))


def play(jobs: Sequence[Job], ways: Mapping[str, Cold], rounds: int) -> None:
    """Every job in each way, round after round."""
    for number in range(rounds):
        for job in jobs:
            for name, way in ways.items():
                job.runs[name].append(job.work(way))
        shown = (
            f"{job.title} {' / '.join(f'{found[-1].seconds:.2f} s' for found in job.runs.values())}" for job in jobs
        )
        print(f"round {number + 1}: {', '.join(shown)}", file=sys.stderr, flush=True)


def main() -> int:
    """Measure and print."""
    options = arguments("mitogen", __doc__.partition("\n")[0])
    hosts = Hosts(options.hosts, packages=())
    jobs = (
        Job("ping", Cold.ping, compared=False),
        Job("deploy, nothing to do", Cold.unchanged),
        Job("deploy, every certificate due", Cold.renewed),
    )
    try:
        hosts.up()
        ways = {
            name: Cold(hosts, options.certificates, mitogen.VENV, settings)
            for name, settings in ((WITHOUT, {}), (WITH, mitogen.settings()))
        }
        ways[WITHOUT].prepare()
        play(jobs, ways, options.rounds)
        print(table(jobs, options.rounds))
        print()
        print(f"{options.hosts} hosts × {options.certificates + 1} certificates, sites, trust, tickets, client.")
        print(versions(hosts, mitogen.VENV))
        return 0
    except (FleetError, PodmanError, WrongResult) as error:
        print(f"bench: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        hosts.close()


if __name__ == "__main__":
    sys.exit(main())
