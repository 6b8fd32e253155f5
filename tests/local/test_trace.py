# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handshakes decoded and drawn, as a playbook does it: with nginx, and with ``openssl s_server`` for what nginx does not do."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, run_openssl
from local import nginx
from local.probing import LOCAL, play
from tools.ports import free_port

SERVERS = """
    server {{ listen 127.0.0.1:{tickets} ssl; {www} ssl_protocols TLSv1.2 TLSv1.3; }}
    server {{ listen 127.0.0.1:{cache} ssl; {www} ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets off; ssl_session_cache shared:a:1m; }}
    server {{ listen 127.0.0.1:{curve} ssl; {www} ssl_protocols TLSv1.3; ssl_ecdh_curve secp521r1; }}
    server {{ listen 127.0.0.1:{cipher} ssl; {www} ssl_protocols TLSv1.2; ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256; }}
    server {{ listen 127.0.0.1:{name} ssl default_server; ssl_reject_handshake on; }}
    server {{ listen 127.0.0.1:{name} ssl; {www} server_name www.example.com; }}
    server {{ listen 127.0.0.1:{mutual} ssl; {www} ssl_client_certificate {root}; ssl_verify_client on; ssl_verify_depth 2;
        ssl_protocols TLSv1.2 TLSv1.3; }}
    server {{ listen 127.0.0.1:{alone} ssl; {alone_pair} }}
    server {{ listen 127.0.0.1:{plain}; return 200 "plain"; }}
"""
LISTENERS = ("tickets", "cache", "curve", "cipher", "name", "mutual", "alone", "plain")


@dataclass(frozen=True)
class Site:
    """The nginx under test, and those who come to it."""

    ca: Authority
    www: Pair
    clients: dict[str, Pair]
    ports: dict[str, int]

    def at(self, listener: str, who: str | None = None, **more: Any) -> dict[str, Any]:
        """An endpoint as a playbook has it."""
        files = {}
        if who:
            pair = self.clients[who]
            files = {"client_certificate": str(pair.chain), "client_key": str(pair.key)}
        return {"host": "127.0.0.1", "port": self.ports[listener], **files, **more}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("trace")
    ca = Authority(folder / "ca")
    www = ca.issue("www", "DNS:www.example.com")
    clients = {"good": ca.issue("good"), "expired": ca.issue("expired", days=-1), "revoked": ca.issue("revoked")}
    ports = {name: free_port() for name in LISTENERS}
    pair = "ssl_certificate {0}; ssl_certificate_key {1};"
    servers = SERVERS.format(
        **{**ports, "alone_pair": pair.format(www.certificate, www.key)},
        www=pair.format(www.chain, www.key),
        root=ca.root.certificate,
    )
    with nginx.running(folder, servers, ports["tickets"]):
        yield Site(ca, www, clients, ports)


def traced(site: Site, folder: Path, endpoints: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    """The endpoints of one task."""
    common = {
        "endpoints": endpoints,
        "timeout": "2m",
        "trace": True,
        "server_name": "www.example.com",
        "anchors": site.ca.root.pem,
    }
    result = play(
        folder, [{"fleet.tls.endpoint_info": {**common, **options}, "register": "seen", "check_mode": True}]
    ).check()
    assert result.changed == 0
    return result.results(action="fleet.tls.endpoint_info")[0]["endpoints"]


def summaries(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [connection["summary"] for connection in entry["trace"]["connections"]]


def test_versions_and_resumption(site: Site, tmp_path: Path) -> None:
    """Full and resumed, by ticket and by cache, in TLS 1.2 and 1.3."""
    cases = [(listener, version) for listener in ("tickets", "cache") for version in ("TLSv1.2", "TLSv1.3")]
    endpoints = [site.at(listener, minimum_version=version, maximum_version=version) for listener, version in cases]
    for (listener, version), entry in zip(cases, traced(site, tmp_path, endpoints, resumption=True)):
        first, second = summaries(entry)
        trips = 2 if version == "TLSv1.2" else 1
        assert (
            first["verdict"]
            == f"complete: {version}, full handshake, one-way, {trips} round trip{'s' if trips > 1 else ''}"
        )
        how = "ticket" if listener == "tickets" else "cache"
        assert second["verdict"] == f"complete: {version}, resumed by {how}, one-way, 1 round trip"
        assert entry["protocol"] == version and entry["trusted"] is True


def test_mutual(site: Site, tmp_path: Path) -> None:
    """nginx takes every client in the handshake, and refuses in HTTP: the trace says what it can say."""
    endpoints = [site.at("mutual", who) for who in ("good", "expired")] + [site.at("mutual")]
    good, expired, nobody = (summaries(entry)[0] for entry in traced(site, tmp_path, endpoints))
    assert good["verdict"] == "complete: TLSv1.3, full handshake, mutual, 1 round trip"
    assert any("some judge it only afterwards (nginx: HTTP 400)" in note for note in good["notes"])
    assert expired["outcome"] == "complete"
    assert any(note.startswith("expired client certificate: 'CN=expired' ended on") for note in expired["notes"])
    assert (nobody["outcome"], nobody["authentication"]) == ("complete", "one-way")
    assert any("it may refuse afterwards (nginx: HTTP 400)" in note for note in nobody["notes"])


def test_whom_nginx_takes(site: Site, tmp_path: Path) -> None:
    (entry,) = traced(site, tmp_path, [site.at("mutual", "good")])
    (asked,) = (each for each in entry["trace"]["connections"][0]["messages"] if each["name"] == "CertificateRequest")
    assert asked["details"]["authorities"] == ["CN=Test root"]


def test_failures_and_objections(site: Site, tmp_path: Path) -> None:
    endpoints = [
        site.at("cipher"),
        site.at("tickets", minimum_version="TLSv1.2", maximum_version="TLSv1.2"),
        site.at("curve", maximum_version="TLSv1.2"),
        site.at("name", server_name="other.example.com"),
        site.at("name"),
        site.at("plain"),
        site.at("alone"),
        site.at("tickets", server_name="mail.example.com"),
        site.at("curve"),
    ]
    told = [summaries(entry)[0] for entry in traced(site, tmp_path, endpoints)]
    assert [each["code"] for each in told] == [
        "no_common_cipher",
        "complete",
        "no_common_version",
        "unknown_name",
        "complete",
        "plain_http",
        "complete",
        "complete",
        "complete",
    ]
    assert (
        told[3]["verdict"]
        == "failed after the client's ClientHello: wrong name: the server does not serve 'other.example.com'"
    )
    assert told[6]["objections"][0].startswith(
        "missing intermediate, or unknown CA: the server sent its own certificate alone"
    )
    assert told[7]["objections"] == ["the certificate is not for mail.example.com (its names: www.example.com)"]
    assert (told[8]["round_trips"], told[8]["group"]) == (2, "secp521r1")


def test_drawn_in_a_playbook(site: Site, tmp_path: Path) -> None:
    probe = {
        "endpoints": [site.at("mutual", "good")],
        "trace": True,
        "resumption": True,
        "timeout": "2m",
        "server_name": "www.example.com",
    }
    tasks = [
        {"fleet.tls.endpoint_info": {**probe, "origin": "host"}, "register": "seen"},
        {"ansible.builtin.debug": {"msg": "{{ seen.endpoints[0] | fleet.tls.handshake_diagram(width=80) }}"}},
        {"ansible.builtin.debug": {"msg": "{{ {} | fleet.tls.handshake_diagram }}"}, "ignore_errors": True},
        {
            "ansible.builtin.debug": {"msg": "{{ seen.endpoints[0] | fleet.tls.handshake_diagram(5) }}"},
            "ignore_errors": True,
        },
    ]
    drawn, no_trace, narrow = play(tmp_path, tasks, LOCAL).check().results(action="ansible.builtin.debug")
    text = "\n".join(drawn["msg"])
    assert max(map(len, drawn["msg"])) <= 80
    assert (
        text.index("─── ClientHello ─") < text.index(" {CertificateRequest} ───│") < text.index("─── {Certificate} ─")
    )
    assert "CN=good, by CN=Test issuing" in text and "=> complete: TLSv1.3, full handshake, mutual" in text
    assert "there is no trace in it" in no_trace["msg"] and "'5' is not a width" in narrow["msg"]


def test_bad_input_is_refused(site: Site, tmp_path: Path) -> None:
    cases = [
        ({"endpoints": ["127.0.0.1:1"] * 401}, "trace: 401 connections are too many"),
        ({"endpoints": [site.at("tickets", maximum_version="1.2")]}, "maximum_version: '1.2' is unknown"),
        ({"endpoints": ["127.0.0.1:1"], "minimum_version": "TLSv1.3", "maximum_version": "TLSv1.2"}, "in TLSv1.3 at least and TLSv1.2 at most"),
    ]  # fmt: skip
    tasks = [
        {"fleet.tls.endpoint_info": {"trace": True, **options}, "ignore_errors": True} for options, _complaint in cases
    ]
    messages = [each["msg"] for each in play(tmp_path, tasks).results(action="fleet.tls.endpoint_info")]
    for message, (_options, complaint) in zip(messages, cases):
        assert complaint in message


@contextlib.contextmanager
def s_server(folder: Path, pair: Pair, *arguments: str) -> Iterator[int]:
    """openssl's own server."""
    port = free_port()
    files = ["-cert", str(pair.certificate), "-key", str(pair.key), "-cert_chain", str(pair.chain)]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", *files, "-quiet", *arguments]
    with open(folder / "s_server.log", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        for _try in range(6000):
            assert process.poll() is None, (folder / "s_server.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.communicate(timeout=300)


def revoked_list(folder: Path, ca: Authority, revoked: Pair) -> Path:
    """A CRL of the issuing CA."""
    folder.mkdir()
    (folder / "index").write_text("")
    (folder / "conf").write_text(
        f"[ca]\ndefault_ca=x\n[x]\ndatabase={folder / 'index'}\ndefault_md=sha256\ndefault_crl_days=30\n"
    )
    signer = ["-cert", str(ca.issuing.certificate), "-keyfile", str(ca.issuing.key)]
    for order in (["-revoke", str(revoked.certificate)], ["-gencrl", "-out", str(folder / "crl")]):
        run_openssl("ca", "-config", str(folder / "conf"), *signer, *order)
    return folder / "crl"


def test_openssl_refuses_clients(site: Site, tmp_path: Path) -> None:
    """What nginx says in HTTP, openssl says in an alert."""
    crl = revoked_list(tmp_path / "crl", site.ca, site.clients["revoked"])
    anchors = ["-CAfile", str(site.ca.root.certificate), "-Verify", "3", "-verify_return_error"]
    with s_server(tmp_path, site.www, *anchors, "-CRL", str(crl), "-crl_check") as port:
        endpoints = [
            {**site.at("tickets", who, maximum_version=version), "port": port}
            for version in ("TLSv1.2", "TLSv1.3")
            for who in ("good", "expired", "revoked", None)
        ]
        told = [summaries(entry)[0] for entry in traced(site, tmp_path, endpoints)]
    refusals = ["complete", "client_certificate_expired", "client_certificate_revoked", "client_certificate_required"]
    assert [each["code"] for each in told] == refusals * 2
    assert told[1]["why"].startswith("expired client certificate: 'CN=expired' ended on")
    assert told[2]["why"] == "revoked client certificate: 'CN=revoked'"
    assert {each["failed_after"]["name"] for each in told if each["outcome"] == "failed"} == {"Finished"}


def test_openssl_with_a_cache(site: Site, tmp_path: Path) -> None:
    with s_server(tmp_path, site.www, "-no_ticket", "-tls1_3") as port:
        (entry,) = traced(site, tmp_path, [{**site.at("tickets"), "port": port}], resumption=True)
    first, second = summaries(entry)
    assert (first["resumed_by"], second["resumed_by"], second["protocol"]) == (None, "cache", "TLSv1.3")


def test_the_session_at_another_place(site: Site, tmp_path: Path) -> None:
    """What the probe tells without a trace is told with it, too, and the other place's connection is traced."""
    place = {"host": "127.0.0.1", "port": site.ports["cache"]}
    nobody = {"host": "127.0.0.1", "port": free_port()}
    entry, lost = traced(site, tmp_path, [site.at("tickets"), nobody], resume_at=[place], retries=2)
    elsewhere = f"127.0.0.1:{site.ports['cache']}"
    at = [{"endpoint": elsewhere, "resumed": False, "error": None}]
    assert entry["resumption"] == {"offered": True, "resumed": True, "error": None, "at": at}
    first, again, other = entry["trace"]["connections"]
    assert [each["endpoint"] for each in (first, again, other)] == [entry["endpoint"], entry["endpoint"], elsewhere]
    assert (again["summary"]["resumed_by"], other["summary"]["resumed_by"]) == ("ticket", None)
    assert "a session was offered for resumption, and the server did not take it" in other["summary"]["notes"]
    assert entry["ticket_key_name"] == next(
        each["details"]["ticket_key_name"] for each in first["messages"] if each["name"] == "NewSessionTicket"
    )
    assert (lost["attempts"], lost["trace"]["connections"][0]["summary"]["code"]) == (3, "no_connection")
