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

from bench.hosts import Hosts, WrongResult, certificate_names, dns_name
from bench.measure import check_changed, check_unchanged, measure
from bench.scenarios import VENV
from fleet.fleet import FleetError
from fleet.podman import PodmanError
from tools import paths
from tools.playbook import ansible_environment, playbook_command

MOST_SECONDS = 60


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

    def run(self, playbook: str) -> Any:
        """A playbook of the collection on all hosts."""
        return measure(playbook_command("fleet.tls." + playbook, self.inventory, venv=VENV), self.environment)

    def ping(self) -> float:
        """Seconds of a ping of all hosts."""
        program = str(paths.venv(VENV) / "bin" / "ansible")
        command = [program, "-i", str(self.inventory), "all", "-m", "ansible.builtin.ping"]
        return measure(command, self.environment).seconds

    def unchanged(self) -> float:
        """Seconds of a deploy with nothing to do."""
        done = self.run("deploy")
        check_unchanged(done, self.hosts.names)
        return done.seconds

    def rollover(self, number: int) -> float:
        """Seconds of a whole rollover, to root ``number``; afterwards every host serves what leads to that root, and to no other.

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
    options = parser.parse_args()
    if min(options.rounds, options.hosts, options.certificates) < 1:
        parser.error("--rounds, --hosts and --certificates are at least 1")
    return options


def table(times: Mapping[str, list[float]], title: str) -> str:
    """What was measured, as a Markdown table: medians, and how they compare."""
    medians = {name: median(values) for name, values in times.items()}
    whole = medians["rotate_ca"]
    met = "met" if whole < MOST_SECONDS else "**not met**"
    return "\n".join(
        [
            "| median of {0} rounds | ping | deploy, nothing to do | rotate_ca, all stages | × deploy | target |".format(
                len(times["rotate_ca"])
            ),
            "| --- | --- | --- | --- | --- | --- |",
            "| {0} | {1:.2f} s | {2:.2f} s | {3:.2f} s | {4:.2f} | < {5} s: {6} |".format(
                title, medians["ping"], medians["deploy"], whole, whole / medians["deploy"], MOST_SECONDS, met
            ),
        ]
    )


def main() -> int:
    """Measure and print."""
    options = arguments()
    hosts = Hosts(options.hosts)
    times: dict[str, list[float]] = {"ping": [], "deploy": [], "rotate_ca": []}
    try:
        hosts.up()
        rollover = Rollover(hosts, options.certificates)
        rollover.prepare()
        for number in range(options.rounds):
            times["ping"].append(rollover.ping())
            times["deploy"].append(rollover.unchanged())
            times["rotate_ca"].append(rollover.rollover(number + 2))
            shown = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in times.items())
            print(f"round {number + 1}: {shown}", file=sys.stderr, flush=True)
        print(table(times, f"{options.hosts} hosts × {options.certificates} certificates"))
        return 0
    except (FleetError, PodmanError, WrongResult) as error:
        print(f"bench: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        hosts.close()


if __name__ == "__main__":
    sys.exit(main())
