# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``./dev demo``: the main job on a small fleet of this machine's, shown step by step.

Three nginx processes of the demo's own on loopback addresses and high ports, and one mTLS client. Everything lies below
.dev/demo and needs no root. The inventory written there is one you can read, and run ansible-playbook on, while the demo runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator

from demo import handshakes
from demo.local_fleet import LocalFleet
from tools import paths
from tools.playbook import PlaybookResult, run_playbook

FOLDER = paths.DEV / "demo"


def main() -> int:
    """Run the demo; the exit status is 0 when everything that it claims was so."""
    parser().parse_args()
    if shutil.which("nginx", path=paths.tool_path()) is None:
        print("nginx is missing; as root run: apt-get install --yes nginx-light", file=sys.stderr)
        return 2
    started = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    with LocalFleet(FOLDER) as fleet:
        steps = Demo(fleet)
        good = steps.first_run() & steps.second_run() & steps.rotation() & steps.mutual_tls() & steps.expiry()
        issued_and_served = steps.summary()
    print(f"\n{time.monotonic() - started:.0f} s. Inventory, CA and hosts of the demo: {os.path.relpath(FOLDER)}")
    if not (good and issued_and_served):
        print("The demo did not show what it should have shown.", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line: no options, but a word on what will be done."""
    return argparse.ArgumentParser(
        prog="./dev demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""Runs fleet.tls.deploy and fleet.tls.check on three nginx processes and one mTLS client of this machine:

  1. first run: an internal CA, a certificate for each host, nginx configured, all proven
  2. second run: nothing is due, nothing changes
  3. all keys and certificates replaced while requests go on, none of which may fail
  4. a client gets in with its certificate, and not without one
  5. the expiry of every certificate, on disk and served

It takes about half a minute and needs no root. The servers listen on loopback addresses and end with the demo; all files are
below .dev/demo. The exit status is 0 only when everything went as described.""",
    )


class Demo:
    """The steps, each printing what it did and returning whether it went as promised."""

    def __init__(self, fleet: LocalFleet) -> None:
        self.fleet = fleet

    def play(self, playbook: str, *arguments: str) -> tuple[PlaybookResult, float]:
        """Run a playbook of the collection and time it."""
        print(f"$ ansible-playbook -i inventory.yml {' '.join([playbook, *arguments])}")
        start = time.monotonic()
        result = run_playbook(playbook, self.fleet.inventory, args=arguments)
        return result, time.monotonic() - start

    def first_run(self) -> bool:
        """Issue, install, configure, prove."""
        heading("1. First run: an internal CA, a certificate for each host, nginx configured, all proven")
        result, seconds = self.play("fleet.tls.deploy")
        print(result.stdout if result.rc else recap(result, seconds))
        if result.rc:
            return False
        for name, entry in self.fleet.certificates(result).items():
            names = ", ".join([*entry["dns_names"], *entry["uris"]])
            print(
                f"  {name:8} {entry['issuer']}  {short(entry['fingerprint_sha256'])}  until {entry['not_after']}  {names}"
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
        with_certificate = self.fleet.request_as_client(present_certificate=True)
        without = self.fleet.request_as_client(present_certificate=False)
        print(f"  with its certificate:    {with_certificate}")
        print(f"  without a certificate:   {without}")
        return " 200 " in with_certificate and " 200 " not in without

    def expiry(self) -> bool:
        """The table of all certificates."""
        heading("5. Expiry of every certificate, on disk and served")
        result, _seconds = self.play("fleet.tls.check")
        print("\n".join(f"  {line}" for line in self.fleet.table(result)) or result.stdout)
        return result.rc == 0

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
