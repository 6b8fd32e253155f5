# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that never end by themselves, in a Python of their own as on a host: they go back, let go of the lock, and say why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock

# {wait}: how it waits. It shortens the seconds that are fixed.
PROGRAM = """
import json, os, sys, time
from ansible_collections.fleet.tls.plugins.module_utils import host_module
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.system import time_limit
time_limit.TICK, time_limit.GRACE = 0.1, 0.5

def step(request, secrets):
    with host_lock(request):
        print("begun", file=sys.stderr, flush=True)
        try:
{wait}
        except Exception:
            pass
        finally:
            open(os.path.join(request, "went-back"), "w").close()
    return True, {{}}

print(json.dumps(host_module.answer_of({{"slow": step}}, "slow", sys.argv[1], {{}}, float(sys.argv[2]))), flush=True)
"""
WAITS = {
    "a pipe": "os.mkfifo(request + '/p'); open(request + '/p').read()",
    "sleep": "time.sleep(600)",
    "work": "while True: pass",
    "a program": "__import__('subprocess').run(['sleep', '600'])",
}
STUBBORN = """
while True:
    try:
        time.sleep(600)
    except BaseException:
        pass
"""


Start = Callable[[Path, str, float], "subprocess.Popen[str]"]


@pytest.fixture
def started() -> Iterator[Start]:
    """Starts the program; whatever it still does at the end of the test is ended."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(folder: Path, wait: str, seconds: float) -> subprocess.Popen[str]:
        processes.append(start(folder, wait, seconds))
        return processes[-1]

    yield start_one
    for process in processes:
        process.kill()
        process.wait()


def start(folder: Path, wait: str, seconds: float) -> subprocess.Popen[str]:
    program = PROGRAM.format(wait="".join(f"            {line}\n" for line in wait.strip().splitlines()))
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stderr and process.stderr.readline() == "begun\n"
    return process


@pytest.mark.parametrize("wait", WAITS)
def test_what_never_ends_goes_back_and_says_so(started: Start, tmp_path: Path, wait: str) -> None:
    # A program that is only being started when the time is over is not ended, and on a busy machine that takes a while.
    limit = 5 if wait == "a program" else 0.3
    said, problem = started(tmp_path, WAITS[wait], limit).communicate(timeout=300)
    error = json.loads(said)["answer"]["error"]
    assert error["code"] == "too_slow" and f"did not end within {limit} s" in error["message"], problem
    assert error["remedy"] and (tmp_path / "went-back").exists()
    with host_lock(str(tmp_path), wait=0):
        pass


def test_what_takes_no_notice_is_ended(started: Start, tmp_path: Path) -> None:
    process = started(tmp_path, STUBBORN, 0.3)
    said, _problem = process.communicate(timeout=300)
    assert json.loads(said)["answer"]["error"]["code"] == "too_slow"
    assert process.returncode == 0 and not (tmp_path / "went-back").exists()
    with host_lock(str(tmp_path), wait=0):
        pass


def test_a_run_that_is_gone_does_not_keep_the_lock(started: Start, tmp_path: Path) -> None:
    process = started(tmp_path, WAITS["sleep"], 600)
    assert process.stdout
    process.stdout.close()
    process.wait(300)
    assert (tmp_path / "went-back").exists()
    with host_lock(str(tmp_path), wait=0):
        pass


def test_what_ends_in_time_is_left_alone(started: Start, tmp_path: Path) -> None:
    said, _problem = started(tmp_path, "time.sleep(0.5)", 300).communicate(timeout=300)
    assert json.loads(said) == {"changed": True, "answer": {}}
