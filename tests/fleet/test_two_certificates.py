# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites with an RSA certificate beside an ECDSA one on nginx, Apache and HAProxy: each is served to the clients that take no other kind."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from fleet.fleet import Fleet
from fleet.test_mutual_tls import RING, haproxy_with_tickets
from fleet.web_servers import PUBLIC, SERVERS, WebServers, client_context, web_servers
from tools.playbook import run_playbook

# HAProxy 2.2 and nginx 1.18; the newest of all three.
HOSTS = ("deb11", "deb13")
NAME = "two.test"
KINDS = {"www-ecdsa": "ECDSA+SHA256", "www-rsa": "RSA-PSS+SHA256:RSA+SHA256"}
VERSIONS = {"-tls1_2": ssl.TLSVersion.TLSv1_2, "-tls1_3": ssl.TLSVersion.TLSv1_3}
PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)


def variables() -> dict[str, Any]:
    """Two certificates for one name, which every service is to serve at one place."""
    services = [
        {"name": server, "endpoints": [{"host": "127.0.0.1", "port": first, "server_name": NAME}]}
        for server, (first, _unit) in SERVERS.items()
    ]
    wish = {"issuer": "internal", "dns_names": [NAME], "services": services}
    site = {
        "name": "two", "server_names": [NAME], "certificates": list(KINDS), "listen": 0, "upstream": f"http://127.0.0.1:{PUBLIC}",
    }  # fmt: skip
    return {
        "tls_certificates": [
            {"name": "www-ecdsa", **wish},
            {"name": "www-rsa", "private_key": {"algorithm": "rsa-2048"}, **wish},
        ],
        "tls_sites": [site],
        "tls_session_tickets": True,
        "tls_prove_timeout": "60s",
    }


@pytest.fixture(scope="module")
def bench(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServers]:
    with web_servers(fleet, tmp_path_factory.mktemp("two"), HOSTS) as servers:
        for host in servers.hosts:
            fleet.exec(host, ["sh", "-e"], stdin=RING)
        with haproxy_with_tickets(fleet, servers.hosts):
            # As in fleet.tls.deploy: what is to serve the first pairs is configured after they were installed.
            servers.run({**variables(), "tls_defer_proof": True}).check()
            servers.run(variables()).check()
            yield servers


def shown(bench: WebServers, host: str, server: str, version: str, sigalgs: str) -> list[str]:
    """Fingerprints of the chain that a client is shown which takes these signatures only."""
    address = f"{bench.fleet.addresses[host]}:{SERVERS[server][0]}"
    command = [
        "openssl",
        "s_client",
        "-connect",
        address,
        "-servername",
        NAME,
        version,
        "-sigalgs",
        sigalgs,
        "-showcerts",
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    return [hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() for pem in PEM.findall(done.stdout)]


def live(bench: WebServers, host: str, name: str) -> list[str]:
    """Fingerprints of the chain of a certificate on its host."""
    chain = bench.fleet.exec(host, ["cat", f"/etc/fleet-tls/live/{name}/fullchain.pem"]).stdout
    return [hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() for pem in PEM.findall(chain)]


def everywhere(bench: WebServers) -> dict[tuple[str, str], str]:
    """Every leaf, after every server has shown every chain whole to the clients that take its kind only."""
    leaves = {}
    for host, name in itertools.product(bench.hosts, KINDS):
        wanted = live(bench, host, name)
        leaves[host, name] = wanted[0]
        for server, version in itertools.product(SERVERS, VERSIONS):
            assert shown(bench, host, server, version, KINDS[name]) == wanted, (host, name, server, version)
    return leaves


def test_each_is_served_to_its_clients_and_both_resume(bench: WebServers) -> None:
    everywhere(bench)
    for host, server, version in itertools.product(bench.hosts, SERVERS, VERSIONS.values()):
        context = client_context(version)
        first = bench.ask(host, server, 0, context, NAME)
        again = bench.ask(host, server, 0, context, NAME, session=first.session)
        assert (first.status, again.status, first.resumed, again.resumed) == (200, 200, False, True), (host, server)


def test_again_changes_nothing_and_a_renewal_reaches_both(bench: WebServers) -> None:
    assert bench.run(variables()).check().changed == 0
    before = everywhere(bench)
    bench.run({**variables(), "tls_force": True}).check()
    after = everywhere(bench)
    assert not {*before.values()} & {*after.values()}


def test_check_sees_both_and_misses_one(bench: WebServers) -> None:
    """nginx is made to forget one by hand; the next run of the role brings it back."""
    host = bench.hosts[0]
    playing = json.loads((bench.folder / "inventory.json").read_text())
    playing["all"]["hosts"] = {host: playing["all"]["hosts"][host]}
    playing["all"]["vars"] |= {"tls_web_server": "nginx", "tls_sites": bench.sites("nginx", variables()["tls_sites"])}
    playing["all"]["vars"] |= {"tls_check_files": False, "tls_session_tickets": False}
    inventory = bench.folder / "check.json"
    inventory.write_text(json.dumps(playing))
    assert "not_served" not in run_playbook("fleet.tls.check", inventory).check().stdout

    forget = "sed -i '/live.www-rsa/d' /etc/nginx/sites-enabled/zz-fleet-tls.conf && systemctl reload nginx"
    bench.fleet.exec(host, ["sh", "-ec", forget])
    missing = run_playbook("fleet.tls.check", inventory)
    assert missing.rc == 2 and re.search("www-rsa.*serves another certificate than the one on disk", missing.stdout)
    bench.run({**variables(), "tls_defer_proof": True}, "--limit", host, servers=["nginx"]).check()
    everywhere(bench)


def test_two_of_one_kind_are_refused_before_anything_is_touched(bench: WebServers) -> None:
    wishes = variables()
    wishes["tls_certificates"][1]["private_key"] = {"algorithm": "ecdsa-p384"}
    wishes["tls_certificates"] = [
        {**each, "name": f"{each['name']}-2", "services": []} for each in wishes["tls_certificates"]
    ]
    wishes["tls_sites"][0]["certificates"] = ["www-ecdsa-2", "www-rsa-2"]
    before = everywhere(bench)
    refused = bench.run(wishes, servers=["haproxy"])
    assert refused.rc == 2 and refused.stdout.count("which both have keys of the kind ecdsa") >= len(bench.hosts)
    assert everywhere(bench) == before
