# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fleet.tls.deploy with nothing to do and fleet.tls.check cost a host, by the size of the inventory, beside a ping; run by ./dev bench scale.

The hosts are local connections, so that a host's own processor time counts too, and no network. Says how fast, never fails for slowness: the
exit status is 1 only when a run did not do its job.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.append(os.environ["FLEET_TLS_COLLECTIONS"])

from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from bench.due import versions
from bench.hosts import WrongResult
from bench.local_hosts import folder_of, installed, variables
from bench.measure import Finished, check_unchanged, measure
from tools import paths
from tools.playbook import ansible_environment, controller, playbook_command

PING, DEPLOY, CHECK = "ping", "deploy, nothing to do", "check, nothing wrong"
MOST = 1.0
# The controller's process, in bytes.
MOST_MEMORY = 150_000_000
HEAD = "| hosts × certificates | run | seconds | CPU seconds | CPU, a host | × ping, CPU | × ping, seconds | largest process | target |"


class LocalFleet:
    """So many hosts, each with so many certificates, in a folder of their own."""

    def __init__(self, folder: Path, hosts: int, certificates: int, forks: int) -> None:
        self.names = [f"web{number:04}" for number in range(hosts)]
        self.certificates = [f"www{number}" for number in range(certificates)]
        self.folder, self.inventory = folder, folder / "inventory.json"
        self.environment = ansible_environment(controller(), {"ANSIBLE_FORKS": str(forks)})

    def make(self) -> None:
        """Pairs, inventory, and the runs after which everything is as it is on any other day."""
        issuers = {"internal": {"type": "ca"}}
        shared = variables(self.folder, issuers, self.certificates)
        document = {"all": {"vars": shared, "hosts": dict.fromkeys(self.names, {})}}
        self.inventory.write_text(json.dumps(document), encoding="utf-8")
        loaded = load_issuers(issuers, load_store(shared["tls_store"]))
        now = dt.datetime.now(dt.timezone.utc)
        for host in self.names:
            installed(folder_of(self.folder, host), host, self.certificates, loaded, now)
        self.playbook("deploy")
        check_unchanged(self.playbook("deploy"), self.names)

    def playbook(self, name: str) -> Finished:
        """A playbook of the collection on all hosts."""
        return measure(playbook_command("fleet.tls." + name, self.inventory, venv=controller()), self.environment)

    def ping(self) -> Finished:
        """A ping of all hosts."""
        program = str(paths.venv(controller()) / "bin" / "ansible")
        return measure([program, "-i", str(self.inventory), "all", "-m", "ansible.builtin.ping"], self.environment)

    def round(self) -> dict[str, Finished]:
        """Each of them once.

        :raises WrongResult: a host was changed or left out.
        """
        done = {PING: self.ping(), DEPLOY: self.playbook("deploy"), CHECK: self.playbook("check")}
        for each in done.values():
            check_unchanged(each, self.names)
        return done


def rows(fleet: LocalFleet, rounds: Sequence[Mapping[str, Finished]]) -> list[str]:
    """What was measured of a fleet, as lines of a Markdown table: medians, and how they compare."""
    cpu = {name: median(each[name].cpu for each in rounds) for name in rounds[0]}
    wall = {name: median(each[name].seconds for each in rounds) for name in rounds[0]}
    lines = []
    for name in cpu:
        largest, ratio = max(each[name].largest for each in rounds), cpu[name] / cpu[PING]
        met = "met" if ratio <= MOST and largest < MOST_MEMORY else "**not met**"
        cells = [
            f"{len(fleet.names)} × {len(fleet.certificates)}",
            name,
            f"{wall[name]:.1f}",
            f"{cpu[name]:.1f}",
            f"{cpu[name] / len(fleet.names):.3f}",
            f"{ratio:.2f}",
            f"{wall[name] / wall[PING]:.2f}",
            f"{largest / 1_000_000:.0f} MB",
            "" if name == PING else f"≤ {MOST} × ping, < {MOST_MEMORY // 1_000_000} MB: {met}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def sizes(text: str) -> list[int]:
    """``100,300``."""
    return [int(each) for each in text.split(",")]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev bench scale", description=__doc__.partition("\n")[0])
    parser.add_argument("--hosts", type=sizes, default=[100, 300, 1000], help="sizes of inventories, such as 100,300")
    parser.add_argument("--certificates", type=int, default=5, help="of each host")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--forks", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="one round on ten hosts: to see that all of it works")
    options = parser.parse_args()
    if options.quick:
        options.hosts, options.rounds = [10], 1
    if min(*options.hosts, options.certificates, options.rounds, options.forks) < 1:
        parser.error("--hosts, --certificates, --rounds and --forks are at least 1")
    return options


def main() -> int:
    """Measure and print."""
    options = arguments()
    lines = [HEAD, "| --- " * HEAD.count(" | ") + "| --- |"]
    try:
        for hosts in options.hosts:
            with tempfile.TemporaryDirectory(prefix="fleet-tls-scale-") as folder:
                fleet = LocalFleet(Path(folder), hosts, options.certificates, options.forks)
                fleet.make()
                print(f"{hosts} hosts are there", file=sys.stderr, flush=True)
                found = rows(fleet, [fleet.round() for _number in range(options.rounds)])
            print("\n".join(found), file=sys.stderr, flush=True)
            lines += found
    except WrongResult as error:
        print(f"bench: {error}", file=sys.stderr, flush=True)
        return 1
    print("\n".join([*lines, "", versions()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
