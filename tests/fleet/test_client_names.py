# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites that say which clients get in, on nginx, Apache and HAProxy of Debian 11, 12 and 13, with TLS 1.2 and 1.3."""

from __future__ import annotations

import base64
import itertools
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fleet.fleet import Fleet
from fleet.web_servers import PRIVATE, PUBLIC, SERVERS, Answer, ClientAuthority, WebServers, client_context, web_servers

HOSTS = ("deb11", "deb12", "deb13")
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
PLACES = list(itertools.product(HOSTS, SERVERS))
EVERY = list(itertools.product(HOSTS, SERVERS, (TLS12, TLS13)))
# Ports, counted from each server's first one.
NAMED, OTHER, OPEN, OPTIONAL = range(4)
HOST_NAMES = {NAMED: "named.test", OTHER: "other.test", OPEN: "open.test", OPTIONAL: "optional.test"}
LONG_ID = "spiffe://example.com/ns/production/sa/a-service-with-a-name-that-fits-into-no-common-name/web"
CLIENT_NAMES = ["spiffe://example.com/ns/*/sa/*/web", "*.jobs.test", "CN=deploy"]
ALLOWED, REFUSED = ("spiffe", "job", "deploy"), ("stranger", "almost", "sly", "plain")
CLIENTS: dict[str, list[x509.GeneralName]] = {
    "spiffe": [x509.UniformResourceIdentifier(LONG_ID)],
    "job": [x509.DNSName("nightly.jobs.test")],
    "deploy": [],
    "stranger": [x509.UniformResourceIdentifier("spiffe://example.org/ns/a/sa/b/web"), x509.DNSName("jobs.test")],
    "almost": [x509.UniformResourceIdentifier(f"{LONG_ID}/more"), x509.DNSName("a.b.jobs.test")],
    # What OpenSSL prints of it looks like a SPIFFE ID.
    "sly": [x509.DNSName("a.test, URI:spiffe://example.com/ns/a/sa/b/web")],
    "plain": [],
}


@dataclass(frozen=True)
class Bench:
    """The servers, and who comes to them."""

    servers: WebServers
    authority: ClientAuthority
    clients: dict[str, Path]
    variables: dict[str, Any]

    def ask(
        self, host: str, server: str, version: ssl.TLSVersion, client: str, port: int = NAMED, **how: Any
    ) -> Answer:
        """A request of one of ``CLIENTS``."""
        context = how.pop("context", None) or client_context(version, self.clients.get(client))
        return self.servers.ask(host, server, port, context, how.pop("name", HOST_NAMES[port]), **how)


def site(name: str, port: int, **options: Any) -> dict[str, Any]:
    """A site whose application tells that it was reached."""
    application = PRIVATE if options["client_auth"] == "required" else PUBLIC
    return {
        "name": name, "server_names": [f"{name}.test"], "certificate": "www", "listen": port,
        "upstream": f"http://127.0.0.1:{application}", **options,
    }  # fmt: skip


@pytest.fixture(scope="module")
def bench(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("names")
    authority = ClientAuthority(folder / "ours")
    clients = {name: authority.issue(name, names=names)[1] for name, names in CLIENTS.items()}
    variables = {
        "tls_certificates": [{"name": "www", "issuer": "internal", "dns_names": list(HOST_NAMES.values())}],
        "tls_client_auth_issuers": [],
        "tls_client_auth_anchors": {"ours": authority.pem},
        "tls_client_auth_crls": [authority.crl()],
        "tls_client_auth_names": CLIENT_NAMES,
        "tls_sites": [
            site("named", NAMED, client_auth="required", client_headers=["san", "certificate"]),
            site("other", OTHER, client_auth="required", client_names=["only.test"]),
            site("open", OPEN, client_auth="none"),
            site("optional", OPTIONAL, client_auth="optional", client_headers=["san"]),
        ],
    }  # fmt: skip
    with web_servers(fleet, folder, HOSTS) as servers:
        servers.run(variables).check()
        yield Bench(servers, authority, clients, variables)


def test_a_second_run_changes_nothing(bench: Bench) -> None:
    assert bench.servers.run(bench.variables).check().changed == 0


@pytest.mark.parametrize(("host", "server", "version"), EVERY)
def test_who_gets_in_and_who_does_not(bench: Bench, host: str, server: str, version: ssl.TLSVersion) -> None:
    before = bench.ask(host, server, version, "spiffe").told["count"]

    refused = {client: bench.ask(host, server, version, client) for client in REFUSED}
    allowed = {client: bench.ask(host, server, version, client) for client in ALLOWED}

    assert {client: answer.status for client, answer in refused.items()} == dict.fromkeys(REFUSED, 403)
    assert {client: answer.status for client, answer in allowed.items()} == dict.fromkeys(ALLOWED, 200)
    assert all(answer.private for answer in allowed.values())
    # The application has seen nobody else.
    assert [answer.told["count"] for answer in allowed.values()] == [before + 1, before + 2, before + 3]
    assert bench.ask(host, server, version, "none").status in (0, 400)
    # Another site asks for other names, whatever the Host header and the name in the handshake say.
    for name, http_host in itertools.product(("named.test", "other.test"), repeat=2):
        assert not bench.ask(host, server, version, "spiffe", OTHER, name=name, http_host=http_host).private


@pytest.mark.parametrize(("host", "server"), PLACES)
def test_the_upstream_is_told_whole_names_and_the_certificate(bench: Bench, host: str, server: str) -> None:
    said = {
        "X-Client-SAN": "URI:spiffe://root", "X_Client_SAN": "URI:spiffe://root", "Client-Cert": ":AAAA:", "Client_Cert": ":AAAA:",
        "Client-Cert-Chain": ":AAAA:", "Client_Cert-Chain": ":AAAA:",
    }  # fmt: skip
    pem = bench.clients["spiffe"].read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)

    told = bench.ask(host, server, TLS13, "spiffe", headers=said).told["headers"]

    assert told["x-client-san"] == f"URI:{LONG_ID}" and len(LONG_ID) > 64
    assert told["client-cert"] == f":{base64.b64encode(der).decode()}:"
    assert "client-cert-chain" not in told
    for client, port, expected in (
        ("none", OPEN, None),
        ("none", OPTIONAL, None),
        ("job", OPTIONAL, "DNS:nightly.jobs.test"),
    ):
        told = bench.ask(host, server, TLS13, client, port, headers=said).told["headers"]
        assert told.get("x-client-san") == expected
        assert not {"client-cert", "client-cert-chain"} & set(told)


@pytest.mark.parametrize(("host", "server"), PLACES)
def test_a_client_renewed_a_minute_ago_gets_in_without_a_run(bench: Bench, host: str, server: str) -> None:
    """A new key, a new serial number; the servers know neither."""
    unused, pair = bench.authority.issue("renewed", names=CLIENTS["spiffe"])
    answer = bench.ask(host, server, TLS13, "", context=client_context(TLS13, pair))
    assert answer.status == 200 and answer.private


@pytest.mark.parametrize(("host", "server", "version"), EVERY)
def test_a_session_is_no_way_around_the_names(bench: Bench, host: str, server: str, version: ssl.TLSVersion) -> None:
    """Every request is judged by the certificate that its session was made with."""
    for client, status in (("spiffe", 200), ("stranger", 403)):
        context = client_context(version, bench.clients[client])
        first = bench.ask(host, server, version, client, context=context)
        # A resumption is met now and then only where a server keeps sessions by process.
        again = [bench.ask(host, server, version, client, context=context, session=first.session) for _try in range(4)]
        assert [first.status, *(answer.status for answer in again)] == [status] * 5
        assert status == 403 or any(answer.resumed for answer in again)
        elsewhere = bench.ask(host, server, version, client, OTHER, context=context, session=first.session)
        assert elsewhere.status != 200 and not elsewhere.private


def test_a_host_without_the_module_is_refused_before_anything_is_touched(bench: Bench) -> None:
    """Last: nginx loses its Lua module, and is given a site more."""
    host, module, kept = "deb13", "/etc/nginx/modules-enabled/50-mod-http-lua.conf", "/root/50-mod-http-lua.conf"
    shell = bench.servers.fleet.exec
    shell(
        host,
        [
            "sh",
            "-c",
            "rm /etc/nginx/sites-enabled/zz-fleet-tls.conf /etc/nginx/fleet-tls/clients.lua && nginx -s reload",
        ],
    )
    shell(host, ["mv", module, kept])
    state = "find /etc/nginx /etc/fleet-tls/services -type f -exec sha256sum {} + | sort"
    before = shell(host, ["sh", "-c", state]).stdout
    try:
        for args in (("--check",), ()):
            result = bench.servers.run(bench.variables, "--limit", host, *args, servers=["nginx"])
            assert result.rc != 0
            assert "libnginx-mod-http-lua" in result.stdout and "Nothing was changed" in result.stdout
            assert shell(host, ["sh", "-c", state]).stdout == before
    finally:
        shell(host, ["mv", kept, module])
    assert bench.servers.run(bench.variables, "--limit", host, servers=["nginx"]).check().changed
    assert bench.ask(host, "nginx", TLS13, "spiffe").status == 200
