# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet.tls.check on real hosts with one of each fault planted: each is found by its right name, and nothing else is, in the usual places."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet import faults
from fleet.fleet import Fleet, Host
from tools.playbook import PlaybookResult, run_playbook

PORTS = {name: 8450 + place for place, name in enumerate((*faults.SITES, "stranger", "down"))}
LIVE = "/etc/fleet-tls/live"
SITE = {
    "name": "site",
    "server_names": ["site.example.com"],
    "certificate": "site",
    "listen": [443],
    "root": "/var/www/html",
}


@dataclass(frozen=True)
class World:
    """web1 has the faults, web2 is well, web3 is in the inventory only."""

    fleet: Fleet
    folder: Path

    @property
    def place(self) -> faults.Place:
        """Where the faults are: in a directory of the server's."""
        return faults.Place("web1", "/etc/nginx/found", LIVE, self.fleet.addresses["web1"], PORTS)

    def run(self, playbook: Any, web1: dict[str, Any], *args: str) -> PlaybookResult:
        """A playbook, or tasks, on all three."""
        known = self.fleet.host_vars()
        site = {"name": "site", "issuer": "internal", "dns_names": ["site.example.com"], "services": ["nginx"]}
        hosts = {
            "web1": {**known["web1"], **web1},
            "web2": {
                **known["web2"], "tls_certificates": [site], "tls_sites": [SITE], "tls_session_tickets": True,
                "tls_session_ticket_pool": "well",
                "tls_endpoints": [{"host": self.fleet.addresses["web2"], "port": 443, "server_name": "site.example.com"}],
            },
            # Nobody has this address (RFC 5737).
            "web3": {**known["web1"], "ansible_host": "192.0.2.1", "ansible_ssh_timeout": 3, "tls_certificates": [site]},
        }  # fmt: skip
        variables = {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": faults.PASSPHRASE},
            "tls_issuers": faults.ISSUERS,
            "tls_directory": "/etc/fleet-tls",
            "tls_trust_issuers": ["internal"],
        }
        if isinstance(playbook, list):
            (self.folder / "play.yml").write_text(
                json.dumps([{"hosts": "web1", "gather_facts": False, "tasks": playbook}])
            )
            playbook = self.folder / "play.yml"
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
        return run_playbook(playbook, inventory, args=args)

    def put(self, path: str, content: bytes, mode: str) -> None:
        """A file on web1."""
        script = 'umask 077; base64 -d > "$1"; chmod "$2" "$1"'
        self.fleet.exec("web1", ["sh", "-c", script, "sh", path, mode], stdin=base64.b64encode(content).decode())

    def plant(self) -> None:
        """All of it, on hosts that were deployed."""
        store = {"tls_store": {"path": str(self.folder / "store")}}
        issued = {"tls_certificates": self.place.certificates()}
        self.fleet.exec("web1", ["mkdir", "-p", self.place.folder])
        for name, (content, mode) in faults.files().items():
            self.put(f"{self.place.folder}/{name}", content, mode)
        self.put("/etc/nginx/conf.d/found.conf", self.place.servers().encode(), "0644")
        self.fleet.exec("web1", ["systemctl", "restart", "nginx"])
        self.run([faults.issue(store, force=["reload"]), faults.revoke(store, "web1")], issued).check()
        self.put(f"{LIVE}/damaged/privkey.pem", faults.pair("x", 1, 1)[1], "0600")
        faults.lose_a_list(self.folder / "store")
        # fleet.tls.deploy would replace that CA in time.
        (self.folder / "store" / "ca" / "aging").rename(self.folder / "aging")
        faults.plant_in_store(self.folder / "store")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Fleet("faults", [Host("web1", "bookworm"), Host("web2", "bookworm")]) as fleet:
        one = World(fleet, tmp_path_factory.mktemp("faults"))
        one.run("fleet.tls.deploy", {"tls_certificates": one.place.certificates()}, "--limit", "web1,web2").check()
        yield one


def document(result: PlaybookResult) -> dict[str, Any]:
    """The health document."""
    (judged,) = result.results(task="Judge")
    return judged["ansible_facts"]["fleet_tls_health"]  # type: ignore[no-any-return]


def test_one_of_each(world: World) -> None:
    # Before: nothing is wrong but the certificate that lives for six days, and the host that is not there.
    first = world.run("fleet.tls.check", {"tls_certificates": world.place.certificates()})
    known = {("web1", "schedule_too_rare", "short"), ("web3", "unreachable", "web3")}
    assert faults.found_in(document(first)) == known, first.stdout

    world.plant()
    wanted = {"tls_certificates": world.place.wanted(), "tls_endpoints": world.place.endpoints()}
    tickets = {"tls_session_tickets": True, "tls_session_ticket_pool": "web"}
    result = world.run("fleet.tls.check", {**wanted, **tickets})

    expected = world.place.expected() | faults.OF_NOBODY | {("web3", "unreachable", "web3")}
    assert faults.found_in(document(result)) == expected, result.stdout
    assert result.rc == 2 and result.changed == 0
    failed = {each["host"] for each in result.task_results if each["task"].startswith("Fail where")}
    assert failed - {"web2"} == {"web1", "web3"}
    assert not result.stats["web2"]["failures"]
    states = {each["host"]: each["severity"] for each in document(result)["hosts"]}
    assert states == {"web1": "critical", "web2": "ok", "web3": "critical"}
    # The site of web2 was asked from its own host and from here.
    (site,) = [each for each in document(result)["certificates"] if each["host"] == "web2"]
    assert {each["endpoint"] for each in site["served"]} >= {"127.0.0.1:443", f"{world.fleet.addresses['web2']}:443"}
    assert "PRIVATE" not in result.stdout and faults.PASSPHRASE not in result.stdout
