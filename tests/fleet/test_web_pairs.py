# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx, Apache and HAProxy with sites that have an RSA certificate beside an ECDSA one, and with an upstream that they verify and that
verifies them. The tests of this file follow each other in one world."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet.fleet import Fleet
from fleet.test_mutual_tls import RING, haproxy_with_tickets
from fleet.web_servers import PUBLIC, SERVERS, ClientAuthority, WebServers, client_context, web_servers
from tools.playbook import run_playbook

# HAProxy 2.2, Apache and nginx of bullseye; the newest of all three.
HOSTS = ("deb11", "deb13")
# Ports, counted from each server's first one.
TWO, UP = 0, 2
TWO_NAME, UP_NAME, UPSTREAM = "two.test", "up.test", 8443
KINDS = {"www-ecdsa": "ECDSA+SHA256", "www-rsa": "RSA-PSS+SHA256:RSA+SHA256"}
VERSIONS = {"-tls1_2": ssl.TLSVersion.TLSv1_2, "-tls1_3": ssl.TLSVersion.TLSv1_3}
PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)
# What users get where the proxy does not take its upstream, or is not taken by it; 0: HAProxy hangs up.
GATEWAY_ERRORS = (0, 500, 502, 503)
# Tells who came, and how many requests its connection has brought so far.
APPLICATION = """
import http.server, json, ssl, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0
    def do_GET(self):
        self.count += 1
        peer = self.connection.getpeercert()
        body = json.dumps({"serial": peer["serialNumber"], "host": self.headers["Host"], "count": self.count}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/upstream.pem")
context.load_verify_locations("/root/upstream-ca.pem")
context.verify_mode = ssl.CERT_REQUIRED
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Answer)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""


@dataclass(frozen=True)
class Bench:
    """The servers, the CA of the upstreams, and what the upstreams trust."""

    servers: WebServers
    authority: ClientAuthority

    def variables(self, **upstream: Any) -> dict[str, Any]:
        """Two certificates for one name, which every service is to serve at one place; a site whose upstream is of a CA of its own, and
        wants a certificate of ours."""
        services = [
            {"name": server, "endpoints": [{"host": "127.0.0.1", "port": first + TWO, "server_name": TWO_NAME}]}
            for server, (first, _unit) in SERVERS.items()
        ]
        two = {
            "name": "two", "server_names": [TWO_NAME], "certificates": list(KINDS), "listen": TWO, "upstream": f"http://127.0.0.1:{PUBLIC}",
        }  # fmt: skip
        up = {
            "name": "up", "server_names": [UP_NAME], "certificate": "www-ecdsa", "listen": UP, "upstream": f"https://app.test:{UPSTREAM}",
            "upstream_trust": [self.authority.pem], "upstream_certificate": "proxy", **upstream,
        }  # fmt: skip
        wish = {"issuer": "internal", "dns_names": [TWO_NAME, UP_NAME], "services": services}
        return {
            "tls_certificates": [
                {"name": "www-ecdsa", **wish},
                {"name": "www-rsa", "private_key": {"algorithm": "rsa-2048"}, **wish},
                {"name": "proxy", "issuer": "internal", "dns_names": ["proxy.test"], "usages": ["client_auth"]},
            ],
            "tls_sites": [two, {key: value for key, value in up.items() if value is not None}],
            "tls_session_tickets": True,
            "tls_prove_timeout": "60s",
        }

    def run(self, *servers: str, **changes: Any) -> Any:
        """The roles of these servers, or of all."""
        return self.servers.run({**self.variables(), **changes}, servers=servers or tuple(SERVERS))

    def leaves(self) -> dict[tuple[str, str], str]:
        """Every leaf, after every server has shown every chain whole to the clients that take its kind only."""
        leaves = {}
        for host, name in itertools.product(self.servers.hosts, KINDS):
            wanted = self.live(host, name)
            leaves[host, name] = wanted[0]
            for server, version in itertools.product(SERVERS, VERSIONS):
                assert self.shown(host, server, version, KINDS[name]) == wanted, (host, name, server, version)
        return leaves

    def shown(self, host: str, server: str, version: str, sigalgs: str) -> list[str]:
        """Fingerprints of the chain that a client is shown which takes these signatures only."""
        address = f"{self.servers.fleet.addresses[host]}:{SERVERS[server][0] + TWO}"
        asked = ["-connect", address, "-servername", TWO_NAME, version, "-sigalgs", sigalgs, "-showcerts"]
        done = subprocess.run(
            ["openssl", "s_client", *asked],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return fingerprints(done.stdout)

    def live(self, host: str, name: str) -> list[str]:
        """Fingerprints of the chain of a certificate on its host."""
        return fingerprints(self.servers.fleet.exec(host, ["cat", f"/etc/fleet-tls/live/{name}/fullchain.pem"]).stdout)

    def serve(self, pair: Path, trusted: str | None = None) -> None:
        """The upstreams of all hosts, with this pair."""
        root = (self.servers.folder / "store/ca/internal/root-1.pem").read_text() if trusted is None else trusted
        files = {"upstream.pem": pair.read_text(), "upstream-ca.pem": root, "upstream.py": APPLICATION}
        script = f"""
        systemctl stop upstream 2>/dev/null || true
        systemd-run --quiet --unit=upstream python3 /root/upstream.py
        for i in $(seq 300); do ss -ltn | grep -q ':{UPSTREAM} ' && exit; sleep 0.1; done
        exit 1
        """
        for host in self.servers.hosts:
            for name, content in files.items():
                self.servers.fleet.exec(host, ["tee", f"/root/{name}"], stdin=content)
            self.servers.fleet.exec(host, ["sh", "-e"], stdin=script)

    def answers(self) -> dict[tuple[str, str], Any]:
        """What users of each host and server get: the application's words, or the status of an error."""
        found = {}
        for host, server in itertools.product(self.servers.hosts, SERVERS):
            answer = self.servers.ask(host, server, UP, client_context(ssl.TLSVersion.TLSv1_3), UP_NAME)
            found[host, server] = answer.told or answer.status
        return found

    def serials(self) -> set[str]:
        """Of the certificates that the proxies show to their upstreams."""
        return {told["serial"] for told in self.answers().values()}

    def serial(self, host: str) -> str:
        """Of the certificate that the proxies of a host have, as Python writes it."""
        command = ["openssl", "x509", "-noout", "-serial", "-in", "/etc/fleet-tls/live/proxy/cert.pem"]
        return self.servers.fleet.exec(host, command).stdout.strip().partition("=")[2]


def fingerprints(text: str) -> list[str]:
    """Of all certificates in it."""
    return [hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() for pem in PEM.findall(text)]


@pytest.fixture(scope="module")
def bench(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("pairs")
    with web_servers(fleet, folder, HOSTS) as servers:
        made = Bench(servers, ClientAuthority(folder / "backend", "Backends"))
        for host in servers.hosts:
            fleet.exec(host, ["sh", "-e"], stdin=RING)
            fleet.exec(host, ["sh", "-ec", "grep -q app.test /etc/hosts || echo 127.0.0.1 app.test >> /etc/hosts"])
        try:
            with haproxy_with_tickets(fleet, servers.hosts):
                # As in fleet.tls.deploy: what is to serve the first pairs is configured after they were installed. Without an upstream that is
                # told, and no reason to stop.
                first = made.run(tls_defer_proof=True).check()
                assert "could not be asked whether it works with the proxy" in first.stdout + first.stderr
                made.serve(good(made))
                made.run().check()
                yield made
        finally:
            for host in servers.hosts:
                fleet.exec(host, ["sh", "-c", "systemctl stop upstream; rm -f /root/upstream*"], check=False)


def good(bench: Bench) -> Path:
    """A pair that an upstream should have."""
    return bench.authority.issue("app", dns_names=["app.test"])[1]


def test_each_certificate_is_served_to_its_clients_and_all_resume(bench: Bench) -> None:
    bench.leaves()
    for host, server, version in itertools.product(bench.servers.hosts, SERVERS, VERSIONS.values()):
        context = client_context(version)
        first = bench.servers.ask(host, server, TWO, context, TWO_NAME)
        again = bench.servers.ask(host, server, TWO, context, TWO_NAME, session=first.session)
        assert (first.status, again.status, first.resumed, again.resumed) == (200, 200, False, True), (host, server)


def test_proxy_and_upstream_take_each_other(bench: Bench) -> None:
    """A new client never gets a connection that waits in the pool: the upstream may be closing it."""
    serials = {host: bench.serial(host) for host in bench.servers.hosts}
    for answers in (bench.answers() for _again in range(6)):
        for (host, server), told in answers.items():
            name = f"app.test:{UPSTREAM}" if server == "apache" else UP_NAME
            assert told == {"serial": serials[host], "host": name, "count": 1}, (host, server)


def test_again_changes_nothing_and_a_renewal_reaches_everything(bench: Bench) -> None:
    assert bench.run().check().changed == 0
    leaves, serials = bench.leaves(), bench.serials()
    bench.run(tls_force=True).check()
    assert not {*bench.leaves().values()} & {*leaves.values()}
    for (host, server), told in bench.answers().items():
        assert told["serial"] == bench.serial(host) and told["serial"] not in serials, (host, server)
    assert bench.run().check().changed == 0


# Fault → the server whose role is asked, and its words.
FAULTS = {
    "wrong name": ("nginx", "Hostname mismatch"),
    "expired": ("apache", "certificate has expired"),
    "unknown CA": ("haproxy", "certificate in certificate chain|unable to get local issuer certificate"),
    "client refused": ("apache", "refused with the TLS alert|asked for a client certificate"),
}


def bad_pair(bench: Bench, fault: str, folder: Path) -> tuple[Path, str | None]:
    """What an upstream with this fault has, and what it trusts; None: us."""
    if fault == "wrong name":
        return bench.authority.issue("bad", dns_names=["other.test"])[1], None
    if fault == "expired":
        return bench.authority.issue("bad", -1, dns_names=["app.test"])[1], None
    if fault == "unknown CA":
        return ClientAuthority(folder / "strangers", "Strangers").issue("bad", dns_names=["app.test"])[1], None
    return good(bench), ClientAuthority(folder / "others", "Others").pem


def test_servers_refuse_an_upstream_and_the_role_says_why(bench: Bench, tmp_path: Path) -> None:
    """The pair of the proxies is to change at the same time: none of them takes it over."""
    shown = bench.serials()
    for fault, (server, words) in FAULTS.items():
        bench.serve(*bad_pair(bench, fault, tmp_path))
        answers = bench.answers()
        assert all(answer in GATEWAY_ERRORS for answer in answers.values()), (fault, answers)
        refused = bench.run(server, tls_force=["proxy"])
        for host in bench.servers.hosts:
            (said,) = [each["msg"] for each in refused.results(host=host) if each.get("error")]
            assert "site 'up'" in said and any(word in said for word in words.split("|")), (fault, said)
    bench.serve(good(bench))
    assert bench.serials() == shown
    bench.run().check()
    assert not bench.serials() & shown


def test_check_sees_both_certificates_and_misses_one(bench: Bench) -> None:
    """nginx is made to forget one by hand; the next run of the role brings it back."""
    host = bench.servers.hosts[0]
    playing = json.loads((bench.servers.folder / "inventory.json").read_text())
    playing["all"]["hosts"] = {host: playing["all"]["hosts"][host]}
    sites = WebServers.sites("nginx", bench.variables()["tls_sites"])
    playing["all"]["vars"] |= {
        "tls_web_server": "nginx",
        "tls_sites": sites,
        "tls_check_files": False,
        "tls_session_tickets": False,
    }
    inventory = bench.servers.folder / "check.json"
    inventory.write_text(json.dumps(playing))
    assert "not_served" not in run_playbook("fleet.tls.check", inventory).check().stdout

    bench.servers.fleet.exec(
        host,
        ["sh", "-ec", "sed -i '/live.www-rsa/d' /etc/nginx/sites-enabled/zz-fleet-tls.conf && systemctl reload nginx"],
    )
    missing = run_playbook("fleet.tls.check", inventory)
    assert missing.rc == 2 and re.search("www-rsa.*serves another certificate than the one on disk", missing.stdout)
    bench.run("nginx", tls_defer_proof=True).check()
    bench.leaves()


def test_two_of_one_kind_are_refused_before_anything_is_touched(bench: Bench) -> None:
    wishes = bench.variables()
    alike = [{**each, "name": f"{each['name']}-2", "services": []} for each in wishes["tls_certificates"][:2]]
    alike[1]["private_key"] = {"algorithm": "ecdsa-p384"}
    site = {**wishes["tls_sites"][0], "certificates": [each["name"] for each in alike]}
    before = bench.leaves()
    refused = bench.run("haproxy", tls_certificates=[*wishes["tls_certificates"], *alike], tls_sites=[site])
    assert refused.rc == 2 and refused.stdout.count("which both have keys of the kind ecdsa") >= len(
        bench.servers.hosts
    )
    assert bench.leaves() == before


def test_a_site_that_waits_for_its_certificate_stops_no_other(bench: Bench) -> None:
    """As for an answer to its challenge, which the very configuration gives: its upstream's files are not there yet."""
    sites = bench.variables()["tls_sites"]
    later = {**sites[1], "name": "later", "server_names": ["later.test"], "certificate": "later"}
    bench.run(tls_sites=[*sites, later], fleet_tls_sites_waiting=["later"]).check()
    assert all(isinstance(answer, dict) for answer in bench.answers().values()), bench.answers()


def test_unverified_where_the_user_says_so_and_nothing_left_of_what_is_gone(bench: Bench) -> None:
    bench.serve(bench.authority.issue("anybody", -1, dns_names=["other.test"])[1])
    bench.run(**bench.variables(upstream_verify=False, upstream_trust=None)).check()
    assert all(isinstance(answer, dict) for answer in bench.answers().values()), bench.answers()
    bench.run(tls_sites=bench.variables()["tls_sites"][:1]).check()
    for host in bench.servers.hosts:
        left = bench.servers.fleet.exec(host, ["find", "/etc/fleet-tls/upstreams", "-type", "f"]).stdout
        assert left == "", left
