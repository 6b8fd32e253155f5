# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook fleet.tls.deploy works out of a host's variables, rendered as Ansible does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
PARTS = {
    "certificates": True,
    "ca": True,
    "trust": True,
    "session_tickets": False,
    "web_server": True,
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
    upstream = [{"name": "www", "upstream": "https://app.example.com"}, {"name": "static"}]
    calm = {"due": [], "own": []}
    assert rendered("fleet_tls_due_parts", fleet_tls_due=calm) == []
    assert rendered("fleet_tls_due_parts", fleet_tls_due=calm, tls_sites=upstream[1:]) == []
    # Without the part ca, its server would be told of nobody's challenges, and answer them no more.
    assert set(rendered("fleet_tls_due_parts", fleet_tls_due=calm, tls_sites=upstream)) == {"ca", "web_server"}
    clients = {**PARTS, "clients": True}
    assert rendered("fleet_tls_due_parts", fleet_tls_due=calm, fleet_tls_parts=clients) == ["clients"]
    due = {"due": ["trust", "web_server"]}
    assert set(rendered("fleet_tls_due_parts", fleet_tls_due=due, tls_sites=upstream)) == {"ca", "trust", "web_server"}
