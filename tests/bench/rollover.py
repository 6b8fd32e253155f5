# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a CA rollover takes, all stages, beside a deploy with nothing to do and a ping in the same run; run by ./dev bench rollover.

Says how fast, never fails for slowness: the exit status is 1 only when a run did not do its job.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.bench import versions
from bench.hosts import Hosts, WrongResult, certificate_names, dns_name
from bench.measure import Finished, check_changed, check_unchanged, measure
from bench.scenarios import VENV
from fleet.fleet import FleetError
from fleet.podman import PodmanError
from tools import paths
from tools.playbook import ansible_environment, playbook_command

PING, DEPLOY, ROLLOVER = "ping", "deploy, nothing to do", "rotate_ca, all stages"
# For eight hosts with four certificates each; and, by what a deploy of the same hosts with nothing to do takes, for any number.
MOST_SECONDS, MOST_DEPLOYS = 12, 15
HEAD = "| {0} hosts × {1} certificates, median of {2} rounds | seconds | × deploy | CPU seconds | × deploy | largest process | target |"


class Rollover:
    """Hosts with nginx and so many certificates each, all from one internal CA."""

    def __init__(self, hosts: Hosts, certificates: int) -> None:
        self.hosts = hosts
        self.certificates = certificates
        self.environment = ansible_environment(VENV, hosts.environment)
        self.inventory = hosts.folder / "rollover.yml"

    def prepare(self) -> None:
        """Issue, install and serve everything for the first time."""
        entries = self.hosts.fleet.host_vars()
        for host, values in entries.items():
            values.update(wanted(host, self.certificates))
        shared = self.hosts.shared()
        document = {"all": {"hosts": entries, "vars": shared}}
        self.inventory.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        check_changed(self.run("deploy"), self.hosts.names)

    def run(self, playbook: str) -> Finished:
        """A playbook of the collection on all hosts."""
        return measure(playbook_command("fleet.tls." + playbook, self.inventory, venv=VENV), self.environment)

    def ping(self) -> Finished:
        """A ping of all hosts."""
        program = str(paths.venv(VENV) / "bin" / "ansible")
        command = [program, "-i", str(self.inventory), "all", "-m", "ansible.builtin.ping"]
        return measure(command, self.environment)

    def unchanged(self) -> Finished:
        """A deploy with nothing to do."""
        done = self.run("deploy")
        check_unchanged(done, self.hosts.names)
        return done

    def rollover(self, number: int) -> Finished:
        """A whole rollover, to root ``number``; afterwards every host serves what leads to that root, and to no other.

        :raises WrongResult: a certificate is from another one.
        """
        done = self.run("rotate_ca")
        root = self.hosts.folder / "tls-store/ca/internal" / f"root-{number}.pem"
        if not root.exists():
            raise WrongResult(f"the rollover made no {root.name}")
        context = ssl.create_default_context(cafile=str(root))

        def check(host: str) -> None:
            for name in certificate_names(self.certificates):
                self.hosts.handshake(context, 443, host, name)

        try:
            self.hosts.everywhere(check)
        except OSError as error:
            raise WrongResult(f"not everything is served from {root.name}: {error}") from error
        return done.seconds


def wanted(host: str, certificates: int) -> dict[str, Any]:
    """The variables of a host: its certificates, and a site of nginx for each of them."""
    names = certificate_names(certificates)
    entries = [
        {"name": name, "issuer": "internal", "dns_names": [dns_name(host, name)], "services": ["nginx"]}
        for name in names
    ]
    sites = [
        {"name": name, "server_names": [dns_name(host, name)], "certificate": name, "root": "/var/www/html"}
        for name in names
    ]
    return {"tls_web_server": "nginx", "tls_certificates": entries, "tls_sites": sites}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev bench rollover", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--certificates", type=int, default=4, help="of each host")
    parser.add_argument("--quick", action="store_true", help="one round on two hosts: to see that all of it works")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.hosts = 1, 2
    if min(options.rounds, options.hosts, options.certificates) < 1:
        parser.error("--rounds, --hosts and --certificates are at least 1")
    return options


def table(runs: Mapping[str, list[Finished]], hosts: int, certificates: int) -> str:
    """What was measured, as a Markdown table: medians, and how they compare."""
    seconds = {name: median(each.seconds for each in found) for name, found in runs.items()}
    cpu = {name: median(each.cpu for each in found) for name, found in runs.items()}
    head = HEAD.format(hosts, certificates, len(runs[ROLLOVER]))
    lines = [head, "| --- " * (head.count(" | ") + 1) + "|"]
    for name, found in runs.items():
        cells = [
            name,
            f"{seconds[name]:.2f}",
            f"{seconds[name] / seconds[DEPLOY]:.2f}",
            f"{cpu[name]:.2f}",
            f"{cpu[name] / cpu[DEPLOY]:.2f}",
            f"{max(each.largest for each in found) / 1_000_000:.0f} MB",
            target(seconds, hosts, certificates) if name == ROLLOVER else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def target(seconds: Mapping[str, float], hosts: int, certificates: int) -> str:
    """Which there is for so many, and whether it is met."""
    whole = seconds[ROLLOVER]
    wanted = [(f"≤ {MOST_DEPLOYS} × deploy", whole <= MOST_DEPLOYS * seconds[DEPLOY])]
    if hosts <= 8 and certificates <= 4:
        wanted.append((f"≤ {MOST_SECONDS} s", whole <= MOST_SECONDS))
    return "; ".join(f"{text}: {'met' if met else '**not met**'}" for text, met in wanted)


def main() -> int:
    """Measure and print."""
    options = arguments()
    hosts = Hosts(options.hosts)
    runs: dict[str, list[Finished]] = {PING: [], DEPLOY: [], ROLLOVER: []}
    try:
        hosts.up()
        rollover = Rollover(hosts, options.certificates)
        rollover.prepare()
        # The second run is the first that knows its hosts, and has nothing to do.
        rollover.unchanged()
        for number in range(options.rounds):
            runs[PING].append(rollover.ping())
            runs[DEPLOY].append(rollover.unchanged())
            runs[ROLLOVER].append(rollover.rollover(number + 2))
            shown = ", ".join(f"{name} {found[-1].seconds:.2f} s" for name, found in runs.items())
            print(f"round {number + 1}: {shown}", file=sys.stderr, flush=True)
        print(table(runs, options.hosts, options.certificates))
        print()
        print(versions(hosts))
        return 0
    except (FleetError, PodmanError, WrongResult) as error:
        print(f"bench: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        hosts.close()


if __name__ == "__main__":
    sys.exit(main())
