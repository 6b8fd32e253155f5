# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts, each with an nginx and a HAProxy, all four in one pool of session ticket keys; and clients with sessions."""

from __future__ import annotations

import json
import random
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.fleet import Fleet
from tools.playbook import PlaybookResult, ansible_environment, playbook_command, run_playbook, start_playbook

PORTS = {"nginx": 443, "haproxy": 8443}
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
PASSPHRASE = "PASSPHRASE-of-rings-in-no-output"
LINK = "/etc/fleet-tls/tickets/edge"
ROTATE = "fleet.tls.rotate_session_tickets"
ROLE = [{"hosts": "all", "gather_facts": False, "roles": ["fleet.tls.session_tickets"]}]
# Tickets alone, under the pool's keys.
TICKETS = f"""
    ssl_session_cache off;
    ssl_session_timeout 600;
    ssl_session_tickets on;
    ssl_session_ticket_key {LINK}/cur.key;
    ssl_session_ticket_key {LINK}/next.key;
    ssl_session_ticket_key {LINK}/prev.key;
"""
NGINX = f"""
server {{
    listen 443 ssl;
    server_name pool.test;
    ssl_certificate /etc/pool/both.pem;
    ssl_certificate_key /etc/pool/both.pem;
    {TICKETS}
    return 200;
}}
"""
HAPROXY = f"""
global
    stats socket /run/haproxy/admin.sock mode 600 level admin
    tune.ssl.lifetime 600
    tune.ssl.cachesize 0
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend pool
    bind :8443 ssl crt /etc/pool/both.pem tls-ticket-keys {LINK}/haproxy.keys
    http-request return status 200
"""


@dataclass
class Pool:
    """The hosts, the store, and how they are played upon."""

    fleet: Fleet
    folder: Path
    outputs: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> list[str]:
        return [host.name for host in self.fleet.hosts]

    @property
    def entry(self) -> Path:
        """The pool's ring in the store."""
        return self.folder / "store" / "tickets" / "edge.json"

    @property
    def record(self) -> dict[str, Any]:
        """Its public part, and the sealed one."""
        found: dict[str, Any] = json.loads(self.entry.read_text())
        return found

    def command(
        self, playbook: str, changes: Mapping[str, Mapping[str, Any]] | None = None, **more: Any
    ) -> tuple[str | Path, Path]:
        """Playbook and inventory; ``changes``: variables of single hosts; ``more``: of all."""
        path: str | Path = playbook
        if playbook == "role":
            path = self.folder / "role.yml"
            path.write_text(json.dumps(ROLE))
        variables = {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": PASSPHRASE},
            "tls_session_tickets": True,
            "tls_session_ticket_pool": "edge",
            "tls_session_timeout": "1s",
            "tls_session_ticket_servers": ["nginx", {"server": "haproxy", "endpoints": ["127.0.0.1:8443"]}],
            **more,
        }
        hosts = {name: {**values, **(changes or {}).get(name, {})} for name, values in self.fleet.host_vars().items()}
        inventory = self.folder / f"inventory-{len(list(self.folder.glob('inventory-*')))}.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
        return path, inventory

    def run(
        self,
        playbook: str,
        *args: str,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
        **more: Any,
    ) -> PlaybookResult:
        """A run; what it said is kept."""
        path, inventory = self.command(playbook, changes, **more)
        result = run_playbook(path, inventory, args=args, env=env)
        self.outputs.append(result.stdout + result.stderr + repr(result.task_results))
        return result

    def start(self, playbook: str, *args: str) -> subprocess.Popen[str]:
        """A run in a process group of its own, to be killed or waited for."""
        path, inventory = self.command(playbook)
        return start_playbook(
            playbook_command(path, inventory, args=args),
            ansible_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def rotate(self, *args: str, **more: Any) -> PlaybookResult:
        """A step, as soon as the last one is long enough ago for it."""
        self.wait_for_interval(int(more.get("tls_session_timeout", "1s").removesuffix("s")))
        return self.run(ROTATE, *args, **more)

    def wait_for_interval(self, lifetime: int) -> None:
        """Until sessions from before the last step are over."""
        record = self.record
        done = max([record["made_at"], *(at for _generation, at in record["proven"].values())])
        time.sleep(max(0.0, done + lifetime - time.time() + 0.1))

    def manifest(self, host: str) -> dict[str, Any]:
        """What the host knows of its ring."""
        found: dict[str, Any] = json.loads(self.fleet.exec(host, ["cat", f"{LINK}.json"]).stdout)
        return found

    def generations(self) -> list[int]:
        """The store's and every host's."""
        return [self.record["generation"], *(self.manifest(host)["generation"] for host in self.hosts)]

    def key_names(self, host: str) -> dict[str, str]:
        """Server → name of the key that its tickets show, from here."""
        names = {}
        for server, port in PORTS.items():
            dump = subprocess.run(
                ["openssl", "s_client", "-connect", f"{self.fleet.addresses[host]}:{port}", "-tls1_2"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
            ).stdout  # fmt: skip
            line = next(line for line in dump.splitlines() if line.strip().startswith("0000 - "))
            names[server] = line.split("-", 1)[1].split("   ")[0].replace("-", " ").replace(" ", "")
        return names

    def all_show(self, place: int = 1) -> bool:
        """Whether every server encrypts with the ring's key at that place (1: the current one); old workers get time to go."""
        name = self.record["keys"][place][0]
        end = time.monotonic() + 300
        while time.monotonic() < end:
            if all(set(self.key_names(host).values()) == {name} for host in self.hosts):
                return True
            time.sleep(0.2)
        return False


def set_up(fleet: Fleet, folder: Path) -> Pool:
    """Ring first, then the servers that name it, as deploy has it."""
    pool = Pool(fleet, folder)
    # Small, so that a test can fill it; here already, because the servers' units see no later mount.
    fleet.exec("edge1", ["mkdir", "/run/fleet-tls"])
    fleet.exec("edge1", "mount -t tmpfs -o size=64k,mode=755 none /run/fleet-tls".split())
    pair = folder / "both.pem"
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3 -subj /CN=pool.test -keyout".split()
        + [str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    pair.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    first = pool.run("role", tls_defer_proof=True).check()
    assert {each["proven"] for each in first.results(action="fleet.tls.session_ticket_keys")} == {False}
    for host in pool.hosts:
        fleet.exec(host, ["mkdir", "-p", "/etc/pool"])
        for path, content in {
            "/etc/pool/both.pem": pair.read_text(),
            "/etc/nginx/conf.d/pool.conf": NGINX,
            "/etc/haproxy/haproxy.cfg": HAPROXY,
        }.items():
            fleet.exec(host, ["tee", path], stdin=content)
        fleet.exec(host, ["rm", "-f", "/etc/nginx/sites-enabled/default"])
        fleet.exec(host, ["systemctl", "restart", "nginx", "haproxy"])
    return pool


def connect(
    context: ssl.SSLContext, address: str, port: int, session: ssl.SSLSession | None = None
) -> tuple[bool, ssl.SSLSession]:
    """One connection to its end: whether it resumed ``session``, and the session it has."""
    with socket.create_connection((address, port), 120) as plain:
        with context.wrap_socket(plain, server_hostname="pool.test", session=session) as tls:
            tls.sendall(b"GET / HTTP/1.0\r\nHost: pool.test\r\n\r\n")
            while tls.recv(4096):
                pass
            assert tls.session is not None
            return bool(tls.session_reused), tls.session


def make_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    """For one chain of sessions."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


@dataclass
class Clients:
    """What became of clients that meet random hosts: (server, version) → how many should have resumed, and did."""

    tried: Counter[tuple[str, str]] = field(default_factory=Counter)
    resumed: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def wait_for(self, least: int) -> None:
        """Until each of the four has tried more often than that; five minutes at most."""
        end = time.monotonic() + 300
        while time.monotonic() < end and (len(self.tried) < 4 or min(self.tried.values()) <= least):
            time.sleep(0.2)


@contextmanager
def clients(pool: Pool, lifetime: float) -> Iterator[Clients]:
    """One client a server and version, each taking its session to a random host over and over, and a new one when it is old."""
    result, over = Clients(), threading.Event()
    addresses = list(pool.fleet.addresses.values())

    def work(server: str, version: ssl.TLSVersion) -> None:
        context, session, born, kind = make_context(version), None, 0.0, (server, version.name)
        while not over.wait(0.02):
            # The handshake itself takes a while: a session that gets too old meanwhile proves nothing.
            young = session is not None and time.monotonic() - born < lifetime - 1
            begin = time.monotonic()
            try:
                reused, fresh = connect(context, random.choice(addresses), PORTS[server], session if young else None)
            except OSError as error:
                result.failed.append(f"{server} {version.name}: {error}")
                continue
            if young and time.monotonic() - born < lifetime:
                result.tried[kind] += 1
                result.resumed[kind] += reused
            elif not young:
                session, born = fresh, begin

    threads = [
        threading.Thread(target=work, args=(server, version), daemon=True) for server in PORTS for version in VERSIONS
    ]
    for thread in threads:
        thread.start()
    try:
        yield result
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
