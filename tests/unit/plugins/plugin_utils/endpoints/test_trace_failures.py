# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a handshake failed, in words: with real servers that fail, and for what no server here says, from its messages."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.trace_failures import failure
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import (
    Address,
    Authority,
    Pair,
    run_openssl,
    serving,
    tls_server,
)
from ansible_collections.fleet.tls.tests.unit.support.traces import summary, traced

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.timezone.utc)


class World:
    """A server's pair, and clients of every kind."""

    def __init__(self, folder: Any) -> None:
        self.ca = Authority(folder / "ca")
        self.www = self.ca.issue("www", "DNS:www.example.com")
        good = self.ca.issue("good")
        stranger = Authority(folder / "other")
        run_openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Self", "-keyout", str(folder / "self.key"),
                    "-out", str(folder / "self.pem"))  # fmt: skip
        alone = folder / "self.pem"
        self.clients: dict[str, Pair | None] = {
            "good": good,
            "none": None,
            "expired": self.ca.issue("expired", days=-1),
            "alone": Pair(good.certificate, good.key, good.certificate),
            "stranger": stranger.issue("stranger"),
            "self-signed": Pair(alone, folder / "self.key", alone),
            "server": self.ca.issue("server", extra="extendedKeyUsage=serverAuth"),
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("failures"))


CLIENTS = [
    ("none", "client_certificate_required", "client certificate required: the server asked for one and got none"),
    ("expired", "client_certificate_expired", "expired client certificate: 'CN=expired' ended on 20"),
    ("alone", "client_certificate_incomplete", "missing intermediate, or unknown CA: the client sent its own certificate alone, without that of"
     " 'CN=Test issuing' which issued it"),
    ("stranger", "client_certificate_unknown_ca", "unknown CA: the server does not know 'CN=Test root', where the client's chain ends"),
    ("self-signed", "client_certificate_unknown_ca", "unknown CA: the server does not know 'CN=Self'"),
    ("server", "client_certificate_refused", "the client certificate 'CN=server' is not for clients (its usages: server_auth)"),
]  # fmt: skip


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=lambda version: version.name)
@pytest.mark.parametrize(("who", "code", "why"), CLIENTS, ids=[case[0] for case in CLIENTS])
def test_client_certificates(world: World, version: ssl.TLSVersion, who: str, code: str, why: str) -> None:
    with tls_server(world.www, version=version, client_ca=world.ca.root.certificate) as address:
        told = summary(traced(address, client=world.clients[who]))
    assert (told["outcome"], told["code"], told["ended_by"]) == ("failed", code, "server")
    assert told["why"].startswith(why)
    assert (told["failed_after"]["sender"], told["failed_after"]["name"]) == ("client", "Finished")
    assert told["alert"]["sender"] == "server" and told["alert"]["level"] == "fatal"
    assert told["verdict"] == f"failed after the client's Finished: {told['why']}"
    assert told["authentication"] is None


def test_a_good_client_for_comparison(world: World) -> None:
    with tls_server(world.www, client_ca=world.ca.root.certificate) as address:
        told = summary(traced(address, client=world.clients["good"]))
    assert (told["outcome"], told["code"], told["why"], told["failed_after"]) == ("complete", "complete", None, None)


def test_no_common_version(world: World) -> None:
    for version, limit in ((TLS13, {"maximum_version": "TLSv1.2"}), (TLS12, {"minimum_version": "TLSv1.3"})):
        with tls_server(world.www, version=version) as address:
            told = summary(traced(address, **limit))
        (offered,) = limit.values()
        assert told["code"] == "no_common_version"
        assert (
            told["verdict"]
            == f"failed after the client's ClientHello: no common version: the server takes none of {offered}"
        )


@pytest.fixture
def choosy(world: World) -> Callable[[socket.socket], None]:
    """A server with an ECDSA certificate and cipher suites for RSA alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = TLS12
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    context.load_cert_chain(world.www.chain, world.www.key)

    def answer(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True)

    return answer


def test_no_common_cipher(choosy: Callable[[socket.socket], None]) -> None:
    with serving(choosy) as address:
        told = summary(traced(address))
    assert (told["code"], told["ended_by"]) == ("no_common_cipher", "server")
    assert told["alert"] == {"sender": "server", "level": "fatal", "description": "handshake_failure"}
    assert told["why"].startswith("no common cipher: of what was offered (") and "cipher suites" in told["why"]


def http(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def resetting(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def saying(data: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(data)
        connection.recv(4096)

    return answer


def alert(number: int) -> Callable[[socket.socket], None]:
    return saying(b"\x15\x03\x03\x00\x02\x02" + bytes([number]))


HELLO = "failed after the client's ClientHello: "
SICK: list[tuple[str, Callable[[socket.socket], None], dict[str, Any], str, str | None, str]] = [
    ("http", http, {}, "plain_http", "client", HELLO + "plain HTTP instead of TLS: the server said 'HTTP/1.1 400 Bad Request'"),
    ("ssh", saying(b"SSH-2.0-x\r\n"), {}, "not_tls", "client", HELLO + "another protocol instead of TLS: the server said 'SSH-2.0-x'"),
    ("silent", lambda connection: connection.recv(4096) and connection.recv(1), {"timeout": 0.5}, "timeout", None,
     HELLO + "silence: timed out after 0.5 s"),
    ("closing", lambda connection: connection.recv(4096), {}, "closed", "server", HELLO + "the server closed the connection"),
    ("resetting", resetting, {}, "reset", "server", HELLO + "the server reset the connection without saying why"),
    ("garbage", saying(b"\x16\x03\x03\x00\x04\x99\0\0\0"), {}, "client_refused", "client", HELLO + "the client refused what the server"),
    ("name", alert(112), {"server_name": "www.example.com"}, "unknown_name", "server",
     HELLO + "wrong name: the server does not serve 'www.example.com'"),
    ("no name", alert(112), {}, "unknown_name", "server", HELLO + "wrong name: the server wants to be told a server name"),
    ("alpn", alert(120), {"alpn": ("h2",)}, "no_common_protocol", "server", HELLO + "no common application protocol (ALPN): the server speaks"
     " none of h2"),
    ("trouble", alert(80), {}, "server_error", "server", HELLO + "the server met an error of its own (internal_error)"),
    ("strange", alert(99), {}, "refused", "server", HELLO + "the server refused with the TLS alert 99"),
    ("starttls", saying(b"500 no\r\n"), {"starttls": "ldap", "timeout": 5}, "starttls_refused", None,
     "failed before the first message: STARTTLS did not come about: ldap: "),
    ("smtp", lambda connection: connection.sendall(b"554 no\r\n"), {"starttls": "smtp"}, "starttls_refused", None,
     "failed before the first message: STARTTLS did not come about: smtp: the server does not start TLS: it said '554 no'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "more", "code", "ended_by", "verdict"), [case[1:] for case in SICK], ids=[case[0] for case in SICK]
)
def test_sick_servers(
    answer: Callable[[socket.socket], None], more: dict[str, Any], code: str, ended_by: str | None, verdict: str
) -> None:
    with serving(answer) as address:
        told = summary(traced(address, **more))
    assert (told["code"], told["ended_by"]) == (code, ended_by)
    assert told["verdict"].startswith(verdict)


def test_nothing_was_sent(world: World) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = Address(*closed.getsockname())
        assert summary(traced(nobody))["verdict"] == (
            "failed before the first message: no connection: connection refused: nothing listens there"
        )
        good, other = world.clients["good"], world.clients["stranger"]
        assert good and other
        told = summary(traced(nobody, client=Pair(good.certificate, other.key, good.chain)))
    assert told["code"] == "client_files"
    assert "bad key or certificate of the client's own" in told["why"] and "key values mismatch" in told["why"]


def test_a_server_that_resets_after_the_client_certificate(world: World) -> None:
    """What may be the matter is told from what was sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = TLS12
    context.load_cert_chain(world.www.chain, world.www.key)
    context.load_verify_locations(world.ca.root.certificate)
    context.verify_mode = ssl.CERT_REQUIRED

    def mute(connection: socket.socket) -> None:
        """Pass everything on but the server's alert, and hang up in its place."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))
            except ssl.SSLError:
                return

    for who, hint in (
        ("expired", "'CN=expired' ended on"),
        ("none", "it had asked for a client certificate and got none"),
    ):
        with serving(mute) as address:
            told = summary(traced(address, client=world.clients[who]))
        assert told["code"] in ("closed", "reset") and hint in told["why"]


def certificate(**more: Any) -> dict[str, Any]:
    return {
        "subject": "CN=app",
        "issuer": "CN=issuing",
        "not_after": "2027-01-01T00:00:00Z",
        "usages": [],
        "error": None,
        **more,
    }


def told_by(description: str, shown: list[dict[str, Any]], authorities: tuple[str, ...] = ()) -> tuple[str, str]:
    """Code and words for an alert after a client's certificate."""

    def said(sender: str, name: str, content: str = "handshake", **more: Any) -> dict[str, Any]:
        return {"sender": sender, "name": name, "content": content, "details": {}, "certificates": [], **more}

    messages = [
        said("client", "ClientHello"),
        said("server", "ServerHello"),
        said("server", "CertificateRequest", details={"authorities": list(authorities)}),
        said("client", "Certificate", certificates=shown),
        said("client", "CertificateVerify"),
        said("server", "Alert", "alert", details={"level": "fatal", "description": description}),
    ]
    found = failure("alert", "", messages, NOW)
    return found.code, found.why


OVER = {"not_after": "2026-11-01T00:00:00Z"}
WORDS: list[tuple[str, list[dict[str, Any]], str, str]] = [
    ("certificate_revoked", [certificate()], "client_certificate_revoked", "revoked client certificate: 'CN=app'"),
    # Go's servers say this for everything.
    ("bad_certificate", [certificate(**OVER)], "client_certificate_expired", "expired client certificate: 'CN=app' ended on 2026-11-01T00:00:00Z"),
    ("bad_certificate", [certificate()], "client_certificate_refused", "client certificate refused: the server does not take 'CN=app', and says"
     " bad_certificate"),
    ("bad_certificate", [], "client_certificate_required", "client certificate required: the server asked for one and got none"),
    ("certificate_expired", [certificate()], "client_certificate_expired", "expired client certificate, says the server; by the clock here"
     " 'CN=app' lasts until 2027-01-01T00:00:00Z: is its clock right, is its revocation list current?"),
    ("decrypt_error", [certificate()], "client_key", "bad key: the server says that the client's signature does not fit the certificate 'CN=app'"),
    ("unsupported_certificate", [certificate(usages=["server_auth"])], "client_certificate_refused", "the client certificate 'CN=app' is not for"
     " clients (its usages: server_auth)"),
    ("internal_error", [certificate()], "server_error", "the server met an error of its own (internal_error): its log says which"),
    ("unknown_ca", [certificate(error="x", subject=None, issuer=None)], "client_certificate_unknown_ca", "unknown CA: the server does not know"
     " 'a CA whose name cannot be read', where the client's chain ends, or has no revocation list for it"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "shown", "code", "why"), WORDS)
def test_what_servers_say_of_a_client_certificate(said: str, shown: list[dict[str, Any]], code: str, why: str) -> None:
    assert told_by(said, shown) == (code, why)


def test_whom_the_server_takes() -> None:
    code, why = told_by("unknown_ca", [certificate()], ("CN=other", "CN=third"))
    assert code == "client_certificate_incomplete" and why.endswith("(it takes clients of CN=other; CN=third)")
    # It named the issuer, so it has that.
    code, _why = told_by("unknown_ca", [certificate()], ("CN=issuing",))
    assert code == "client_certificate_unknown_ca"


def test_a_packed_certificate_is_one() -> None:
    """Where it cannot be unpacked, it was shown all the same."""
    messages = [
        {"sender": "server", "name": "ServerHello", "content": "handshake", "details": {}, "certificates": []},
        {
            "sender": "client",
            "name": "CompressedCertificate",
            "content": "handshake",
            "details": {},
            "certificates": [],
        },
    ]
    alert = {"level": "fatal", "description": "bad_certificate"}
    messages.append({"sender": "server", "name": "Alert", "content": "alert", "details": alert, "certificates": []})
    found = failure("alert", "", messages, NOW)
    assert found.code == "client_certificate_refused" and "a certificate that cannot be read" in found.why
