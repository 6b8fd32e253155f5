# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it takes until all that a leaked CA signed is replaced, served and trusted no more, by how much there is; run by ./dev bench compromise.

Each host is a directory of this machine with an nginx of its own, which serves all its certificates. Says how fast, never fails for slowness:
the exit status is 1 only when a run did not do its job.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.append(os.environ["FLEET_TLS_COLLECTIONS"])

from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from bench.due import versions
from bench.hosts import WrongResult
from bench.measure import Finished, check_changed, check_unchanged, measure
from bench.scale import sizes
from tools.playbook import ansible_environment, controller, playbook_command
from tools.ports import free_port

DEPLOY, REPLACE = "deploy, nothing to do", "replace_compromised, the CA"
HEAD = "| hosts × certificates | {0} | {1} | × deploy | a certificate | CPU seconds | CPU, a certificate | largest process |"
AT_ONCE = 16


class ServedHost:
    """A host whose nginx serves so many certificates, by name, at one port."""

    def __init__(self, name: str, folder: Path, certificates: int) -> None:
        self.name, self.folder = name, folder
        self.nginx = NginxService(folder / "nginx")
        self.port = free_port()
        self.names = {f"www{number}": f"www{number}.{name}.example.com" for number in range(certificates)}

    def variables(self) -> dict[str, object]:
        """What the inventory says about it."""
        return {
            "tls_directory": str(self.folder / "fleet-tls"),
            "tls_certificates": [
                {"name": name, "issuer": "internal", "dns_names": [dns_name]} for name, dns_name in self.names.items()
            ],
            "tls_sites": [
                {"name": name, "server_names": [dns_name], "certificate": name, "root": "/srv", "listen": [f"127.0.0.1:{self.port}"]}
                for name, dns_name in self.names.items()
            ],
            "tls_nginx_directory": str(self.nginx.folder),
            "tls_nginx_service": self.nginx.described(),
        }  # fmt: skip

    def check(self, context: ssl.SSLContext) -> None:
        """:raises OSError: one of its certificates is not served, or does not lead where it has to."""
        for name in self.names.values():
            with socket.create_connection(("127.0.0.1", self.port), timeout=60) as plain:
                context.wrap_socket(plain, server_hostname=name).close()


class ServedFleet:
    """So many of them, with one CA."""

    def __init__(self, folder: Path, hosts: int, certificates: int, forks: int) -> None:
        self.folder, self.inventory = folder, folder / "inventory.json"
        self.hosts = [ServedHost(name, folder / name, certificates) for name in (f"web{n:03}" for n in range(hosts))]
        self.environment = ansible_environment(controller(), {"ANSIBLE_FORKS": str(forks)})
        shared = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "tls_store": {"path": str(folder / "store"), "passphrase": secrets.token_urlsafe(24)},
            "tls_issuers": {"internal": {"type": "ca"}},
            "tls_trust_system": False,
            "tls_prove_timeout": "300s",
        }
        document = {"all": {"vars": shared, "hosts": {host.name: host.variables() for host in self.hosts}}}
        self.inventory.write_text(json.dumps(document), encoding="utf-8")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """With everything issued and served."""
        with contextlib.ExitStack() as stack:
            for host in self.hosts:
                stack.enter_context(host.nginx)
            check_changed(self.playbook("deploy"), self.names)
            self.playbook("deploy")
            self.check("root-1.pem")
            yield

    @property
    def names(self) -> list[str]:
        """Of the hosts."""
        return [host.name for host in self.hosts]

    def playbook(self, name: str, *options: str) -> Finished:
        """A playbook of the collection on all hosts."""
        command = playbook_command("fleet.tls." + name, self.inventory, args=options, venv=controller())
        return measure(command, self.environment)

    def check(self, root: str) -> None:
        """Everything is served, and leads to that root alone.

        :raises WrongResult: one does not.
        """
        context = ssl.create_default_context(cafile=str(self.folder / "store/ca/internal" / root))
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda host: host.check(context), self.hosts))
        except OSError as error:
            raise WrongResult(f"not everything is served from {root}: {error}") from error

    def measured(self) -> dict[str, Finished]:
        """A deployment with nothing to do, and the replacement.

        :raises WrongResult: one of them did something else.
        """
        done = {DEPLOY: self.playbook("deploy")}
        check_unchanged(done[DEPLOY], self.names)
        done[REPLACE] = self.playbook("replace_compromised", "-e", "tls_compromised_issuer=internal")
        check_changed(done[REPLACE], self.names)
        self.check("root-2.pem")
        check_unchanged(self.playbook("deploy"), self.names)
        return done


def row(fleet: ServedFleet, done: Mapping[str, Finished]) -> str:
    """What was measured, as a line of a Markdown table."""
    each, count = len(fleet.hosts[0].names), sum(len(host.names) for host in fleet.hosts)
    plain, whole = done[DEPLOY], done[REPLACE]
    cells = [
        f"{len(fleet.hosts)} × {each} = {count}",
        f"{plain.seconds:.1f} s",
        f"{whole.seconds:.1f} s",
        f"{whole.seconds / plain.seconds:.1f}",
        f"{whole.seconds / count:.3f} s",
        f"{whole.cpu:.1f}",
        f"{whole.cpu / count:.3f}",
        f"{whole.largest / 1_000_000:.0f} MB",
    ]
    return f"| {' | '.join(cells)} |"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev bench compromise", description=__doc__.partition("\n")[0])
    parser.add_argument("--hosts", type=sizes, default=[5, 25, 50], help="sizes of fleets, such as 5,50")
    parser.add_argument("--certificates", type=int, default=20, help="of each host")
    parser.add_argument("--forks", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="two hosts with two each: to see that all of it works")
    options = parser.parse_args()
    if options.quick:
        options.hosts, options.certificates = [2], 2
    if min(*options.hosts, options.certificates, options.forks) < 1:
        parser.error("--hosts, --certificates and --forks are at least 1")
    return options


def main() -> int:
    """Measure and print."""
    options = arguments()
    lines = [HEAD.format(DEPLOY, REPLACE), "| --- " * 8 + "|"]
    try:
        for hosts in options.hosts:
            with tempfile.TemporaryDirectory(prefix="fleet-tls-compromise-") as folder:
                fleet = ServedFleet(Path(folder), hosts, options.certificates, options.forks)
                with fleet.running():
                    lines.append(row(fleet, fleet.measured()))
            print(lines[-1], file=sys.stderr, flush=True)
    except WrongResult as error:
        print(f"bench: {error}", file=sys.stderr, flush=True)
        return 1
    print("\n".join([*lines, "", versions()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
