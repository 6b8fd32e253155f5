# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure fleet.tls.endpoint_info beside openssl, community.crypto and sslyze, against one nginx with a thousand listeners; run by ./dev bench scan.

Says how fast, never fails for slowness: the exit status is 1 only when a scan did not do its job.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.farm import Farm, farm, silent
from bench.hosts import WrongResult
from bench.table import word
from tools import venvs
from tools.playbook import ansible_environment, playbook_command

LISTENERS, TIMES, DEAD, TIME_LIMIT = 1000, 10, 200, 5.0
# Of the listeners, so many are enough to know a rate.
SAMPLES = {"openssl": 200, "community.crypto": 40, "sslyze": 20}
FASTEST, RATIO, MEGABYTES = 800, 20, 300
OPENSSL = 'exec openssl s_client -connect "$1:$2" -servername "$3" < /dev/null'
SSLYZE = """
import sys
from sslyze import ScanCommand, Scanner, ServerNetworkConfiguration, ServerNetworkLocation, ServerScanRequest
scanner = Scanner()
scanner.queue_scans([
    ServerScanRequest(
        ServerNetworkLocation(hostname=name, ip_address=host, port=int(port)),
        network_configuration=ServerNetworkConfiguration(tls_server_name_indication=name),
        scan_commands={ScanCommand.CERTIFICATE_INFO})
    for host, port, name in (target.split("|") for target in sys.argv[1:])])
print(sum(result.scan_result is not None and result.scan_result.certificate_info.result is not None for result in scanner.get_results()))
"""


@dataclass(frozen=True)
class Scanned:
    """A scan that did its job: handshakes, seconds of its task, the largest process in megabytes (None: not looked at)."""

    handshakes: int
    seconds: float
    megabytes: float | None = None

    @property
    def rate(self) -> float:
        """Handshakes a second."""
        return self.handshakes / self.seconds


def say(text: str) -> None:
    """Progress; standard output has the table alone."""
    print(text, file=sys.stderr, flush=True)


def play(
    folder: Path, task: Mapping[str, Any], targets: Sequence[Any], expected: Mapping[str, Any]
) -> tuple[float, float]:
    """Run one task on ``targets``; its own seconds, and the megabytes of the largest process.

    :param expected: what has to be true of ``seen``, the task's result: text → value.
    :raises WrongResult: the run failed, or the result is another.
    """
    clock = "{{ now().timestamp() }}"
    tasks = [
        {"ansible.builtin.set_fact": {"began": clock}},
        {**task, "register": "seen"},
        {"ansible.builtin.set_fact": {"ended": clock}},
        {
            "ansible.builtin.copy": {
                "dest": str(folder / "took"),
                "content": "{{ ended | float - began | float }}",
                "mode": "0600",
            }
        },
        {"ansible.builtin.assert": {"that": [f"({text}) == {value!r}" for text, value in expected.items()]}},
    ]
    (folder / "targets.json").write_text(json.dumps({"targets": targets}))
    play_ = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": ["targets.json"],
        "tasks": tasks,
    }
    (folder / "play.json").write_text(json.dumps([play_]))
    environment = ansible_environment("bench")
    with (folder / "output").open("w+b") as output:
        process = subprocess.Popen(
            playbook_command(folder / "play.json", "localhost,", venv="bench"),
            env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _pid, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        words = output.read().decode(errors="replace")
    if os.waitstatus_to_exitcode(status) != 0:
        raise WrongResult("the playbook failed: " + words[-4000:])
    return float((folder / "took").read_text()), usage.ru_maxrss / 1024


def ours(folder: Path, place: Farm, dead: Sequence[tuple[str, int]]) -> Scanned:
    """All listeners so many times over in one task, and the dead in their midst."""
    targets: list[Any] = [
        {"host": host, "port": port, "server_name": name} for host, port, name in place.listeners * TIMES
    ]
    step = len(targets) // (len(dead) + 1)
    for number, (host, port) in enumerate(dead):
        targets.insert(number * (step + 1), f"{host}:{port}")
    results = folder / "results.jsonl"
    task = {
        "fleet.tls.endpoint_info": {
            "endpoints": "{{ targets }}", "anchors": place.root, "timeout": f"{TIME_LIMIT:.0f}s", "results_file": str(results),
        }
    }  # fmt: skip
    handshakes = len(place.listeners) * TIMES
    expected = {"seen.counts.trusted": handshakes, "seen.counts.unreachable": len(dead)}
    seconds, megabytes = play(folder, task, targets, expected)
    lines = sum(1 for _line in results.open())
    if lines != len(targets):
        raise WrongResult(f"{lines} results of {len(targets)} endpoints")
    return Scanned(handshakes, seconds, megabytes)


def openssl(place: Farm) -> Scanned:
    """``openssl s_client`` under ``xargs -P4``."""
    sample = place.listeners[: SAMPLES["openssl"]]
    began = time.monotonic()
    done = subprocess.run(
        ["xargs", "-P4", "-n3", "sh", "-c", OPENSSL, "sh"],
        input="\n".join(f"{host} {port} {name}" for host, port, name in sample),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - began
    shown = done.stdout.count("-----BEGIN CERTIFICATE-----")
    if shown != len(sample):
        raise WrongResult(f"openssl showed {shown} certificates of {len(sample)}: {done.stderr[-1000:]}")
    return Scanned(len(sample), seconds)


def community_crypto(folder: Path, place: Farm) -> Scanned:
    """``community.crypto.get_certificate`` in a loop."""
    sample = place.listeners[: SAMPLES["community.crypto"]]
    options = {"host": "{{ item[0] }}", "port": "{{ item[1] }}", "server_name": "{{ item[2] }}"}
    task = {
        "community.crypto.get_certificate": options,
        "loop": "{{ targets }}",
        "loop_control": {"label": "{{ item[2] }}"},
    }
    expected = {"seen.results | map(attribute='cert') | select | count": len(sample)}
    seconds, _megabytes = play(folder, task, sample, expected)
    return Scanned(len(sample), seconds)


def sslyze(place: Farm) -> Scanned:
    """sslyze, for the certificates alone."""
    sample = place.listeners[: SAMPLES["sslyze"]]
    python = str(venvs.ensure("sslyze") / "bin" / "python")
    began = time.monotonic()
    targets = [f"{host}|{port}|{name}" for host, port, name in sample]
    done = subprocess.run([python, "-c", SSLYZE, *targets], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.stdout.strip() != str(len(sample)):
        raise WrongResult(f"sslyze saw {done.stdout.strip()} of {len(sample)}: {done.stderr[-2000:]}")
    return Scanned(len(sample), seconds)


def table(bare: Scanned, with_dead: Scanned, others: Mapping[str, Scanned]) -> str:
    """Rates, ratios, and the targets beside them, as Markdown."""
    rows = [
        ("", "handshakes", "seconds", "a second", "fleet.tls is faster", "largest process", "target"),
        ("---",) * 7,
        line(
            "fleet.tls.endpoint_info", bare, "–",
            f"≥ {FASTEST} a second: {word(bare.rate >= FASTEST)}; < {MEGABYTES} MB: {word((bare.megabytes or 0) < MEGABYTES)}",
        ),
        line(
            f"the same, {DEAD} dead endpoints among them", with_dead, "–",
            f"≤ {TIME_LIMIT:g} s more: {word(with_dead.seconds - bare.seconds <= TIME_LIMIT)}",
        ),
    ]  # fmt: skip
    for name, other in others.items():
        ratio = bare.rate / other.rate
        target = f"≥ {RATIO} ×: {word(ratio >= RATIO)}" if name.startswith("openssl") else "–"
        rows.append(line(name, other, f"{ratio:.0f} ×", target))
    return "\n".join("| {0} |".format(" | ".join(row)) for row in rows)


def line(title: str, scanned: Scanned, faster: str, target: str) -> tuple[str, ...]:
    """One line of the table."""
    megabytes = f"{scanned.megabytes:.0f} MB" if scanned.megabytes else "–"
    return (title, str(scanned.handshakes), f"{scanned.seconds:.1f}", f"{scanned.rate:.0f}", faster, megabytes, target)


def main() -> int:
    """Measure and print."""
    argparse.ArgumentParser(prog="./dev bench scan", description=__doc__.partition("\n")[0]).parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = Path(tempfile.mkdtemp(prefix="fleet-tls-scan-"))
    try:
        say(f"nginx with {LISTENERS} listeners")
        (folder / "farm").mkdir()
        with farm(folder / "farm", LISTENERS) as place, silent(DEAD) as dead:
            say(f"fleet.tls.endpoint_info, {LISTENERS * TIMES} handshakes in one task")
            bare = ours(folder, place, ())
            say(f"the same, and {DEAD} that never answer")
            with_dead = ours(folder, place, dead)
            say("openssl s_client, community.crypto.get_certificate, sslyze: a sample each")
            others = {
                "openssl s_client, xargs -P4": openssl(place),
                "community.crypto.get_certificate, loop": community_crypto(folder, place),
                "sslyze, certificate info": sslyze(place),
            }
        print(table(bare, with_dead, others))
        return 0
    except WrongResult as error:
        say(f"bench: {error}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
