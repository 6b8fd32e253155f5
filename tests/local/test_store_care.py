# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook fleet.tls.store, on the store of two hosts that serve: nothing they have changes, no passphrase is seen."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.hosts import PASSPHRASE, Hosts, ledger, serving
from local.watching import Watch, found_in, told, watching
from tools.playbook import PlaybookResult, run_playbook

NEW = "NEW-in-no-output-51c0e77a9d"
TASK = "Look after it"


@dataclass
class World:
    """Two hosts, of which one gets its key from the store, and what was run for their store."""

    hosts: Hosts
    watch: Watch
    environment: dict[str, str]
    runs: dict[str, PlaybookResult]

    def look_after(self, what: str, action: str, *args: str, store: Any = None, **variables: Any) -> PlaybookResult:
        """Run the playbook; it is remembered under ``what``."""
        inventory = self.inventory(store, **variables)
        extra = {"tls_store_action": action}
        self.runs[what] = run_playbook("fleet.tls.store", inventory, extra, ["-vvvvv", *args], self.environment)
        return self.runs[what]

    def deploy(self, *args: str, store: Any = None, **variables: Any) -> PlaybookResult:
        """Run fleet.tls.deploy with this store."""
        return run_playbook("fleet.tls.deploy", self.inventory(store, **variables), None, args, self.environment)

    def inventory(self, store: Any, **variables: Any) -> Path:
        """With the passphrase as variables have it: neither is on a command line."""
        chosen: dict[str, dict[str, Any]] = {
            "own": {},
            "given": {"tls_certificates": [self.hosts["given"].certificate(private_key={"location": "controller"})]},
        }
        common = {"tls_nginx": False, "tls_trust_system": False}
        return self.hosts.inventory(chosen, tls_store=self.options(**(store or {})), **common, **variables)

    def options(self, **changes: Any) -> dict[str, Any]:
        """``tls_store``."""
        return self.hosts.store_options(**changes)

    def result(self, what: str) -> dict[str, Any]:
        """What the task returned."""
        return dict(self.runs[what].results(host="own", task=TASK)[-1])

    def served(self) -> list[str]:
        """What clients see, when they trust the root only."""
        return [site.served(self.hosts.folder / "root.pem") for site in self.hosts]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    hosts = Hosts(tmp_path_factory.mktemp("care"), {"own": ["www1"], "given": ["www2"]})
    programs = tmp_path_factory.mktemp("programs")
    made = World(hosts, Watch(hosts.folder), {"PATH": told(programs)}, {})
    # There is no nginx yet, so the first pairs are installed and not proven.
    made.deploy()
    shutil.copy(hosts.root, hosts.folder / "root.pem")
    with serving(*hosts), watching(hosts.folder) as made.watch:
        made.deploy().check()
        yield made


def opens(path: Path, passphrase: str) -> bool:
    """Whether openssl opens a key of the store with it."""
    command = ["openssl", "pkey", "-in", str(path), "-passin", "stdin", "-noout"]
    return (
        subprocess.run(command, input=passphrase, capture_output=True, text=True, timeout=300, check=False).returncode
        == 0
    )


def test_another_passphrase(world: World) -> None:
    before, keys = world.served(), sorted(world.hosts.store.rglob("*.key"))
    assert len(keys) == 3
    foreseen = world.look_after("foreseen", "passphrase", "--check", "--diff", tls_store_new_passphrase=NEW).check()
    assert foreseen.changed == 1 and all(opens(key, PASSPHRASE) for key in keys)
    assert "ca/internal/root-1.key: sealed anew" in foreseen.stdout
    assert world.look_after("changed", "passphrase", tls_store_new_passphrase=NEW).check().changed == 1
    assert all(opens(key, NEW) and not opens(key, PASSPHRASE) for key in keys)
    again = world.look_after("again", "passphrase", store={"passphrase": NEW}, tls_store_new_passphrase=NEW)
    assert again.check().changed == 0
    # What is issued is issued with the new one only.
    assert world.deploy(tls_force=True).rc == 2 and world.served() == before
    world.deploy(store={"passphrase": NEW}, tls_force=True).check()
    assert not set(world.served()) & set(before)


def test_backup_verify_restore_move(world: World) -> None:
    served, store = world.served(), {"passphrase": NEW}
    folder = world.hosts.folder
    world.look_after("backup", "backup", store=store, tls_store_backup=str(folder / "backups")).check()
    backup = world.result("backup")
    world.look_after("whole", "verify", store=store, tls_store_head=backup["head"]).check()
    whole = world.result("whole")
    assert (whole["findings"], whole["opened"], whole["unseen"], whole["unattributed"]) == ([], True, [], 0)
    assert whole["certificates"] == len(ledger(world.hosts.store)) == 4 and whole["head"] == backup["head"]
    restored = {**store, "path": str(folder / "restored")}
    assert world.look_after("restored", "restore", store=restored, tls_store_backup=backup["path"]).check().changed == 1
    target = {"path": str(folder / "moved")}
    assert world.look_after("moved", "move", store=restored, tls_store_target=target).check().changed == 1
    # The one that was left refuses; with the other one, all is as it was.
    left = world.deploy(store=restored)
    assert left.rc == 2 and f"it was moved to the store {folder / 'moved'}" in left.stdout
    assert world.deploy(store={**store, **target}).check().changed == 0
    world.look_after("verified", "verify", store={**store, **target}).check()
    assert world.served() == served


def test_a_ledger_that_lost_what_hosts_serve(world: World) -> None:
    older = world.hosts.folder / "older"
    shutil.copytree(world.hosts.store, older)
    with contextlib.closing(sqlite3.connect(older / "ledger.sqlite3")) as connection:
        connection.executescript("DELETE FROM issuance WHERE id > 3; DELETE FROM record WHERE number > 3")
    run = world.look_after("older", "verify", store={"path": str(older), "passphrase": NEW})
    found = world.result("older")
    assert run.rc == 2 and [each["code"] for each in found["findings"]] == ["not_in_ledger"]
    assert "that the ledger does not know" in found["msg"]


@pytest.mark.parametrize(
    ("action", "variables", "words"),
    [
        ("nonsense", {}, "Say what to do with -e tls_store_action="),
        ("passphrase", {"tls_store_new_passphrase": "passwordpassword"}, "is easy to guess"),
    ],
)
def test_refused(action: str, variables: dict[str, Any], words: str, world: World) -> None:
    before = {path: path.read_bytes() for path in world.hosts.store.rglob("*") if path.is_file()}
    run = world.look_after(f"refused {action}", action, store={"passphrase": NEW}, **variables)
    assert run.rc == 2 and words in run.stdout
    assert {path: path.read_bytes() for path in world.hosts.store.rglob("*") if path.is_file()} == before


def test_no_passphrase_is_seen(world: World) -> None:
    secrets = {PASSPHRASE.encode(): "the old one", NEW.encode(): "the new one"}
    assert len(world.runs) > 8
    for run in world.runs.values():
        assert len(run.stdout) > 1000
        assert found_in((run.stdout + run.stderr + json.dumps(run.task_results)).encode(), secrets) == []
    seen = b"\n".join(world.watch.processes) + b"".join(
        each.read_bytes() for each in (Path(world.environment["PATH"].partition(":")[0]).parent / "seen").iterdir()
    )
    assert b"fleet.tls.store" in seen and b"genpkey" in seen
    assert found_in(seen, secrets) == []
