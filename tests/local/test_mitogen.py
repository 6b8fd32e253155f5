# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mitogen leads to the hosts: what it has deployed is as Ansible's own connections would have it, and they find nothing to do."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.deployment import Deployment, due
from tools import mitogen
from tools.playbook import PlaybookResult, run_playbook

ALL = ["certificates", "ca", "trust", "session_tickets", "web_server", "clients"]
# What is said at -vvv where a pipe failed, and what Mitogen's log has of each step that went through one.
AS_A_MODULE = "goes as a module"
PIPE = "exec(sys.stdin.buffer.read("
PYTHON = {"ansible_python_interpreter": "auto_silent", "ansible_interpreter_python_fallback": [sys.executable]}
# What the clock has in a result, the interpreter, which Mitogen finds anew with each task, and which task it was.
PASSING = ("at", "days_left", "discovered_interpreter_python", "task")
PLAY: dict[str, Any] = {
    "name": "Parts of it",
    "hosts": "all",
    "gather_facts": False,
    "tasks": [
        {"name": "Facts", "fleet.tls.host_facts": {}},
        {"name": "Certificates", "ansible.builtin.include_role": {"name": "fleet.tls.certificates"}},
        {
            "name": "Files",
            "fleet.tls.certificate_files_info": {
                "paths": ["{{ tls_directory }}/live"],
                "directory": "{{ tls_directory }}",
            },
        },
    ],
}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("mitogen"), ["web1"]).running() as made:
        yield made


def play(deployment: Deployment, *args: str, **options: Any) -> PlaybookResult:
    """The deployment, and then single parts of it."""
    path = Path(deployment.folder) / "plays.yml"
    path.write_text(json.dumps([{"name": "Deploy", "import_playbook": "fleet.tls.deploy"}, PLAY]))
    return run_playbook(path, deployment.inventory(**PYTHON), args=args, **options).check()


def said(result: PlaybookResult) -> dict[tuple[str, str, str], Any]:
    """Host, task and action → the result of each task that is ours."""
    ours = [each for each in result.task_results if each["action"].startswith("fleet.tls.")]
    return {
        (each["host"], each["task"], each["action"]): lasting({"ansible_facts": {}, **each["result"]})
        for each in ours
        if each["status"] != "skipped"
    }


def lasting(value: Any) -> Any:
    """A result less what is in it for a moment, and what is for callbacks."""
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name not in PASSING and not name.startswith("_ansible")}
        return {name: lasting(each) for name, each in kept.items()}
    return [lasting(each) for each in value] if isinstance(value, list) else value


def test_it_deploys_and_finds_nothing_to_do_as_ansible_does(deployment: Deployment) -> None:
    try:
        turned_on = mitogen.settings()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    logged = {**turned_on, "MITOGEN_LOG_LEVEL": "debug"}
    first = play(deployment, "-vvvv", env=logged, venv=mitogen.VENV)
    assert due(first) == dict.fromkeys(deployment.hosts, ALL)
    for host in deployment.hosts.values():
        assert host.served() == host.live()
    told = first.stdout + first.stderr
    assert PIPE in told and AS_A_MODULE not in told and deployment.passphrase not in told
    for host in deployment.hosts.values():
        for key in (host.tls / "tickets" / "default").glob("*.key"):
            assert base64.b64encode(key.read_bytes()).decode() not in told
    again = play(deployment, env=turned_on, venv=mitogen.VENV)
    assert (again.changed, due(again)) == (0, dict.fromkeys(deployment.hosts, []))
    without = play(deployment, venv=mitogen.VENV)
    assert (without.changed, due(without)) == (0, dict.fromkeys(deployment.hosts, []))
    assert said(again) == said(without) and len(said(again)) == 4 * len(deployment.hosts)
