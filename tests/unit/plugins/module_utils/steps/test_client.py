# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step client against real TLS servers on loopback that ask for client certificates."""

from __future__ import annotations

import contextlib
import copy
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.steps.client import client_step
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost, fingerprint_of, service, state_of
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import (
    Address,
    Authority,
    Pair,
    serving,
    tls_server,
)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another CA."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def server_pair(shared_authority: Authority) -> Pair:
    return shared_authority.issue("server", "DNS:server.example.com,IP:127.0.0.1")


def endpoint(address: Address, server_name: str | None = "server.example.com", **changes: Any) -> dict[str, Any]:
    return {"host": address.host, "port": address.port, "server_name": server_name, "request": None, **changes}


def pem(*authorities: Authority) -> str:
    return "".join(authority.root.pem for authority in authorities)


def run(
    host: OneHost, bundle: str | None, *endpoints: dict[str, Any], check: bool = False, **changes: Any
) -> tuple[bool, dict[str, Any]]:
    """The step for one client, ``app``, whose certificate is ``www``; its part of the answer."""
    file = {"path": str(host.out / "ca.pem"), "content": bundle, "owner": None, "group": None, "mode": "0640"}
    client = {
        "name": "app", "certificate": "www", "bundle": file if bundle else None, "services": [], "endpoints": list(endpoints),
        **changes,
    }  # fmt: skip
    request = {
        "directory": str(host.tls), "now": int(time.time()), "prove_timeout": 2, "check": check, "clients": [client]
    }  # fmt: skip
    changed, answer = client_step(copy.deepcopy(request))
    return changed, answer["clients"]["app"]


def reloads(host: OneHost) -> int:
    path = host.folder / "reloads"
    return path.read_text().count("\n") if path.exists() else 0


def app(host: OneHost, more: str = "true") -> dict[str, Any]:
    return service("app", reload=["sh", "-c", f"echo >> {host.folder}/reloads; {more}"])


@contextlib.contextmanager
def web_server(pair: Pair, client_ca: Path, *, answer: bytes, protocols: list[str] | None = None) -> Iterator[Address]:
    """An HTTPS server that, as nginx does, lets every client through the handshake and speaks in HTTP only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.chain, pair.key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            heard = b""
            while b"\r\n\r\n" not in heard:
                heard += tls.recv(1024)
            if protocols is not None:
                protocols.append(heard.decode())
            tls.sendall(answer)

    with serving(talk) as address:
        yield address


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_installed_proven_and_then_nothing_to_do(
    host: OneHost, pairs: list[Pair], shared_authority: Authority, server_pair: Pair, version: ssl.TLSVersion
) -> None:
    host.install(host.wish(), pairs[0])
    with tls_server(server_pair, version=version, client_ca=shared_authority.root.certificate) as address:
        first = run(host, pem(shared_authority), endpoint(address), services=[app(host)])
        before = state_of(host.folder)
        second = run(host, pem(shared_authority), endpoint(address), services=[app(host)])
    bundle = host.out / "ca.pem"
    assert first[0] and first[1]["error"] is None and first[1]["changed_paths"] == [str(bundle)]
    assert bundle.read_text() == pem(shared_authority) and bundle.stat().st_mode & 0o777 == 0o640
    (proof,) = first[1]["proof"]
    assert (proof["error"], proof["client_certificate"], proof["protocol"]) == (
        None, "accepted", version.name.replace("_", ".")
    )  # fmt: skip
    assert first[1]["services"]["app"]["state"] == "reloaded" and reloads(host) == 1
    assert second[0] is False and second[1]["changed"] is False and second[1]["proof"][0]["error"] is None
    assert state_of(host.folder) == before


def test_somebodys_file_where_the_bundle_is_to_be(
    host: OneHost, pairs: list[Pair], shared_authority: Authority, server_pair: Pair
) -> None:
    host.install(host.wish(), pairs[0])
    bundle, kept = host.out / "ca.pem", host.out / ".ca.pem.before-fleet-tls"
    bundle.write_text("theirs")
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        foretold = run(host, pem(shared_authority), endpoint(address), check=True)[1]
        assert bundle.read_text() == "theirs" and not kept.exists()
        refused = run(host, pem(shared_authority), endpoint(address), services=[service("app", reload=["false"])])[1]
        assert refused["rolled_back"] and refused["kept_files"] == {} and not kept.exists()
        answers = [run(host, pem(shared_authority), endpoint(address))[1] for _time in range(2)]
    assert foretold["kept_files"] == answers[0]["kept_files"] == {str(bundle): str(kept)}
    assert str(kept) in foretold["diff"][0]["before_header"]
    assert kept.read_text() == "theirs" and bundle.read_text() == pem(shared_authority)
    assert answers[1]["changed"] is False and answers[1]["kept_files"] == {}


def test_a_new_pair_is_proven_and_taken(
    host: OneHost, pairs: list[Pair], shared_authority: Authority, server_pair: Pair
) -> None:
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        for number, pair in enumerate(pairs[:2], start=1):
            host.install(host.wish(), pair)
            changed, answer = run(host, pem(shared_authority), endpoint(address), services=[app(host)])
            assert changed and answer["error"] is None and reloads(host) == number


def test_a_server_that_does_not_know_the_client(
    host: OneHost, pairs: list[Pair], stranger: Authority, shared_authority: Authority, server_pair: Pair
) -> None:
    host.install(host.wish(), pairs[0])
    with tls_server(server_pair, client_ca=stranger.root.certificate) as address:
        changed, answer = run(host, pem(shared_authority), endpoint(address), services=[app(host)])
        again, second = run(host, pem(shared_authority), endpoint(address), services=[app(host)])
    assert answer["error"]["code"] == "not_accepted" and "trusts the CA of this client" in answer["error"]["remedy"]
    assert (
        f"127.0.0.1:{address.port} (SNI server.example.com): the server refused with the TLS alert unknown_ca"
        in answer["error"]["message"]
    )
    # Nothing worked before: what is new stays, and no program is told to use it.
    assert changed and not answer["rolled_back"] and "the files stay as they are" in answer["error"]["message"]
    assert (host.out / "ca.pem").read_text() == pem(shared_authority) and reloads(host) == 0
    assert again is False and second["error"]["code"] == "not_accepted"


@pytest.mark.parametrize(
    ("server_name", "trusted", "words"),
    [
        ("server.example.com", False, "the server's certificate is not accepted: "),
        ("other.example.com", True, "Hostname mismatch, certificate is not valid for 'other.example.com'"),
        ("127.0.0.2", True, "IP address mismatch, certificate is not valid for '127.0.0.2'"),
    ],
)
def test_a_server_that_is_not_who_it_has_to_be(
    host: OneHost, pairs: list[Pair], stranger: Authority, shared_authority: Authority, server_pair: Pair,
    server_name: str, trusted: bool, words: str,
) -> None:  # fmt: skip
    host.install(host.wish(), pairs[0])
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        bundle = pem(shared_authority if trusted else stranger)
        _changed, answer = run(host, bundle, endpoint(address, server_name))
    assert words in answer["error"]["message"] and "bundle has the CA of that server" in answer["error"]["remedy"]


def test_an_address_is_a_name_too(
    host: OneHost, pairs: list[Pair], shared_authority: Authority, server_pair: Pair
) -> None:
    host.install(host.wish(), pairs[0])
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        for name in (None, "127.0.0.1"):
            assert run(host, pem(shared_authority), endpoint(address, name))[1]["error"] is None


def test_the_bundle_that_was_accepted_comes_back(
    host: OneHost, pairs: list[Pair], stranger: Authority, shared_authority: Authority, server_pair: Pair
) -> None:
    host.install(host.wish(), pairs[0])
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        run(host, pem(shared_authority), endpoint(address))
        before = (host.out / "ca.pem").stat().st_ino
        changed, answer = run(host, pem(stranger), endpoint(address), services=[app(host)])
        assert run(host, pem(shared_authority), endpoint(address))[1]["error"] is None
    assert not changed and answer["rolled_back"] and "with that it is accepted" in answer["error"]["message"]
    assert (host.out / "ca.pem").stat().st_ino == before and reloads(host) == 0
    assert fingerprint_of(pairs[0]) == fingerprint_of(Pair(host.live("cert.pem"), Path(), Path()))


def test_the_pair_that_was_accepted_comes_back(
    host: OneHost, pairs: list[Pair], stranger: Authority, shared_authority: Authority, server_pair: Pair
) -> None:
    wish = host.wish(outputs=[host.output("app.pem")])
    host.install(wish, pairs[0])
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        run(host, pem(shared_authority), endpoint(address))
        host.install(wish, stranger.issue("not-ours", "DNS:www.example.com"))
        _changed, answer = run(host, pem(shared_authority), endpoint(address), services=[app(host)])
        again, second = run(host, pem(shared_authority), endpoint(address), services=[app(host)])
    assert "unknown_ca" in answer["error"]["message"] and answer["rolled_back"] and reloads(host) == 0
    assert f"the certificate before ({fingerprint_of(pairs[0])[:16]}) is live again" in answer["error"]["message"]
    assert host.live("cert.pem").read_text() == pairs[0].pem
    assert Path(wish["outputs"][0]["path"]).read_text().startswith(pairs[0].pem)
    assert not again and second["error"] is None
    # What the next look of the certificate finds is sound.
    found = host.look_at(wish)
    assert (found["problems"], found["drift"]) == ([], [])


@pytest.mark.parametrize("why", ["copy", "expired", "gone"])
def test_a_pair_that_cannot_come_back(
    host: OneHost, pairs: list[Pair], stranger: Authority, shared_authority: Authority, server_pair: Pair, why: str
) -> None:
    wish = host.wish(outputs=[host.output("app.pem", method="copy" if why == "copy" else "link")])
    before = host.install_entry(wish, pairs[0], **({"not_after": int(time.time())} if why == "expired" else {}))
    host.apply(before, secrets={"www": pairs[0].key.read_text()})
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        run(host, pem(shared_authority), endpoint(address))
        if why == "gone":
            host.live("privkey.pem").unlink()
        new = stranger.issue(f"not-ours-{why}", "DNS:www.example.com")
        host.install(wish, new)
        _changed, answer = run(host, pem(shared_authority), endpoint(address))
    assert "unknown_ca" in answer["error"]["message"] and not answer["rolled_back"]
    assert host.live("cert.pem").read_text() == new.pem


def test_neither_the_new_nor_the_old_is_accepted(
    host: OneHost, pairs: list[Pair], stranger: Authority, shared_authority: Authority, server_pair: Pair
) -> None:
    host.install(host.wish(), pairs[0])
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        run(host, pem(shared_authority), endpoint(address))
    host.install(host.wish(), pairs[1])
    with tls_server(server_pair, client_ca=stranger.root.certificate) as address:
        _changed, answer = run(host, pem(shared_authority, stranger), endpoint(address))
    # The server is to blame: the newer pair stays, the bundle is back.
    assert "it is not accepted with what was there before either" in answer["error"]["message"]
    assert host.live("cert.pem").read_text() == pairs[1].pem
    assert (host.out / "ca.pem").read_text() == pem(shared_authority)


def test_a_service_that_refuses(
    host: OneHost, pairs: list[Pair], stranger: Authority, shared_authority: Authority, server_pair: Pair
) -> None:
    host.install(host.wish(), pairs[0])
    old, new = pem(shared_authority), pem(shared_authority, stranger)
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        run(host, old, endpoint(address), services=[app(host)])
        refuses = app(host, f"! grep -q {stranger.root.pem.splitlines()[5]} {host.out}/ca.pem || exit 3")
        changed, answer = run(host, new, endpoint(address), services=[refuses])
        assert not changed and answer["rolled_back"] and "ended with 3" in answer["error"]["message"]
        assert (host.out / "ca.pem").read_text() == old and reloads(host) == 3
        # It is tried again, not taken for done.
        assert run(host, new, endpoint(address), services=[app(host)])[0] and reloads(host) == 4


GOOD = b"HTTP/1.1 204 No Content\r\n\r\n"
BAD = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n"
    b"<html><head><title>400 The SSL certificate error</title></head></html>"
)


def test_a_request_is_part_of_the_proof(
    host: OneHost, pairs: list[Pair], shared_authority: Authority, server_pair: Pair
) -> None:
    host.install(host.wish(), pairs[0])
    heard: list[str] = []
    with web_server(server_pair, shared_authority.root.certificate, answer=GOOD, protocols=heard) as address:
        _changed, answer = run(host, pem(shared_authority), endpoint(address, request="/health?deep=1"))
    assert answer["error"] is None and answer["proof"][0]["client_certificate"] == "accepted"
    assert heard[0].startswith("GET /health?deep=1 HTTP/1.1\r\nHost: server.example.com\r\n")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (BAD, "the server refused GET / with '400 Bad Request' (400 The SSL certificate error)"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "the server refused GET / with '403 Forbidden'"),
        (b"HTTP/1.0 500 \x1b[31m\r\n\r\n", "the server refused GET / with '500 .[31m'"),
        (b"SSH-2.0-x\r\n", "the server's answer to GET / is not HTTP: 'SSH-2.0-x'"),
        (b"", "the server's answer to GET / is not HTTP: ''"),
    ],
)
def test_requests_that_are_refused(
    host: OneHost, pairs: list[Pair], shared_authority: Authority, server_pair: Pair, said: bytes, words: str
) -> None:
    host.install(host.wish(), pairs[0])
    with web_server(server_pair, shared_authority.root.certificate, answer=said) as address:
        _changed, answer = run(host, pem(shared_authority), endpoint(address, request="/"))
    assert words in answer["error"]["message"]


def test_check_mode_changes_nothing(
    host: OneHost, pairs: list[Pair], stranger: Authority, shared_authority: Authority, server_pair: Pair
) -> None:
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        assert run(host, pem(shared_authority), endpoint(address), check=True)[0]
        host.install(host.wish(), pairs[0])
        before = state_of(host.folder)
        changed, answer = run(host, pem(shared_authority), endpoint(address), check=True)
        assert changed and answer["diff"][0]["after"] == pem(shared_authority) and state_of(host.folder) == before
        run(host, pem(shared_authority), endpoint(address))
        before = state_of(host.folder)
        assert not run(host, pem(shared_authority), endpoint(address), check=True)[0]
        assert run(host, pem(shared_authority, stranger), endpoint(address), check=True)[0]
        assert state_of(host.folder) == before
    _changed, answer = run(host, pem(shared_authority), endpoint(address), check=True)
    assert "nothing listens there" in answer["error"]["message"]


def test_one_client_s_trouble_costs_no_other(
    host: OneHost, pairs: list[Pair], shared_authority: Authority, server_pair: Pair
) -> None:
    host.install(host.wish(), pairs[0])
    file = {"content": pem(shared_authority), "owner": None, "group": None, "mode": "0644"}
    common = {"services": [], "endpoints": []}
    clients: list[dict[str, Any]] = [
        {"name": "lost", "certificate": "none", "bundle": None, **common},
        {"name": "blocked", "certificate": "www", "bundle": {**file, "path": str(host.out)}, **common},
        {
            "name": "owner",
            "certificate": "www",
            "bundle": {**file, "path": f"{host.out}/o", "owner": "nobody-x"},
            **common,
        },
        {
            "name": "mute",
            "certificate": "www",
            "bundle": {**file, "path": f"{host.out}/m"},
            **common,
            "services": [{"name": "mute"}],
        },
        {"name": "good", "certificate": "www", "bundle": {**file, "path": f"{host.out}/good"}, **common},
    ]
    request = {"directory": str(host.tls), "now": 0, "prove_timeout": 1, "check": True, "clients": clients}
    assert client_step(request)[1]["clients"]["mute"]["error"]["code"] == "cannot_reload"
    request["check"] = False
    _changed, answer = client_step(request)
    errors = {name: (each["error"] or {}).get("code") for name, each in answer["clients"].items()}
    refused = {"lost": "no_certificate", "blocked": "io", "owner": "unknown_user", "mute": "cannot_reload"}
    assert errors == {**refused, "good": None}
    assert (host.out / "good").exists() and not (host.out / "o").exists() and not (host.out / "m").exists()


def test_a_damaged_pair_is_told(
    host: OneHost, pairs: list[Pair], shared_authority: Authority, server_pair: Pair
) -> None:
    host.install(host.wish(), pairs[0])
    host.live("privkey.pem").write_bytes(pairs[1].key.read_bytes())
    with tls_server(server_pair, client_ca=shared_authority.root.certificate) as address:
        _changed, answer = run(host, pem(shared_authority), endpoint(address))
    assert "and its key cannot be used" in answer["error"]["message"] and "PRIVATE" not in str(answer)
