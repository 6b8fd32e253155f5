# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ledger that was lost takes no revocation back, and a store of yesterday makes no host forget one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.hosts import ISSUERS, PASSPHRASE
from tools.playbook import PlaybookResult, run_playbook


class World:
    """A host that is this machine, its store, and the playbooks that users have."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "store"

    def run(self, playbook: str, names: tuple[str, ...] = ("good", "bad"), **variables: Any) -> PlaybookResult:
        """With a client's certificate of each name."""
        certificates = [
            {"name": each, "issuer": "internal", "dns_names": [f"{each}.test"], "usages": ["client_auth"]}
            for each in names
        ]
        host = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "tls_directory": str(self.folder / "host"),
            "tls_certificates": certificates,
            "tls_store": {"path": str(self.store), "passphrase": PASSPHRASE},
            # Lists that are due in every run.
            "tls_issuers": {"internal": {**ISSUERS["internal"], "crl_duration": "1s"}},
            "tls_trust_system": False,
            "tls_check_files": False,
        }
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {"web1": host}}}))
        return run_playbook(playbook, inventory, variables)

    def crl(self, name: str = "issuing-1") -> str:
        """The CA's list, as openssl shows it."""
        return subprocess.run(
            ["openssl", "crl", "-in", str(self.store / f"ca/internal/{name}.crl"), "-noout", "-text"],
            capture_output=True, text=True, check=True, timeout=300,
        ).stdout.lower()  # fmt: skip

    def serial(self, name: str) -> str:
        """The number of a certificate."""
        return subprocess.run(
            ["openssl", "x509", "-in", str(self.folder / f"host/live/{name}/cert.pem"), "-noout", "-serial"],
            capture_output=True, text=True, check=True, timeout=300,
        ).stdout.strip().partition("=")[2].lower()  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("backup"))
    made.run("fleet.tls.deploy").check()
    return made


def failure(result: PlaybookResult) -> dict[str, Any]:
    (failed,) = [each["result"] for each in result.task_results if each["status"] == "failed"]
    return dict(failed)


def test_a_lost_ledger(world: World) -> None:
    """One world and one story: the runs are what takes time."""
    serial = world.serial("bad")
    world.run("fleet.tls.revoke", tls_revoke_names=["bad"]).check()
    assert serial in world.crl()
    (world.store / "ledger.sqlite3").unlink()

    checked = world.run("fleet.tls.check")
    assert checked.rc != 0 and "internal: ledger_lost:" in str(checked.task_results)

    # CRLs are signed with what they listed ...
    before = world.crl()
    world.run("fleet.tls.deploy").check()
    assert world.crl() != before and serial in world.crl()

    # ... and only what is new is refused.
    refused = failure(world.run("fleet.tls.deploy", ("good", "bad", "new")))
    assert refused["error"]["code"] == "ledger_lost" and "tls_ledger_lost=true" in refused["msg"]
    world.run("fleet.tls.deploy", ("good", "bad", "new"), tls_ledger_lost="true").check()
    assert serial in world.crl()
    # From then on there is a ledger.
    world.run("fleet.tls.deploy", ("good", "bad", "new", "newer")).check()
