# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the first certificates by ACME take, beside certbot and lego with the same names and the same CA (Pebble); run by ./dev bench acme.

Each host is an address of loopback. certbot and lego run on all hosts at the same time, a certificate after the other on each, with an account
that they have had before, and answer the challenges themselves. Ours answers them as the server roles do. Says how fast, never fails for
slowness: the exit status is 1 only when a run did not do its job.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.append(os.environ["FLEET_TLS_COLLECTIONS"])

from acme_servers import pebble
from acme_servers.hosts import STATELESS
from acme_servers.pebble import Pebble
from acme_servers.servers import make_pair, process
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from bench.due import versions
from bench.hosts import WrongResult
from bench.local_hosts import variables
from bench.measure import check_changed, measure
from local import nginx
from tools import paths
from tools.playbook import ansible_environment, controller, playbook_command
from tools.ports import free_port

OURS, CERTBOT, LEGO = "fleet.tls.deploy", "certbot", "lego"
LEAST = 5
HEAD = "| median of {0} rounds | seconds | a certificate | × ours | target |"


class Contest:
    """So many hosts with so many names each, and a CA that validates them."""

    def __init__(self, folder: Path, ca: Pebble, hosts: int, certificates: int) -> None:
        self.folder, self.ca = folder, ca
        self.addresses = {f"web{number}": f"127.0.0.{number + 1}" for number in range(1, hosts + 1)}
        self.certificates = [f"www{number}" for number in range(certificates)]

    def names(self, host: str) -> list[str]:
        """The DNS names of a host, one a certificate."""
        return [f"{each}.{host}.example.com" for each in self.certificates]

    @property
    def count(self) -> int:
        """How many certificates there are to issue."""
        return len(self.addresses) * len(self.certificates)

    def timed(self, issue: Callable[[], None]) -> float:
        """Seconds until all are issued.

        :raises WrongResult: the CA has not issued that many.
        """
        before, begin = self.ca.certificates, time.monotonic()
        issue()
        seconds = time.monotonic() - begin
        issued = self.ca.certificates - before
        if issued != self.count:
            raise WrongResult(f"{issued} certificates were issued in place of {self.count}")
        return seconds

    def round(self, folder: Path) -> Iterator[tuple[str, float]]:
        """Each of the contestants once, from nothing: its name and its seconds."""
        for each in (OURS, CERTBOT, LEGO):
            (folder / each).mkdir(parents=True)
        yield OURS, self.ours(folder / OURS)
        yield CERTBOT, self.theirs(self.certbot, folder / CERTBOT)
        yield LEGO, self.theirs(self.lego, folder / LEGO)

    def ours(self, folder: Path) -> float:
        """A deployment by the collection to hosts that have nothing yet."""
        issuer = {
            "type": "acme",
            "directory_url": self.ca.directory_url,
            "ca_certificate": str(self.ca.pair.root),
            "anchors": self.ca.root(),
            "terms_agreed": True,
            "challenge": {"type": "http-01", "check_address": f"{self.addresses['web1']}:{self.ca.http_port}"},
        }
        shared = variables(folder, {"internal": issuer}, self.certificates)
        inventory = folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"vars": shared, "hosts": dict.fromkeys(self.addresses, {})}}))
        (public,) = load_issuers({"internal": issuer}, load_store(shared["tls_store"])).values()
        public.prepare(dt.datetime.now(dt.timezone.utc))
        (thumbprint,) = public.thumbprints()
        blocks = STATELESS.format(port=self.ca.http_port, thumbprint=thumbprint)
        answers = "".join(blocks.replace("127.0.0.1", each) for each in ("127.0.0.1", *self.addresses.values()))
        with nginx.running(folder / "answers", answers, self.ca.http_port):
            command = playbook_command("fleet.tls.deploy", inventory, venv=controller())
            return self.timed(
                lambda: check_changed(measure(command, ansible_environment(controller())), self.addresses)
            )

    def theirs(self, program: Callable[[Path, str], list[list[str]]], folder: Path) -> float:
        """Commands on all hosts at the same time, one after the other on each; the first of them is not counted: it makes the account.

        :raises WrongResult: one of them failed; with its own words.
        """
        orders = {host: program(folder / host, host) for host in self.addresses}
        for host, (account, *_rest) in orders.items():
            (folder / host).mkdir()
            self.call(account)

        def issue() -> None:
            with ThreadPoolExecutor(len(orders)) as pool:
                list(pool.map(lambda mine: [self.call(each) for each in mine[1:]], orders.values()))

        return self.timed(issue)

    def call(self, command: Sequence[str]) -> None:
        """:raises WrongResult: the command failed."""
        root = str(self.ca.pair.root)
        environment = {**os.environ, "REQUESTS_CA_BUNDLE": root, "LEGO_CA_CERTIFICATES": root}
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # fmt: skip
        if done.returncode != 0:
            raise WrongResult(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    def certbot(self, folder: Path, host: str) -> list[list[str]]:
        """Its command lines on a host."""
        program = [str(paths.venv("certbot") / "bin" / "certbot")]
        places = [f"--{kind}-dir={folder}/{kind}" for kind in ("config", "work", "logs")]
        common = [*places, "--server", self.ca.directory_url, "--non-interactive", "--agree-tos"]
        listen = [f"--http-01-address={self.addresses[host]}", f"--http-01-port={self.ca.http_port}"]
        issue = [*program, "certonly", "--standalone", *common, *listen, "--key-type", "ecdsa", "--domain"]
        account = [*program, "register", *common, "--register-unsafely-without-email"]
        return [account, *([*issue, name] for name in self.names(host))]

    def lego(self, folder: Path, host: str) -> list[list[str]]:
        """Its command lines on a host; it makes the account with the first certificate, which is of a name of its own."""
        common = ["lego", "--server", self.ca.directory_url, "--accept-tos", "--email", "admin@example.com"]
        common += ["--path", str(folder), "--key-type", "ec256", "--http"]
        common += ["--http.port", f"{self.addresses[host]}:{self.ca.http_port}"]
        return [[*common, "--domains", name, "run"] for name in (f"{host}.example.com", *self.names(host))]


@contextlib.contextmanager
def name_server(folder: Path, known: dict[str, str]) -> Iterator[str]:
    """A DNS server that knows these names by these addresses; its own address and port."""
    port, management = free_port(), free_port()
    off = [f"-{each}=" for each in ("http01", "https01", "tlsalpn01", "defaultIPv6", "defaultIPv4")]
    command = ["pebble-challtestsrv", f"-dns01=127.0.0.1:{port}", f"-management=127.0.0.1:{management}", *off]
    with process(command, folder / "challtestsrv.log", management):
        for name, address in known.items():
            body = json.dumps({"host": f"{name}.", "addresses": [address]}).encode()
            urllib.request.urlopen(f"http://127.0.0.1:{management}/add-a", data=body, timeout=60).close()
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def contest(folder: Path, hosts: int, certificates: int) -> Iterator[Contest]:
    """Pebble, which validates every name anew, with its DNS."""
    pair = make_pair(folder / "pair")
    known = Contest(folder, None, hosts, certificates)  # type: ignore[arg-type]
    names = {
        name: address
        for host, address in known.addresses.items()
        for name in (f"{host}.example.com", *known.names(host))
    }
    with (
        name_server(folder, names) as dns,
        pebble.running(folder / "pebble", pair, dns=dns, env={"PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"}) as ca,
    ):  # fmt: skip
        yield Contest(folder, ca, hosts, certificates)


def table(times: dict[str, list[float]], count: int, title: str) -> str:
    """What was measured, as a Markdown table."""
    seconds = {name: median(values) for name, values in times.items()}
    faster = min(seconds[CERTBOT], seconds[LEGO])
    lines = [HEAD.format(len(times[OURS])) + f" {title} |", "| --- " * 6 + "|"]
    for name, each in seconds.items():
        ratio = faster / seconds[OURS]
        target = f"≥ {LEAST} × the faster one: {ratio:.1f}, {'met' if ratio >= LEAST else '**not met**'}"
        cells = [name, f"{each:.1f}", f"{each / count:.2f}", f"{each / seconds[OURS]:.1f}", target if name == OURS else ""]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} | |")
    return "\n".join(lines)


def theirs() -> str:
    """The versions of the others."""
    commands = [[str(paths.venv("certbot") / "bin" / "certbot"), "--version"], ["lego", "--version"]]
    found = [subprocess.run(each, capture_output=True, text=True, check=True).stdout.strip() for each in commands]
    return ", ".join(found)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev bench acme", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--certificates", type=int, default=10, help="of each host")
    parser.add_argument("--quick", action="store_true", help="one round, two hosts with two each: to see that all of it works")  # fmt: skip
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.hosts, options.certificates = 1, 2, 2
    if not (min(options.rounds, options.hosts, options.certificates) >= 1 and options.hosts <= 200):
        parser.error("--rounds, --hosts (up to 200) and --certificates are at least 1")
    return options


def main() -> int:
    """Measure and print."""
    options = arguments()
    times: dict[str, list[float]] = {OURS: [], CERTBOT: [], LEGO: []}
    try:
        with tempfile.TemporaryDirectory(prefix="fleet-tls-acme-") as made:
            with contest(Path(made), options.hosts, options.certificates) as all_of_it:
                for number in range(options.rounds):
                    for name, seconds in all_of_it.round(Path(made) / str(number)):
                        times[name].append(seconds)
                        print(f"round {number + 1}: {name} {seconds:.1f} s", file=sys.stderr, flush=True)
                count = all_of_it.count
    except WrongResult as error:
        print(f"bench: {error}", file=sys.stderr, flush=True)
        return 1
    print(table(times, count, f"{options.hosts} hosts × {options.certificates} certificates"))
    print(f"\n{theirs()}. {versions()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
