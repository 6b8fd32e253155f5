# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of an inventory: lists of several groups are one, and what has no effect is warned of, once a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from local.hosts import Hosts
from tools.playbook import PlaybookResult, run_playbook

JOINED = {"tls_certificates": "{{ lookup('fleet.tls.joined', 'tls_certificates') }}", "tls_trust_system": False}
SLIPS = {"tls_certificate": "www", "tls_serial": 1, "tls_max_fail_percentage": 0, "tls_color": "blue"}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    return Hosts(tmp_path_factory.mktemp("variables"), {"both": ["www", "db"], "web": ["only"]})


def inventory(hosts: Hosts, *, both: dict[str, Any] | None = None, **common: Any) -> Path:
    """Host ``both`` is in two groups, each with a list of its own."""
    www, db = (site.certificate(services=[]) for site in hosts.sites["both"])
    changes = {
        "both": {**JOINED, "tls_certificates_web": [www], "tls_certificates_db": [db], **(both or {})},
        "web": {**JOINED, "tls_certificates_web": [hosts["only"].certificate(services=[])]},
    }
    return hosts.inventory(changes, **common)


def warnings(result: PlaybookResult) -> list[str]:
    """Those on the terminal, each in one line."""
    found = re.findall(r"\[WARNING\]: (.*?)(?=\n\[|\n\n|\Z)", result.stderr + result.stdout, re.DOTALL)
    return [" ".join(each.split()) for each in found if "tls_" in each]


def test_lists_of_two_groups_are_one_wherever_they_are_read(hosts: Hosts) -> None:
    run = run_playbook("fleet.tls.deploy", inventory(hosts)).check()
    assert {site.label: site.pair_fault() for site in hosts} == {"www": None, "db": None, "only": None}
    assert warnings(run) == []
    again = run_playbook("fleet.tls.deploy", inventory(hosts)).check()
    assert again.changed == 0
    seen = run_playbook("fleet.tls.check", inventory(hosts), extra_vars={"tls_check_files": False}).check()
    (document,) = (each["ansible_facts"]["fleet_tls_health"] for each in seen.results(task="Judge"))
    names = {(each["host"], each["name"]) for each in document["certificates"] if each.get("name")}
    assert names == {("both", "www"), ("both", "db"), ("web", "only")}
    nothing = run_playbook("fleet.tls.deploy_due", inventory(hosts)).check()
    assert nothing.results(action="fleet.tls.due_hosts")[0]["hosts"] == {}
    other = hosts.sites["both"][1].certificate(services=[], dns_names=["other.example.com"])
    due = run_playbook("fleet.tls.deploy_due", inventory(hosts, both={"tls_certificates_db": [other]})).check()
    assert list(due.results(action="fleet.tls.due_hosts")[0]["hosts"]) == ["both"]


def test_two_entries_of_one_name_are_refused_with_both_variables(hosts: Hosts) -> None:
    before = {site.label: site.snapshot() for site in hosts}
    again = hosts.sites["both"][0].certificate(services=[])
    result = run_playbook("fleet.tls.deploy", inventory(hosts, both={"tls_certificates_db": [again]}))
    assert result.rc != 0
    words = " ".join((result.stdout + result.stderr).split())
    assert "'www' is in both tls_certificates_db and tls_certificates_web. Rename or remove one of them." in words
    assert {site.label: site.snapshot() for site in hosts} == before


def test_what_has_no_effect_is_warned_of_once_a_run(hosts: Hosts) -> None:
    result = run_playbook("fleet.tls.deploy", inventory(hosts, **SLIPS), extra_vars={"tls_hosts": "all"}).check()
    found = warnings(result)
    assert sorted(each.split()[0] for each in found) == ["tls_certificate", "tls_max_fail_percentage", "tls_serial"]
    assert "tls_certificate is no variable of fleet.tls and is not read. Did you mean tls_certificates?" in found
    # With -e it has an effect.
    given = run_playbook("fleet.tls.deploy", inventory(hosts), extra_vars={"tls_serial": 1}).check()
    assert warnings(given) == []
    # Of all hosts, also of those that are left out.
    due = run_playbook("fleet.tls.deploy_due", inventory(hosts, both={"tls_isuers": {}})).check()
    assert [each.split()[0] for each in warnings(due)] == ["tls_isuers"]
    checked = run_playbook(
        "fleet.tls.check", inventory(hosts, tls_certifciates=[]), extra_vars={"tls_check_files": False}
    )
    assert [each.split()[0] for each in warnings(checked.check())] == ["tls_certifciates"]
    parts = run_playbook(
        "fleet.tls.deploy", inventory(hosts, both={"tls_sites_web": [{"name": "x"}]}), args=["--check"]
    ).check()
    assert [each.split()[0] for each in warnings(parts)] == ["tls_sites_web"]
