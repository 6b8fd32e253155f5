# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx, Apache and HAProxy on hosts of their own, each with a site for certified clients only; a host with mTLS clients, and their storm.

The site has an RSA certificate beside the ECDSA one, and passes requests on to another site of the next host, over mutual TLS.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.fleet import Fleet, Host
from tools.playbook import PlaybookResult, ansible_environment, playbook_command, run_playbook, start_playbook

SERVERS = {"web1": "nginx", "web2": "apache", "web3": "haproxy"}
CLIENT = "client1"
APP_PORT = 8444
HOSTS = (*(Host(name, "bookworm") for name in SERVERS), Host(CLIENT, "trixie"))
# A host whose clock is nearly an hour off all the time.
LATE = "web3"
WRAPPER = '#!/bin/sh\nexec faketime -f -3500s /usr/bin/python3 "$@"\n'
APPLICATION = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"hello")
    def log_message(self, *unused): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8081), Answer).serve_forever()
"""
# Runs on the client's host with the client's own files: every request is a whole handshake, both sides verified.
STORM = """
import json, os, socket, ssl, sys, time
folder, bundle, out, *addresses = sys.argv[1:]
count, failed = 0, []
while not os.path.exists(out + ".end"):
    for address in addresses:
        count += 1
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(bundle)
            # A pair changes in one rename: it is read from one generation.
            pair = os.path.realpath(folder)
            context.load_cert_chain(pair + "/fullchain.pem", pair + "/privkey.pem")
            with socket.create_connection((address, 443), timeout=120) as plain:
                with context.wrap_socket(plain, server_hostname="www.test") as tls:
                    tls.sendall(b"GET / HTTP/1.0\\r\\nHost: www.test\\r\\n\\r\\n")
                    answer = tls.recv(4096)
            if b" 200 " not in answer.split(b"\\r\\n")[0]:
                failed.append([time.time(), address, answer[:80].decode("ascii", "replace")])
        except OSError as error:
            failed.append([time.time(), address, str(error)])
        time.sleep(0.02)
    with open(out + ".new", "w") as stream:
        json.dump([count, failed[:20], len(failed)], stream)
    os.rename(out + ".new", out)
"""
# A session that is kept while the client is revoked, then a resumption and a whole handshake: what each gets.
SESSIONS = """
import json, os, socket, ssl, sys, time
folder, go, out, *addresses = sys.argv[1:]
def ask(context, address, session):
    try:
        with socket.create_connection((address, 443), timeout=120) as plain:
            with context.wrap_socket(plain, server_hostname="www.test", session=session) as tls:
                tls.sendall(b"GET / HTTP/1.1\\r\\nHost: www.test\\r\\nConnection: close\\r\\n\\r\\n")
                answer = b""
                while True:
                    try:
                        more = tls.recv(4096)
                    except ssl.SSLEOFError:
                        more = b""
                    if not more:
                        break
                    answer += more
                return [b" 200 " in answer.split(b"\\r\\n")[0], bool(tls.session_reused)], tls.session
    except OSError as error:
        return [False, str(error)], None
kept = []
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    for address in addresses:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(folder + "/fullchain.pem", folder + "/privkey.pem")
        first, session = ask(context, address, None)
        again, unused = ask(context, address, session)
        kept.append((str(version.name), address, context, session, first, again))
with open(out + ".ready", "w"):
    pass
while not os.path.exists(go):
    time.sleep(0.2)
found = []
for version, address, context, session, first, again in kept:
    resumed, unused = ask(context, address, session)
    fresh, unused = ask(context, address, None)
    found.append({"version": version, "address": address, "before": first, "again": again, "resumed": resumed, "fresh": fresh})
with open(out + ".new", "w") as stream:
    json.dump(found, stream)
os.rename(out + ".new", out)
"""


@dataclass
class World:
    """The hosts, their inventory and their store."""

    fleet: Fleet
    folder: Path
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """Where the store is."""
        return self.folder / "store"

    @property
    def addresses(self) -> list[str]:
        """Of the servers."""
        return [self.fleet.addresses[name] for name in SERVERS]

    def variables(self, host: str) -> dict[str, Any]:
        """What the inventory says about a host."""
        if host in SERVERS:
            sites = [
                {"name": "www", "server_names": ["www.test"], "certificates": ["www", "www-rsa"], "client_auth": "required",
                 "upstream": f"https://app.test:{APP_PORT}", "upstream_certificate": "proxy"},
                {"name": "app", "server_names": ["app.test"], "certificate": "backend", "client_auth": "required", "listen": APP_PORT,
                 "upstream": "http://127.0.0.1:8081"},
            ]  # fmt: skip
            rsa = {"private_key": {"algorithm": "rsa-2048"}}
            wanted = [
                {"name": "www", "dns_names": ["www.test"]}, {"name": "www-rsa", "dns_names": ["www.test"], **rsa},
                {"name": "backend", "dns_names": ["app.test"]},
                {"name": "proxy", "dns_names": [f"{host}.test"], "usages": ["client_auth"]},
            ]  # fmt: skip
            certificates = [{"issuer": "internal", **each} for each in wanted]
            late = {"ansible_python_interpreter": "/usr/local/bin/late-python"} if host == LATE else {}
            return {"tls_web_server": SERVERS[host], "tls_sites": sites, "tls_certificates": certificates, **late}
        names = ("app", "spare")
        certificates = [
            {"name": name, "issuer": "internal", "dns_names": [f"{name}.test"], "usages": ["client_auth"]}
            for name in names
        ]
        endpoints = [
            {"host": address, "port": 443, "server_name": "www.test", "request": "/"} for address in self.addresses
        ]
        client = {"certificate": "app", "bundle": {"path": "/srv/app/ca.pem"}, "endpoints": endpoints}
        return {"tls_certificates": certificates, "tls_clients": [client]}

    def inventory(self) -> Path:
        """The inventory as it is now."""
        known = self.fleet.host_vars()
        hosts = {name: {**known[name], **self.variables(name)} for name in known}
        shared = {
            "tls_store": {"path": str(self.store), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
            "tls_trust_system": False,
            **self.changes,
        }
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))
        return path

    def run(self, playbook: str, *args: str, **variables: Any) -> PlaybookResult:
        """A playbook of the collection; ``variables`` go on the command line."""
        return run_playbook(f"fleet.tls.{playbook}", self.inventory(), variables, args)

    @contextlib.contextmanager
    def started(self, playbook: str) -> Iterator[subprocess.Popen[bytes]]:
        """A playbook that runs meanwhile; killed at the end where it is not through."""
        with (self.folder / "started.log").open("ab") as log:
            process = start_playbook(
                playbook_command(f"fleet.tls.{playbook}", self.inventory()), ansible_environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def record(self) -> dict[str, Any]:
        """The record of the CA's rotation; empty where there is none."""
        path = self.store / "rotations" / "ca-internal.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def killed_at(self, stage: str) -> None:
        """Run the rotation, and kill it as soon as the record says that it is at ``stage``."""
        with self.started("rotate_ca") as process:
            end = time.monotonic() + 900
            while self.record().get("stage") != stage:
                assert process.poll() is None and time.monotonic() < end, (self.folder / "started.log").read_text()[
                    -3000:
                ]
                time.sleep(0.02)

    @contextlib.contextmanager
    def unreachable(self, host: str) -> Iterator[None]:
        """The host serves on, but cannot be logged in to."""
        self.fleet.exec(host, ["sh", "-c", "systemctl stop ssh.socket ssh.service; pkill -x sshd || true"])
        try:
            yield
        finally:
            self.fleet.exec(host, ["systemctl", "start", "ssh.service"])

    def background(self, host: str, name: str, program: str, *arguments: str) -> None:
        """A Python program on a host."""
        self.fleet.exec(host, ["tee", f"/root/{name}.py"], stdin=program)
        self.fleet.exec(host, ["systemd-run", f"--unit={name}", "python3", f"/root/{name}.py", *arguments])

    def wait_for(self, host: str, path: str, seconds: float = 300) -> str:
        """A file's content, as soon as it is there."""
        end = time.monotonic() + seconds
        while True:
            done = self.fleet.exec(host, ["cat", path], check=False)
            if done.returncode == 0:
                return done.stdout
            if time.monotonic() > end:
                journal = self.fleet.exec(host, ["journalctl", "-n", "30", "--no-pager"], check=False).stdout
                raise AssertionError(f"{path} did not come to be on {host}\n{journal}")
            time.sleep(0.3)

    def start_storm(self) -> None:
        """Requests of the client, one after the other, until :meth:`end_storm`."""
        arguments = ("/etc/fleet-tls/live/app", "/srv/app/ca.pem", "/root/storm.json", *self.addresses)
        self.background(CLIENT, "storm", STORM, *arguments)
        self.wait_for(CLIENT, "/root/storm.json")

    def end_storm(self) -> tuple[int, list[Any]]:
        """How many requests there were, and those that failed."""
        self.fleet.exec(CLIENT, ["touch", "/root/storm.json.end"])
        end = time.monotonic() + 300
        while self.fleet.exec(CLIENT, ["systemctl", "is-active", "storm"], check=False).returncode == 0:
            assert time.monotonic() < end
            time.sleep(0.3)
        count, failed, _all = json.loads(self.fleet.exec(CLIENT, ["cat", "/root/storm.json"]).stdout)
        self.fleet.exec(CLIENT, ["sh", "-c", "rm -f /root/storm.json*"])
        return count, failed

    def issuer_of(self, host: str, name: str) -> str:
        """Who issued a live certificate, by its subject."""
        command = ["openssl", "x509", "-noout", "-issuer", "-in", f"/etc/fleet-tls/live/{name}/cert.pem"]
        # The blanks around the sign depend on the release of OpenSSL.
        return self.fleet.exec(host, command).stdout.strip().replace(" = ", "=")

    def shown_issuer(self, host: str, sigalgs: str) -> str:
        """Who issued what a site shows to clients that take these signatures only, by its subject."""
        script = f"openssl s_client -connect 127.0.0.1:443 -servername www.test -sigalgs {sigalgs} </dev/null | openssl x509 -noout -issuer"
        return self.fleet.exec(host, ["sh", "-c", script]).stdout.strip().replace(" = ", "=")


def next_of(host: str) -> str:
    """The host that a server's site passes requests on to."""
    names = list(SERVERS)
    return names[(names.index(host) + 1) % len(names)]


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """Fresh hosts with everything deployed."""
    with Fleet("rotation", HOSTS) as fleet:
        made = World(fleet, folder)
        fleet.exec(LATE, ["tee", "/usr/local/bin/late-python"], stdin=WRAPPER)
        fleet.exec(LATE, ["chmod", "0755", "/usr/local/bin/late-python"])
        for name in SERVERS:
            made.background(name, "application", APPLICATION)
            following = next_of(name)
            fleet.exec(name, ["sh", "-c", f"echo {fleet.addresses[following]} app.test >> /etc/hosts"])
        fleet.exec("web1", ["rm", "-f", "/etc/nginx/sites-enabled/default"])
        fleet.exec(CLIENT, ["mkdir", "-p", "/srv/app"])
        made.run("deploy").check()
        yield made
