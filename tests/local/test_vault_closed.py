# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A passphrase in a vault that a run cannot open is no matter where nothing needs it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.hosts import PASSPHRASE, Hosts
from tools.playbook import PlaybookResult, ansible_environment, run_playbook


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    return Hosts(tmp_path_factory.mktemp("vault"), {"web": ["www"]})


@pytest.fixture(scope="module")
def key(hosts: Hosts) -> Path:
    path = hosts.folder / "vault-password"
    path.write_text("open sesame")
    return path


@pytest.fixture(scope="module")
def sealed(hosts: Hosts, key: Path) -> dict[str, str]:
    """The passphrase as Ansible Vault has it, in the form of a JSON inventory."""
    command = ["ansible-vault", "encrypt", "--vault-password-file", str(key), "--output", "-"]
    done = subprocess.run(
        command, input=PASSPHRASE, env=ansible_environment(), capture_output=True, text=True, check=True, timeout=300
    )
    return {"__ansible_vault": done.stdout}


def run(hosts: Hosts, sealed: Any, name: str, *args: str, **changes: Any) -> PlaybookResult:
    wanted = {"tls_certificates": [hosts["web"].certificate(services=[], **changes)]}
    store = hosts.store_options(passphrase="{{ vault_tls_passphrase }}")
    inventory = hosts.inventory({"web": wanted}, tls_store=store, vault_tls_passphrase=sealed, tls_trust_system=False)
    return run_playbook(f"fleet.tls.{name}", inventory, args=args)


def test_only_what_needs_the_passphrase_fails_without_the_vault_password(hosts: Hosts, key: Path, sealed: Any) -> None:
    opened = ("--vault-password-file", str(key))
    run(hosts, sealed, "deploy", *opened).check()
    for name in ("deploy", "deploy_due"):
        result = run(hosts, sealed, name).check()
        assert result.changed == 0, name
    assert result.results(action="fleet.tls.due_hosts")[0]["hosts"] == {}
    run(hosts, sealed, "check", "-e", "tls_check_files=false").check()
    before = hosts["web"].snapshot()
    due = run(hosts, sealed, "deploy", dns_names=["other.example.com"])
    assert due.rc != 0 and "no vault secrets" in due.stdout + due.stderr
    assert hosts["web"].snapshot() == before
    assert PASSPHRASE not in due.stdout + due.stderr
    assert run(hosts, sealed, "deploy", *opened, dns_names=["other.example.com"]).check().changed > 0
