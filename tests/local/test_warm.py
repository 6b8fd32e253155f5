# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is forked from a server (tools/warm.py) is what a run is that is started from nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.family import await_end, is_running
from tools import paths, warm
from tools.playbook import ansible_environment, playbook_command, run_playbook, start_playbook

# What a command of a run sees: its folder, its mask, its environment.
SHOW = "python3 -c 'import json, os, sys; print(json.dumps([os.getcwd(), oct(os.umask(0)), dict(os.environ)]))'"


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    shown = "{{ lookup('pipe', show) }}"
    tasks = [
        {"name": "Shown", "ansible.builtin.set_fact": {"shown": shown}},
        {"name": "Wait", "ansible.builtin.wait_for": {"path": "{{ gate }}", "timeout": 600}, "when": "gate is defined"},
        {"name": "Fails", "ansible.builtin.fail": {"msg": "as it is to"}, "when": "fails is defined"},
    ]
    path = tmp_path / "play.yml"
    path.write_text(json.dumps([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": tasks}]))
    return path


@pytest.fixture
def no_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[Any, warm.Server]]:
    """Servers of this test only."""
    servers: dict[Any, warm.Server] = {}
    monkeypatch.setattr(warm, "_servers", servers)
    yield servers
    for each in servers.values():
        each.end()


def variables(**more: str) -> dict[str, str]:
    python = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    return {**python, "show": SHOW, **more}


def test_it_does_and_says_the_same(playbook: Path, tmp_path: Path) -> None:
    results = [
        run_playbook(playbook, "web,", variables(fails="yes"), cwd=tmp_path, cold=cold) for cold in (False, True)
    ]
    warm_run, cold_run = results
    assert (warm_run.rc, warm_run.stats) == (2, cold_run.stats) and cold_run.rc == 2
    assert (warm_run.stdout, warm_run.stderr) == (cold_run.stdout, cold_run.stderr)
    shown = [json.loads(each.results(task="Shown")[0]["ansible_facts"]["shown"]) for each in results]
    for _folder, _mask, environment in shown:
        # Each has a file of its own for its results.
        del environment["FLEET_TLS_RESULTS"]
    assert shown[0] == shown[1] and shown[0][0] == str(tmp_path)
    # Each has made, and removed, its temporary files where Ansible's are.
    assert list(tmp_path.iterdir()) == [playbook]


def start(playbook: Path, gate: Path) -> subprocess.Popen[Any]:
    command = playbook_command(playbook, "web,", variables(gate=str(gate)))
    return start_playbook(
        command, ansible_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )


def test_its_process_is_its_own(playbook: Path, tmp_path: Path, no_servers: dict[Any, warm.Server]) -> None:
    """Several at once, with one server: each is waited for, and killed, alone."""
    gate = tmp_path / "gate"
    runs = [start(playbook, gate) for _run in range(3)]
    try:
        assert len(no_servers) == 1 and all(isinstance(each, warm.Popen) for each in runs)
        assert [os.getsid(each.pid) for each in runs] == [each.pid for each in runs]
        with pytest.raises(subprocess.TimeoutExpired):
            runs[0].wait(timeout=0.01)
        runs[1].kill()
        assert runs[1].wait(timeout=300) == -signal.SIGKILL
        await_end({runs[1].pid})
        os.killpg(runs[2].pid, signal.SIGTERM)
        assert runs[2].wait(timeout=300) == -signal.SIGTERM
        assert runs[0].poll() is None and is_running(runs[0].pid)
        gate.touch()
        assert b"failed=0" in runs[0].communicate(timeout=300)[0] and runs[0].returncode == 0
    finally:
        gate.touch()
        for each in runs:
            each.communicate(timeout=300)


def test_without_its_server_a_run_starts_from_nothing(
    playbook: Path, tmp_path: Path, no_servers: dict[Any, warm.Server]
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with start(playbook, gate) as first:
        first.communicate(timeout=300)
    (server,) = no_servers.values()
    server._process.kill()
    server._process.wait(timeout=300)
    with pytest.warns(UserWarning, match="could not be started warm"), start(playbook, gate) as run:
        assert b"failed=0" in run.communicate(timeout=300)[0] and run.returncode == 0


def test_a_server_ends_with_who_started_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tools import warm; import time;"
        "print(warm.Server(sys.argv[2], warm.AT_START)._process.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(paths.ROOT / "tests"), playbook_command("play.yml", "web,")[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ansible_environment()) as process:
        assert process.stdout
        server = int(process.stdout.readline())
        assert is_running(server)
        process.kill()
    await_end({server})


def test_another_environment_is_a_start_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    command, environment = playbook_command("play.yml", "web,"), ansible_environment()
    assert warm.is_possible()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    assert not warm.is_possible()
    with start_playbook([*command, "--version"], environment, stdout=subprocess.DEVNULL) as run:
        assert not isinstance(run, warm.Popen)
