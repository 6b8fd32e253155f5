# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ansible-rulebook with the collection's event source and rulebook, against a real nginx."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eda import rulebook
from local.hosts import Hosts, ledger, serving

WORDS = "127.0.0.1:{0} is {1}"


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    """Two hosts; the certificate of web1 ends within the rulebook's threshold, by what its issuer made of it."""
    both = Hosts(tmp_path / "hosts", {"web1": ["www"], "web2": ["www2"]})
    return both


def test_what_is_about_to_expire_is_renewed_and_reported_ok(hosts: Hosts, tmp_path: Path) -> None:
    ending = {"internal": {"type": "ca", "duration": "10d"}}
    hosts.play({"web1": {"tls_certificates": [hosts["web1"].certificate(services=[])], "tls_issuers": ending}}).check()
    site = hosts["web1"]
    certificate = site.certificate(renew_before="20d")
    # The store is named relative to the inventory, as in the README; ansible-rulebook works with a copy of that.
    store = hosts.store_options(path="{{ inventory_dir }}/store")
    issuers = {"internal": {"type": "ca", "duration": "90d"}}
    inventory = hosts.inventory(
        {"web1": {"tls_certificates": [certificate]}, "web2": {}}, tls_store=store, tls_issuers=issuers, tls_trust_system=False
    )
    variables = {
        "tls_watch_endpoints": [
            {"host": "127.0.0.1", "port": site.port, "server_name": site.domain, "hosts": ["web1"]}
        ],
        "tls_watch_interval": "2s",
        "tls_watch_anchors": str(hosts.root),
        "tls_watch_inventory_dir": str(hosts.folder),
        "tls_watch_state_file": str(tmp_path / "state.json"),
    }
    with serving(site):
        old = site.served(hosts.root)
        with rulebook.running(tmp_path / "eda", "fleet.tls.expiry", variables, "--inventory", str(inventory)) as run:
            run.await_words(WORDS.format(site.port, "expiring, deploying"))
            run.await_words(WORDS.format(site.port, "ok, it was expiring"))
            said = run.said
        assert site.served(hosts.root) == site.on_disk() != old
    rows = ledger(hosts.store)
    # One deployment, on the host that was named and no other, recorded in the store that is named relative to the inventory.
    assert [(row["host"], row["certificate"]) for row in rows] == [("web1", "www")] * 2
    assert said.count("deploying") == 1
    states = json.loads((tmp_path / "state.json").read_text())["endpoints"]
    assert [entry["state"] for entry in states.values()] == ["ok"]
    assert "correct horse" not in said
