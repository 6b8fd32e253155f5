# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One-way or mutual, full or resumed, by ticket or by cache, how many round trips: of real handshakes."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

import pytest

from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Address, Authority, Pair, serving, tls_server
from ansible_collections.fleet.tls.tests.unit.support.traces import details, names, summary, traced

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [TLS12, TLS13], ids=lambda version: version.name)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("summary"))


@pytest.fixture(scope="module")
def www(ca: Authority) -> Pair:
    return ca.issue("www", "DNS:www.example.com")


@contextlib.contextmanager
def server(pair: Pair, version: ssl.TLSVersion, *, tickets: bool = True, curve: str | None = None) -> Iterator[Address]:
    """A server that says goodbye, without which OpenSSL forgets a session of its cache."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(pair.chain, pair.key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    if curve:
        context.set_ecdh_curve(curve)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=True) as tls:
            tls.recv(1)
            tls.unwrap()

    with serving(answer) as address:
        yield address


@BOTH
def test_one_way_and_full(www: Pair, version: ssl.TLSVersion) -> None:
    with server(www, version) as address:
        entry = traced(address, server_name="www.example.com", alpn=("h2",))
    told = summary(entry)
    name = version.name.replace("_", ".")
    trips = {TLS12: 2, TLS13: 1}[version]
    assert told["verdict"] == f"complete: {name}, full handshake, one-way, {trips} round trip{'s' if trips > 1 else ''}"
    assert (told["handshake"], told["resumed_by"], told["authentication"], told["round_trips"]) == (
        "full",
        None,
        "one-way",
        trips,
    )
    assert (told["protocol"], told["cipher"], told["alpn"]) == (name, entry["cipher"], "h2")
    assert told["server_name"] == "www.example.com" and told["group"] in ("x25519", "X25519MLKEM768")
    assert 0 < told["seconds"] < 20 and told["sent"] > 200 and told["received"] > 700
    assert told["notes"] == []


@BOTH
@pytest.mark.parametrize("tickets", [True, False], ids=["ticket", "cache"])
def test_resumed(www: Pair, version: ssl.TLSVersion, tickets: bool) -> None:
    with server(www, version, tickets=tickets) as address:
        entry = traced(address, resume=True)
    first, second = summary(entry), summary(entry, 1)
    how = "ticket" if tickets else "cache"
    assert first["resumed_by"] is None and first["handshake"] == "full"
    assert (second["handshake"], second["resumed_by"], second["round_trips"]) == ("resumed", how, 1)
    assert second["authentication"] == "one-way"
    assert f"resumed by {how}" in second["verdict"]
    assert ("ticket_key_name" in details(entry, "ClientHello", "client", 1)) is tickets


@BOTH
def test_mutual_and_resumed(ca: Authority, www: Pair, version: ssl.TLSVersion) -> None:
    with tls_server(www, version=version, client_ca=ca.root.certificate) as address:
        entry = traced(address, client=ca.issue("client"), resume=True)
    assert [summary(entry, each)["authentication"] for each in (0, 1)] == ["mutual", "mutual"]
    assert "c Certificate" not in names(entry, 1) and "c {Certificate}" not in names(entry, 1)
    assert any("HTTP 400" in note and "CN=client" in note for note in summary(entry)["notes"])


@BOTH
def test_a_session_that_is_not_taken(www: Pair, version: ssl.TLSVersion) -> None:
    """Two servers with keys of their own at one address, one for each connection."""
    contexts = []
    for _count in range(2):
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        contexts[-1].minimum_version = contexts[-1].maximum_version = version
        contexts[-1].load_cert_chain(www.chain, www.key)

    def answer(connection: socket.socket) -> None:
        with contexts.pop().wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    with serving(answer) as address:
        entry = traced(address, resume=True)
    told = summary(entry, 1)
    assert (told["handshake"], told["resumed_by"], told["authentication"]) == ("full", None, "one-way")
    assert told["notes"] == ["a session was offered for resumption, and the server did not take it"]


def test_another_group_costs_a_round_trip(www: Pair) -> None:
    with server(www, TLS13, curve="secp384r1") as address:
        entry = traced(address)
    assert names(entry)[:2] == ["c ClientHello", "s HelloRetryRequest"]
    assert names(entry).count("c ClientHello") == 2
    told = summary(entry)
    assert (told["round_trips"], told["group"]) == (2, "secp384r1")
    assert told["notes"] == ["one round trip more: the client had guessed another group than secp384r1"]


def test_asked_and_gone_on_without(ca: Authority, www: Pair) -> None:
    with tls_server(www, client_ca=ca.root.certificate, require_client=False) as address:
        told = summary(traced(address))
    assert (told["outcome"], told["authentication"]) == ("complete", "one-way")
    assert told["notes"] == [
        "the server asked for a client certificate and went on without; it may refuse afterwards (nginx: HTTP 400)"
    ]


def test_what_a_client_that_verifies_would_say(
    ca: Authority, www: Pair, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = ca.root.pem
    other = Authority(tmp_path_factory.mktemp("other"))
    other_root = other._make("root-2", "/CN=Other root", None, ca=True)
    alone = Pair(www.certificate, www.key, www.certificate)
    old = ca.issue("old", "DNS:www.example.com", days=-1)
    cases = [
        (www, "www.example.com", root, None),
        (www, "mail.example.com", root, "the certificate is not for mail.example.com (its names: www.example.com)"),
        (old, "www.example.com", root, "the certificate expired on 20"),
        (alone, "www.example.com", root, "missing intermediate, or unknown CA: the server sent its own certificate alone, without that of"
         " 'CN=Test issuing' which issued it, and that one is not among the anchors"),
        (www, "www.example.com", other_root.pem, "unknown CA: the server's chain ends at 'CN=Test root', which is not among the anchors"),
        (alone, "www.example.com", ca.issuing.pem, None),
    ]  # fmt: skip
    for pair, name, anchors, objection in cases:
        with tls_server(pair) as address:
            told = summary(traced(address, server_name=name, anchors=anchors))
        assert told["outcome"] == "complete"
        if objection is None:
            assert told["objections"] == [] and "hung up" not in told["verdict"]
        else:
            assert told["objections"][0].startswith(objection)
            assert f"would have hung up after the server's Certificate: {told['objections'][0]}" in told["verdict"]
