# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What servers accept, found out from real ones; and servers that answer badly."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.scan import offering
from ansible_collections.fleet.tls.plugins.module_utils.scan.accepts import (
    ALL_SCHEMES,
    Accepted,
    enumeration,
    hybrid,
)
from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import handshake_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.client_hello import (
    TLS12,
    TLS13,
    Offer,
    client_hello,
    vector,
)
from ansible_collections.fleet.tls.plugins.module_utils.tls.server_answer import (
    MOST_BYTES,
    Answer,
    Hearing,
    answer_to,
    read_answer,
)
from ansible_collections.fleet.tls.plugins.module_utils.tls.suites import SUITES, suites_of
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, serving, tls_server

TLS13_NAMES = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    ca = Authority(tmp_path_factory.mktemp("ca"))
    return {
        "ecdsa": ca.issue("www", "DNS:www.example.com"),
        "rsa": ca.issue("www-rsa", "DNS:www.example.com", rsa=2048),
    }


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def asked(port: int, timeout: float = 30, name: str = "www.example.com", **wishes: Any) -> dict[str, Any]:
    endpoint = {"host": "127.0.0.1", "port": port, "server_name": name, "timeout": timeout, "alpn": []}
    (result,) = handshake_step({"endpoints": [endpoint], **wishes})[1]["results"]
    return result


def test_of_tls13(pairs: dict[str, Pair]) -> None:
    with tls_server(pairs["ecdsa"], version=ssl.TLSVersion.TLSv1_3) as server:
        result = asked(server.port, enumerate=True)
    accepts = result["accepts"]
    assert accepts["error"] is None and list(accepts["protocols"]) == ["TLSv1.3"]
    found = accepts["protocols"]["TLSv1.3"]
    assert set(found["suites"]) == TLS13_NAMES
    assert {"x25519", "secp256r1", "secp384r1"} <= set(found["groups"])
    assert found["signature_schemes"] == ["ecdsa_secp256r1_sha256"]
    assert result["post_quantum"] == ("X25519MLKEM768" in found["groups"])


def test_of_rsa_and_old_versions(pairs: dict[str, Pair]) -> None:
    with tls_server(pairs["rsa"], version=ssl.TLSVersion.TLSv1_1) as server:
        accepts = asked(server.port, enumerate=True)["accepts"]
    assert list(accepts["protocols"]) == ["TLSv1.1", "TLSv1"]
    for found in accepts["protocols"].values():
        assert "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" in found["suites"] and "secp256r1" in found["groups"]
        assert "TLS_RSA_WITH_AES_256_CBC_SHA" in found["suites"] and not TLS13_NAMES & set(found["suites"])


@pytest.mark.parametrize(
    ("kind", "schemes"), [("rsa", {"rsa_pss_rsae_sha256", "rsa_pkcs1_sha256"}), ("ecdsa", {"ecdsa_secp256r1_sha256"})]
)
def test_of_tls12(pairs: dict[str, Pair], kind: str, schemes: set[str]) -> None:
    with tls_server(pairs[kind], version=ssl.TLSVersion.TLSv1_2) as server:
        accepts = asked(server.port, enumerate=True)["accepts"]
    (found,) = accepts["protocols"].values()
    assert schemes <= set(found["signature_schemes"])
    # Behind a certificate on P-256, nothing is agreed on without that curve, and this server prefers it to those after it.
    assert {"x25519", "secp256r1", *(["secp384r1"] if kind == "rsa" else [])} <= set(found["groups"])
    assert f"TLS_ECDHE_{kind.upper()}_WITH_AES_128_GCM_SHA256" in found["suites"]


def test_a_server_that_insists_on_a_client_certificate(pairs: dict[str, Pair]) -> None:
    with tls_server(pairs["ecdsa"], client_ca=pairs["ecdsa"].certificate) as server:
        accepts = asked(server.port, enumerate=True)["accepts"]
    assert "TLSv1.3" in accepts["protocols"] and accepts["error"] is None


def test_post_quantum_is_one_connection(pairs: dict[str, Pair]) -> None:
    with tls_server(pairs["ecdsa"]) as server:
        result = asked(server.port, post_quantum=True)
    assert result["accepts"] is None and result["post_quantum"] is (ssl.OPENSSL_VERSION_INFO >= (3, 5))


def said(data: bytes) -> Any:
    """A server that says this to everybody, and hangs up."""

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)

    return answer


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not TLS"),
        (said(b""), None),
        (said(b"\x15\x03\x01\x00\x02\x02\x28"), None),
        (said(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"), None),
    ],
)
def test_servers_that_refuse_or_are_none(answer: Any, error: str | None) -> None:
    with serving(answer) as server:
        accepts = asked(server.port, enumerate=True)["accepts"]
    assert accepts["protocols"] == {} and accepts["error"] == error


HELLO = b"\x02\x00\x00\x2e\x03\x03" + bytes(32) + b"\x00\x13\x01\x00\x00\x06\x00\x2b\x00\x02\x03\x04"


@pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO >= (3, 5), reason="this OpenSSL knows ML-DSA by itself")
def test_a_key_that_our_openssl_does_not_know(closed_port: int) -> None:
    """The server chooses as OpenSSL 3.5 does; those of Debian 13 are in tests/fleet."""

    def answer(connection: socket.socket) -> None:
        hello = connection.recv(65536)
        # signature_algorithms with the three kinds of ML-DSA and no other.
        alone = b"\x00\x0d\x00\x08\x00\x06\x09\x04\x09\x05\x09\x06" in hello
        connection.sendall(b"\x16\x03\x03" + vector(HELLO, 2) if alone else b"\x15\x03\x03\x00\x02\x02\x28")

    with serving(answer) as server:
        result = asked(server.port)
    assert result["ml_dsa"] and not result["chain"] and "handshake_failure" in result["error"]
    assert not asked(closed_port)["ml_dsa"]


def test_a_server_that_is_silent_or_not_there(closed_port: int) -> None:
    with serving(lambda connection: time.sleep(1)) as server:
        accepts = asked(server.port, timeout=0.2, enumerate=True)["accepts"]
    assert accepts["protocols"] == {} and "timed out after 0.2 s" in accepts["error"]
    assert "refused" in asked(closed_port, enumerate=True)["accepts"]["error"]
    assert asked(closed_port, post_quantum=True)["post_quantum"] is None


@pytest.mark.parametrize("name", ["www..example.com", f"{'w' * 64}.example.com"])
def test_a_name_that_cannot_be_sent_costs_no_other_endpoint(name: str) -> None:
    with serving(said(b"\x15\x03\x03\x00\x02\x02\x28")) as server:
        result = asked(server.port, name=name, enumerate=True)
        assert asked(server.port, name=name, post_quantum=True)["post_quantum"] is None
        assert "cannot be sent as a server name" in asked(server.port, name="www\0.example.com")["error"]
    assert "cannot be sent as a server name" in result["error"]
    assert "cannot be sent as a server name" in result["accepts"]["error"]


def test_a_server_that_is_just_in_time_each_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(connection: socket.socket) -> None:
        time.sleep(0.2)
        said(b"\x15\x03\x03\x00\x02\x02\x28")(connection)

    monkeypatch.setattr(offering, "LONGEST", 0.01)
    with serving(late) as server:
        accepts = asked(server.port, enumerate=True)["accepts"]
    assert accepts["handshakes"] < 5 and "gave up" in accepts["error"]


def test_a_server_whose_answer_has_no_end() -> None:
    flow, sent = answer_to(b"hello", Offer(TLS12, suites_of(TLS12), whole=True)), 0
    assert next(flow) == b"hello"
    next(flow)
    with pytest.raises(StopIteration) as end:
        while sent <= 2 * MOST_BYTES:
            flow.send(b"\x16\x03\x03\x00\x01\x00" * 1000)
            sent += 6000
    assert end.value.value == Answer() and sent <= MOST_BYTES + 6000


def test_a_server_that_agrees_on_what_nobody_offered_is_not_believed() -> None:
    offers = enumeration(found := {})
    count, answer = 0, Answer(TLS13, 0xEEEE, 29)
    with pytest.raises(StopIteration):
        next(offers)
        while count < 1000:
            count += 1
            offers.send(answer)
    assert found == {} and count < 20


def run(offers: Any, server: Any) -> Iterator[Offer]:
    """All offers, each answered by a function."""
    try:
        offer = next(offers)
        while True:
            yield offer
            offer = offers.send(server(offer))
    except StopIteration:
        return


def test_one_offer_more_than_is_accepted() -> None:
    """And nothing is missed behind a server's own preference."""
    mine, curves = [0xC02C, 0xC02B, 0xCCA9], [24, 29]

    def server(offer: Offer) -> Answer:
        suite = next((each for each in mine if each in offer.suites), None)
        group = next((each for each in curves if each in offer.groups), None)
        scheme = next((each for each in (0x0403, 0x0603) if each in offer.schemes), None)
        if offer.version != TLS12 or None in (suite, group, scheme):
            return Answer(alert=40)
        return Answer(TLS12, suite, group if offer.whole else None, None, scheme if offer.whole else None)

    found: dict[str, Accepted] = {}
    offers = list(run(enumeration(found), server))
    assert list(found) == ["TLSv1.2"]
    assert found["TLSv1.2"].suites == [SUITES[each] for each in mine]
    assert found["TLSv1.2"].groups == ["secp384r1", "x25519"]
    assert found["TLSv1.2"].signature_schemes == ["ecdsa_secp256r1_sha256", "ecdsa_secp521r1_sha512"]
    assert len([each for each in offers if each.version == TLS12]) <= 4 + 4 + 3


def test_a_hello_retry_for_the_hybrid() -> None:
    offers = hybrid()
    assert next(offers).groups == (4588,)
    with pytest.raises(StopIteration) as end:
        offers.send(Answer(TLS13, 0x1301, 4588))
    assert end.value.value is True


@pytest.mark.parametrize("whole", [True, False])
def test_answers_that_are_cut_off_or_nonsense(whole: bool) -> None:
    offer = Offer(TLS12, suites_of(TLS12), (29,), ALL_SCHEMES, whole=whole)
    hello = b"\x02\x00\x00\x26\x03\x03" + bytes(32) + b"\x00\xc0\x2b\x00"
    exchange = b"\x0c\x00\x00\x0a\x03\x00\x1d\x02ab\x04\x03\x00\x00"
    record = b"\x16\x03\x03" + (len(hello) + len(exchange)).to_bytes(2, "big") + hello + exchange
    assert {read_answer(record[:end], offer) for end in range(len(record))} == {None}
    answer = read_answer(record, offer)
    assert answer is not None and (answer.version, answer.suite) == (TLS12, 0xC02B)
    assert (answer.group, answer.scheme) == ((29, 0x0403) if whole else (None, None))
    # Nor does it matter in which pieces it comes.
    hearing = Hearing(offer)
    assert next(each for each in (hearing.hear(bytes([one])) for one in record) if each) == answer
    for end in range(4, len(hello)):
        cut = b"\x02" + (end - 4).to_bytes(3, "big") + hello[4:end]
        read_answer(b"\x16\x03\x03" + len(cut).to_bytes(2, "big") + cut, offer)


def test_a_hello_fits_its_lengths() -> None:
    for version in (0x0300, 0x0301, TLS12, TLS13):
        offer = Offer(version, suites_of(version), (29,), ALL_SCHEMES, 29 if version == TLS13 else None)
        record = client_hello(offer, "www.example.com", ALL_SCHEMES)
        assert int.from_bytes(record[3:5], "big") == len(record) - 5
        assert int.from_bytes(record[6:9], "big") == len(record) - 9
        assert (b"www.example.com" in record) == (version > 0x0300)
