# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet on one machine: an nginx of its own for each web host, directories of their own for all. Two of them are a pool."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import handshakes
from tools import paths
from tools.playbook import PlaybookResult
from tools.ports import free_port

WEB_HOSTS = {"web1": "127.0.0.11", "web2": "127.0.0.12", "web3": "127.0.0.13"}
CLIENT = "client1"
# These serve one name with one certificate, and share their session ticket keys.
POOL, POOL_HOSTS = "shop", ("web2", "web3")
# How long sessions live: the demo has to wait for less than that until the keys may be rotated.
SESSION_TIMEOUT = 10

NGINX_CONF = """\
# Written by ./dev demo: the nginx somebody had before.
{user}pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/tmp;
    proxy_temp_path {folder}/tmp;
    fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp;
    scgi_temp_path {folder}/tmp;
    server {{ listen {address}:{http_port}; return 200 "plain HTTP of {name}\\n"; }}
    include {folder}/etc/conf.d/*.conf;
}}
"""

# A site of the user's own beside ours: it takes the client certificate and the settings of the collection by their paths.
MUTUAL_TLS_SITE = """\
server {{
    listen {address}:{port} ssl;
    server_name {name}.demo.test;
    ssl_certificate {tls}/live/www/fullchain.pem;
    ssl_certificate_key {tls}/live/www/privkey.pem;
    ssl_client_certificate {tls}/ca.pem;
    ssl_verify_client on;
    ssl_verify_depth 2;
    include {folder}/etc/snippets/fleet-tls.conf;
    location / {{ default_type text/plain; return 200 "hello $ssl_client_s_dn\\n"; }}
}}
"""


@dataclass(frozen=True)
class WebHost:
    """One nginx and its ports."""

    name: str
    address: str
    http_port: int
    https_port: int
    mutual_port: int
    folder: Path

    @property
    def server_name(self) -> str:
        """The name that it serves."""
        return f"{POOL if self.name in POOL_HOSTS else self.name}.demo.test"

    @property
    def configuration(self) -> Path:
        """Its nginx.conf."""
        return self.folder / "etc" / "nginx.conf"

    def nginx(self, *arguments: str) -> list[str]:
        """The command line of this host's nginx."""
        return [
            "nginx",
            "-p",
            str(self.folder),
            "-e",
            str(self.folder / "error.log"),
            "-c",
            str(self.configuration),
            *arguments,
        ]


class LocalFleet:
    """As a context manager: nginx runs inside, and is stopped by its process id on the way out.

    :param folder: where everything is put; must not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = folder / "inventory.yml"
        self.store = folder / "tls-store"
        self.web = {name: self.web_host(name, address) for name, address in WEB_HOSTS.items()}

    def web_host(self, name: str, address: str) -> WebHost:
        """A host with free ports."""
        ports = [free_port(address) for _each in range(3)]
        return WebHost(name, address, *ports, self.folder / "hosts" / name)

    def __enter__(self) -> LocalFleet:
        self.folder.mkdir(parents=True, mode=0o700)
        try:
            for host in self.web.values():
                self.start(host)
            (self.folder / "hosts" / CLIENT).mkdir(parents=True)
            passphrase = self.folder / "passphrase"
            passphrase.touch(mode=0o600)
            passphrase.write_text(secrets.token_urlsafe(24))
            self.inventory.write_text(json.dumps(self.inventory_data(), indent=2))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        for host in self.web.values():
            stop(host.folder / "nginx.pid")

    def start(self, host: WebHost) -> None:
        """Start a host's nginx: plain HTTP only, as before anybody thought of TLS."""
        for sub in ("etc/conf.d", "etc/snippets", "tmp", "www"):
            (host.folder / sub).mkdir(parents=True)
        (host.folder / "www" / "index.html").write_text(f"hello from {host.name}\n")
        # Workers of a root's nginx would be somebody who cannot enter the demo's folder; anybody else's take no "user".
        user = "user root;\n" if os.geteuid() == 0 else ""
        values = {
            "folder": host.folder,
            "address": host.address,
            "http_port": host.http_port,
            "name": host.name,
            "user": user,
        }
        host.configuration.write_text(NGINX_CONF.format(**values))
        subprocess.run(host.nginx(), check=True, env={"PATH": paths.tool_path()}, timeout=20)

    def inventory_data(self) -> dict[str, Any]:
        """The inventory; JSON is YAML."""
        common = {
            "ansible_connection": "local",
            # As on any host: the system's Python, not that of the controller.
            "ansible_python_interpreter": shutil.which("python3", path="/usr/bin") or sys.executable,
            "tls_store": {
                "type": "directory",
                "path": str(self.store),
                "passphrase": "{{ lookup('ansible.builtin.file', '" + str(self.folder / "passphrase") + "') }}",
            },
            "tls_issuers": {"internal": {"type": "ca", "duration": "90d"}},
            "tls_directory": str(self.folder / "hosts") + "/{{ inventory_hostname }}/fleet-tls",
            "tls_trust_system": False,
            "tls_trust_bundles": [{"path": "{{ tls_directory }}/ca.pem"}],
        }
        client = {
            "tls_certificates": [
                {
                    "name": "client",
                    "issuer": "internal",
                    "uris": ["spiffe://demo.test/client1"],
                    "usages": ["client_auth"],
                }
            ]
        }
        hosts = {name: web_variables(host) for name, host in self.web.items()}
        return {
            "all": {
                "vars": common,
                "children": {
                    "web": {"hosts": hosts},
                    POOL: {"hosts": dict.fromkeys(POOL_HOSTS, {})},
                    "clients": {"hosts": {CLIENT: client}},
                },
            }
        }

    @property
    def root_certificate(self) -> Path:
        """The root as the client host has it."""
        return self.folder / "hosts" / CLIENT / "fleet-tls" / "ca.pem"

    def sites(self) -> dict[str, handshakes.Site]:
        """Where each web host serves TLS."""
        return {
            name: handshakes.Site(host.address, host.https_port, host.server_name) for name, host in self.web.items()
        }

    def ring(self, name: str) -> list[str]:
        """The names of a host's session ticket keys: previous, current, next. The first 16 bytes of each, which every ticket shows."""
        folder = self.web[name].folder / "fleet-tls" / "tickets" / POOL
        return [(folder / f"{each}.key").read_bytes()[:16].hex() for each in ("prev", "cur", "next")]

    def next_rotation(self) -> float:
        """When the ticket keys may be rotated: as soon as all sessions from before the last host took them have ended."""
        record = json.loads((self.store / "tickets" / f"{POOL}.json").read_text())
        done = [record["made_at"], *(at for _generation, at in record["proven"].values())]
        return float(max(done)) + SESSION_TIMEOUT

    def served(self) -> dict[str, str]:
        """The fingerprint (SHA-256, hex) each web host presents now, its chain verified against the root."""
        context = ssl.create_default_context(cafile=str(self.root_certificate))
        return {name: hashlib.sha256(handshakes.leaf(site, context)).hexdigest() for name, site in self.sites().items()}

    def issued(self) -> dict[str, str]:
        """The fingerprint last issued for each web host, or for its pool, from the ledger."""
        with contextlib.closing(sqlite3.connect(f"file:{self.store / 'ledger.sqlite3'}?mode=ro", uri=True)) as ledger:
            rows = ledger.execute("SELECT certificate, fingerprint FROM issuance ORDER BY id")
            last = dict(rows.fetchall())
        return {name: last.get(POOL if name in POOL_HOSTS else "www", "nothing") for name in self.web}

    def certificates(self, result: PlaybookResult) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Each host's certificates by host and name, as the run reported them last."""
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for task in result.task_results:
            for entry in task["result"].get("certificates") or ():
                found[task["host"], entry["name"]] = entry
        return found

    def table(self, result: PlaybookResult) -> list[str]:
        """The lines that fleet.tls.check printed."""
        messages = [task["result"].get("msg") for task in result.task_results]
        tables = [message for message in messages if isinstance(message, list)]
        return [str(line) for line in tables[-1]] if tables else []

    def demand_client_certificates(self) -> None:
        """Give web1 a site of the user's own that lets nobody in without one."""
        host = self.web["web1"]
        values = {
            "address": host.address,
            "port": host.mutual_port,
            "name": host.name,
            "tls": host.folder / "fleet-tls",
            "folder": host.folder,
        }
        (host.folder / "etc" / "conf.d" / "own-mtls.conf").write_text(MUTUAL_TLS_SITE.format(**values))
        subprocess.run(host.nginx("-s", "reload"), check=True, env={"PATH": paths.tool_path()}, timeout=20)

    def request_as_client(self, *, present_certificate: bool) -> str:
        """A request of client1's to web1's mTLS site, with its own files; the answer's first lines in one."""
        host = self.web["web1"]
        target = handshakes.Site(host.address, host.mutual_port, f"{host.name}.demo.test")
        context = ssl.create_default_context(cafile=str(self.root_certificate))
        if present_certificate:
            live = self.root_certificate.parent / "live" / "client"
            context.load_cert_chain(live / "fullchain.pem", live / "privkey.pem")
        return handshakes.eventually(target, context)


def web_variables(host: WebHost) -> dict[str, Any]:
    """A web host in the inventory: its nginx is not the system's, so it says how to call it."""
    service = {
        "name": "nginx",
        "validate": host.nginx("-t", "-q"),
        "reload": host.nginx("-s", "reload"),
        "check": ["test", "-s", str(host.folder / "nginx.pid")],
    }
    endpoint = f"{host.address}:{host.https_port}"
    shared = host.name in POOL_HOSTS
    certificate: dict[str, Any] = {
        "name": POOL if shared else "www",
        "issuer": "internal",
        "dns_names": [host.server_name],
        "services": [{**service, "endpoints": [endpoint]}],
    }
    site = {
        "name": "www",
        "server_names": [host.server_name],
        "certificate": certificate["name"],
        "listen": [endpoint],
        "root": str(host.folder / "www"),
    }
    tickets = {
        "tls_session_tickets": True,
        "tls_session_ticket_pool": POOL,
        "tls_session_timeout": f"{SESSION_TIMEOUT}s",
        # Not in memory: only root can write to /run.
        "tls_session_ticket_location": "disk",
        "tls_session_ticket_servers": [{"server": "nginx", "service": service, "endpoints": [endpoint]}],
    }
    return {
        "tls_nginx_directory": str(host.folder / "etc"),
        "tls_nginx_service": service,
        "tls_certificates": [{**certificate, "scope": "pool"} if shared else certificate],
        "tls_sites": [site],
        **(tickets if shared else {}),
        # For handshakes.yml.
        "demo_site": endpoint,
        "demo_members": f"{host.address}:{host.mutual_port}",
    }


def stop(pid_file: Path, wait: float = 10.0) -> None:
    """End the process a pid file names and wait until it is gone."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return
    end = time.monotonic() + wait
    while pid_file.exists() and time.monotonic() < end:
        time.sleep(0.05)
