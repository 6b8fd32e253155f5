# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is noted of real handshakes with Python's own server, message by message."""

from __future__ import annotations

import gc
import hashlib
import ssl
import time
import weakref
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.steps import trace as module
from ansible_collections.fleet.tls.plugins.module_utils.steps.trace import trace, trace_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.trace import recorder as recording
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, serving, tls_server
from ansible_collections.fleet.tls.tests.unit.support.traces import details, message, names, traced

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
# What comes first is the same with and without certificates of clients.
FULL13 = [
    "c ClientHello",
    "s ServerHello",
    "s ChangeCipherSpec",
    "s {EncryptedExtensions}",
    "s {CertificateRequest}",
    "s {Certificate}",
    "s {CertificateVerify}",
    "s {Finished}",
    "c ChangeCipherSpec",
    "c {Certificate}",
    "c {CertificateVerify}",
    "c {Finished}",
]
FULL12 = [
    "c ClientHello",
    "s ServerHello",
    "s Certificate",
    "s ServerKeyExchange",
    "s CertificateRequest",
    "s ServerHelloDone",
    "c Certificate",
    "c ClientKeyExchange",
    "c CertificateVerify",
    "c ChangeCipherSpec",
    "c {Finished}",
    "s NewSessionTicket",
    "s ChangeCipherSpec",
    "s {Finished}",
    "c {Alert}",
]


@pytest.fixture(scope="module")
def ca(shared_authority: Authority) -> Authority:
    return shared_authority


@pytest.fixture(scope="module")
def www(ca: Authority) -> Pair:
    return ca.issue("trace-www", "DNS:www.example.com")


@pytest.fixture(scope="module")
def client(ca: Authority) -> Pair:
    return ca.issue("trace-client")


def fingerprints(pair: Pair) -> list[str]:
    blocks = pair.chain.read_text().split("-----END CERTIFICATE-----\n")[:-1]
    ders = (ssl.PEM_cert_to_DER_cert(block + "-----END CERTIFICATE-----\n") for block in blocks)
    return [hashlib.sha256(der).hexdigest() for der in ders]


def test_tls13_mutual(ca: Authority, www: Pair, client: Pair) -> None:
    with tls_server(www, version=TLS13, client_ca=ca.root.certificate) as address:
        entry = traced(address, client=client, server_name="www.example.com")
    told = names(entry)
    tickets = told.count("s {NewSessionTicket}")
    assert told == [*FULL13, *["s {NewSessionTicket}"] * tickets, "c {Alert}"]
    assert 1 <= tickets <= 2
    hello = details(entry, "ClientHello", "client")
    assert hello["versions"][:2] == ["TLSv1.3", "TLSv1.2"]
    assert hello["server_name"] == "www.example.com"
    assert "TLS_AES_256_GCM_SHA384" in hello["ciphers"] and "x25519" in hello["groups"]
    assert hello["key_shares"] and set(hello["key_shares"]) <= set(hello["groups"])
    answer = details(entry, "ServerHello")
    assert (
        answer["version"] == "TLSv1.3" and answer["cipher"] in hello["ciphers"] and answer["group"] in hello["groups"]
    )
    for sender, pair in (("server", www), ("client", client)):
        shown = message(entry, "Certificate", sender)
        assert [each["fingerprint_sha256"] for each in shown["certificates"]] == fingerprints(pair)
        assert details(entry, "CertificateVerify", sender)["signature_scheme"] == "ecdsa_secp256r1_sha256"
    ticket = details(entry, "NewSessionTicket")
    assert ticket["lifetime"] == 7200 and len(ticket["ticket_key_name"]) == 32
    assert details(entry, "Alert", "client") == {"level": "warning", "description": "close_notify"}


def test_tls12_mutual(ca: Authority, www: Pair, client: Pair) -> None:
    with tls_server(www, version=TLS12, client_ca=ca.root.certificate) as address:
        entry = traced(address, client=client)
    assert names(entry) == FULL12
    assert details(entry, "ServerKeyExchange")["signature_scheme"] == "ecdsa_secp256r1_sha256"
    assert details(entry, "ServerKeyExchange")["group"] == "x25519"
    assert details(entry, "ServerHello")["version"] == "TLSv1.2"
    for sender, pair in (("server", www), ("client", client)):
        shown = message(entry, "Certificate", sender)
        assert [each["fingerprint_sha256"] for each in shown["certificates"]] == fingerprints(pair)


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=lambda version: version.name)
def test_sizes_times_and_versions(www: Pair, version: ssl.TLSVersion) -> None:
    """As the messages are on the wire; times never run back."""
    with tls_server(www, version=version) as address:
        (connection,) = trace(Endpoint(address.host, address.port, timeout=20))
    answer = connection.as_answer()
    times = [answer["connected"], *(each["at"] for each in answer["messages"])]
    assert times == sorted(times) and times[0] > 0
    sent, received = (
        sum(each["size"] for each in answer["messages"] if each["sender"] == who) for who in ("client", "server")
    )
    # Records add five bytes each, and what encryption takes.
    assert sent < answer["sent"] < sent + 400 and received < answer["received"] < received + 400
    name = version.name.replace("_", ".")
    assert [each["protocol"] for each in answer["messages"]] == [None] + [name] * (len(answer["messages"]) - 1)
    assert answer["dropped"] == 0 and answer["ended"] == "complete"


def test_limits_to_the_version(www: Pair) -> None:
    with tls_server(www) as address:
        for limits, version in (
            ({"maximum_version": "TLSv1.2"}, "TLSv1.2"),
            ({"minimum_version": "TLSv1.3"}, "TLSv1.3"),
        ):
            entry = traced(address, **limits)
            assert entry["protocol"] == version
            assert (version in details(entry, "ClientHello", "client")["versions"]) is True
    assert details(entry, "ClientHello", "client")["versions"] == ["TLSv1.3"]


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=lambda version: version.name)
def test_the_second_connection_takes_up_the_session(www: Pair, version: ssl.TLSVersion) -> None:
    with tls_server(www, version=version) as address:
        entry = traced(address, resume=True, server_name="www.example.com")
    issued = details(entry, "NewSessionTicket")
    offered = details(entry, "ClientHello", "client", 1)
    assert offered["ticket_size"] == issued["ticket_size"] > 64
    assert offered["ticket_key_name"] == issued["ticket_key_name"]
    assert not [name for name in names(entry, 1) if "Certificate" in name]


def test_nothing_to_resume_with(www: Pair) -> None:
    with tls_server(www, version=TLS13, tickets=0) as address:
        entry = traced(address, resume=True)
    assert len(entry["trace"]["connections"]) == 1


def test_the_answer_stays_that_of_the_handshake(www: Pair) -> None:
    with tls_server(www) as address:
        _changed, answer = trace_step({"endpoints": [{"host": address.host, "port": address.port, "timeout": 20}]})
    (result,) = answer["results"]
    assert result["protocol"] == "TLSv1.3" and result["error"] is None and len(result["chain"]) == 2
    assert 0 < result["seconds"] < 20


def test_a_python_without_the_callback_says_so(www: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "CAN_RECORD", False)
    with tls_server(www) as address:
        entry = traced(address)
    assert entry["trace"]["recorded"] is False
    (connection,) = entry["trace"]["connections"]
    assert connection["messages"] == [] and connection["summary"]["outcome"] == "complete"


def test_connections_are_not_kept_alive(www: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    part = module._part

    def watching(tls: Any, *rest: Any) -> Any:
        kept.append(weakref.ref(tls.tls))
        return part(tls, *rest)

    monkeypatch.setattr(module, "_part", watching)
    with tls_server(www) as address:
        connections = trace(Endpoint(address.host, address.port, timeout=20))
    gc.collect()
    assert connections and kept[0]() is None


def test_what_a_hostile_server_sends_is_bounded() -> None:
    """Endless messages: the first are kept, the others counted."""

    def chatty(connection: Any) -> None:
        connection.recv(4096)
        # Warnings are ignored, some of them at least, and each is a message.
        connection.sendall(b"\x15\x03\x03\x00\x02\x01\x70" * 4 + b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 3000)

    with serving(chatty) as address:
        (connection,) = trace(Endpoint(address.host, address.port, timeout=20))
    answer = connection.as_answer()
    assert answer["ended"] != "complete"
    assert len(answer["messages"]) <= 200

    recorder = recording.Recorder(0, {})
    for _count in range(1000):
        recorder.note("read", 22, b"\x04\0\0\0")
    assert (len(recorder.messages), recorder.dropped) == (200, 800)


@pytest.mark.parametrize(
    "data", [b"", b"\x02", b"\x0b\0\0", b"\x01\0\0\x05abcde", b"\xff" * 70, b"\x02" + b"\xff" * 90]
)
def test_nothing_that_is_said_raises(data: bytes) -> None:
    """An exception in the callback would break the handshake."""
    recorder = recording.Recorder(0, {})
    for content in (256, 257, 20, 21, 22, 23, 99):
        for direction in ("read", "write"):
            recorder.note(direction, content, data)
    assert all(each["sender"] in ("client", "server") for each in recorder.messages)


def test_a_ticket_from_far_away_is_waited_for(www: Pair) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = TLS13
    context.load_cert_chain(www.chain, www.key)

    def slow(connection: Any) -> None:
        """Everything takes its time, the tickets after the handshake too."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        done = False
        while not done:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            time.sleep(0.2)
            connection.sendall(outgoing.read())
            if not done:
                incoming.write(connection.recv(65536))
        connection.recv(65536)

    with serving(slow) as address:
        entry = traced(address, resume=True)
    assert "s {NewSessionTicket}" in names(entry)
    assert len(entry["trace"]["connections"]) == 2
