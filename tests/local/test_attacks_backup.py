# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ledger that was lost takes no revocation back, and a store of yesterday makes no host forget one."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import revoke
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from ansible_collections.fleet.tls.tests.unit.support.pki import make_issuer
from local.hosts import ISSUERS, PASSPHRASE
from tools.playbook import PlaybookResult, run_playbook
from tools.ports import free_port


class World:
    """A host that is this machine, its store, and the playbooks that users have."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "store"
        self.server: dict[str, Any] = {}

    def run(self, playbook: str, names: tuple[str, ...] = ("good", "bad"), **variables: Any) -> PlaybookResult:
        """With a client's certificate of each name."""
        certificates = [
            {"name": each, "issuer": "internal", "dns_names": [f"{each}.test"], "usages": ["client_auth"]}
            for each in names
        ]
        if self.server:
            certificates.append({"name": "www", "issuer": "internal", "dns_names": ["www.test"]})
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
            **self.server,
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


@pytest.fixture
def served(tmp_path: Path) -> Iterator[World]:
    """A server that verifies its clients, and knows of a revocation that the store, restored from a copy, does not."""
    made = World(tmp_path)
    with NginxService(tmp_path / "nginx") as nginx:
        site = {"name": "www", "server_names": ["www.test"], "certificate": "www", "root": "/srv"}
        made.server = {
            "tls_nginx_directory": str(nginx.folder),
            "tls_nginx_service": nginx.described(),
            "tls_sites": [{**site, "listen": [f"127.0.0.1:{free_port()}"], "client_auth": "required"}],
        }
        made.run("fleet.tls.deploy").check()
        shutil.copytree(made.store, tmp_path / "backup")
        issuer = make_issuer(made.store)
        revoke(
            {"internal": issuer}, issuer.store, [made.serial("bad")], "key_compromise", dt.datetime.now(dt.timezone.utc)
        )
        made.run("fleet.tls.deploy", tls_issuers=ISSUERS).check()
        restore(made)
        yield made


def restore(world: World) -> None:
    """The whole store, as it was before the revocation."""
    shutil.rmtree(world.store)
    shutil.copytree(world.folder / "backup", world.store)


def signed(result: PlaybookResult, action: str) -> list[set[int]]:
    """What the issuing CA's lists revoked when tasks with that action had ended."""
    shown = result.results(action=action)
    crls = [
        crl for each in shown for crl in each.get("crls") or each.get("issuers", {}).get("internal", {}).get("crls", ())
    ]
    return [{int(serial, 16) for serial in crl["revoked"]} for crl in crls if "Issuing" in crl["issuer"]]


def test_a_list_that_lacks_what_a_server_knows_is_not_even_signed(served: World) -> None:
    bad, good = (int(served.serial(name), 16) for name in ("bad", "good"))
    deployed = served.run("fleet.tls.deploy", tls_issuers=ISSUERS).check()
    # The lists of the copy are due, so the CA signs before the server's part is reached.
    assert [bad in listed for listed in signed(deployed, "fleet.tls.ca")] == [True]
    assert "merged as number" in str(deployed.results(action="fleet.tls.ca"))

    restore(served)
    revoked = served.run("fleet.tls.revoke", tls_revoke_names=["good"], tls_issuers=ISSUERS).check()
    assert {bad, good} <= signed(revoked, "fleet.tls.revoke")[0]
    assert "merged as number" in str(revoked.results(action="fleet.tls.revoke"))
