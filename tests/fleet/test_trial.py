# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers as people run them: what they need and only the running host has keeps no certificate from its renewal, and nothing that looks at a
configuration is seen outside.

Upstreams by a name that a name server knows, files below /run, sockets by path, programs and settings that come with the unit.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint, handshake
from fleet.fleet import Fleet
from tools.playbook import PlaybookResult, run_playbook

HOSTS = ("deb11", "deb12", "deb13")
# Service → unit, port.
SERVERS = {"haproxy": ("haproxy", 9443), "apache": ("apache2", 8443), "lighttpd": ("lighttpd", 10443)}
LIVE = "/etc/fleet-tls/live/front"
# Programs of one's own: one reads its pair when it starts, one for each connection. Neither has a reload.
GATEWAY = """
import socket, ssl, sys
def context():
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain("/etc/fleet-tls/live/gate/fullchain.pem", "/etc/fleet-tls/live/gate/privkey.pem")
    return found
port, first = int(sys.argv[1]), context()
listener = socket.create_server(("", port))
while True:
    client, _ = listener.accept()
    client.settimeout(10)
    try:
        (first if port == 9500 else context()).wrap_socket(client, server_side=True).close()
    except OSError:
        client.close()
"""
# One that takes connections from proxies only.
EDGE = """server {
    listen 9600 ssl proxy_protocol;
    ssl_certificate /etc/fleet-tls/live/gate/fullchain.pem;
    ssl_certificate_key /etc/fleet-tls/live/gate/privkey.pem;
}
"""
GATEWAY_UNIT = "[Service]\nExecStart=/usr/bin/python3 /root/gateway.py {0}\n"
PLAY = [{"hosts": "all", "gather_facts": False, "roles": ["fleet.tls.certificates"]}]
# A name server that knows every name's IPv4 address.
NAMES = """
import socket
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.bind(("127.0.0.1", 53))
while True:
    query, client = asked.recvfrom(512)
    end = query.index(b"\\0", 12) + 5
    known = query[end - 4 : end - 2] == b"\\0\\1"
    head = query[:2] + b"\\x81\\x80\\0\\1" + (b"\\0\\1" if known else b"\\0\\0") + b"\\0\\0\\0\\0"
    address = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\x7f\\0\\0\\1" if known else b""
    asked.sendto(head + query[12:end] + address, client)
"""
# No "master-worker": the unit says -Ws (Debian 11's own check does not). A port is in the unit's environment only, and so is the second file.
HAPROXY = """global
    stats socket /var/lib/haproxy/stats mode 660 level admin
    user haproxy
    group haproxy
resolvers corp
    nameserver here 127.0.0.1:53
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
program api
    command /root/program
frontend tls
    bind :9443 ssl crt /etc/haproxy/front.pem
    bind unix@/var/lib/haproxy/app.sock
    bind 127.0.0.1:"${SIDE_PORT}"
    http-request return status 200 content-type text/plain string front if { path / }
    default_backend app
"""
HAPROXY_MORE = """backend app
    server app1 app.corp.example:80
    server app2 app2.corp.example:80 resolvers corp check
"""
HAPROXY_DEFAULT = 'CONFIG="/etc/haproxy/haproxy.cfg -f /etc/haproxy/more.d"\nSIDE_PORT=9444\n'
PROGRAM = "#!/bin/sh\necho started >>/root/started\nexec sleep 100000\n"
APACHE = f"""Listen 8443
Listen 8444
<VirtualHost *:8443>
    ServerName front.test
    SSLEngine on
    SSLCertificateFile {LIVE}/fullchain.pem
    SSLCertificateKeyFile {LIVE}/privkey.pem
</VirtualHost>
<VirtualHost *:8444>
    ServerName own.test
    SSLEngine on
    SSLCertificateFile /run/secrets/own.crt
    SSLCertificateKeyFile /run/secrets/own.key
</VirtualHost>
"""
LIGHTTPD = f"""server.modules += ( "mod_openssl", "mod_proxy" )
server.document-root = "/var/www/html"
server.pid-file = "/run/lighttpd.pid"
server.username = "www-data"
server.groupname = "www-data"
server.port = 10443
ssl.engine = "enable"
ssl.pemfile = "{LIVE}/fullchain.pem"
ssl.privkey = "{LIVE}/privkey.pem"
proxy.server = ( "" => (( "host" => "app.corp.example", "port" => 80 )) )
"""
MASTER = {"deb11": "global\n    master-worker\n"}
AWAIT_NAMES = """for _ in $(seq 300); do getent ahostsv4 app.corp.example >/dev/null && break; sleep 0.2; done
getent ahostsv4 app.corp.example >/dev/null || { echo "no name server"; exit 1; }
"""
# Stopped before any of them starts: one may still have a port that another one is to have.
START = """systemctl stop {0}
systemctl reset-failed {0} 2>/dev/null || true
for unit in {0}; do
  systemctl start $unit || {{ systemctl status --no-pager --full $unit; journalctl --no-pager -n 30 -u $unit; exit 1; }}
done
"""
OWN = """mkdir -p /run/secrets
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=own.test -keyout /run/secrets/own.key -out /run/secrets/own.crt 2>/dev/null
a2enmod --quiet ssl
"""
FILES = {
    "haproxy": {
        "/etc/haproxy/haproxy.cfg": HAPROXY,
        "/etc/haproxy/more.d/more.cfg": HAPROXY_MORE,
        "/etc/default/haproxy": HAPROXY_DEFAULT,
    },
    "apache": {"/etc/apache2/ports.conf": "", "/etc/apache2/sites-enabled/000-default.conf": APACHE},
    "lighttpd": {"/etc/lighttpd/lighttpd.conf": LIGHTTPD},
}
# What HAProxy says on its sockets, and how often the program was started.
SEEN = """
import socket
def ask(path, words):
    with socket.socket(socket.AF_UNIX) as there:
        there.settimeout(30)
        there.connect(path)
        there.sendall(words)
        return b"".join(iter(lambda: there.recv(65536), b"")).decode()
assert "Version:" in ask("/var/lib/haproxy/stats", b"show info\\n")
assert "front" in ask("/var/lib/haproxy/app.sock", b"GET / HTTP/1.0\\r\\n\\r\\n")
print(open("/root/started").read().count("started"))
"""


@dataclass(frozen=True)
class World:
    """Hosts on which all of it serves."""

    fleet: Fleet
    folder: Path
    hosts: tuple[str, ...]

    def servers(self, host: str) -> dict[str, tuple[str, int]]:
        """The servers of a host: Debian 11's image has no lighttpd."""
        return {name: each for name, each in SERVERS.items() if host != "deb11" or name != "lighttpd"}

    def run(
        self, certificates: Sequence[dict[str, Any]] = (), args: Sequence[str] = (), **variables: Any
    ) -> PlaybookResult:
        """The role certificates, on all hosts.

        :param certificates: further ones.
        :param args: of ansible-playbook.
        """
        known = {name: values for name, values in self.fleet.host_vars().items() if name in self.hosts}
        for host, values in known.items():
            services = [
                {"name": name, "endpoints": [f"127.0.0.1:{port}"]} for name, (_unit, port) in self.servers(host).items()
            ]
            certificate = {
                "name": "front", "dns_names": ["front.test"], "issuer": "internal", "services": services,
                "outputs": [{"path": "/etc/haproxy/front.pem", "format": "combined"}],
                "owner": "root", "group": "www-data", "mode": "0640",
            }  # fmt: skip
            values["tls_certificates"] = [certificate, *certificates]
        given = {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
            "tls_prove_timeout": "60s",
            **variables,
        }
        play, inventory = self.folder / "play.yml", self.folder / "inventory.json"
        play.write_text(json.dumps(PLAY))
        inventory.write_text(json.dumps({"all": {"hosts": known, "vars": given}}))
        return run_playbook(play, inventory, args=args)

    def set_up(self) -> None:
        """The certificate first, then its servers."""
        self.run(tls_defer_proof=True).check()
        for host in self.hosts:
            units = [unit for unit, _port in self.servers(host).values()]
            lines = ["cp /etc/resolv.conf /root/resolv.conf", "echo nameserver 127.0.0.1 >/etc/resolv.conf"]
            lines += [
                f"systemd-run --quiet --unit corp-names --collect python3 -c {shlex.quote(NAMES)}",
                OWN,
                AWAIT_NAMES,
            ]
            files = {path: text for name in self.servers(host) for path, text in FILES[name].items()}
            files["/etc/haproxy/haproxy.cfg"] = HAPROXY.replace("global\n", MASTER.get(host, "global\n"))
            for path, text in {**files, "/root/program": PROGRAM}.items():
                lines.append(f"mkdir -p $(dirname {path}); if test -e {path}; then cp {path} {path}.before; fi")
                lines.append(f"cat >{path} <<'END OF FILE'\n{text}END OF FILE")
            lines += ["chmod 0755 /root/program", START.format(" ".join(units))]
            self.fleet.exec(host, ["sh", "-e"], stdin="\n".join(lines) + "\n", timeout=300)

    def tear_down(self) -> None:
        """Everything as it was."""
        for host in self.hosts:
            units = [unit for unit, _port in self.servers(host).values()]
            lines = [f"systemctl stop {' '.join(units)} corp-names", "cat /root/resolv.conf >/etc/resolv.conf"]
            for path in (path for name in self.servers(host) for path in FILES[name]):
                lines.append(f"if test -e {path}.before; then mv {path}.before {path}; else rm -f {path}; fi")
            lines.append(
                "rm -rf /etc/haproxy/more.d /etc/haproxy/front.pem /root/program /root/started /root/resolv.conf /run/secrets /etc/fleet-tls"
            )
            self.fleet.exec(host, ["sh"], stdin="\n".join(lines) + "\n", check=False, timeout=300)

    def served(self, host: str) -> dict[str, str]:
        """Server → the leaf that a client from outside sees, or why there is none."""
        found = {}
        for name, (_unit, port) in self.servers(host).items():
            result = handshake(Endpoint(self.fleet.addresses[host], port, "front.test", 30))
            found[name] = result.chain[0] if result.chain else f"none: {result.error}"
        return found

    def live(self, host: str) -> str:
        """The leaf on the host."""
        return self.fleet.exec(host, ["cat", f"{LIVE}/cert.pem"]).stdout

    def seen(self, host: str) -> str:
        """How often the program was started; HAProxy answers on its sockets."""
        return self.fleet.exec(host, ["python3", "-c", SEEN]).stdout.strip()


@pytest.fixture(scope="module")
def world(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The hosts, their servers up."""
    hosts = tuple(host for host in HOSTS if host in fleet.addresses)
    one = World(fleet, tmp_path_factory.mktemp("trial"), hosts)
    try:
        one.set_up()
        yield one
    finally:
        one.tear_down()


def test_renewed_and_nothing_of_it_seen(world: World) -> None:
    before = {host: world.live(host) for host in world.hosts}
    assert {host: world.seen(host) for host in world.hosts} == dict.fromkeys(world.hosts, "1")
    renewed = world.run(tls_force=True).check()
    for host in world.hosts:
        (result,) = renewed.results(host=host, action="fleet.tls.certificates")
        assert result["services"] == {name: {"state": "reloaded", "error": None} for name in world.servers(host)}
        new = world.live(host)
        assert new != before[host] and world.served(host) == dict.fromkeys(world.servers(host), new), host
        # HAProxy starts its programs with every reload, of which there was one.
        assert world.seen(host) == "2", host
    assert world.run().check().changed == 0


def test_a_fault_that_was_there_before_is_called_so(world: World) -> None:
    """In words that are never the same twice: HAProxy begins them with its process id."""
    before = {host: (world.served(host), world.seen(host)) for host in world.hosts}
    try:
        for host in world.hosts:
            world.fleet.exec(host, ["sh", "-c", "echo '    frobnicate on' >>/etc/haproxy/more.d/more.cfg"])
        failed = world.run(tls_force=True)
    finally:
        for host in world.hosts:
            world.fleet.exec(host, ["sed", "-i", "/frobnicate/d", "/etc/haproxy/more.d/more.cfg"])
    for host in world.hosts:
        (result,) = failed.results(host=host, action="fleet.tls.certificates")
        (error,) = [each["error"] for each in result["certificates"]]
        assert error["code"] == "validate_failed" and "'frobnicate'" in error["message"], error
        assert "it was failing already before this change" in error["message"], error
        assert (world.served(host), world.seen(host)) == before[host], host
    assert world.run().check().changed == 0


def test_programs_without_a_reload(world: World) -> None:
    """Refused until somebody says what to do about it; what a preset of the user's says counts as theirs, its endpoints too."""
    files = {"/root/gateway.py": GATEWAY}
    files.update({f"/etc/systemd/system/gate{port}.service": GATEWAY_UNIT.format(port) for port in (9500, 9501)})
    lines = [f"cat >{path} <<'END OF FILE'\n{text}END OF FILE" for path, text in files.items()]
    for host in world.hosts:
        world.fleet.exec(host, ["sh", "-e"], stdin="\n".join([*lines, "systemctl daemon-reload", ""]))
        world.fleet.exec(host, ["rm", "-f", "/etc/nginx/sites-enabled/default"])
    services = ["gate9500", "gate9501"]
    wanted: dict[str, Any] = {"name": "gate", "dns_names": ["gate.test"], "issuer": "internal", "services": services}
    presets: dict[str, dict[str, Any]] = {
        name: {"unit": name, "endpoints": [f"127.0.0.1:{name[-4:]}"]} for name in services
    }
    edge = {"host": "127.0.0.1", "port": 9600, "proxy_protocol": True}
    try:
        for args in (["--check"], []):
            refused = world.run([wanted], args, tls_service_presets=presets)
            for host in world.hosts:
                (result,) = refused.results(host=host, action="fleet.tls.certificates")
                (error,) = [each["error"] for each in result["certificates"] if each["name"] == "gate"]
                assert error["code"] == "cannot_reload" and "'gate9500' has no reload" in error["message"], error
                assert world.fleet.exec(host, ["test", "-e", "/etc/fleet-tls/live/gate"], check=False).returncode == 1
        presets["gate9500"]["reload"], presets["gate9501"]["reload"] = "restart", "none"
        presets["edge"] = {"unit": "nginx", "endpoints": [edge]}
        wanted["services"] = [*services, "edge"]
        world.run([wanted], tls_service_presets=presets, tls_defer_proof=True).check()
        for host in world.hosts:
            world.fleet.exec(host, ["sh", "-c", "cat >/etc/nginx/conf.d/edge.conf"], stdin=EDGE)
            world.fleet.exec(host, ["systemctl", "start", *services, "nginx"])
        renewed = world.run([wanted], tls_service_presets=presets, tls_force="gate").check()
        for host in world.hosts:
            (result,) = renewed.results(host=host, action="fleet.tls.certificates")
            states = {name: result["services"][name]["state"] for name in wanted["services"]}
            assert states == {"gate9500": "reloaded", "gate9501": "unchanged", "edge": "reloaded"}
            live = world.fleet.exec(host, ["cat", "/etc/fleet-tls/live/gate/cert.pem"]).stdout
            for port in (9500, 9501, 9600):
                proxied = 2 if port == 9600 else 0
                seen = handshake(Endpoint(world.fleet.addresses[host], port, "gate.test", 30, proxy_protocol=proxied))
                assert seen.chain and seen.chain[0] == live, (host, port, seen.error)
        presets["gate9501"]["endpoints"] = ["127.0.0.1:9502"]
        mistyped = world.run([wanted], tls_service_presets=presets, tls_force="gate", tls_prove_timeout="3s")
        for host in world.hosts:
            (result,) = mistyped.results(host=host, action="fleet.tls.certificates")
            (error,) = [each["error"] for each in result["certificates"] if each["name"] == "gate"]
            assert error["code"] == "not_served" and "127.0.0.1:9502" in error["message"], error
    finally:
        for host in world.hosts:
            world.fleet.exec(host, ["systemctl", "stop", *services, "nginx"], check=False)
            world.fleet.exec(host, ["rm", "-f", *files, "/etc/nginx/conf.d/edge.conf"])
            world.fleet.exec(host, ["systemctl", "daemon-reload"])
