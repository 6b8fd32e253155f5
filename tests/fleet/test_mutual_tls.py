# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients good and bad on nginx, Apache and HAProxy, TLS 1.2 and 1.3; no session carries a client where it may not go."""

from __future__ import annotations

import contextlib
import itertools
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet.fleet import Fleet
from fleet.web_servers import PRIVATE, PUBLIC, SERVERS, Answer, ClientAuthority, WebServers, client_context, web_servers

HOSTS = ("deb12", "deb13")
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
EVERY = list(itertools.product(HOSTS, SERVERS, (TLS12, TLS13)))
# Ports, counted from each server's first one. On MIXED, one site verifies its clients and one does not.
OPEN, CLOSED, OPTIONAL, MIXED = range(4)
NAMES = {OPEN: "open.test", CLOSED: "closed.test", OPTIONAL: "optional.test"}
CLIENTS = ("none", "stranger", "expired", "revoked", "good")
# nginx completes the handshake and answers "400 No required SSL certificate was sent"; the others end it with an alert.
REFUSED = {"nginx": 400, "apache": 0, "haproxy": 0}


@dataclass(frozen=True)
class Bench:
    """The servers, and who comes to them."""

    servers: WebServers
    authority: ClientAuthority
    clients: dict[str, Path | None]
    serials: dict[str, int]
    variables: dict[str, Any]

    def ask(self, host: str, server: str, version: ssl.TLSVersion, client: str, port: int, **how: Any) -> Answer:
        """A request of one of ``CLIENTS``."""
        context = how.pop("context", None) or client_context(version, self.clients[client])
        return self.servers.ask(host, server, port, context, how.pop("name", NAMES.get(port, "")), **how)


# A ring of session ticket keys, as the role session_tickets would leave it: nginx's three files, and HAProxy's one.
RING = """umask 077
mkdir -p /etc/fleet-tls/tickets/default
cd /etc/fleet-tls/tickets/default
for key in prev cur next; do
    head -c 80 /dev/urandom > $key.key
    base64 -w0 $key.key >> haproxy.keys
    echo >> haproxy.keys
done
"""


def site(name: str, port: int, client_auth: str) -> dict[str, Any]:
    """A site whose application tells which one was reached."""
    application = PUBLIC if client_auth == "none" else PRIVATE
    return {
        "name": name, "server_names": [f"{name}.test"], "certificate": "www", "listen": port, "client_auth": client_auth,
        "upstream": f"http://127.0.0.1:{application}",
    }  # fmt: skip


@contextlib.contextmanager
def haproxy_with_tickets(fleet: Fleet, hosts: Sequence[str]) -> Iterator[None]:
    """Debian's own configuration takes tickets away from every frontend."""
    for host in hosts:
        fleet.exec(host, ["sed", "-i.kept", "s/ no-tls-tickets//", "/etc/haproxy/haproxy.cfg"])
    try:
        yield
    finally:
        for host in hosts:
            fleet.exec(host, ["mv", "/etc/haproxy/haproxy.cfg.kept", "/etc/haproxy/haproxy.cfg"])


@pytest.fixture(scope="module")
def bench(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("mutual")
    ours, theirs = ClientAuthority(folder / "ours"), ClientAuthority(folder / "theirs", "Strangers")
    issued = {"expired": ours.issue("expired", -1), "revoked": ours.issue("revoked"), "good": ours.issue("good")}
    issued["stranger"] = theirs.issue("stranger")
    names = [*NAMES.values(), "mixed-open.test", "mixed-closed.test"]
    variables = {
        "tls_certificates": [{"name": "www", "issuer": "internal", "dns_names": names}],
        "tls_client_auth_issuers": [],
        "tls_client_auth_anchors": {"ours": ours.pem},
        "tls_client_auth_crls": [ours.crl(issued["revoked"][0])],
        # With tickets wherever the roles allow them: what has to be refused is refused also then.
        "tls_session_tickets": True,
        "tls_sites": [
            site("open", OPEN, "none"), site("closed", CLOSED, "required"), site("optional", OPTIONAL, "optional"),
            site("mixed-open", MIXED, "none"), site("mixed-closed", MIXED, "required"),
        ],
    }  # fmt: skip
    with web_servers(fleet, folder, HOSTS) as servers, haproxy_with_tickets(fleet, servers.hosts):
        for host in servers.hosts:
            fleet.exec(host, ["sh", "-e"], stdin=RING)
        servers.run(variables).check()
        clients = {"none": None, **{name: path for name, (_certificate, path) in issued.items()}}
        serials = {name: certificate.serial_number for name, (certificate, _path) in issued.items()}
        yield Bench(servers, ours, clients, serials, variables)


def test_a_second_run_changes_nothing(bench: Bench) -> None:
    assert bench.servers.run(bench.variables).check().changed == 0


@pytest.mark.parametrize(("host", "server", "version"), EVERY)
def test_only_the_right_client_gets_in(bench: Bench, host: str, server: str, version: ssl.TLSVersion) -> None:
    answers = {client: bench.ask(host, server, version, client, CLOSED) for client in CLIENTS}

    assert {client: answer.status for client, answer in answers.items()} == {
        **dict.fromkeys(CLIENTS, REFUSED[server]),
        "good": 200,
    }
    told = answers["good"].told["headers"]
    assert answers["good"].private
    assert told["x-client-verify"] == "SUCCESS"
    assert "CN=good" in told["x-client-subject"] and "Clients" in told["x-client-issuer"]
    assert int(told["x-client-serial"], 16) == bench.serials["good"]


@pytest.mark.parametrize(("host", "server", "version"), EVERY)
def test_optional_is_for_no_certificate_and_not_for_a_bad_one(
    bench: Bench, host: str, server: str, version: ssl.TLSVersion
) -> None:
    answers = {client: bench.ask(host, server, version, client, OPTIONAL) for client in CLIENTS}

    assert {client: answer.status for client, answer in answers.items()} == {
        **dict.fromkeys(CLIENTS, REFUSED[server]),
        "none": 200,
        "good": 200,
    }
    assert answers["none"].told["headers"]["x-client-verify"] == "NONE"
    assert not {"x-client-subject", "x-client-issuer", "x-client-serial"} & set(answers["none"].told["headers"])
    assert answers["good"].told["headers"]["x-client-verify"] == "SUCCESS"


@pytest.mark.parametrize(("host", "server"), list(itertools.product(HOSTS, SERVERS)))
def test_what_a_client_says_of_itself_is_not_passed_on(bench: Bench, host: str, server: str) -> None:
    said = {
        "X-Client-Verify": "SUCCESS", "X_Client_Verify": "SUCCESS", "X-Client_Verify": "SUCCESS", "x-client-subject": "CN=root",
        "X_Client-Subject": "CN=root", "X-CLIENT-ISSUER": "CN=root", "X-Client-Serial": "1",
    }  # fmt: skip
    for port, expected in ((OPEN, None), (OPTIONAL, "NONE")):
        told = bench.ask(host, server, TLS13, "none", port, headers=said).told["headers"]
        assert {name: value for name, value in told.items() if name.startswith("x-client-")} == (
            {"x-client-verify": expected} if expected else {}
        )


@pytest.mark.parametrize(("host", "server", "version"), EVERY)
def test_another_host_header_opens_no_door(bench: Bench, host: str, server: str, version: ssl.TLSVersion) -> None:
    """The handshake asks for the open site, which wants no certificate, and the request for the closed one."""
    opened = bench.ask(host, server, version, "none", MIXED, name="mixed-open.test")
    assert opened.status == 200 and not opened.private
    for client, port, name in (
        ("none", MIXED, "mixed-open.test"),
        ("none", OPEN, "open.test"),
        ("stranger", OPEN, "open.test"),
    ):
        for asked in ("closed.test", "mixed-closed.test"):
            answer = bench.ask(host, server, version, client, port, name=name, http_host=asked)
            assert not answer.private, (client, port, asked, answer)
    assert bench.ask(host, server, version, "good", MIXED, name="mixed-closed.test").private


@pytest.mark.parametrize(("host", "server", "version"), EVERY)
def test_sessions_are_resumed_where_they_were_made(
    bench: Bench, host: str, server: str, version: ssl.TLSVersion
) -> None:
    """Without this, the tests below would show nothing."""
    for port, client in ((OPEN, "none"), (CLOSED, "good")):
        context = client_context(version, bench.clients[client])
        first = bench.ask(host, server, version, client, port, context=context)
        # HAProxy 2.6 and Apache keep some sessions in the memory of one process: now and then another one answers.
        again = [
            bench.ask(host, server, version, client, port, context=context, session=first.session) for _try in range(4)
        ]
        assert all(answer.status == 200 for answer in again)
        assert any(answer.resumed for answer in again), port


@pytest.mark.parametrize(("host", "server", "version"), EVERY)
@pytest.mark.parametrize(
    ("made_at", "name", "used_at", "other"),
    [
        (OPEN, "open.test", CLOSED, "closed.test"),
        (OPTIONAL, "optional.test", CLOSED, "closed.test"),
        (MIXED, "mixed-open.test", MIXED, "mixed-closed.test"),
    ],
)
def test_a_session_made_without_a_certificate_opens_no_door(
    bench: Bench, host: str, server: str, version: ssl.TLSVersion, made_at: int, name: str, used_at: int, other: str
) -> None:
    context = client_context(version)
    made = bench.ask(host, server, version, "none", made_at, name=name, context=context)
    assert made.status == 200 and made.session is not None
    for sni in (other, name):
        answer = bench.ask(
            host, server, version, "none", used_at, name=sni, http_host=other, context=context, session=made.session
        )
        assert not answer.private and answer.status != 200
    context.load_cert_chain(str(bench.clients["good"]))
    answer = bench.ask(host, server, version, "none", used_at, name=other, context=context, session=made.session)
    # With its certificate the client gets in by a whole handshake, or not at all: never by that session.
    assert not (answer.resumed and answer.private)


def test_a_client_that_is_revoked_now_finds_no_session_of_its_own(bench: Bench) -> None:
    """Last, because it changes what the others count on."""
    sessions = {}
    for host, server, version in EVERY:
        context = client_context(version, bench.clients["good"])
        sessions[host, server, version] = context, bench.ask(host, server, version, "good", CLOSED, context=context)
    assert all(answer.private for _context, answer in sessions.values())
    serials = [certificate_of(bench, name) for name in ("revoked", "good")]
    changed = {**bench.variables, "tls_client_auth_crls": [bench.authority.crl(*serials)]}
    bench.servers.run(changed).check()
    for (host, server, version), (context, made) in sessions.items():
        answer = bench.ask(host, server, version, "good", CLOSED, context=context, session=made.session)
        assert answer.status == REFUSED[server], (host, server, version, answer)


def certificate_of(bench: Bench, name: str) -> Any:
    """A client's certificate."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(Path(str(bench.clients[name])).read_bytes())
