# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure endpoint_info's enumerate on a thousand endpoints beside sslyze on a sample; run by ./dev bench enumerate.

One nginx has all of them, on the same processors, and what it computes counts as ours. Says how fast, never fails for slowness: the exit status
is 1 only when a scan did not do its job.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.farm import Farm, farm
from bench.hosts import WrongResult
from bench.table import word
from tools import venvs
from tools.playbook import ansible_environment, playbook_command

LISTENERS, SAMPLE, SECONDS = 1000, 20, 60.0
PROTOCOLS = {"TLSv1.3", "TLSv1.2"}
SSLYZE = Path(__file__).resolve().parents[1] / "local" / "sslyze_accepts.py"


class Measured(NamedTuple):
    """How many endpoints took how long; ``cpu`` of the program alone, ``handshakes`` where it tells."""

    endpoints: int
    seconds: float
    cpu: float
    handshakes: int | None = None

    @property
    def each(self) -> float:
        """Seconds an endpoint."""
        return self.seconds / self.endpoints


def say(text: str) -> None:
    """Progress; standard output has the table alone."""
    print(text, file=sys.stderr, flush=True)


def finished(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> tuple[float, float, str]:
    """Run a program: seconds, seconds of CPU with its children's, and what it printed.

    :raises WrongResult: it failed.
    """
    before = children()
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds, cpu = time.monotonic() - began, children() - before
    if done.returncode != 0:
        raise WrongResult(f"{command[0]} failed: {(done.stdout + done.stderr)[-4000:]}")
    return seconds, cpu, done.stdout


def children() -> float:
    """Seconds of CPU of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(folder: Path, place: Farm) -> Measured:
    """One playbook with one task, all of it counted."""
    results = folder / "results.jsonl"
    task = {
        "fleet.tls.endpoint_info": {
            "endpoints": [{"host": host, "port": port, "server_name": name} for host, port, name in place.listeners],
            "enumerate": True, "profiles": ["mozilla_intermediate"], "timeout": "30s", "results_file": str(results),
        }
    }  # fmt: skip
    playbook = folder / "play.json"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    seconds, cpu, _words = finished(
        playbook_command(playbook, "localhost,", venv="main"), folder, ansible_environment("main")
    )
    handshakes = 0
    lines = results.read_text().splitlines()
    for line in lines:
        accepts = json.loads(line)["accepts"]
        if accepts["error"] or set(accepts["protocols"]) != PROTOCOLS:
            raise WrongResult(f"an endpoint was not enumerated: {accepts}")
        handshakes += accepts["handshakes"]
    if len(lines) != len(place.listeners):
        raise WrongResult(f"{len(lines)} results of {len(place.listeners)} endpoints")
    return Measured(len(lines), seconds, cpu, handshakes)


def sslyze(folder: Path, place: Farm, sample: int) -> Measured:
    """sslyze, for suites of all versions and curves; it does not look for signature algorithms."""
    python = str(venvs.ensure("sslyze") / "bin" / "python")
    targets = [f"{host}|{port}|{name}" for host, port, name in place.listeners[:sample]]
    seconds, cpu, words = finished([python, str(SSLYZE), *targets], folder)
    if not words.strip():
        raise WrongResult("sslyze said nothing")
    return Measured(sample, seconds, cpu)


def table(mine: Measured, theirs: Measured, served: float, load: float) -> str:
    """Both, and the target beside ours, as Markdown.

    :param served: seconds of CPU that nginx took for both.
    """
    target = f"1,000 in < {SECONDS:g} s: {word(mine.each * 1000 < SECONDS)}"
    ratio = f"{theirs.each / mine.each:.0f} × as long an endpoint"
    rows = [
        ("", "endpoints", "handshakes", "seconds", "CPU seconds", "ms an endpoint", ""),
        ("---",) * 7,
        row("fleet.tls.endpoint_info, enumerate", mine, target),
        row("sslyze, suites and curves", theirs, ratio),
    ]
    lines = ["| {0} |".format(" | ".join(each)) for each in rows]
    cpu = (mine.cpu + served) / mine.endpoints * 1000
    told = f"nginx took {served:.1f} CPU seconds for both, so 1,000 endpoints take {cpu:.0f} CPU seconds with it."
    return "\n".join([*lines, "", f"{told} {os.cpu_count()} processors, a load of {load:.1f} before."])


def row(title: str, measured: Measured, note: str) -> tuple[str, ...]:
    """One line of the table."""
    handshakes = "–" if measured.handshakes is None else str(measured.handshakes)
    seconds = (f"{measured.seconds:.1f}", f"{measured.cpu:.1f}", f"{measured.each * 1000:.1f}")
    return (title, str(measured.endpoints), handshakes, *seconds, note)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="./dev bench enumerate", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few endpoints: to see that all of it works")
    quick = parser.parse_args().quick
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load = os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(prefix="fleet-tls-enumerate-"))
    try:
        began = children()
        count = 50 if quick else LISTENERS
        say(f"nginx with {count} listeners")
        (folder / "farm").mkdir()
        with farm(folder / "farm", count, f"ssl_protocols {' '.join(sorted(PROTOCOLS))};") as place:
            say("fleet.tls.endpoint_info, enumerate")
            mine = ours(folder, place)
            say("sslyze, a sample")
            theirs = sslyze(folder, place, 2 if quick else SAMPLE)
        print(table(mine, theirs, children() - began - mine.cpu - theirs.cpu, load))
        return 0
    except WrongResult as error:
        say(f"bench: {error}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
