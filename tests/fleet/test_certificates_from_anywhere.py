# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deploy on real hosts with certificates from an ACME CA (http-01 at three web servers, dns-01, one for a pool) and from OpenBao."""

from __future__ import annotations

import json
import re
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acme_servers import bind, pebble, proxy
from acme_servers.bind import Bind
from acme_servers.pebble import Pebble
from acme_servers.proxy import Proxy
from acme_servers.servers import make_pair
from bao import server
from bao.mounts import Mount, make_mount
from demo import handshakes
from fleet.fleet import Fleet
from fleet.web_servers import PRIVATE, PUBLIC, WebServers, web_servers
from tools import packages, venvs
from tools.playbook import PlaybookResult, run_playbook

SERVERS = {"deb12": "apache", "deb13": "haproxy", "deb12u": "nginx"}
# The host whose site wants to know its clients, and the one that has such a client.
GUARDED, CLIENT = "deb12", "deb12u"
ZONE = bind.ZONE
CERTIFICATES = [{"hosts": "all", "gather_facts": False, "roles": ["fleet.tls.certificates"]}]
CONNECTION = re.compile(r"<([0-9.]+)> ESTABLISH SSH CONNECTION FOR USER")


@dataclass(frozen=True)
class World:
    """The hosts, and where their certificates come from."""

    bench: WebServers
    ca: Pebble
    front: Proxy
    names: Bind
    mount: Mount

    def issuers(self) -> dict[str, Any]:
        """As an inventory has them."""
        public = {
            "type": "acme",
            "directory_url": self.front.directory_url,
            "ca_certificate": str(self.ca.pair.root),
            "anchors": self.ca.root(),
            "terms_agreed": True,
        }
        return {
            # The controller of the tests asks none of their name servers.
            "public": {**public, "challenge": {"type": "http-01", "check_address": "{{ ansible_host }}:80"}},
            "wild": {**public, "challenge": self.names.solver()},
            "bao": {"type": "openbao", **self.mount.options()},
        }

    def variables(self) -> dict[str, Any]:
        """Of all hosts."""
        name, service = f"{{{{ inventory_hostname }}}}.{ZONE}", ["{{ tls_web_server }}"]
        site = {"upstream": f"http://127.0.0.1:{PUBLIC}"}
        certificates = [
            {"name": "www", "issuer": "public", "dns_names": [name], "services": service},
            {"name": "wild", "issuer": "wild", "dns_names": [f"*.{name}"], "services": service},
            {
                "name": "shared",
                "issuer": "public",
                "scope": "pool",
                "dns_names": [f"shared.{ZONE}"],
                "services": service,
            },
        ]
        return {
            "tls_store": {"path": str(self.bench.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": self.issuers(),
            "tls_certificates": certificates,
            "tls_sites": [
                {"name": "www", "server_names": [name], "certificate": "www", **site},
                {"name": "wild", "server_names": [f"*.{name}"], "certificate": "wild", **site},
                {"name": "shared", "server_names": [f"shared.{ZONE}"], "certificate": "shared", **site},
            ],
            "tls_client_auth_issuers": ["bao"],
            "tls_client_auth_revocation": False,
            "tls_prove_timeout": "30s",
        }

    def host_variables(self, host: str) -> dict[str, Any]:
        """What is each host's own."""
        known = self.variables()
        own: dict[str, Any] = {"tls_web_server": SERVERS[host]}
        if host == GUARDED:
            guarded = {"name": "api", "server_names": [f"{host}.{ZONE}"], "certificate": "www", "listen": 8443}
            own["tls_sites"] = [
                *known["tls_sites"],
                {**guarded, "client_auth": "required", "upstream": f"http://127.0.0.1:{PRIVATE}"},
            ]
        if host == CLIENT:
            client = {"name": "app", "issuer": "bao", "dns_names": [f"app.{ZONE}"], "usages": ["client_auth"]}
            own["tls_certificates"] = [*known["tls_certificates"], client]
            endpoint = {
                "host": self.bench.fleet.addresses[GUARDED],
                "port": 8443,
                "server_name": f"{GUARDED}.{ZONE}",
                "request": "/",
            }
            own["tls_clients"] = [
                {
                    "certificate": "app",
                    "bundle": {"path": "/etc/app-ca.pem", "issuers": ["public"]},
                    "endpoints": [endpoint],
                }
            ]
        return own

    def deploy(self, *args: str, playbook: str | Path = "fleet.tls.deploy") -> PlaybookResult:
        """The playbook, or another one."""
        hosts = {
            name: {**values, **self.host_variables(name)}
            for name, values in self.bench.fleet.host_vars().items()
            if name in self.bench.hosts
        }
        inventory = self.bench.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": self.variables()}}))
        # The library acme wants a newer cryptography than the lowest controller has.
        return run_playbook(playbook, inventory, args=args, venv="main")

    def served(self, host: str, name: str) -> bytes:
        """The leaf (DER) that a client which trusts the ACME CA alone is served."""
        context = ssl.create_default_context(cadata=self.ca.root())
        return handshakes.leaf(handshakes.Site(self.bench.fleet.addresses[host], 443, name), context)


@pytest.fixture(scope="module")
def world(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    packages.ensure("acme")
    venvs.ensure("bao")
    folder = tmp_path_factory.mktemp("anywhere")
    addresses = {**fleet.addresses, "shared": fleet.addresses[GUARDED]}
    with ExitStack() as stack:
        names = stack.enter_context(bind.running(folder / "bind", addresses=addresses))
        pair = make_pair(folder / "pair")
        ca = stack.enter_context(pebble.running(folder / "pebble", pair, http_port=80, dns=f"127.0.0.1:{names.port}"))
        front = stack.enter_context(proxy.running(pair, ca.port))
        mount = make_mount(stack.enter_context(server.running(folder / "bao")))
        bench = stack.enter_context(web_servers(fleet, folder, tuple(SERVERS)))
        yield World(bench, ca, front, names, mount)
        for host in bench.hosts:
            fleet.exec(host, ["rm", "-f", "/etc/app-ca.pem"])


@pytest.fixture(scope="module")
def first(world: World) -> PlaybookResult:
    return world.deploy().check()


def test_every_certificate_is_there_and_served(world: World, first: PlaybookResult) -> None:
    shared = set()
    for host in SERVERS:
        world.served(host, f"{host}.{ZONE}")
        world.served(host, f"any.{host}.{ZONE}")
        shared.add(world.served(host, f"shared.{ZONE}"))
    assert len(shared) == 1
    # Three of the hosts' own, three wildcards, and one that all hosts share.
    assert world.ca.orders == world.ca.certificates == 7
    assert len(world.mount.serials()) == 2  # its root, and the client


def test_the_client_is_accepted(world: World, first: PlaybookResult) -> None:
    (told,) = [each for each in first.results(host=CLIENT) if "clients" in each]
    (client,) = told["clients"].values()
    assert [proof["client_certificate"] for proof in client["proof"]] == ["accepted"]
    assert all(proof["error"] is None for proof in client["proof"])


def test_nothing_due_asks_no_ca_and_changes_nothing(world: World, first: PlaybookResult) -> None:
    seen, signed = len(world.front.seen), len(world.mount.serials())
    again = world.deploy("-vvv").check()
    visits = Counter(CONNECTION.findall(again.stdout))
    play = world.bench.folder / "certificates.yml"
    play.write_text(json.dumps(CERTIFICATES))
    alone = world.deploy("-vvv", playbook=play).check()

    assert again.changed == alone.changed == 0
    assert Counter(CONNECTION.findall(alone.stdout)) == {world.bench.fleet.addresses[host]: 1 for host in SERVERS}
    assert [each.path for each in world.front.seen[seen:] if "/renewal-info/" not in each.path] == []
    assert (world.ca.orders, len(world.mount.serials())) == (7, signed)
    # One for all, one for a part that has a warning to repeat, and the client asks at the end whether it still is accepted.
    assert max(visits.values()) <= 3
