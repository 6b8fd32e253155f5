# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fleet.tls.due_parts takes from the roles is what is there."""

from __future__ import annotations

from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.fleet.tls.plugins.action.due_parts import ACTIONS, DEFAULTS
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.parts import PARTS
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.role_tasks import role_task, specified, wrong_variables
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.values import Values
from tools import paths


def of_host(host: dict[str, Any], role: str) -> Values:
    variables = role_task(role, f"fleet.tls.{role}").variables(host, {})
    return Values(Templar(DataLoader(), variables), variables)


def test_every_part_has_a_task_with_that_action() -> None:
    for name, (action, role) in ACTIONS.items():
        assert action.__module__.rpartition(".")[2] == role.task.action.rpartition(".")[2], name


def test_defaults_of_the_roles_agree() -> None:
    for _action, role in ACTIONS.values():
        assert {name: DEFAULTS[name] for name in role.defaults} == role.defaults


def test_the_playbook_knows_the_same_parts() -> None:
    (play,) = yaml.safe_load((paths.ROOT / "playbooks" / "deploy.yml").read_text())
    assert tuple(play["vars"]["fleet_tls_parts"]) == PARTS
    assert f"default({list(PARTS)})" in play["vars"]["fleet_tls_due_parts"]


def test_options_are_the_host_s_over_the_role_s() -> None:
    options = role_task("clients", "fleet.tls.clients").options(
        of_host({"tls_directory": "/srv", "tls_clients": [1]}, "clients")
    )
    assert (options["directory"], options["prove_timeout"], options["clients"]) == ("/srv", "15s", [1])
    assert "store" not in options and "certificates" not in options


def test_templates_are_found_in_the_role() -> None:
    task = role_task("nginx", "fleet.tls.service_config", "configure").task.copy()
    found = DataLoader().path_dwim_relative_stack(task.get_search_path(), "templates", "sites.conf.j2")
    assert found == str(paths.ROOT / "roles" / "nginx" / "templates" / "sites.conf.j2")


def test_wrong_types_are_seen_and_what_cannot_be_told_is_not() -> None:
    assert specified("certificates")["tls_certificates"]["type"] == "list"
    right = {"tls_certificates": [], "tls_force": "{{ nowhere }}"}
    assert wrong_variables(["certificates"], right, of_host(right, "certificates")) == []
    wrong = {"tls_store": ["secret"]}
    assert len(wrong_variables(["certificates", "ca"], wrong, of_host(wrong, "certificates"))) == 1


SITE = {"name": "www", "server_names": ["www.example.com"], "certificate": "www", "root": "/srv", "listen": [8443]}


def retired(**host: Any) -> dict[str, Any]:
    """The options of the role ``retire`` on a host with these variables."""
    return role_task("retire", "fleet.tls.retire").options(of_host(host, "retire"))


def test_what_is_retired_is_taken_from_those_who_read_it() -> None:
    """And from nobody else: a service that has nothing to do with it need not even be there."""
    nothing = retired()
    assert nothing["services"] == nothing["endpoints"] == [] and nothing["certificates_of"] == {}
    assert nothing["whole_host"] is nothing["unreachable"] is False
    assert not {"store", "revoke", "session_ticket_pool"} & set(nothing)
    servers = ["haproxy", {"server": "nginx", "service": "own-nginx"}, {"server": "nginx"}]
    rings = {"tls_session_ticket_servers": servers, "tls_session_ticket_pool": "web"}
    assert retired(**rings)["services"] == []
    ring = retired(**rings, tls_session_ticket_state="absent")
    assert (ring["services"], ring["session_ticket_pool"]) == (["haproxy", "own-nginx", "nginx"], "web")
    bundles = {"tls_trust_services": ["app"], "tls_trust_bundles": [{"path": "/a"}]}
    assert retired(**bundles)["services"] == []
    bundles["tls_trust_bundles"] = [{"path": "/a", "state": "absent"}]
    assert retired(**bundles)["services"] == ["app"]


def test_where_sites_are_and_were_nothing_retired_may_be_served() -> None:
    there = retired(tls_sites=[SITE, {**SITE, "name": "old", "listen": [9443], "state": "absent"}])
    assert [(each["port"], each["server_name"]) for each in there["endpoints"]] == [
        (8443, "www.example.com"), (9443, "www.example.com"),
    ]  # fmt: skip
    assert [each.get("state") for each in there["sites"]] == [None, "absent"]


def test_a_pool_is_looked_for_on_all_hosts() -> None:
    """Only by who has one: the inventory may be large."""
    pooled = {"name": "www", "scope": "pool"}
    fleet = {"hostvars": {"web1": {"tls_certificates": [pooled]}, "web2": {}}, "groups": {"all": ["web1", "web2"]}}
    assert retired(**fleet, tls_certificates=[{"name": "www"}])["certificates_of"] == {}
    assert retired(**fleet, tls_certificates=[pooled])["certificates_of"] == {"web1": [pooled], "web2": []}


def test_a_whole_host_is_taken_from_its_web_server_too() -> None:
    whole = {"fleet_tls_retiring": True, "tls_retire_revoke": "superseded", "tls_session_ticket_servers": []}
    assert retired(**{**whole, "fleet_tls_retiring": False}).get("revoke") is None
    none = retired(**whole)
    assert (none["services"], none["whole_host"], none["revoke"], none["session_ticket_pool"]) == (
        [],
        True,
        "superseded",
        "default",
    )
    assert retired(**whole, tls_sites=[], tls_web_server="apache", tls_apache_service="httpd")["services"] == ["httpd"]
    # The look before has found files of ours, though the inventory has no sites any more.
    assert retired(**whole, fleet_tls_retired={"there": {"configured": ["nginx"]}})["services"] == ["nginx"]
