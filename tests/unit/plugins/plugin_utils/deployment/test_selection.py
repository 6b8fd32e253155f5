# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pattern means the hosts that were chosen, whatever they are called."""

from __future__ import annotations

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.selection import restriction, summary

NAMES = ["web1", "web10", "web1.example.com", "webXexample.com", "a-b_c", "fe80::1", "x,y", "b[1]", "q+(r)|s", "ü"]


@pytest.fixture(scope="module")
def inventory() -> InventoryManager:
    made = InventoryManager(loader=DataLoader())
    for group in ("web", "web1s"):
        made.add_group(group)
    for name in NAMES:
        made.add_host(name, "web" if name.startswith("web") else "all")
    made._inventory.reconcile_inventory()
    return made


@pytest.mark.parametrize("chosen", [[], ["web1"], ["web1.example.com"], NAMES[4:], NAMES[:3], NAMES])
def test_these_hosts_and_no_others(inventory: InventoryManager, chosen: list[str]) -> None:
    found = inventory.get_hosts(["all", restriction(chosen, len(NAMES))])
    assert sorted(host.name for host in found) == sorted(chosen)
    among = inventory.get_hosts(["web", restriction(chosen, len(NAMES))])
    assert {host.name for host in among} == {name for name in chosen if name.startswith("web")}


def test_what_people_are_told() -> None:
    assert summary({}, 4) == "0 hosts are visited; 4 are left out"
    assert summary({"a": "week", "b": "renewal", "c": "week"}, 4) == (
        "3 hosts are visited: 1 (a certificate is due), 2 (not looked at for a week); 4 are left out"
    )
