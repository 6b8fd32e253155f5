# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of the RHEL family, on a stand-in: Debian 13 with that family's files, paths, users, units and dnf, see rhel_family/set-up.sh.

What the stand-in is not: that family's kernel, SELinux, crypto policies and builds of the servers. The tests follow each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.system.polling import ask_until
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint, handshake
from fleet.conftest import WORKER
from fleet.faults import found_in
from fleet.fleet import Fleet, Host
from tools.playbook import PlaybookResult, run_playbook

LAYOUT = Path(__file__).parent / "rhel_family"
PACKAGES = ("apache2", "haproxy", "postgresql", "p11-kit", "p11-kit-modules", "dnf", "rpm", "createrepo-c", "curl")
SERVERS = {"el-nginx": "nginx", "el-httpd": "apache", "el-haproxy": "haproxy"}
# Host → the packages that its role asks dnf for.
ASKED_FOR = {"el-nginx": {"nginx"}, "el-httpd": {"httpd", "mod_ssl"}, "el-haproxy": {"haproxy"}}
DATABASE = "el-nginx"
# (host, certificate, port, STARTTLS): all that is served.
SERVED = (
    ("el-nginx", "www", 443, None), ("el-httpd", "www", 443, None), ("el-httpd", "www", 8443, None),
    ("el-haproxy", "www", 443, None), (DATABASE, "db", 5432, "postgres"),
)  # fmt: skip
# Of the package's own web server, for all names that have no virtual host.
PAGE = "/var/www/html/index.html"
BUNDLE = "/etc/pki/tls/certs/ca-bundle.crt"
WITH_TLS = """ssl = on
ssl_cert_file = '/etc/fleet-tls/live/db/fullchain.pem'
ssl_key_file = '/etc/fleet-tls/live/db/privkey.pem'
listen_addresses = '*'
"""
# What haproxy.cfg of the package has for monitoring.
STATS = """
import socket
with socket.socket(socket.AF_UNIX) as stats:
    stats.connect("/var/lib/haproxy/stats")
    stats.sendall(b"show info\\n")
    print(stats.recv(4096).decode())
"""
# Host → a file of the user's, and the words by which a site that meets it is refused. frontend main is the package's own.
THEIRS = {
    "el-nginx": (
        "/etc/nginx/conf.d/theirs.conf", "server {\n  listen 443;\n  server_name theirs.test;\n}\n",
        "'theirs.test' on port 443 is a server_name in /etc/nginx/conf.d/theirs.conf:1",
    ),
    "el-httpd": (
        "/etc/httpd/conf.d/theirs.conf", "<VirtualHost *:443>\n  ServerName theirs.test\n</VirtualHost>\n",
        "'theirs.test' on port 443 is served by the virtual host 'theirs.test' (/etc/httpd/conf.d/theirs.conf:1)",
    ),
    "el-haproxy": ("/etc/haproxy/theirs", "", "port 5000 is bound by 'frontend main' (/etc/haproxy/haproxy.cfg:"),
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """Three hosts, each with a web server of its own; one has a database as well."""

    fleet: Fleet
    folder: Path

    def variables(self, host: str) -> dict[str, Any]:
        """What the inventory says about a host."""
        server = SERVERS[host]
        site = {"name": "www", "server_names": [f"{host}.test"], "certificate": "www", "redirect": True}
        site["upstream" if server == "haproxy" else "root"] = (
            "http://127.0.0.1:8081" if server == "haproxy" else "/srv/www"
        )
        more = [{**site, "name": "more", "listen": 8443, "redirect": False}] if server == "apache" else []
        wanted = [{"name": "www", "dns_names": [f"{host}.test"], "services": [server]}]
        if host == DATABASE:
            wanted.append({"name": "db", "dns_names": ["db.test"], "services": ["postgresql"]})
        certificates = [{"issuer": "internal", **each} for each in wanted]
        return {"tls_web_server": server, "tls_sites": [site, *more], "tls_certificates": certificates}

    def run(self, playbook: str, *args: str, **changes: Any) -> PlaybookResult:
        """A playbook of the collection; ``changes`` are host → other variables of its."""
        known = self.fleet.host_vars()
        hosts = {name: {**known[name], **self.variables(name), **changes.get(name, {})} for name in known}
        shared = {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
            "tls_prove_timeout": "60s",
        }
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))
        return run_playbook(f"fleet.tls.{playbook}", inventory, args=args)

    def script(self, host: str, text: str) -> str:
        """What a shell script says on a host."""
        return self.fleet.exec(host, ["sh", "-e"], stdin=text).stdout

    def live(self) -> dict[tuple[str, str], str]:
        """(host, certificate) → the leaf on disk, PEM."""
        pairs = {(host, name) for host, name, _port, _starttls in SERVED}
        return {
            pair: self.fleet.exec(pair[0], ["cat", f"/etc/fleet-tls/live/{pair[1]}/cert.pem"]).stdout for pair in pairs
        }

    def all_served(self) -> bool:
        """Whether every server comes to serve what is on its disk."""
        live = self.live()
        return all(
            self.leaf(host, port, starttls, live[host, name]) == live[host, name]
            for host, name, port, starttls in SERVED
        )

    def leaf(self, host: str, port: int, starttls: str | None, expected: str) -> str:
        """What a client from outside is served; a reload may take a moment."""

        def ask(left: float) -> str:
            endpoint = Endpoint(self.fleet.addresses[host], port, f"{host}.test", max(left, 5), starttls=starttls)
            result = handshake(endpoint)
            return result.chain[0] if result.chain else f"none: {result.error}"

        return ask_until(ask, lambda leaf: leaf == expected, 60)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Deployed on fresh hosts, of which one has a database that serves without TLS until then."""
    hosts = tuple(Host(name, "trixie", servers=PACKAGES, layout=LAYOUT) for name in SERVERS)
    with Fleet("rhel" + WORKER, hosts) as fleet:
        made = World(fleet, tmp_path_factory.mktemp("rhel"))
        made.script(DATABASE, "postgresql-setup --initdb\nsystemctl start postgresql")
        made.fleet.exec("el-httpd", ["tee", PAGE], stdin="theirs\n")
        made.run("deploy").check()
        made.fleet.exec(DATABASE, ["tee", "-a", "/var/lib/pgsql/data/postgresql.conf"], stdin=WITH_TLS)
        made.script(DATABASE, "systemctl restart postgresql")
        yield made


def test_dnf_was_asked_for_the_servers(world: World) -> None:
    for host, wanted in ASKED_FOR.items():
        asked = world.script(host, "dnf --quiet repoquery --userinstalled --queryformat '%{name}\\n'").split()
        assert set(asked) - {"postgresql-server"} == wanted, host


def test_clients_trust_what_is_served(world: World) -> None:
    """By the system's own store, with no CA named (openssl), and with the bundle that p11-kit has merged (curl)."""
    assert world.all_served()
    for asking in SERVERS:
        for host, _name, port, starttls in SERVED:
            if starttls:
                continue
            to, name = world.fleet.addresses[host], f"{host}.test"
            world.script(
                asking,
                f"openssl s_client -connect {to}:{port} -servername {name} -verify_hostname {name} -verify_return_error </dev/null\n"
                f"curl --silent --show-error --cacert {BUNDLE} --resolve {name}:{port}:{to} https://{name}:{port}/\n",
            )


def test_what_httpd_serves_without_virtual_hosts_stays(world: World) -> None:
    """Its httpd.conf has none for port 80: the first one would get the requests for all other names too."""
    ask = "curl --silent --show-error --header 'Host: {0}' --write-out '%{{http_code}} %{{redirect_url}}\n' http://127.0.0.1/"
    assert world.script("el-httpd", ask.format("other.test")) == "theirs\n200 \n"
    assert world.script("el-httpd", ask.format("el-httpd.test")).endswith("301 https://el-httpd.test/\n")


def test_a_second_run_changes_nothing_and_nothing_is_wrong(world: World) -> None:
    assert world.run("deploy").check().changed == 0
    (judged,) = world.run("check").check().results(task="Judge")
    # mod_ssl's own, for requests that no site is for.
    own = ("el-httpd", "unmanaged", "/etc/pki/tls/certs/localhost.crt")
    assert found_in(judged["ansible_facts"]["fleet_tls_health"]) == {own}


def test_sites_that_meet_the_user_s_own_are_refused(world: World) -> None:
    changes = {}
    for host, (path, text, _words) in THEIRS.items():
        world.fleet.exec(host, ["tee", path], stdin=text)
        wanted = world.variables(host)
        port = 5000 if SERVERS[host] == "haproxy" else 443
        clash = {**wanted["tls_sites"][0], "name": "clash", "server_names": ["theirs.test"], "listen": port}
        changes[host] = {"tls_sites": [*wanted["tls_sites"], clash]}
    try:
        refused = world.run("deploy", "--check", **changes)
    finally:
        for host, (path, _text, _words) in THEIRS.items():
            world.fleet.exec(host, ["rm", path])
    for host, (_path, _text, words) in THEIRS.items():
        said = [each["msg"] for each in refused.results(host=host) if each.get("error")]
        assert len(said) == 1 and words in said[0], (host, said)


def test_a_renewal_is_served(world: World) -> None:
    before = world.live()
    world.run("deploy", "-e", "tls_force=true").check()
    after = world.live()
    assert all(before[pair] != after[pair] for pair in before)
    assert world.all_served()
    # Whoever monitors HAProxy goes on doing so.
    assert "Name: HAProxy" in world.fleet.exec("el-haproxy", ["python3", "-c", STATS]).stdout


def test_a_ca_is_replaced(world: World) -> None:
    old_root = (world.folder / "store/ca/internal/root-1.pem").read_text().split("\n")[1]
    world.run("rotate_ca").check()
    assert world.all_served()
    for host, name in world.live():
        issuer = world.script(host, f"openssl x509 -noout -issuer -in /etc/fleet-tls/live/{name}/cert.pem")
        assert "internal CA 2 Issuing" in issuer, (host, name)
    for host in SERVERS:
        assert old_root not in world.fleet.exec(host, ["cat", BUNDLE]).stdout, host
    test_clients_trust_what_is_served(world)
