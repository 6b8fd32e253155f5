# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller without cryptography, or with an old one, is told so in one sentence, whatever the action."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.hosts import OPTIONS, Hosts
from tools import paths
from tools.playbook import run_playbook

OLD = '__version__ = "41.0.7"\n'
NONE = "raise ImportError(\"No module named 'cryptography'\")\n"
STORE: dict[str, Any] = {name: OPTIONS[name] for name in ("store", "issuers")}
# What each action cannot be without; without cryptography none gets as far as looking at it.
NEEDED: dict[str, dict[str, Any]] = {
    "adoption_info": {"issuers": ["internal"]},
    "ca": STORE,
    "certificate_files_info": {},
    "certificates": {**STORE, "certificates": []},
    "check_host": {},
    "clients": {**STORE, "clients": [], "certificates": []},
    "deployed": {"store": OPTIONS["store"]},
    "drill": {"state": "removed"},
    "due_hosts": {},
    "due_parts": {},
    "endpoint_info": {"endpoints": []},
    "host_facts": {},
    "left_over_info": {},
    "report": {"health": {}, "directory": "/nonexistent"},
    "retire": STORE,
    "revoke": STORE,
    "rotation": {**STORE, "state": "begun"},
    "service_config": {"service": "nginx", "files": []},
    "session_ticket_keys": {"store": OPTIONS["store"], "servers": [], "pool": "default"},
    "session_ticket_rotation": {"store": OPTIONS["store"], "looks": {}, "pools": {}},
    "store": {"store": OPTIONS["store"], "action": "verify"},
    "store_info": STORE,
    "trust_bundle": STORE,
}


@pytest.mark.parametrize(
    ("package", "said"), [(OLD, "(41.0.7 is installed, 42 or newer is needed)"), (NONE, "(No module named")]
)
def test_one_sentence(tmp_path: Path, package: str, said: str) -> None:
    assert set(NEEDED) == {path.stem for path in paths.ROOT.joinpath("plugins/action").glob("*.py")}
    stub = tmp_path / "python" / "cryptography" / "__init__.py"
    stub.parent.mkdir(parents=True)
    stub.write_text(package)
    hosts = Hosts(tmp_path, {"web": ["www"]})
    tasks = [
        {"name": name, f"fleet.tls.{name}": options, "ignore_errors": True, "check_mode": True}
        for name, options in NEEDED.items()
    ]
    # docs/ansible.md: Ansible refuses this by itself, for every action.
    tasks.append({"name": "async", "fleet.tls.host_facts": {}, "async": 60, "poll": 0, "ignore_errors": True})
    play = tmp_path / "play.yml"
    play.write_text(json.dumps([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": tasks}]))
    result = run_playbook(play, hosts.inventory(), env={"PYTHONPATH": str(stub.parents[1])})
    words = {each["task"]: each["result"].get("msg", "") for each in result.task_results}
    assert "does not support async" in words.pop("async")
    start = "web: the Python package 'cryptography' is missing or too old on the controller"
    assert {name: text for name, text in words.items() if not text.startswith(f"{start} {said}")} == {}
    assert set(words) == set(NEEDED)
    assert all("pip install 'cryptography>=42'" in text and "\n" not in text for text in words.values())
    assert "Traceback" not in result.stdout + result.stderr
    assert not hosts.store.exists() and not hosts["web"].tls.exists()
