# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``./dev demo``: the main job on a small fleet of this machine's, shown step by step.

Three nginx processes of the demo's own on loopback addresses and high ports, and one mTLS client. Everything lies below
.dev/demo and needs no root. You can read the inventory there, and run ansible-playbook on it, while the demo runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import ssl
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

from demo import handshakes
from demo.local_fleet import POOL, POOL_HOSTS, LocalFleet
from tools import paths
from tools.playbook import PlaybookResult, run_playbook

FOLDER = paths.DEV / "demo"
# What a demo has made, and the next one may delete.
INVENTORY = "inventory.yml"
DIAGRAMS = Path(__file__).with_name("handshakes.yml")


def main() -> int:
    """Run the demo. The exit status is 0 when everything went as it claims."""
    folder = parser().parse_args().folder
    if shutil.which("nginx", path=paths.tool_path()) is None:
        print("nginx is missing; as root run: apt-get install --yes nginx-light", file=sys.stderr)
        return 2
    if folder.exists() and any(folder.iterdir()) and not (folder / INVENTORY).exists():
        print(f"{folder} has files that no demo made; name a folder that is empty or does not exist", file=sys.stderr)
        return 2
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    with LocalFleet(folder) as fleet, ThreadPoolExecutor(1) as executor:
        demo = Demo(fleet, executor)
        steps = (
            demo.first_run,
            demo.second_run,
            demo.rotation,
            demo.mutual_tls,
            demo.expiry,
            demo.decoded_handshakes,
            demo.ticket_rotation,
            demo.summary,
        )
        # All of them, whatever the first ones showed.
        shown = [step() for step in steps]
    print(f"\n{time.monotonic() - started:.0f} s. Inventory, CA and hosts of the demo: {os.path.relpath(folder)}")
    if not all(shown):
        print("The demo did not show what it should have shown.", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line, with a description of the steps."""
    result = argparse.ArgumentParser(
        prog="./dev demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""Runs the playbooks of fleet.tls on three nginx processes and one mTLS client on this machine:

  1. first run: an internal CA, a certificate for web1 and one that web2 and web3 share, nginx configured, all proven
  2. second run: nothing is due, nothing changes
  3. all keys and certificates replaced while requests go on, none of which may fail
  4. a client gets in with its certificate, and not without one
  5. the expiry of every certificate, on disk and served
  6. a one-way, a mutual and a resumed handshake, decoded and drawn
  7. a session of web2 is resumed on web3, before and after a rotation of their session ticket keys

It takes about half a minute and needs no root. The servers listen on loopback addresses and end with the demo. All files are
below .dev/demo. The exit status is 0 only if everything went as described.""",
    )
    result.add_argument("--folder", type=Path, default=FOLDER, help="where to put everything; replaced if it exists")
    return result


class Demo:
    """The steps, each printing what it did and returning whether it went as promised."""

    def __init__(self, fleet: LocalFleet, executor: Executor) -> None:
        self.fleet = fleet
        self.executor = executor
        self.diagrams: Future[PlaybookResult] | None = None

    def play(self, playbook: str, *arguments: str) -> tuple[PlaybookResult, float]:
        """Run a playbook of the collection and time it."""
        print(f"$ ansible-playbook -i inventory.yml {' '.join([playbook, *arguments])}")
        start = time.monotonic()
        result = run_playbook(playbook, self.fleet.inventory, args=arguments)
        return result, time.monotonic() - start

    def first_run(self) -> bool:
        """Issue, install, configure, prove."""
        heading("1. First run: an internal CA, certificates, nginx configured, all proven")
        result, seconds = self.play("fleet.tls.deploy")
        print(result.stdout if result.rc else recap(result, seconds))
        if result.rc:
            return False
        for (host, _name), entry in sorted(self.fleet.certificates(result).items()):
            names = ", ".join([*entry["dns_names"], *entry["uris"]])
            print(
                f"  {host:8} {entry['issuer']}  {short(entry['fingerprint_sha256'])}  until {entry['not_after']}  {names}"
            )
        return True

    def second_run(self) -> bool:
        """Nothing is due."""
        heading("2. Second run: nothing is due, nothing changes, no CA key is read")
        result, seconds = self.play("fleet.tls.deploy")
        print(result.stdout if result.rc else recap(result, seconds))
        return result.rc == 0 and result.changed == 0

    def rotation(self) -> bool:
        """New keys and certificates while requests go on."""
        heading("3. Forced rotation of all keys and certificates, under requests")
        before = self.fleet.served()
        with handshakes.storm(self.fleet.sites(), self.fleet.root_certificate) as storm:
            result, seconds = self.play("fleet.tls.deploy", "-e", "tls_force=true")
        after = self.fleet.served()
        print(result.stdout if result.rc else recap(result, seconds))
        for name in before:
            print(f"  {name:8} {short(before[name])} -> {short(after[name])}")
        print(f"  {storm.done} requests meanwhile, each with a handshake of its own: {len(storm.failed)} failed")
        for failure in storm.failed[:3]:
            print(f"    {failure}")
        rotated = all(before[name] != after[name] for name in before)
        return result.rc == 0 and rotated and storm.done > 0 and not storm.failed

    def mutual_tls(self) -> bool:
        """The client's certificate opens what is closed without it."""
        heading("4. The mTLS client, against a site of web1's that demands a client certificate")
        self.fleet.demand_client_certificates()
        with_certificate = self.fleet.request_as_client(present_certificate=True)
        without = self.fleet.request_as_client(present_certificate=False)
        print(f"  with its certificate:    {with_certificate}")
        print(f"  without a certificate:   {without}")
        return " 200 " in with_certificate and " 200 " not in without

    def expiry(self) -> bool:
        """The table of all certificates."""
        heading("5. Expiry of every certificate, on disk and served")
        # Both only look, and the second processor has nothing else to do.
        shutil.copy(DIAGRAMS, self.fleet.folder)
        self.diagrams = self.executor.submit(run_playbook, self.fleet.folder / DIAGRAMS.name, self.fleet.inventory)
        result, _seconds = self.play("fleet.tls.check")
        print("\n".join(f"  {line}" for line in self.fleet.table(result)) or result.stdout)
        return result.rc == 0

    def decoded_handshakes(self) -> bool:
        """What goes over the wire, drawn by the collection's own filter."""
        heading("6. Handshakes decoded: one-way, mutual, and resumed on another node")
        print(f"$ ansible-playbook -i inventory.yml {DIAGRAMS.name}")
        if self.diagrams is None:
            return False
        result = self.diagrams.result()
        if result.rc:
            print(result.stdout)
        drawn = {each["task"]: each["result"]["msg"] for each in result.task_results if "msg" in each["result"]}
        for title, lines in drawn.items():
            print("\n".join(["", f"  {title}", *(f"  {line}" for line in lines)]))
        verdicts = ["".join(line for line in lines if line.startswith("=> complete")) for lines in drawn.values()]
        wanted = ("full handshake, one-way", "full handshake, mutual", "resumed by ticket")
        return len(verdicts) == len(wanted) and all(want in got for want, got in zip(wanted, verdicts))

    def ticket_rotation(self) -> bool:
        """A session moves between nodes that share their ticket keys, and survives a rotation of the keys."""
        heading("7. Session tickets: begun on web2, resumed on web3, before and after a rotation of their keys")
        client = ssl.create_default_context(cafile=str(self.fleet.root_certificate))
        first, second = (self.fleet.sites()[name] for name in POOL_HOSTS)

        def resumed(when: str, session: ssl.SSLSession | None) -> bool:
            answer = session is not None and handshakes.visit(second, client, session)[0]
            print(f"  {when + ':':30} {'resumed' if answer else 'NOT resumed'}")
            return answer

        old = self.rings()
        before = resumed("before the rotation", handshakes.visit(first, client)[1])
        time.sleep(max(0.0, self.fleet.next_rotation() - time.time() + 0.1))
        # On a slow machine, a session from before the run is too old at its end. So the youngest one under the old key is taken.
        with handshakes.sessions_while(
            lambda: self.fleet.ring(POOL_HOSTS[0]) == old[POOL_HOSTS[0]], first, client
        ) as begun:
            result, seconds = self.play("fleet.tls.rotate_session_tickets", "--limit", POOL)
        print(result.stdout if result.rc else recap(result, seconds))
        new = self.rings()
        across = resumed("begun before, resumed after it", begun.last)
        after = resumed("after the rotation", handshakes.visit(first, client)[1])
        one_step = all(ring[:2] == old[name][1:] for name, ring in new.items()) and new["web2"] == new["web3"]
        return result.rc == 0 and before and across and after and one_step

    def rings(self) -> dict[str, list[str]]:
        """The names of the session ticket keys that each node of the pool has; printed."""
        rings = {name: self.fleet.ring(name) for name in POOL_HOSTS}
        for name, (previous, current, coming) in rings.items():
            print(f"  {name:8} previous {previous[:12]}  current {current[:12]}  next {coming[:12]}")
        return rings

    def summary(self) -> bool:
        """What the ledger issued last against what is served now."""
        heading("Issued (ledger) and served (handshake)")
        issued, served = self.fleet.issued(), self.fleet.served()
        for name, fingerprint in served.items():
            mark = "equal" if issued.get(name) == fingerprint else "DIFFERENT"
            print(f"  {name:8} issued {short(issued.get(name, 'nothing'))}  served {short(fingerprint)}  {mark}")
        equal = sum(issued.get(name) == fingerprint for name, fingerprint in served.items())
        print(f"  {equal} of {len(served)} served fingerprints equal the issued ones")
        return equal == len(served) == 3


def heading(text: str) -> None:
    """A step's title."""
    print(f"\n== {text}", flush=True)


def short(fingerprint: str) -> str:
    """Enough of a fingerprint to compare by eye."""
    return fingerprint[:24]


def recap(result: PlaybookResult, seconds: float) -> str:
    """The play recap in one line a host."""
    lines = [
        f"  {host:8} ok={stats['ok']} changed={stats['changed']} failed={stats['failures']}"
        for host, stats in sorted(result.stats.items())
    ]
    return "\n".join([*lines, f"  {seconds:.1f} s"])


@contextlib.contextmanager
def quiet_interrupt() -> Iterator[None]:
    """Ctrl-C ends the demo without a traceback; nginx is stopped on the way."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    with quiet_interrupt():
        sys.exit(main())
