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
from collections.abc import Callable, Iterator

from fleet.podman import why_not
from storm.crowd import Crowd
from storm.events import BREAKS, Event, schedule
from storm.notes import Report
from storm.table import Row, problems, table, there
from storm.world import LIFETIME, World, world
from tools import paths

FOLDER = paths.DEV / "storm"
HANDSHAKES = 20000
# A storm goes on for so long after a playbook has ended, in seconds.
AFTERWARDS = 3
# Whole handshakes of each kind of server that are timed before an event, and after it: the 99th percentile is none of the worst one alone.
TIMED = 150
# So long they may take, in seconds; that some are missing is told at the end.
PATIENCE = 120


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
            rows = []
            for event in events:
                rows += passed(event, made, clients, options.handshakes if event is events[-1] else 0)
            samples = [sample for each in clients.reports() for found in each.samples.values() for sample in found]
        touched = made.touched()
    print(f"\n{table(rows)}\n\n{told}\n{time.monotonic() - begun:.0f} s with the setting up.\n")
    wrong = [*problems(rows, options.handshakes), *touched]
    for line in [*wrong, *samples]:
        print(line)
    print(
        "FAILED"
        if wrong
        else "PASSED: no handshake failed, of ours or of theirs, nobody was let in wrongly, and sessions went on"
    )
    return 1 if wrong else 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev storm", description="Rotate everything under a storm of handshakes.")
    names = [event.name for event in schedule()]
    parser.add_argument("--handshakes", type=int, default=HANDSHAKES, help="at least, on each kind of server")
    parser.add_argument("--only", nargs="+", choices=names, metavar="EVENT", help=f"of {', '.join(names)}")
    parser.add_argument(
        "--wrong", choices=BREAKS, default="",
        help="do it wrong, and see it fail: a node of each kind keeps its old ring (ring), the new CA issues before it is trusted (trust), or a"
        " node of each kind loses what the user has there (theirs)",
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


def passed(event: Event, made: World, clients: Crowd, least: int) -> list[Row]:
    """An event: its rows, as soon as each kind of server has had enough handshakes; ``least``: since the storm began."""
    clients.tell("event", event.name, "before")
    if event.name.startswith("tickets"):
        made.wait_for_interval()
    # Clients have sessions before it begins.
    await_reports(clients, lambda report: timed(report, event, "before"))
    clients.tell("event", event.name, "during")
    begun = time.monotonic()
    result = event.work(made, clients)
    seconds = time.monotonic() - begun
    clients.tell("event", event.name, "after")
    if result.rc != 0:
        print(f"{event.title}: the playbook failed\n{result.stdout[-6000:]}{result.stderr[-2000:]}", flush=True)
    time.sleep(AFTERWARDS)
    await_reports(clients, lambda report: is_through(report, event))
    reports = await_reports(clients, lambda report: report.all("handshakes") >= least, math.inf)
    rows = [
        Row(event.name, event.title, each.kind, each.of(event.name), seconds, result.rc, each.times(event.name))
        for each in reports
    ]
    for row in rows:
        print("  ".join(row.cells()), flush=True)
    for sample in (sample for report in reports for sample in report.samples.get(event.name, ())):
        print(f"  {sample}", flush=True)
    return rows


def timed(report: Report, event: Event, phase: str) -> bool:
    """Whether enough handshakes were timed in a phase."""
    return len(report.times(event.name).get(phase, ())) >= TIMED


def is_through(report: Report, event: Event) -> bool:
    """Whether everything was tried after an event as well."""
    counts = report.of(event.name)
    return timed(report, event, "after") and all(
        counts.get(what) for what in there(report.kind) if what.endswith(" after")
    )


def await_reports(clients: Crowd, enough: Callable[[Report], bool], seconds: float = PATIENCE) -> list[Report]:
    """Of all kinds of servers, as soon as each has had enough, or the time is over."""
    end = time.monotonic() + seconds
    while True:
        reports = clients.reports()
        if all(enough(report) for report in reports) or time.monotonic() > end:
            return reports
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
