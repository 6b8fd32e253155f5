# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run without pipelining leaves on a host when it is killed: modules of ours, and no secret in them."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from local.family import Family
from local.hosts import PASSPHRASE, Hosts, ledger
from tools.playbook import run_playbook

PKCS12_PASSPHRASE = "PKCS12-on-no-disk-5d1b8e"
LIMIT = 180.0


def variables(hosts: Hosts, wait: Path) -> dict[str, dict[str, Any]]:
    """A host that is given its key and the passphrase of a file, and whose service takes its time to check them."""
    site = hosts["www"]
    outputs = [{"path": str(hosts.folder / "app.p12"), "format": "pkcs12", "passphrase": PKCS12_PASSPHRASE}]
    service = {
        "name": "slow",
        "validate": ["sh", "-c", f"test -e {wait}.go || {{ : > {wait}; exec sleep 600; }}"],
        "reload": ["true"],
    }
    wish = site.certificate(private_key={"location": "controller"}, outputs=outputs, services=[service])
    return {"web": {"tls_certificates": [wish], "ansible_remote_tmp": str(hosts.folder / "remote-tmp")}}


def left_in(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("keep", ["0", "1"], ids=["as Ansible is", "files are kept"])
def test_a_killed_run_leaves_no_secret_in_files(keep: str, tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, {"web": ["www"]})
    waiting = tmp_path / "validating"
    playbook, inventory = hosts.playbook(), hosts.inventory(variables(hosts, waiting))
    settings = {"ANSIBLE_PIPELINING": "0", "ANSIBLE_KEEP_REMOTE_FILES": keep}
    family = Family(playbook, inventory, settings)
    try:
        until = time.monotonic() + LIMIT
        while not waiting.exists() and family.process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        assert waiting.exists(), "the run has ended, or did not come to the check of the service"
    finally:
        family.kill()
    text = b"".join(left_in(tmp_path / "remote-tmp").values())
    # A module is a compressed archive in base64, with its arguments beside it.
    for secret in (PKCS12_PASSPHRASE, PASSPHRASE, "PRIVATE KEY"):
        assert secret.encode() not in text and base64.b64encode(secret.encode()).rstrip(b"=")[:-1] not in text
    (tmp_path / "validating.go").touch()
    run_playbook(playbook, inventory, env=settings).check()
    assert hosts["www"].pair_fault() is None and len(ledger(hosts.store)) == 1


def test_an_old_leftover_goes_with_the_next_run(tmp_path: Path) -> None:
    """Where a connection takes no input, as with su, a secret is in a file after all."""
    hosts = Hosts(tmp_path, {"web": ["www"]})
    old = tmp_path / "remote-tmp/ansible-tmp-1790000000.1-7-2"
    old.mkdir(parents=True)
    (old / "AnsiballZ_host_apply.py").write_text(json.dumps({"passphrase": PKCS12_PASSPHRASE}))
    os.utime(old, (1790000000, 1790000000))
    wish = {"tls_certificates": [], "ansible_remote_tmp": str(tmp_path / "remote-tmp")}
    facts = [{"hosts": "all", "gather_facts": False, "tasks": [{"name": "Facts", "fleet.tls.host_facts": {}}]}]
    (tmp_path / "facts.yml").write_text(json.dumps(facts))
    inventory = hosts.inventory({"web": wish})
    run_playbook(tmp_path / "facts.yml", inventory, env={"ANSIBLE_PIPELINING": "0"}).check()
    assert not old.exists()
