# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long fleet.tls.deploy_due takes when a day's share of a large inventory is due, beside a ping of just these; run by ./dev bench due.

The hosts that are due are real ones of this machine, with pairs that were issued a month ago. All others are in the inventory, the ledger and
the notes only: nobody is to visit them. Says how fast, never fails for slowness: the exit status is 1 only when a run did not do its job.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.append(os.environ["FLEET_TLS_COLLECTIONS"])

from bench.due_fleet import DueFleet
from bench.hosts import WrongResult
from bench.measure import Finished, check_unchanged, measure
from tools import paths
from tools.playbook import ansible_environment, controller, playbook_command

MOST_SECONDS = 180
PING, LIST = "ping of the hosts that are due", "reading the inventory (--list-hosts)"
DUE, NONE = "deploy_due, a day's hosts are due", "deploy_due, nobody is due"
HEAD = "| {0} hosts, {1} of them due | seconds | CPU seconds | × ping, CPU | largest process | target |"


class Runs:
    """The commands that are measured, on one fleet."""

    def __init__(self, fleet: DueFleet, forks: int) -> None:
        self.fleet = fleet
        self.environment = ansible_environment(controller(), {"ANSIBLE_FORKS": str(forks)})
        self.program = str(paths.venv(controller()) / "bin" / "ansible")

    def ansible(self, *words: str) -> Finished:
        """The program ansible on the hosts that are due."""
        return measure([self.program, "-i", str(self.fleet.inventory), "today", *words], self.environment)

    def deploy_due(self) -> Finished:
        """The playbook."""
        command = playbook_command("fleet.tls.deploy_due", self.fleet.inventory, venv=controller())
        return measure(command, self.environment)


def measured(fleet: DueFleet, forks: int) -> dict[str, Finished]:
    """All of them, each once; the day's work can be done once only.

    :raises WrongResult: one of them did something else than it was to do.
    """
    runs = Runs(fleet, forks)
    done = {LIST: runs.ansible("--list-hosts"), PING: runs.ansible("-m", "ansible.builtin.ping")}
    check_unchanged(done[PING], fleet.due)
    before = fleet.live()
    done[DUE] = runs.deploy_due()
    visited = {host for host in done[DUE].changed if host in set(fleet.names)}
    renewed = {host for host, leaf in fleet.live().items() if leaf != before[host]}
    # The first host of all has the task that chooses.
    if renewed != set(fleet.due) or not visited - {fleet.names[0]} <= set(fleet.due):
        raise WrongResult(f"{len(renewed)} hosts were renewed, {len(visited)} visited, and {len(fleet.due)} were due")
    done[NONE] = runs.deploy_due()
    if set(done[NONE].changed) - {fleet.names[0], "localhost"}:
        raise WrongResult("hosts were visited, and none was due")
    return done


def table(done: Mapping[str, Finished], fleet: DueFleet) -> str:
    """What was measured, as a Markdown table."""
    lines = [HEAD.format(len(fleet.names), len(fleet.due)), "| --- " * 6 + "|"]
    for name, each in done.items():
        met = "met" if each.seconds <= MOST_SECONDS else "**not met**"
        target = f"< {MOST_SECONDS} s: {met}" if name == DUE else ""
        ratio = each.cpu / done[PING].cpu
        lines.append(
            f"| {name} | {each.seconds:.1f} | {each.cpu:.1f} | {ratio:.2f} | {each.largest / 1_000_000:.0f} MB | {target} |"
        )
    return "\n".join(lines)


def versions() -> str:
    """The machine and what takes part."""
    ask = "import importlib.metadata as m, platform; print(platform.python_version(), *map(m.version, ('ansible-core', 'cryptography')))"
    python = str(paths.venv(controller()) / "bin" / "python")
    found = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    release = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    load = "load {0:.1f} at the end".format(os.getloadavg()[0])
    return "{0} CPUs, {1}, Python {2}, ansible-core {3}, cryptography {4}. Hosts are local connections. {5}.".format(
        os.cpu_count(), release, *found, load
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev bench due", description=__doc__.partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=10_000, help="in the inventory")
    parser.add_argument("--due", type=int, default=320, help="of them: a day's share with certificates of 47 days")
    parser.add_argument("--forks", type=int, default=8)
    parser.add_argument(
        "--quick", action="store_true", help="200 hosts of which 6 are due: to see that all of it works"
    )
    options = parser.parse_args()
    if options.quick:
        options.hosts, options.due = 200, 6
    if not 1 <= options.due <= options.hosts:
        parser.error("--due is at least 1, and at most --hosts")
    return options


def main() -> int:
    """Measure and print."""
    options = arguments()
    now = dt.datetime.now(dt.timezone.utc)
    with tempfile.TemporaryDirectory(prefix="fleet-tls-due-") as folder:
        fleet = DueFleet(Path(folder), options.hosts, options.due, now)
        try:
            fleet.make()
            print("the hosts are there", file=sys.stderr, flush=True)
            print(table(measured(fleet, options.forks), fleet))
            print()
            print(versions())
            return 0
        except WrongResult as error:
            print(f"bench: {error}", file=sys.stderr, flush=True)
            return 1


if __name__ == "__main__":
    sys.exit(main())
