# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as AWX runs them, with ansible-runner, and as people do with ansible-navigator: the kit's project on a host of this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from local.deployment import Deployment
from tools import paths
from tools.playbook import ansible_environment

PROJECT = paths.ROOT / "extensions" / "awx" / "project"
# As docs/awx.md has it in the inventory; the kit's credential puts it into the job's environment.
PASSPHRASE = "{{ lookup('ansible.builtin.env', 'FLEET_TLS_PASSPHRASE') }}"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("awx"), ["web1"]).running() as made:
        shutil.copytree(PROJECT, made.folder / "project")
        made.inventory(tls_store={"path": str(made.store), "passphrase": PASSPHRASE})
        yield made


def run(deployment: Deployment, *command: str) -> subprocess.CompletedProcess[str]:
    """A program of the environment, with what the credential gives a job."""
    env = ansible_environment("awx", {"FLEET_TLS_PASSPHRASE": deployment.passphrase, "HOME": str(deployment.folder)})
    return subprocess.run(
        [str(paths.venv("awx") / "bin" / command[0]), *command[1:]],
        env=env, cwd=deployment.folder / "project", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def job(deployment: Deployment, ident: str, playbook: str) -> list[dict[str, Any]]:
    """A job of ansible-runner; its events, in their order."""
    folder = str(deployment.folder)
    inventory = str(deployment.folder / "inventory.json")
    done = run(
        deployment, "ansible-runner", "run", folder, "--ident", ident, "--playbook", playbook, "--inventory", inventory
    )
    assert done.returncode == 0, done.stdout + done.stderr
    events = [
        json.loads(path.read_text())
        for path in (deployment.folder / "artifacts" / ident / "job_events").glob("*-*.json")
    ]
    return sorted(events, key=lambda event: event["counter"])


def changed(events: list[dict[str, Any]]) -> int:
    """How many tasks changed something."""
    return sum(
        sum(event["event_data"]["changed"].values()) for event in events if event["event"] == "playbook_on_stats"
    )


def test_a_job_deploys_and_the_next_changes_nothing(deployment: Deployment) -> None:
    assert changed(job(deployment, "first", "deploy.yml")) > 0
    assert deployment.hosts["web1"].served() == deployment.hosts["web1"].live()
    assert changed(job(deployment, "second", "deploy.yml")) == 0
    # "command" is ansible-runner's own record of a job's environment, which AWX keeps with stars.
    kept = [path for path in (deployment.folder / "artifacts").rglob("*") if path.is_file() and path.name != "command"]
    assert len(kept) > 20
    for path in kept:
        text = path.read_bytes()
        assert deployment.passphrase.encode() not in text and b"PRIVATE KEY" not in text, path


def test_a_navigator_checks_it(deployment: Deployment) -> None:
    inventory = str(deployment.folder / "inventory.json")
    done = run(
        deployment, "ansible-navigator", "run", "check.yml", "--mode", "stdout", "--execution-environment", "false",
        "--inventory", inventory, "--playbook-artifact-enable", "false",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed=0" in done.stdout
