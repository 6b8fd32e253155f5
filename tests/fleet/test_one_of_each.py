# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One inventory with one of each: three web servers, six other services, an mTLS client; one deploy, seen from the controller."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint, handshake
from fleet import servers
from fleet.fleet import Fleet
from fleet.web_servers import PRIVATE, PUBLIC, WebServers, web_servers
from tools.playbook import PlaybookResult, run_playbook

WEB = {"deb12": "apache", "deb13": "haproxy", "deb12u": "nginx"}
OTHERS, CLIENT = "deb13", "deb11"
OTHER_SERVERS = tuple(server for server in servers.SERVERS if server.name not in WEB.values())
GUARDED = 8443
CONNECTION = re.compile(r"<([0-9.]+)> ESTABLISH SSH CONNECTION FOR USER")
# The administrator's services read their certificates when they start, so those have to be there: certificates alone, then they.
AHEAD = [{"hosts": OTHERS, "gather_facts": False, "roles": ["fleet.tls.certificates"]}]


@dataclass(frozen=True)
class World:
    """The hosts."""

    bench: WebServers

    @property
    def fleet(self) -> Fleet:
        """The hosts' machines."""
        return self.bench.fleet

    def inventory(self) -> str:
        """Written anew; its path."""
        name = "{{ inventory_hostname }}.test"
        www = {"name": "www", "issuer": "internal", "dns_names": [name]}
        site = {"server_names": [name], "certificate": "www"}
        hosts: dict[str, dict[str, Any]] = {}
        for host, server in WEB.items():
            hosts[host] = {
                "tls_web_server": server,
                "tls_certificates": [{**www, "services": [server]}],
                "tls_sites": [
                    {"name": "www", **site, "upstream": f"http://127.0.0.1:{PUBLIC}"},
                    {
                        "name": "api",
                        **site,
                        "upstream": f"http://127.0.0.1:{PRIVATE}",
                        "listen": GUARDED,
                        "client_auth": "required",
                    },
                ],
            }
        hosts[OTHERS]["tls_certificates"] += [server.wanted() for server in OTHER_SERVERS]
        endpoints = [
            {"host": self.fleet.addresses[host], "port": GUARDED, "server_name": f"{host}.test", "request": "/"}
            for host in WEB
        ]
        hosts[CLIENT] = {
            "tls_certificates": [{**www, "name": "app", "usages": ["client_auth"]}],
            "tls_clients": [{"certificate": "app", "bundle": {"path": "/etc/app-ca.pem"}, "endpoints": endpoints}],
        }
        known = self.fleet.host_vars()
        given = {
            "tls_store": {"path": str(self.bench.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
            "tls_prove_timeout": "30s",
        }
        path = self.bench.folder / "inventory.json"
        path.write_text(
            json.dumps({"all": {"hosts": {name: {**known[name], **own} for name, own in hosts.items()}, "vars": given}})
        )
        return str(path)

    def deploy(self, *args: str) -> PlaybookResult:
        """The playbook."""
        return run_playbook("fleet.tls.deploy", self.inventory(), args=args)

    def start_others(self) -> None:
        """The services that are the administrator's own."""
        play = self.bench.folder / "ahead.yml"
        play.write_text(json.dumps(AHEAD))
        run_playbook(play, self.inventory(), {"tls_defer_proof": True}).check()
        servers.start(self.fleet, OTHERS, OTHER_SERVERS)

    def leaf(self, host: str, name: str) -> str:
        """The certificate on a host, PEM."""
        return self.fleet.exec(host, ["cat", f"{servers.LIVE}/{name}/cert.pem"]).stdout


@pytest.fixture(scope="module")
def world(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with web_servers(fleet, tmp_path_factory.mktemp("one-of-each"), tuple(WEB)) as bench:
        one = World(bench)
        one.start_others()
        yield one
        for server in OTHER_SERVERS:
            server.stop(fleet, OTHERS)
        fleet.exec(CLIENT, ["rm", "-rf", "/etc/fleet-tls", "/etc/app-ca.pem"])


@pytest.fixture(scope="module")
def first(world: World) -> PlaybookResult:
    return world.deploy().check()


def test_every_endpoint_serves_its_certificate_to_the_controller(world: World, first: PlaybookResult) -> None:
    asked = [(host, "www", 443, f"{host}.test", None) for host in WEB]
    asked += [(OTHERS, each.name, each.probe[0], each.server_name, each.probe[1]) for each in OTHER_SERVERS]
    for host, name, port, server_name, starttls in asked:
        seen = handshake(Endpoint(world.fleet.addresses[host], port, server_name, 30, starttls=starttls))
        assert seen.chain[:1] == (world.leaf(host, name),), (host, name, seen.error)


def test_nobody_without_a_certificate_is_let_in_and_the_client_is(world: World, first: PlaybookResult) -> None:
    (told,) = [each for each in first.results(host=CLIENT) if "clients" in each]
    proofs = told["clients"]["app"]["proof"]
    assert [(proof["client_certificate"], proof["error"]) for proof in proofs] == [("accepted", None)] * len(WEB)
    for host in WEB:
        seen = handshake(Endpoint(world.fleet.addresses[host], GUARDED, f"{host}.test", 30))
        # nginx tells it to the request.
        assert seen.client_certificate == ("requested" if WEB[host] == "nginx" else "refused")


def test_again_changes_nothing_in_one_visit(world: World, first: PlaybookResult) -> None:
    again = world.deploy("-vvv").check()
    visits = Counter(CONNECTION.findall(again.stdout))
    assert again.changed == 0
    assert set(visits) == set(world.fleet.addresses.values())
    assert max(visits.values()) == 1
