# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes of each web server behind one name, as fleet.tls.deploy makes them, and the clients' host, which is this machine.

Apache keeps sessions in Redis, or verifies its clients, but not both on one host: it has two nodes of either sort.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.fleet import Fleet, Host
from fleet.web_servers import ClientAuthority
from storm.clients import MUTUAL, OPEN, Plan
from tools.playbook import PlaybookResult, run_playbook

CLIENT = "client"
# Kind → its nodes with the site for everybody, and those with the one for certified clients.
NODES = {
    "nginx": (("nginx1", "nginx2"), ("nginx1", "nginx2")),
    "apache": (("apache1", "apache2"), ("apache3", "apache4")),
    "haproxy": (("haproxy1", "haproxy2"), ("haproxy1", "haproxy2")),
}
KIND = {host: kind for kind, nodes in NODES.items() for mine in nodes for host in mine}
HOSTS = tuple(Host(name, "bookworm") for name in KIND)
REDIS = "apache1"
# Seconds that a session lives; two steps of the ring are as far apart.
LIFETIME = 40
UPSTREAM = "127.0.0.1:8081"
APPLICATION = f"""
pid /run/application.pid;
events {{}}
http {{
  access_log off;
  server {{ listen {UPSTREAM}; return 200 "hello"; }}
}}
"""
# Runs on a node before anything is deployed there.
PREPARE = """
rm -f /etc/nginx/sites-enabled/default
# Debian's own configuration forbids tickets on every listener.
sed -i "s/ no-tls-tickets//" /etc/haproxy/haproxy.cfg
echo hello > /var/www/html/index.html
"""


@dataclass
class World:
    """The fleet, the store and the inventory.

    :param folder: of everything that is written here.
    """

    fleet: Fleet
    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """Where the store is."""
        return self.folder / "store"

    @property
    def bundle(self) -> Path:
        """What the clients trust."""
        return self.folder / "client" / "ca.pem"

    def pair(self, name: str) -> Path:
        """A client's live pair."""
        return self.folder / "client" / "tls" / "live" / name

    def kept(self, name: str) -> Path:
        """A copy of a client's pair, which nobody renews."""
        return self.folder / "kept" / name

    def keep(self, name: str) -> None:
        """Make that copy, of the pair as it is now."""
        shutil.copytree(self.pair(name).resolve(), self.kept(name))

    def server(self, host: str) -> dict[str, Any]:
        """What the inventory says about a node."""
        kind = KIND[host]
        serves = {"upstream": f"http://{UPSTREAM}"} if kind == "haproxy" else {"root": "/var/www/html"}
        sites = [
            {"name": name, "server_names": [where[0]], "certificate": "www", "listen": where[1], "client_auth": auth, **serves}
            for name, where, auth, nodes in (("www", OPEN, "none", 0), ("mtls", MUTUAL, "required", 1))
            if host in NODES[kind][nodes]
        ]  # fmt: skip
        certificate = {
            "name": "www", "issuer": "internal", "dns_names": [OPEN[0], MUTUAL[0]], "scope": "pool", "pool": kind,
            # So a renewal is a new leaf and no more; keys are replaced when that is asked for.
            "private_key": {"rotation_policy": "never"},
        }  # fmt: skip
        sessions: dict[str, Any] = {"tls_session_tickets": kind != "apache", "tls_session_ticket_pool": kind}
        if host in NODES["apache"][0]:
            sessions["tls_session_cache"] = f"redis:{self.fleet.addresses[REDIS]}:6379"
        if kind == "haproxy":
            sessions["tls_haproxy_global"] = True
        return {"tls_web_server": kind, "tls_sites": sites, "tls_certificates": [certificate], **sessions}

    def client(self) -> dict[str, Any]:
        """What it says about the clients' host."""
        endpoints = [
            {"host": self.fleet.addresses[host], "port": where[1], "server_name": where[0], "request": "/"}
            for place, where in enumerate((OPEN, MUTUAL))
            for nodes in NODES.values()
            for host in nodes[place]
        ]
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "tls_directory": str(self.folder / "client" / "tls"),
            "tls_certificates": [
                {"name": name, "issuer": "internal", "dns_names": [f"{name}.test"], "usages": ["client_auth"]}
                for name in ("app", "spare", "gone")
            ],
            "tls_clients": [{"certificate": "app", "bundle": {"path": str(self.bundle)}, "endpoints": endpoints}],
        }

    def inventory(self) -> Path:
        """The inventory."""
        known = self.fleet.host_vars()
        hosts = {name: {**known[name], **self.server(name)} for name in known}
        shared = {
            "tls_store": {"path": str(self.store), "passphrase": "a passphrase of the storm"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
            "tls_trust_system": False,
            "tls_session_timeout": f"{LIFETIME}s",
        }
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"all": {"hosts": {**hosts, CLIENT: self.client()}, "vars": shared}}))
        return path

    def run(self, playbook: str, **variables: Any) -> PlaybookResult:
        """A playbook of the collection."""
        return run_playbook(f"fleet.tls.{playbook}", self.inventory(), variables)

    def plans(self) -> list[Plan]:
        """What the clients of each kind are to do."""
        return [
            Plan(
                kind=kind,
                open_nodes=tuple(self.fleet.addresses[host] for host in mine),
                mutual_nodes=tuple(self.fleet.addresses[host] for host in mutual),
                bundle=str(self.bundle),
                good=str(self.pair("app")),
                spare=str(self.pair("spare")),
                refused={"revoked before": str(self.kept("gone")), "another CA": str(self.kept("stranger"))},
                lifetime=LIFETIME,
            )
            for kind, (mine, mutual) in NODES.items()
        ]

    def wait_for_interval(self) -> None:
        """Until the last step of the rings is as long ago as a session lives."""
        done = 0.0
        for path in (self.store / "tickets").glob("*.json"):
            record = json.loads(path.read_text())
            done = max(done, record["made_at"], *(moment for _generation, moment in record["proven"].values()))
        time.sleep(max(0.0, done + LIFETIME - time.time() + 1))


def prepare(world: World, host: str) -> None:
    """A node, before anything is deployed there."""
    fleet = world.fleet
    fleet.exec(host, ["sh", "-e"], stdin=PREPARE)
    if KIND[host] == "haproxy":
        fleet.exec(host, ["tee", "/root/application.conf"], stdin=APPLICATION)
        fleet.exec(host, ["nginx", "-c", "/root/application.conf"])
    if host == REDIS:
        address = fleet.addresses[host]
        fleet.exec(host, f"redis-server --bind {address} --protected-mode no --save --daemonize yes".split())


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """Fresh hosts with everything deployed, and one client's certificate revoked already."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "client").mkdir(parents=True)
    with Fleet("storm", HOSTS) as fleet:
        made = World(fleet, folder)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda host: prepare(made, host.name), HOSTS))
        made.run("deploy").check()
        made.keep("gone")
        stranger = ClientAuthority(folder / "strangers", "Strangers").issue("stranger")[1].read_text()
        made.kept("stranger").mkdir()
        for name in ("fullchain", "privkey"):
            (made.kept("stranger") / f"{name}.pem").write_text(stranger)
        made.run("revoke", tls_revoke_hosts=[CLIENT], tls_revoke_names=["gone"]).check()
        yield made
