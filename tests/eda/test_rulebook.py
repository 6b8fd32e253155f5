# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ansible-rulebook with the collection's event source and rulebook, against a real nginx."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eda import rulebook
from local.hosts import PASSPHRASE, Hosts, Site, ledger, serving


@dataclass(frozen=True)
class Watch:
    """Two hosts, and the rulebook on web1's certificate, which ends in 10 days."""

    hosts: Hosts
    folder: Path
    inventory: Path

    @property
    def site(self) -> Site:
        """web1's."""
        return self.hosts["web1"]

    @property
    def state_file(self) -> Path:
        """What the source remembers."""
        return self.folder / "state.json"

    def states(self) -> list[str]:
        """What is in it."""
        return [entry["state"] for entry in json.loads(self.state_file.read_text())["endpoints"].values()]

    def running(self) -> contextlib.AbstractContextManager[rulebook.Running]:
        """ansible-rulebook with the collection's rulebook."""
        site = self.site
        endpoint = {"host": "127.0.0.1", "port": site.port, "server_name": site.domain, "hosts": ["web1"]}
        variables = {
            "tls_watch_endpoints": [endpoint],
            "tls_watch_interval": "1s",
            "tls_watch_anchors": str(self.hosts.root),
            "tls_watch_inventory_dir": str(self.hosts.folder),
            "tls_watch_state_file": str(self.state_file),
        }
        return rulebook.running(self.folder / "eda", "fleet.tls.expiry", variables, "--inventory", str(self.inventory))

    def words(self, state: str) -> str:
        """What the rulebook says of a state."""
        return f"127.0.0.1:{self.site.port} is {state}"


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    hosts = Hosts(tmp_path / "hosts", {"web1": ["www"], "web2": ["www2"]})
    site = hosts["web1"]
    ending = {"internal": {"type": "ca", "duration": "10d"}}
    hosts.play({"web1": {"tls_certificates": [site.certificate(services=[])], "tls_issuers": ending}}).check()
    return Watch(hosts, tmp_path, inventory(hosts))


def inventory(hosts: Hosts, **changes: Any) -> Path:
    """The inventory of the rulebook, in which web1's certificate, which lives for 10 days and an hour, is due."""
    return hosts.inventory(
        {"web1": {"tls_certificates": [hosts["web1"].certificate(renew_before="10d", **changes)]}, "web2": {}},
        # Relative to the inventory, as in the README; ansible-rulebook works with a copy of that.
        tls_store=hosts.store_options(path="{{ inventory_dir }}/store"),
        tls_issuers={"internal": {"type": "ca", "duration": "90d"}},
        tls_trust_system=False,
    )


def test_what_is_about_to_expire_is_renewed_and_comes_back_as_ok(watch: Watch) -> None:
    site, root = watch.site, watch.hosts.root
    with serving(site):
        old = site.served(root)
        with watch.running() as run:
            run.await_words(watch.words("expiring, deploying"))
            run.await_words(watch.words("ok, it was expiring"))
        assert site.served(root) == site.on_disk() != old
    # One deployment, on the host that was named and no other, recorded in the store itself.
    assert [(row["host"], row["certificate"]) for row in ledger(watch.hosts.store)] == [("web1", "www")] * 2
    assert run.said.count("PLAY [Deploy TLS]") == 1
    assert watch.states() == ["ok"]
    assert PASSPHRASE not in run.said


def test_an_endpoint_that_flaps_is_deployed_once(watch: Watch) -> None:
    old = watch.folder / "old"
    # Whatever is deployed, this is served: somebody's own copy.
    shutil.copytree(watch.site.live, old)
    watch = dataclasses.replace(watch, inventory=inventory(watch.hosts, services=[]))
    with watch.running() as run:
        run.await_words(watch.words("endpoint_down"))
        for times in (2, 3):
            with serving(watch.site, pair=old):
                rulebook.wait(lambda: watch.states() == ["expiring"])
            run.await_words(watch.words("endpoint_down"), times)
    assert run.said.count(watch.words("expiring, deploying")) == run.said.count("PLAY [Deploy TLS]") == 1
