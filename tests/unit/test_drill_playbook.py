# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook fleet.tls.drill gives to those that it runs, rendered as Ansible does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.role_tasks import role_task
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.values import Values

ROOT = Path(__file__).resolve().parents[2]
# What a host's copy may be.
COPY: dict[str, Any] = {
    "store": "/tmp/drill/store",
    "passphrase_file": str(ROOT / "LICENSE"),
    "directory": "/etc/fleet-tls.drill/state",
    "issuers": {"internal": {"type": "ca"}},
    "issuer": "internal",
    "certificates": [],
    "clients": [],
    "bundles": [{"path": "/etc/fleet-tls.drill/files/fleet-tls-drill.pem"}],
    "services": [{"name": "nginx", "endpoints": [], "reload": "none"}],
}


def loaded(name: str) -> list[dict[str, Any]]:
    """The plays or tasks of a file."""
    found: list[dict[str, Any]] = DataLoader().load(trust_as_template((ROOT / name).read_text()))
    return found


def plays() -> list[dict[str, Any]]:
    """Those that work with the drill's variables."""
    return [each for each in loaded("playbooks/drill.yml") if "tls_store" in (each.get("vars") or {})]


def variables(play: dict[str, Any], **given: Any) -> dict[str, Any]:
    """As a task of a play sees them, on a host whose real ones are the defaults; ``given`` are those of ``-e``."""
    known = {"ansible_facts": {}, "fleet_tls_drill": COPY, "inventory_hostname": "web1"}
    return {**known, "ansible_play_hosts_all": ["web1", "fleet-tls-drill"], **play["vars"], **given}


def test_all_that_is_run_has_the_same_variables() -> None:
    first, *others = plays()
    assert [each.get("ansible.builtin.import_playbook", "")[:10] for each in others] == ["deploy.yml", "{{ 'replac"]
    for each in others:
        assert first["vars"].items() <= each["vars"].items()


def test_the_systems_trust_store_is_left_alone() -> None:
    """``false`` would remove the real CA's anchors from it."""
    seen = variables(plays()[0])
    task = role_task("trust", "fleet.tls.trust_bundle")
    foreseen = task.variables(seen, {})
    options = task.options(Values(Templar(DataLoader(), variables=foreseen), foreseen))
    assert options["directory"] == COPY["directory"] and "system" not in options
    args = dict(task.task.args)
    assert "system" in args and "system" not in Templar(DataLoader(), variables=foreseen).template(args)
    # Nor is it asked in a proof, to which it is one that does not trust the CA.
    (prove,) = (
        each["fleet.tls.rotation"] for each in loaded("playbooks/tasks/prove_ca.yml") if "fleet.tls.rotation" in each
    )
    assert Templar(DataLoader(), variables=seen).template({"system": prove["system"]}) == {}


@pytest.mark.parametrize(
    "given",
    [
        {"tls_trust_system": False},
        {"tls_trust_system": True},
        {"tls_trust_services": ["nginx"]},
        {"tls_trust_anchors": {"other": "PEM"}},
        {"tls_directory": "/etc/fleet-tls"},
        {"tls_issuers": {"internal": {"type": "acme"}}},
        {"tls_drill_issuers": {"other": {"type": "acme"}}},
        {"tls_sites": [{"name": "www"}]},
        {"tls_certificates": [{"name": "www"}]},
        # With these, Ansible may end the run before anything is cleaned up; the last is --limit.
        {"tls_serial": 1},
        {"tls_rotation_serial": 1},
        {"tls_max_fail_percentage": 0},
        {"ansible_play_hosts_all": ["web1"]},
    ],
)
def test_what_is_given_with_e_and_would_reach_the_real_one_or_leave_something_is_refused(given: dict[str, Any]) -> None:
    play = plays()[0]
    conditions = [each for task in play["tasks"] for each in task["ansible.builtin.assert"]["that"]]

    def holds(seen: dict[str, Any]) -> bool:
        templar = Templar(DataLoader(), variables=seen)
        return all(templar.evaluate_conditional(each) for each in conditions)

    assert holds(variables(play))
    assert holds(variables(play, tls_drill_issuers={"internal": {"type": "acme"}}))
    assert not holds(variables(play, **given))


def test_hosts_without_certificates_are_not_taken_as_compromised() -> None:
    """fleet.tls.replace_compromised refuses them, for all hosts at once."""
    (play,) = (each for each in loaded("playbooks/drill.yml") if each["name"].startswith("Note that the copy"))
    (task,) = (each for each in play["tasks"] if "compromised" in str(each.get("ansible.builtin.group_by")))
    group = task["ansible.builtin.group_by"]["key"]
    rehearsal = plays()[-1]

    def all_hold(conditions: list[Any], **known: Any) -> bool:
        templar = Templar(DataLoader(), variables={"ansible_check_mode": False, **known})
        return all(templar.evaluate_conditional(each) for each in conditions)

    def chosen(certificates: list[Any], **given: str) -> bool:
        return all_hold(task["when"], fleet_tls_drill={**COPY, "certificates": certificates}, **given)

    replacing = {"tls_drill": "replace_compromised"}
    assert chosen([{"name": "www"}], **replacing) and not chosen([], **replacing) and not chosen([{"name": "www"}])
    through = {"fleet_tls_drill_deployed": ["web1", "db1"]}
    seen = variables(rehearsal, groups={**through, group: ["web1"]}, **replacing)
    assert Templar(DataLoader(), variables=seen).template(seen["tls_compromised_hosts"]) == ["web1"]
    assert all_hold(rehearsal["when"], groups={**through, group: ["web1"]}, **replacing)
    assert not all_hold(rehearsal["when"], groups=through, **replacing)
    assert all_hold(rehearsal["when"], groups=through)
