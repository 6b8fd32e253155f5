# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice among all hosts of an inventory: those of each store by what that one says, and nobody because of somebody else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.due_hosts import ActionModule
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair, LastLook, note_look
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.handed_out import handed_out
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.upkeep import shown
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.wanted import digest_of
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE

NOW = int(time.time())


class HostVars(dict[str, dict[str, Any]]):
    """As Ansible's; nothing in it is a template."""

    def raw_get(self, host: str) -> dict[str, Any]:
        return {"inventory_hostname": host, **self[host]}


class Inventory:
    """Hosts by their names, with a store of their own or the one that all have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts = HostVars()

    def add(self, name: str, store: str = "store", **changes: Any) -> None:
        """A host with a certificate."""
        self.hosts[name] = {
            "tls_store": {"path": str(self.folder / store), "passphrase": PASSPHRASE},
            "tls_issuers": {"internal": {"type": "ca"}},
            "tls_certificates": [{"name": "www", "issuer": "internal", "dns_names": [f"{name}.example.com"]}],
            **changes,
        }

    def deployed(self, *names: str) -> None:
        """Issue, and note that all is as it should be."""
        for name in names:
            known = self.hosts[name]
            run = run_task(HonestHost(), self.issuers(name), known["tls_certificates"][0], name=name)
            (done,) = list(run.progress.values())
            assert done.chain
        for name in names:
            issuers = self.issuers(name)
            issuer = issuers["internal"]
            assert isinstance(issuer, CaIssuer)
            issuer.crls(now())
            given = handed_out({each: shown(found, now()) for each, found in issuers.items()})
            (row,) = (row for row in issuer.store.issuances() if row.host == name)
            pairs = {"www": KnownPair(row.fingerprint, row.not_before, NOW + 86400)}
            look = LastLook(NOW, digest_of(self.hosts.raw_get(name)), given["trust"], None, pairs)
            note_look(issuer.store, name, look)

    def issuers(self, name: str) -> Any:
        """Those of a host."""
        return load_issuers(self.hosts[name]["tls_issuers"], load_store(self.hosts[name]["tls_store"]))

    def choose(self, options: str = "{}", play: Sequence[str] = ()) -> dict[str, Any]:
        """The task's result.

        :param play: the hosts of the play; all where it is empty.
        """
        everyone = {"groups": {"all": list(self.hosts)}, "ansible_play_hosts_all": list(play or self.hosts)}
        variables = {"hostvars": self.hosts, **everyone, "inventory_hostname": "web1"}
        return run_action(ActionModule, options, variables)


def now() -> Any:
    """By the controller's clock."""
    return ActionModule.now()


@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Inventory]:
    made = Inventory(tmp_path)
    for name in ("web1", "web2", "web3"):
        made.add(name)
    made.add("db1", "other")
    made.hosts["bystander"] = {"ansible_host": "192.0.2.1"}
    yield made


def test_the_hosts_of_each_store(inventory: Inventory) -> None:
    first = inventory.choose()
    assert first["hosts"] == dict.fromkeys(["web1", "web2", "web3", "db1"], "unknown") and first["left_out"] == 1
    inventory.deployed("web1", "web2", "db1")
    result = inventory.choose()
    assert result["hosts"] == {"web3": "unknown"} and result["restriction"] == r"&~(web3)\Z" and not result["changed"]
    assert result["msg"] == "1 hosts are visited: 1 (not known to be in order); 4 are left out"
    inventory.hosts["web2"]["tls_sites"] = [{"name": "www"}]
    assert inventory.choose()["hosts"] == {"web2": "inventory", "web3": "unknown"}
    assert inventory.choose("force: true")["left_out"] == 1
    assert inventory.choose("force: [www]")["hosts"] == {
        **dict.fromkeys(["web1", "web2", "db1"], "forced"),
        "web3": "unknown",
    }
    with pytest.raises(AnsibleActionFail, match="force: it must be a list of names"):
        inventory.choose("force: {a: b}")


def test_a_host_that_has_moved_is_another_machine(inventory: Inventory) -> None:
    inventory.hosts["web1"]["ansible_host"] = "192.0.2.1"
    inventory.deployed("web1", "web2", "web3", "db1")
    assert inventory.choose()["hosts"] == {}
    inventory.hosts["web1"]["ansible_host"] = "192.0.2.2"
    assert inventory.choose()["hosts"] == {"web1": "inventory"}


def test_a_host_that_is_to_have_nothing_any_more_is_visited_for_what_is_to_be_removed(inventory: Inventory) -> None:
    inventory.deployed("web1", "web2", "web3", "db1")
    inventory.hosts["bystander"]["tls_store"] = inventory.hosts["web1"]["tls_store"]
    kept = {"tls_store": inventory.hosts["web2"]["tls_store"]}
    inventory.hosts["web2"] = kept
    assert inventory.choose()["hosts"] == {"web2": "inventory"}
    store = load_store(kept["tls_store"])
    note_look(store, "web2", LastLook(NOW, digest_of(inventory.hosts.raw_get("web2")), {}, None, {}))
    assert inventory.choose()["hosts"] == {}


def test_hosts_whose_session_ticket_keys_are_not_those_of_their_pool(inventory: Inventory) -> None:
    inventory.hosts["web1"] |= {"tls_session_tickets": True, "tls_session_ticket_pool": "blue"}
    inventory.hosts["web2"]["tls_session_tickets"] = False
    inventory.hosts["web3"]["tls_session_tickets"] = "yes"
    inventory.deployed("web1", "web2", "web3", "db1")
    assert inventory.choose()["hosts"] == {"web1": "tickets", "web3": "tickets"}
    rings = RingStore(inventory.issuers("web1")["internal"].store, "blue")
    generation = rings.create(NOW).record.generation
    rings.note(lambda record: record.with_proof("web1", NOW), generation)
    assert inventory.choose()["hosts"] == {"web3": "tickets"}


def test_a_play_that_leaves_hosts_out_has_somebody_of_its_own_see_to_the_ca(inventory: Inventory) -> None:
    inventory.deployed("web1", "web2", "web3", "db1")
    issuer = inventory.issuers("web1")["internal"]
    issuer.crl_keeper.forget_all_listed()
    (row,) = (row for row in issuer.store.issuances() if row.host == "web1")
    with issuer.store.ledger() as ledger:
        assert ledger.revoke(row.fingerprint, "superseded", NOW)
    assert inventory.choose()["hosts"] == {"web1": "ca"}
    found = inventory.choose(play=["web3", "bystander"])
    assert found["hosts"] == {"web3": "ca"} and found["left_out"] == 1 and found["restriction"] == r"&~(web3)\Z"


def test_a_store_that_cannot_be_read_leaves_nobody_of_its_hosts_out_and_no_others_in(inventory: Inventory) -> None:
    inventory.deployed("web1", "web2", "web3", "db1")
    assert inventory.choose()["hosts"] == {}
    (inventory.folder / "other" / "ledger.sqlite3").write_text("no ledger at all, but long enough to be looked at")
    assert inventory.choose()["hosts"] == {"db1": "unknown"}
    inventory.hosts["web1"]["tls_issuers"] = {"internal": {"type": "nonsense"}}
    del inventory.hosts["web2"]["tls_store"]
    assert inventory.choose()["hosts"] == {"db1": "unknown", "web1": "unknown", "web2": "unknown"}


def test_a_host_that_shows_another_ones_certificate_is_no_reason_to_leave_that_one_out(inventory: Inventory) -> None:
    inventory.deployed("web1", "web2", "web3", "db1")
    store = inventory.issuers("web1")["internal"].store
    note_look(store, "web2", None)
    assert inventory.choose()["hosts"] == {"web2": "unknown"}
    # Of a CA of its own, and valid for a hundred years.
    own = {"www": KnownPair("ff" * 32, NOW, NOW + 100 * 365 * 86400)}
    look = LastLook(NOW, digest_of(inventory.hosts.raw_get("web1")), {}, None, own)
    note_look(store, "web1", look)
    assert inventory.choose()["hosts"] == {"web1": "ledger", "web2": "unknown"}
