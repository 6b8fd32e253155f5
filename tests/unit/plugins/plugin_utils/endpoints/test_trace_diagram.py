# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handshakes as they are drawn."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace_diagram import columns, diagram
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace_words import size_text, span, words
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, serving, tls_server
from ansible_collections.fleet.tls.tests.unit.support.traces import summary, traced

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("diagram"))


@pytest.fixture(scope="module")
def www(ca: Authority) -> Pair:
    return ca.issue("www", "DNS:www.example.com")


def message(name: str, sender: str = "client", at: float = 0.0, **details: Any) -> dict[str, Any]:
    return {"sender": sender, "name": name, "at": at, "protocol": None, "content": "handshake", "size": 100, "encrypted": False,
            "details": details, "certificates": [], "number": 1}  # fmt: skip


def shown(*messages: dict[str, Any], **told: Any) -> dict[str, Any]:
    """A trace of one connection, made up."""
    outcome = {"outcome": "complete", "alert": None, "code": "complete", "resumed_by": None, "seconds": 0.001, "sent": 1, "received": 2,
               "verdict": "complete", "cipher": None, "group": None, "alpn": None, "objections": [], "notes": []}  # fmt: skip
    connection = {"connected": 0.0001, "messages": list(messages), "summary": {**outcome, **told}}
    return {"recorded": True, "starttls": None, "connections": [connection]}


def test_the_drawing() -> None:
    lines = diagram(
        {
            "endpoint": "www.example.com:443",
            "server_name": "www.example.com",
            "trace": shown(
                message("ClientHello", at=0.000412, versions=["TLSv1.3"], server_name="www.example.com"),
                {**message("Finished", "server", 0.0015), "encrypted": True, "size": 1234},
                message("Alert", "server", 0.002, level="fatal", description="unknown_ca"),
                notes=["a note"],
                objections=["an objection"],
            ),
        },
        72,
    )
    assert lines == [
        "www.example.com:443 (server name www.example.com)",
        "       time  client                                     server      size",
        "   0.100 ms  │                TCP connection                 │",
        "   0.412 ms  │─── ClientHello ──────────────────────────────►│     100 B",
        "             │    offers TLSv1.3                             │",
        "             │    server name www.example.com                │",
        "   1.500 ms  │◄─────────────────────────────── {Finished} ───│    1.2 kB",
        "   2.000 ms  │◄────────────────────────────────── ✗ Alert ───│     100 B",
        "             │           fatal: unknown_ca                   │",
        "=> complete",
        "   1 B sent, 2 B received, 1.000 ms",
        "!  an objection",
        "-  a note",
    ]


@pytest.mark.parametrize("width", [72, 100, 240])
@pytest.mark.parametrize("version", [TLS12, TLS13], ids=lambda version: version.name)
def test_real_ones_fit(ca: Authority, www: Pair, version: ssl.TLSVersion, width: int) -> None:
    long = ca.issue("long-" + "x" * 50)
    with tls_server(www, version=version, client_ca=ca.root.certificate) as address:
        entry = traced(address, client=long, resume=True, server_name="www.example.com")
    lines = diagram(entry, width)
    assert max(map(columns, lines)) <= width
    assert all(line == line.rstrip() and line.isprintable() for line in lines)
    lanes = [line for line in lines if "│" in line]
    assert {line.index("│") for line in lanes} == {13}
    assert {line.rindex("│") for line in lanes} == {width - 11}
    text = "\n".join(lines)
    for connection in entry["trace"]["connections"]:
        for each in connection["messages"]:
            assert f" {{{each['name']}}} " in text if each["encrypted"] else f" {each['name']} " in text
        assert connection["summary"]["verdict"].split(",")[0] in text
    assert "again, with the session of the first connection" in text.replace("\n", " ")
    assert text.count("takes up the session") == 1
    assert "CN=www, by CN=Test issuing" in text and f"CN={long.certificate.stem[:30]}" in text
    assert diagram(entry["trace"], width)[1:3] == lines[1:3]


def test_a_failure_without_an_alert() -> None:
    with serving(lambda connection: connection.recv(4096)) as address:
        entry = traced(address)
    lines = diagram(entry)
    ends = [line for line in lines if "✗" in line]
    assert len(ends) == 1 and f"✗ {summary(entry)['code']} ╌" in ends[0]
    assert summary(entry)["alert"] is None


def test_no_connection_and_starttls(www: Pair) -> None:
    with serving(lambda connection: connection.sendall(b"554 no\r\n")) as address:
        entry = traced(address, starttls="smtp")
    text = "\n".join(diagram(entry))
    assert "smtp, in clear, until TLS may begin" in text and "✗ starttls refused" in text
    assert "ClientHello ─" not in text


def test_what_servers_said_plays_no_tricks() -> None:
    evil = "CN=\x1b[2J\u202eevil\n暗号"
    certificate = {
        "subject": evil,
        "issuer": evil,
        "not_before": "2026-01-01",
        "not_after": "2027-01-01",
        "fingerprint_sha256": "ab" * 32,
    }
    trace = shown(
        {**message("Certificate", "server"), "certificates": [certificate]},
        verdict="complete \x07",
        notes=["\x1b]0;x\x07"],
    )
    lines = diagram({"endpoint": "a:1\x1b[31m", "server_name": "x\r", "trace": trace}, 100)
    assert all(line.isprintable() for line in lines)
    assert {columns(line) for line in lines if line.endswith("│")} == {90}
    assert "CN=?[2J?evil?暗号, by" in "\n".join(lines)


def test_a_python_that_shows_no_messages() -> None:
    trace = {**shown(), "recorded": False}
    assert "(this Python cannot show the messages)" in "\n".join(diagram(trace))


@pytest.mark.parametrize("value", [{}, {"trace": None}, {"trace": {}}, {"connections": 5}])
def test_there_is_no_trace(value: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="no trace in it"):
        diagram(value)


@pytest.mark.parametrize("width", [0, 71, 241, True, "x"])
def test_widths(width: Any) -> None:
    with pytest.raises(SpecError, match="not a width"):
        diagram(shown(), width)


SAID: list[tuple[dict[str, Any], list[str]]] = [
    (message("ClientHello", versions=["TLSv1.2"], ticket_size=192, ticket_key_name="ab" * 16, alpn=["h2"]),
     ["offers TLSv1.2", "ALPN h2", "offers a session: 192 B, encrypted by the server", f"ticket key {'ab' * 16}"]),
    (message("ClientHello", versions=["TLSv1.3"], groups=["a", "b", "c", "d"], key_shares=["a"], ciphers=["x"]),
     ["offers TLSv1.3", "1 cipher suites", "groups a, b, c and 1 more, keys for a"]),
    (message("ClientHello", versions=["TLSv1.3"], ticket_size=32), ["offers TLSv1.3", "offers a session: 32 B, a number in the server's cache"]),
    (message("ServerHello", version="TLSv1.3", cipher="X", group="x25519", alpn="h2"), ["TLSv1.3, X, x25519", "ALPN h2"]),
    (message("HelloRetryRequest", group="x448"), ["again, with a key for x448"]),
    (message("HelloRetryRequest", cookie=True), ["again, with this cookie"]),
    (message("Certificate"), ["none"]),
    (message("Certificate", ocsp_stapled=True), ["none", "with an OCSP answer (stapled)"]),
    (message("CompressedCertificate", compression="brotli", uncompressed_size=2000), ["brotli, unpacked 2.0 kB", "cannot be unpacked here"]),
    (message("CertificateRequest", authorities=["CN=a", "CN=b", "CN=c", "CN=d"]), ["from CN=a; CN=b; CN=c and 1 more"]),
    (message("CertificateRequest", authorities=[]), ["from any CA"]),
    (message("NewSessionTicket", ticket_size=0, lifetime=1), ["none"]),
    (message("NewSessionTicket", ticket_size=32, lifetime=300), ["32 B, a number in the server's cache, for 5 min"]),
    (message("Finished", malformed=True), ["not well-formed"]),
]  # fmt: skip


@pytest.mark.parametrize(("said", "expected"), SAID)
def test_words(said: dict[str, Any], expected: list[str]) -> None:
    assert words(said) == expected


def test_a_certificate_that_cannot_be_read() -> None:
    broken = {"error": "x", "fingerprint_sha256": "cd" * 32}
    assert words({**message("Certificate"), "certificates": [broken]}) == [
        "one that cannot be read, SHA-256 cdcdcdcdcdcd…"
    ]


def test_sizes_and_times() -> None:
    assert [size_text(each) for each in (0, 999, 1000, 12345)] == ["0 B", "999 B", "1.0 kB", "12.3 kB"]
    assert [span(each) for each in (0, 59, 60, 5400, 7200, 604800)] == ["0 s", "59 s", "1 min", "1.5 h", "2 h", "7 d"]
