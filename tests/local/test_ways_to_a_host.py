# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A step goes through a pipe or as a module, with the interpreter that Ansible is told of or finds: all come to the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.hosts import OPTIONS, Hosts, message, serving
from tools import paths
from tools.playbook import PlaybookResult, run_playbook

# What Ansible says at -vvv.
AS_A_MODULE = "Using module file"
DISCOVERY = "interpreter discovery."


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path_factory.mktemp("ways"), {"web": ["www"]})
    hosts.issue()
    with serving(*hosts):
        hosts.play().check()
        yield hosts


@pytest.fixture(params=["main", "lowest"])
def venv(request: pytest.FixtureRequest) -> str:
    """The newest ansible-core, and the oldest that is promised: much of what takes a step to its host is Ansible's own."""
    if not paths.venv(request.param).is_dir():
        pytest.skip(f"there is no environment '{request.param}': ./dev test local makes it")
    return str(request.param)


def play(
    hosts: Hosts, pipelining: bool, *tasks: dict[str, Any], venv: str = "main", **variables: Any
) -> PlaybookResult:
    """The task, or these tasks, at -vvv, with or without pipelining."""
    path = hosts.folder / "ways.yml"
    mine = tasks or ({"name": "Certificates", "fleet.tls.certificates": OPTIONS},)
    path.write_text(json.dumps([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": list(mine)}]))
    environment = {"ANSIBLE_PIPELINING": str(pipelining)}
    return run_playbook(path, hosts.inventory({"web": variables}), args=["-vvv"], env=environment, venv=venv)


@pytest.mark.parametrize("pipelining", [True, False])
def test_both_ways_install_prove_and_find_nothing_to_do(hosts: Hosts, venv: str, pipelining: bool) -> None:
    before = hosts["www"].on_disk()
    forced = {"name": "Certificates", "fleet.tls.certificates": {**OPTIONS, "force": True}}
    changed = play(hosts, pipelining, forced, venv=venv).check()
    assert changed.changed == 1 and hosts["www"].served(hosts.root) == hosts["www"].on_disk() != before
    again = play(hosts, pipelining, venv=venv).check()
    assert again.changed == 0
    for result in (changed, again):
        assert (AS_A_MODULE in result.stdout) is not pipelining


@pytest.mark.parametrize("pipelining", [True, False])
def test_an_interpreter_is_discovered_once(hosts: Hosts, venv: str, pipelining: bool) -> None:
    task = {"name": "Certificates", "fleet.tls.certificates": OPTIONS}
    result = play(hosts, pipelining, task, task, venv=venv, ansible_python_interpreter="auto_silent").check()
    assert result.changed == 0
    assert result.stdout.count(DISCOVERY) == 1
    first, second = result.results()
    assert first["ansible_facts"]["discovered_interpreter_python"].startswith("/")
    assert "discovered_interpreter_python" not in second.get("ansible_facts", {})


def test_an_interpreter_that_is_a_template(hosts: Hosts) -> None:
    result = play(hosts, True, ansible_python_interpreter="{{ mine }}", mine=sys.executable).check()
    assert result.changed == 0 and AS_A_MODULE not in result.stdout


def test_an_interpreter_that_is_left_out(hosts: Hosts, venv: str) -> None:
    result = play(hosts, True, venv=venv, ansible_python_interpreter="{{ mine | default(omit) }}").check()
    assert result.changed == 0 and result.stdout.count(DISCOVERY) == 1


def test_a_path_with_blanks(hosts: Hosts, venv: str, tmp_path: Path) -> None:
    python = tmp_path / "with blanks" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    result = play(hosts, True, venv=venv, ansible_python_interpreter=str(python)).check()
    assert result.changed == 0 and AS_A_MODULE not in result.stdout


def test_a_path_is_a_path_and_no_commands(hosts: Hosts, tmp_path: Path) -> None:
    """What was discovered is a host's own word, and with run_once may reach another."""
    result = play(hosts, True, ansible_python_interpreter=f"/bin/sh -c 'touch {tmp_path}/owned'; {sys.executable}")
    assert result.rc == 2 and not (tmp_path / "owned").exists()


def test_one_host_s_interpreter_is_not_that_of_all(hosts: Hosts, tmp_path: Path) -> None:
    mine = tmp_path / "python3"
    mine.symlink_to(sys.executable)
    facts = {"name": "Facts", "fleet.tls.host_facts": {}}
    playbook = tmp_path / "once.yml"
    plays = [{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": [{**facts, "run_once": True}, facts]}]
    playbook.write_text(json.dumps(plays))
    common = {"ansible_connection": "local", "ansible_python_interpreter": "auto_silent"}
    first = {**common, "ansible_interpreter_python_fallback": [str(mine)]}
    second = {**common, "ansible_interpreter_python_fallback": [sys.executable]}
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"first": first, "second": second}}}))
    result = run_playbook(playbook, inventory).check()
    found = {
        each["host"]: each["result"]["ansible_facts"].get("discovered_interpreter_python")
        for each in result.task_results
    }
    assert found == {"first": str(mine), "second": sys.executable}


@pytest.mark.parametrize("pipelining", [True, False])
def test_an_interpreter_that_is_not_there(hosts: Hosts, pipelining: bool) -> None:
    result = play(hosts, pipelining, ansible_python_interpreter="/nonexistent/python3")
    assert result.rc == 2
    assert "step 'look' failed" in message(result, "web") and "/nonexistent/python3" in message(result, "web")


@pytest.mark.parametrize("pipelining", [True, False])
def test_the_environment_of_a_task_reaches_commands_of_services(hosts: Hosts, pipelining: bool, tmp_path: Path) -> None:
    told = tmp_path / "told"
    service = hosts["www"].service(validate=["sh", "-c", f'printf "%s" "$GREETING" > {told}'])
    result = play(
        hosts,
        pipelining,
        {
            "name": "Certificates",
            "fleet.tls.certificates": {**OPTIONS, "force": True},
            "environment": {"GREETING": "good day; to you"},
        },
        tls_certificates=[hosts["www"].certificate(services=[service])],
    ).check()
    assert result.changed == 1 and told.read_text() == "good day; to you"


def test_a_delegated_task_goes_to_the_other_host(hosts: Hosts) -> None:
    """With the interpreter of that host, whatever is wrong with this one's."""
    task = {
        "name": "Facts",
        "fleet.tls.host_facts": {},
        "delegate_to": "other",
        "delegate_facts": False,
    }
    add = {
        "name": "Another",
        "ansible.builtin.add_host": {
            "name": "other",
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
        },
    }
    result = play(hosts, True, add, task, ansible_python_interpreter="/nonexistent/python3").check()
    assert result.rc == 0 and AS_A_MODULE not in result.stdout


def test_what_is_not_to_be_logged_is_not_shown(hosts: Hosts, tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho 'not for everybody' >&2\nexit 3\n")
    broken.chmod(0o755)
    task = {"name": "Certificates", "fleet.tls.certificates": OPTIONS, "no_log": True}
    result = play(hosts, True, task, ansible_python_interpreter=str(broken))
    assert result.rc == 2 and "<web> not for everybody" not in result.stdout


def test_a_crash_on_the_host_is_told_and_shown_in_full(hosts: Hosts, tmp_path: Path) -> None:
    """An interpreter that starts no Python; its words reach the terminal as text, whatever a terminal would make of them."""
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho 'first line' >&2\nprintf '\\033]0;owned\\007last line' >&2\nexit 3\n")
    broken.chmod(0o755)
    result = play(hosts, True, ansible_python_interpreter=str(broken))
    assert result.rc == 2 and result.changed == 0
    assert "the host gave no answer" in message(result, "web") and "last line" in message(result, "web")
    assert "<web> first line" in result.stdout
    assert "\033" not in result.stdout + result.stderr + message(result, "web")
