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
from fleet.podman import podman
from fleet.web_servers import ClientAuthority
from storm import beside
from storm.plan import MUTUAL, OPEN, PASSED_ON, Plan
from tools.playbook import PlaybookResult, run_playbook

CLIENT = "client"
# Kind → its nodes with the site for everybody, and those with the one for certified clients.
NODES = {
    "nginx": (("nginx1", "nginx2"), ("nginx1", "nginx2")),
    "apache": (("apache1", "apache2"), ("apache3", "apache4")),
    "haproxy": (("haproxy1", "haproxy2"), ("haproxy1", "haproxy2")),
}
KIND = {host: kind for kind, nodes in NODES.items() for mine in nodes for host in mine}
# Whose certified clients' site is the upstream of whose.
NEXT = {
    "nginx1": "nginx2",
    "nginx2": "nginx1",
    "apache1": "apache3",
    "apache2": "apache4",
    "haproxy1": "haproxy2",
    "haproxy2": "haproxy1",
}
HOSTS = tuple(Host(name, "bookworm") for name in KIND)
REDIS = "apache1"
# Seconds that a session lives; two steps of the ring are as far apart.
LIFETIME = 40
# The site for everybody has both.
PAIRS = {"www-ecdsa": "ecdsa-p256", "www-rsa": "rsa-2048"}
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
    :param edges: whether the listeners behind the PROXY protocol are there: what they are to serve has to be there first.
    :param their_files: host → what the user's files are, since everything is set up.
    """

    fleet: Fleet
    folder: Path
    edges: bool = False
    their_files: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """Where the store is."""
        return self.folder / "store"

    @property
    def bundle(self) -> Path:
        """What the clients trust."""
        return self.folder / "client" / "ca.pem"

    @property
    def their_bundle(self) -> Path:
        """The user's certificates of all nodes."""
        return self.folder / "theirs.pem"

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
        is_open, is_mutual = (host in nodes for nodes in NODES[kind])
        two = {"certificates": list(PAIRS)}
        sites = is_open * [
            {"name": "www", "server_names": [OPEN[0]], "listen": OPEN[1], **two, **serves},
            # The certified clients' site of another node is its upstream.
            {"name": "up", "server_names": [PASSED_ON[0]], "listen": PASSED_ON[1], **two, "upstream": f"https://{MUTUAL[0]}:{MUTUAL[1]}",
             "upstream_certificate": "proxy"},
        ] + is_mutual * [
            {"name": "mtls", "server_names": [MUTUAL[0]], "listen": MUTUAL[1], "certificate": "www-ecdsa", "client_auth": "required", **serves},
        ]  # fmt: skip
        certificates: list[dict[str, Any]] = [
            {
                "name": name, "issuer": "internal", "dns_names": [OPEN[0], MUTUAL[0], PASSED_ON[0]], "scope": "pool", "pool": f"{kind}-{name}",
                # So a renewal is a new leaf and no more; keys are replaced when that is asked for.
                "private_key": {"algorithm": algorithm, "rotation_policy": "never"},
            }
            for name, algorithm in PAIRS.items()
            if is_open or name == "www-ecdsa"
        ]  # fmt: skip
        if is_open:
            certificates.append(
                {"name": "proxy", "issuer": "internal", "dns_names": [f"{host}.test"], "usages": ["client_auth"]}
            )
            if kind == "haproxy":
                certificates[0]["outputs"] = [{"path": beside.EDGE_PAIR, "format": "combined"}]
            if self.edges:
                edge = {"host": "127.0.0.1", "port": beside.PROXIED[1], "proxy_protocol": True}
                # What one service has is reloaded together: nginx ends sessions with each new certificate of a site.
                certificates[0]["services"] = [{"name": kind, "endpoints": [edge]}]
                certificates[1]["services"] = [kind]
        sessions: dict[str, Any] = {"tls_session_tickets": kind != "apache", "tls_session_ticket_pool": kind}
        if host in NODES["apache"][0]:
            sessions["tls_session_cache"] = f"redis:{self.fleet.addresses[REDIS]}:6379"
        if kind == "haproxy":
            sessions["tls_haproxy_global"] = True
        return {"tls_web_server": kind, "tls_sites": sites, "tls_certificates": certificates, **sessions}

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
            # The proof of a certificate of the other kind is a process of its own, which has to get a processor.
            "tls_prove_timeout": "120s",
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
                their_bundle=str(self.their_bundle),
                good=str(self.pair("app")),
                spare=str(self.pair("spare")),
                refused={"revoked before": str(self.kept("gone")), "another CA": str(self.kept("stranger"))},
                lifetime=LIFETIME,
                app_sockets=self.sockets(kind, beside.APP_SOCKET),
                stats_sockets=self.sockets(kind, beside.STATS_SOCKET),
            )
            for kind, (mine, mutual) in NODES.items()
        ]

    def sockets(self, kind: str, path: str) -> tuple[str, ...]:
        """Where this machine sees a socket of its nodes."""
        if kind != "haproxy":
            return ()
        asked = "inspect", "--format", "{{.State.Pid}}"
        return tuple(
            f"/proc/{podman(*asked, self.fleet.container(host)).strip()}/root{path}" for host in NODES[kind][0]
        )

    def digests(self) -> dict[str, str]:
        """What the user's files are now."""
        return {
            host: self.fleet.exec(host, ["sh", "-e"], stdin=beside.digest(kind)).stdout for host, kind in KIND.items()
        }

    def touched(self) -> list[str]:
        """Files of the user's that are not what they were, in words."""
        return [
            f"{host}: files of the user's were changed: {before.split()} {now.split()}"
            for (host, before), now in zip(self.their_files.items(), self.digests().values())
            if before != now
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
    fleet.exec(host, ["sh", "-e"], stdin=PREPARE + beside.site(KIND[host]))
    if host in NEXT:
        fleet.exec(host, ["tee", "-a", "/etc/hosts"], stdin=f"{fleet.addresses[NEXT[host]]} {MUTUAL[0]}\n")
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
        made.their_bundle.write_text("".join(fleet.exec(host, ["cat", "/etc/theirs.crt"]).stdout for host in KIND))
        refuse_some(made)
        made.run("deploy").check()
        for nodes, _mutual in NODES.values():
            for host in nodes:
                fleet.exec(host, ["sh", "-e"], stdin=beside.edge(KIND[host]))
        made.edges, made.their_files = True, made.digests()
        yield made


def refuse_some(world: World) -> None:
    """The pairs of clients that no server may accept. Before there is one: a run for the clients' host alone takes no time."""
    alone = {"tls_hosts": CLIENT, "tls_clients": []}
    world.run("deploy", **alone).check()
    world.keep("gone")
    world.run("revoke", tls_revoke_hosts=[CLIENT], tls_revoke_names=["gone"], **alone).check()
    stranger = ClientAuthority(world.folder / "strangers", "Strangers").issue("stranger")[1].read_text()
    world.kept("stranger").mkdir()
    for name in ("fullchain", "privkey"):
        (world.kept("stranger") / f"{name}.pem").write_text(stranger)
