# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook fleet.tls.deploy works out of a host's variables, rendered as Ansible does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.parts import PARTS as DUE_PARTS

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
PARTS = {
    "certificates": True,
    "ca": True,
    "trust": True,
    "session_tickets": False,
    "web_server": True,
    "publication": False,
    "clients": False,
}


def play(name: str, number: int) -> dict[str, Any]:
    """A play of one of the playbooks."""
    loader = DataLoader()
    found: list[dict[str, Any]] = loader.load(trust_as_template((PLAYBOOKS / name).read_text()))
    return found[number]


def rendered(name: str, **known: Any) -> Any:
    """A variable of the play, on a host with these variables and registered results."""
    variables = {"ansible_facts": {}, **play("deploy.yml", 0)["vars"], "fleet_tls_parts": PARTS, **known}
    return Templar(DataLoader(), variables=variables).template(variables[name])


def test_a_host_that_asks_others_stays_with_all_that_this_takes() -> None:
    calm: dict[str, list[str]] = {"due": [], "own": []}
    assert rendered("fleet_tls_due_parts", fleet_tls_due={**calm, "asks_others": []}) == []
    # Nothing of the deployment concerns it.
    assert rendered("fleet_tls_due_parts", fleet_tls_due=calm) == []
    assert rendered("fleet_tls_due_parts", fleet_tls_due={**calm, "asks_others": ["clients"]}) == ["clients"]
    due = {"due": ["trust", "web_server"], "asks_others": ["ca", "web_server"]}
    assert set(rendered("fleet_tls_due_parts", fleet_tls_due=due)) == {"ca", "trust", "web_server"}


def test_where_nobody_has_looked_everything_is_due() -> None:
    assert set(rendered("fleet_tls_due_parts")) == set(DUE_PARTS)


def tasks() -> list[dict[str, Any]]:
    """Those of the play."""
    return list(play("deploy.yml", 0)["tasks"])


def place(what: str) -> int:
    """The place of the first task with this module, role or meta action."""
    return next(number for number, task in enumerate(tasks()) if what in (*task, *(str(each) for each in flat(task))))


def flat(task: dict[str, Any]) -> list[Any]:
    """The values of a task, and of the mappings in it."""
    return [each for value in task.values() for each in (value.values() if isinstance(value, dict) else [value])]


def test_a_host_that_is_in_order_and_asks_others_is_forgotten_before_that_and_noted_at_the_end() -> None:
    forget, note = (number for number, task in enumerate(tasks()) if "fleet.tls.deployed" in task)
    assert place("end_host") < forget < place("fleet.tls.certificates") and note == len(tasks()) - 1
    assert "look" not in tasks()[forget]["fleet.tls.deployed"]

    def runs(number: int, known: dict[str, Any]) -> bool:
        when = tasks()[number]["when"]
        conditions = when if isinstance(when, list) else [when]
        templar = Templar(DataLoader(), variables={"fleet_tls_due": known, "ansible_skip_tags": []})
        return all(templar.evaluate_conditional(each) for each in conditions)

    asks, due, unknown = {"due": [], "look": {"at": 1}}, {"due": ["trust"], "look": {"at": 1}}, {"due": ["trust"]}
    assert [runs(forget, each) for each in (asks, due, unknown)] == [True, False, False]
    assert [runs(note, each) for each in (asks, due, unknown)] == [True, True, False]


def test_what_an_earlier_deployment_of_the_run_has_returned_is_not_noted() -> None:
    options = tasks()[-1]["fleet.tls.deployed"]
    earlier = {
        "fleet_tls_result": {"certificates": ["a"]},
        "fleet_tls_ca": {"handed_out": {"trust": {"internal": "t"}}},
    }

    def given(due: list[str]) -> tuple[Any, Any]:
        templar = Templar(DataLoader(), variables={**earlier, "fleet_tls_due_parts": due})
        return templar.template(options["certificates"]), templar.template(options["handed_out"])

    assert given(["trust"]) == ({}, {})
    assert given(["certificates"]) == ({"certificates": ["a"]}, {})
    assert given(["ca"]) == ({}, {"trust": {"internal": "t"}})


def test_trust_is_passed_over_where_only_a_certificate_was_renewed() -> None:
    due = {"due": ["certificates", "ca", "trust"], "own": ["certificates"], "look": {"trust": {"internal": "t"}}}
    same, other = ({"handed_out": {"trust": {"internal": each}}} for each in "tu")
    assert rendered("fleet_tls_trust_stays", fleet_tls_due=due, fleet_tls_ca=same) is True
    assert rendered("fleet_tls_trust_stays", fleet_tls_due=due, fleet_tls_ca=other) is False
    assert rendered("fleet_tls_trust_stays", fleet_tls_due={**due, "own": ["trust"]}, fleet_tls_ca=same) is False
    assert rendered("fleet_tls_trust_stays", fleet_tls_due=due) is False
    assert rendered("fleet_tls_trust_stays", fleet_tls_ca=same) is False


def test_deploy_due_chooses_and_can_be_described_before_there_is_a_choice() -> None:
    pattern = play("deploy_due.yml", 1)["vars"]["fleet_tls_hosts"]
    assert Templar(DataLoader(), variables={}).template(pattern) == ["all", "&all"]
    chosen = {"hostvars": {"localhost": {"fleet_tls_restriction": r"&~(web3)\Z"}}, "tls_hosts": ["web", "db"]}
    assert Templar(DataLoader(), variables=chosen).template(pattern) == ["web", "db", r"&~(web3)\Z"]


def test_a_host_has_something_to_retire_where_anything_is_absent() -> None:
    """As the playbook itself has it, without the parts of above."""

    def concerned(**known: Any) -> bool:
        variables = {"ansible_facts": {}, **play("deploy.yml", 0)["vars"], **known}
        return bool(Templar(DataLoader(), variables=variables).template(variables["fleet_tls_parts"]["retire"]))

    gone = {"name": "www", "state": "absent"}
    assert not concerned()
    assert not concerned(
        tls_certificates=[{"name": "www"}, {"name": "mail", "state": "present"}], tls_session_ticket_state="present"
    )
    assert concerned(tls_certificates=[{"name": "mail"}, gone])
    assert concerned(tls_clients=[gone]) and concerned(tls_trust_bundles=[gone])
    assert concerned(tls_session_ticket_state="absent")
    # The web server's role takes sites out by itself.
    assert not concerned(tls_sites=[gone])


def test_what_is_retired_is_taken_away_when_nobody_needs_it_any_more() -> None:
    assert place("fleet.tls.retire") > max(
        place("fleet.tls.certificates"), place("tasks/web_server.yml"), place("tasks/put_off.yml")
    )


def tags_of(name: str, number: int, *skipped: str) -> list[str]:
    """Those of the tasks that all parts share."""
    variables = {**play(name, number)["vars"], "ansible_skip_tags": list(skipped)}
    return list(Templar(DataLoader(), variables=variables).template(variables["fleet_tls_tags"]))


def test_each_part_has_its_tag_and_what_they_share_has_all_of_them() -> None:
    shared = set(tags_of("deploy.yml", 0))
    assert shared == set(tags_of("deploy_due.yml", 0)) and shared >= set(DUE_PARTS)
    assert set(tags_of("deploy.yml", 0, "web", "mine")) == shared - {"web"}
    own = [task["tags"] for task in tasks() if isinstance(task.get("tags"), list)]
    assert {each[0] for each in own} | {"clients"} == set(DUE_PARTS)
    assert {tag for each in own for tag in each} <= shared
    # All but the last task, which says that everything is done.
    assert ["tags" in task for task in tasks()] == [True] * (len(tasks()) - 1) + [False]


def test_what_is_included_has_the_tags_of_where_it_is_included() -> None:
    """A tag of ``include_role`` is not one of what is in it."""
    files = [PLAYBOOKS / "deploy.yml", PLAYBOOKS / "check.yml", *PLAYBOOKS.glob("tasks/*.yml")]
    found = [
        task
        for path in files
        for each in DataLoader().load(path.read_text())
        for task in each.get("tasks", [each])
        if "ansible.builtin.include_role" in task and "tags" in task
    ]
    assert len(found) >= 5
    assert all(task["ansible.builtin.include_role"]["apply"]["tags"] == task["tags"] for task in found)
