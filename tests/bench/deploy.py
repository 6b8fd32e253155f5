# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long fleet.tls.deploy takes with nothing to do, beside a ping of the same hosts in the same run; run by ./dev bench deploy.

Says how fast, never fails for slowness: the exit status is 1 only when a run did not do its job.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.bench import versions
from bench.hosts import Hosts, WrongResult, certificate_names, dns_name
from bench.measure import Finished, check_changed, check_unchanged, measure
from bench.rollover import wanted
from bench.scenarios import VENV
from fleet.fleet import FleetError
from fleet.podman import PodmanError
from tools import paths
from tools.playbook import ansible_environment, playbook_command

GUARDED = 8443
MOST = 1.3
PING, DEPLOY = "ping", "deploy"
HEAD = "| median of {0} rounds | {1} | {2} | × ping | CPU seconds, {1} | CPU seconds, {2} | × ping | largest process | target |"


class Deployment:
    """Hosts with certificates, trust, session ticket keys, sites of nginx and an mTLS client that visits its own host.

    :param settings: environment variables of Ansible's that are not as usual.
    """

    def __init__(
        self, hosts: Hosts, certificates: int, venv: str = VENV, settings: Mapping[str, str] | None = None
    ) -> None:
        self.hosts = hosts
        self.certificates = certificates
        self.venv = venv
        self.environment = ansible_environment(venv, {**hosts.environment, **(settings or {})})
        self.inventory = hosts.folder / "deployment.yml"

    def prepare(self) -> None:
        """Everything for the first time; the second run is the first that knows its hosts."""
        entries = self.hosts.fleet.host_vars()
        for host, values in entries.items():
            values.update(everything(host, self.certificates))
        document = {"all": {"hosts": entries, "vars": self.hosts.shared()}}
        self.inventory.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        check_changed(self.run(), self.hosts.names)
        check_unchanged(self.run(), self.hosts.names)

    def run(self, *args: str) -> Finished:
        """The playbook on all hosts."""
        return self.measured(playbook_command("fleet.tls.deploy", self.inventory, args=args, venv=self.venv))

    def measured(self, command: Sequence[str]) -> Finished:
        """A command, run and timed."""
        return measure(command, self.environment)

    def unchanged(self) -> Finished:
        """The same, with nothing to do."""
        done = self.run()
        check_unchanged(done, self.hosts.names)
        return done

    def ping(self) -> Finished:
        """A ping of all hosts."""
        program = str(paths.venv(self.venv) / "bin" / "ansible")
        return self.measured([program, "-i", str(self.inventory), "all", "-m", "ansible.builtin.ping"])


def everything(host: str, certificates: int) -> dict[str, Any]:
    """The variables of a host."""
    first, last = certificate_names(certificates)[0], "client"
    known = wanted(host, certificates)
    name = dns_name(host, first)
    known["tls_certificates"].append(
        {"name": last, "issuer": "internal", "dns_names": [dns_name(host, last)], "usages": ["client_auth"]}
    )
    known["tls_sites"].append(
        {
            "name": "guarded",
            "server_names": [name],
            "certificate": first,
            "listen": GUARDED,
            "root": "/var/www/html",
            "client_auth": "required",
        }
    )
    endpoint = {"host": "127.0.0.1", "port": GUARDED, "server_name": name}
    client = {"certificate": last, "bundle": {"path": "/etc/client-ca.pem"}, "endpoints": [endpoint]}
    return {**known, "tls_session_tickets": True, "tls_clients": [client]}


def arguments(kind: str, about: str) -> argparse.Namespace:
    """The command line of a benchmark that deploys.

    :param kind: its name.
    :param about: what it says of itself, in a line.
    """
    parser = argparse.ArgumentParser(prog=f"./dev bench {kind}", description=about)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--certificates", type=int, default=4, help="of each host, besides that of its client")
    parser.add_argument("--quick", action="store_true", help="one round on two hosts: to see that all of it works")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.hosts = 1, 2
    if min(options.rounds, options.hosts, options.certificates) < 1:
        parser.error("--rounds, --hosts and --certificates are at least 1")
    return options


def table(runs: Mapping[str, list[Finished]], title: str) -> str:
    """What was measured, as a Markdown table: medians, and how they compare."""
    seconds = {name: median(each.seconds for each in found) for name, found in runs.items()}
    cpu = {name: median(each.cpu for each in found) for name, found in runs.items()}
    ratio = seconds[DEPLOY] / seconds[PING]
    largest = max(each.largest for each in runs[DEPLOY]) / 1_000_000
    cells = [
        title,
        *(f"{seconds[name]:.2f} s" for name in (PING, DEPLOY)),
        f"{ratio:.2f}",
        *(f"{cpu[name]:.2f}" for name in (PING, DEPLOY)),
        f"{cpu[DEPLOY] / cpu[PING]:.2f}",
        f"{largest:.0f} MB",
        f"≤ {MOST} × ping: {'met' if ratio <= MOST else '**not met**'}",
    ]
    head = HEAD.format(len(runs[DEPLOY]), PING, "deploy, nothing to do")
    return "\n".join([head, "| --- " * len(cells) + "|", f"| {' | '.join(cells)} |"])


def main() -> int:
    """Measure and print."""
    options = arguments("deploy", __doc__.partition("\n")[0])
    hosts = Hosts(options.hosts)
    runs: dict[str, list[Finished]] = {PING: [], DEPLOY: []}
    try:
        hosts.up()
        deployment = Deployment(hosts, options.certificates)
        deployment.prepare()
        for number in range(options.rounds):
            runs[PING].append(deployment.ping())
            runs[DEPLOY].append(deployment.unchanged())
            shown = ", ".join(f"{name} {found[-1].seconds:.2f} s" for name, found in runs.items())
            print(f"round {number + 1}: {shown}", file=sys.stderr, flush=True)
        print(
            table(
                runs, f"{options.hosts} hosts × {options.certificates + 1} certificates, sites, trust, tickets, client"
            )
        )
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
