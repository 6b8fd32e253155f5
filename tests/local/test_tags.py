# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a deployment by their tags, and what a task returns on request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.deployment import due
from local.hosts import Hosts
from tools.playbook import PlaybookResult, run_playbook


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    return Hosts(tmp_path_factory.mktemp("tags"), {"web": ["www"]})


@pytest.fixture(scope="module")
def bundle(hosts: Hosts) -> Path:
    return hosts.folder / "bundle.pem"


def deploy(hosts: Hosts, bundle: Path, *args: str, playbook: str = "fleet.tls.deploy") -> PlaybookResult:
    site = hosts["web"]
    changes = {"tls_certificates": [site.certificate(services=[])], "tls_trust_bundles": [{"path": str(bundle)}]}
    return run_playbook(playbook, hosts.inventory({"web": changes}, tls_trust_system=False), args=args)


def ours(result: PlaybookResult) -> set[str]:
    """Which actions of the collection did anything."""
    return {
        each["action"].rpartition(".")[2]
        for each in result.task_results
        if each["action"].startswith("fleet.tls.") and each["status"] != "skipped"
    }


def test_a_tag_is_a_part_and_all_of_it(hosts: Hosts, bundle: Path, tmp_path: Path) -> None:
    site = hosts["web"]
    deploy(hosts, bundle, "--tags", "mine").check()
    assert not site.tls.exists() and not hosts.store.exists()
    only = deploy(hosts, bundle, "--tags", "certificates").check()
    assert ours(only) == {"due_parts", "certificates"}
    assert site.pair_fault() is None and not bundle.exists()
    # What was left out is as due as before, and a run of some parts notes no host as done.
    rest = deploy(hosts, bundle, "--skip-tags", "trust,clients")
    assert ours(rest.check()) == {"due_parts"} and not bundle.exists()
    last = deploy(hosts, bundle, "--tags", "trust", playbook="fleet.tls.deploy_due").check()
    assert list(last.results(action="fleet.tls.due_hosts")[0]["hosts"]) == ["web"]
    assert ours(last) == {"due_hosts", "due_parts", "trust_bundle"} and bundle.exists()
    whole = deploy(hosts, bundle).check()
    assert due(whole) == {"web": []} and whole.changed == 0
    # A tag of the user's own, at the import: everything of it.
    bundle.unlink()
    own = tmp_path / "site.yml"
    own.write_text(json.dumps([{"name": "TLS", "import_playbook": "fleet.tls.deploy", "tags": ["mine"]}]))
    mine = deploy(hosts, bundle, "--tags", "mine", playbook=str(own)).check()
    assert ours(mine) == {"due_parts", "trust_bundle", "deployed"} and bundle.exists()
    again = deploy(hosts, bundle, playbook="fleet.tls.deploy_due").check()
    assert again.results(action="fleet.tls.due_hosts")[0]["hosts"] == {}


def test_a_rotation_is_whole_or_nothing(hosts: Hosts, bundle: Path) -> None:
    before = hosts["web"].snapshot()
    for playbook in ("fleet.tls.rotate_keys", "fleet.tls.rotate_ca", "fleet.tls.revoke"):
        result = deploy(hosts, bundle, "--tags", "certificates", playbook=playbook).check()
        assert ours(result) == set()
    assert hosts["web"].snapshot() == before


def test_facts_are_returned_on_request(hosts: Hosts) -> None:
    changes = {"web": {"tls_certificates": [hosts["web"].certificate(services=[])]}}
    for facts in (False, True):
        (result,) = hosts.play(changes, facts=facts).check().results(action="fleet.tls.certificates")
        assert ("fleet_tls_host" in result.get("ansible_facts", {})) is facts
