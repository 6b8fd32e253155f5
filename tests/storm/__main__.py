# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``./dev storm``: everything that can be rotated is, under a storm of handshakes, and what became of every one of them is counted.

Exit status 0: no good client failed, no bad one got in, sessions were resumed. 1: something of that was not so. 2: it cannot run here.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

from fleet.podman import why_not
from storm.clients import Crowd
from storm.events import BREAKS, Event, schedule
from storm.table import Row, problems, table
from storm.world import LIFETIME, World, world
from tools import paths

FOLDER = paths.DEV / "storm"
HANDSHAKES = 20000
# A storm goes on for so long after a playbook has ended.
AFTERWARDS = 3


def main() -> int:
    """Run it."""
    options = arguments()
    reason = why_not()
    if reason:
        print(f"storm: {reason}", file=sys.stderr)
        return 2
    events = [each for each in schedule(options.wrong) if not options.only or each.name in options.only]
    begun = time.monotonic()
    print("setting up: two nodes each of nginx, Apache and HAProxy, and clients", flush=True)
    with world(FOLDER) as made:
        told = versions(made)
        with crowd(made) as clients:
            rows = [row for event in events for row in passed(event, made, clients, options.handshakes / len(events))]
            samples = clients.samples()
    print(f"\n{table(rows)}\n\n{told}\n{time.monotonic() - begun:.0f} s with the setting up.\n")
    wrong = problems(rows, options.handshakes)
    for line in [*wrong, *samples]:
        print(line)
    print("FAILED" if wrong else "PASSED: no handshake failed, nobody was let in wrongly, and sessions went on")
    return 1 if wrong else 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev storm", description="Rotate everything under a storm of handshakes.")
    names = [event.name for event in schedule()]
    parser.add_argument("--handshakes", type=int, default=HANDSHAKES, help="at least, on each kind of server")
    parser.add_argument("--only", nargs="+", choices=names, metavar="EVENT", help=f"of {', '.join(names)}")
    parser.add_argument(
        "--wrong", choices=BREAKS, default="",
        help="do it wrong, and see it fail: a node of each kind keeps its old ring, or the new CA issues before it is trusted",
    )  # fmt: skip
    return parser.parse_args()


@contextlib.contextmanager
def crowd(made: World) -> Iterator[Crowd]:
    """The clients, until the end."""
    clients = Crowd(made.plans())
    try:
        yield clients
    finally:
        clients.end()


def passed(event: Event, made: World, clients: Crowd, least: float) -> list[Row]:
    """An event: its rows, as soon as each kind of server has had its handshakes."""
    if event.name.startswith("tickets"):
        made.wait_for_interval()
    clients.tell("event", event.name)
    # Clients have sessions before it begins.
    await_handshakes(clients, event, 50)
    begun = time.monotonic()
    result = event.work(made, clients)
    seconds = time.monotonic() - begun
    if result.rc != 0:
        print(f"{event.title}: the playbook failed\n{result.stdout[-6000:]}{result.stderr[-2000:]}", flush=True)
    time.sleep(AFTERWARDS)
    counts = await_handshakes(clients, event, math.ceil(least))
    rows = [Row(event.name, event.title, kind, of(event, mine), seconds, result.rc) for kind, mine in counts.items()]
    for row in rows:
        print("  ".join(row.cells()), flush=True)
    return rows


def of(event: Event, counts: Counter[tuple[str, str]]) -> dict[str, int]:
    """What was counted under an event."""
    return {what: count for (name, what), count in counts.items() if name == event.name}


def await_handshakes(clients: Crowd, event: Event, least: int) -> dict[str, Counter[tuple[str, str]]]:
    """Until each kind of server has had so many under this event."""
    while True:
        counts = clients.counts()
        if all(mine[event.name, "handshakes"] >= least for mine in counts.values()):
            return counts
        time.sleep(0.5)


def versions(made: World) -> str:
    """The machine, and what runs on it."""
    ask = "nginx -v 2>&1; apache2 -v | head -1; haproxy -v | head -1; openssl version"
    hosts = made.fleet.exec("nginx1", ["sh", "-c", ask]).stdout.split("\n")
    run = [sys.executable, "-c", "import ansible.release as a; print(a.__version__)"]
    core = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"Sessions live {LIFETIME} s. {os.cpu_count()} CPUs for clients, controller and servers; controller: Python {python},"
        f" ansible-core {core}; nodes: {', '.join(line.strip() for line in hosts if line.strip())}."
    )


if __name__ == "__main__":
    sys.exit(main())
