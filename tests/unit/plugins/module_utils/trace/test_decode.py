# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that Python's OpenSSL does not make, and real ones that are cut or changed."""

from __future__ import annotations

import random
import ssl
import zlib

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.steps.trace import trace
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.trace import recorder
from ansible_collections.fleet.tls.plugins.module_utils.trace.decode import RETRY, decode
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, tls_server

CIPHERS = {0x1301: "TLS_AES_128_GCM_SHA256"}


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(data, 2)


def client_hello(*extensions: bytes, ciphers: bytes = b"\x13\x01", version: bytes = b"\x03\x03") -> bytes:
    tail = vector(b"".join(extensions), 2) if extensions else b""
    return message(1, version + bytes(32) + vector(b"", 1) + vector(ciphers, 2) + b"\x01\x00" + tail)


def test_grease_is_left_out() -> None:
    hello = client_hello(
        extension(0x0A0A, b""),
        extension(43, vector(b"\x2a\x2a\x03\x04\x03\x03", 1)),
        extension(10, vector(b"\x3a\x3a\x11\xec\x00\x1d\x00\x07", 2)),
        extension(51, vector(b"\x4a\x4a" + vector(b"\0", 2) + b"\x11\xec" + vector(b"x" * 9, 2), 2)),
        ciphers=b"\x5a\x5a\x13\x01\x13\x05",
    )
    details = decode(hello, None, CIPHERS).details
    assert details["versions"] == ["TLSv1.3", "TLSv1.2"]
    assert details["groups"] == ["X25519MLKEM768", "x25519", "0x0007"]
    assert details["key_shares"] == ["X25519MLKEM768"]
    assert details["ciphers"] == ["TLS_AES_128_GCM_SHA256", "0x1305"]


def test_a_hello_of_old() -> None:
    details = decode(client_hello(version=b"\x03\x01"), None, CIPHERS).details
    assert details == {"session_id": "", "ciphers": ["TLS_AES_128_GCM_SHA256"], "versions": ["TLSv1"]}


def test_protocols_and_names() -> None:
    hello = client_hello(
        extension(0, vector(b"\0" + vector(b"www.example.com", 2), 2)),
        extension(16, vector(vector(b"h2", 1) + vector(b"http/1.1", 1), 2)),
    )
    details = decode(hello, None, CIPHERS).details
    assert (details["server_name"], details["alpn"]) == ("www.example.com", ["h2", "http/1.1"])


def test_a_number_instead_of_a_ticket_is_no_keys_name() -> None:
    identities = vector(vector(b"n" * 32, 2) + bytes(4), 2)
    hello = client_hello(extension(41, identities + vector(vector(b"b" * 32, 1), 2)))
    details = decode(hello, None, CIPHERS).details
    assert details["psk"] is True and details["ticket_size"] == 32 and "ticket_key_name" not in details


def test_hello_retry_request() -> None:
    body = b"\x03\x03" + RETRY + vector(b"", 1) + b"\x13\x01\x00"
    told = decode(message(2, body + vector(extension(43, b"\x03\x04") + extension(51, b"\x00\x18"), 2)), None, CIPHERS)
    assert told.name == "HelloRetryRequest"
    assert (told.details["version"], told.details["group"]) == ("TLSv1.3", "secp384r1")


def test_staple_of_tls13_and_tls12() -> None:
    entry = vector(b"certificate", 3) + vector(extension(5, b"\x01" + vector(b"answer", 3)), 2)
    told = decode(message(11, b"\0" + vector(entry, 3)), "TLSv1.3", {})
    assert told.certificates == (b"certificate",) and told.details == {"count": 1, "ocsp_stapled": True}
    told = decode(message(22, b"\x01" + vector(b"answer", 3)), "TLSv1.2", {})
    assert (told.name, told.details) == ("CertificateStatus", {"ocsp_stapled": True})


def test_compressed_certificates() -> None:
    plain = b"\0" + vector(vector(b"certificate", 3) + vector(b"", 2), 3)
    packed = b"\0\x01" + len(plain).to_bytes(3, "big") + vector(zlib.compress(plain), 3)
    told = decode(message(25, packed), "TLSv1.3", {})
    assert (told.name, told.certificates) == ("CompressedCertificate", (b"certificate",))
    assert told.details["compression"] == "zlib" and told.details["uncompressed_size"] == len(plain)
    for packed in (
        b"\0\x01\0\0\x09" + vector(b"not zlib", 3),
        b"\0\x01\0\0\x09" + vector(zlib.compress(bytes(10**8)), 3),
    ):
        assert decode(message(25, packed), "TLSv1.3", {}).certificates == ()
    assert decode(message(25, b"\0\x02\0\0\x09" + vector(b"x", 3)), "TLSv1.3", {}).details["compression"] == "brotli"


@pytest.mark.parametrize(
    ("exchange", "group"),
    [
        (b"\x03\x00\x1d" + vector(b"k" * 32, 1) + b"\x04\x03" + vector(b"s", 2), "x25519"),
        (vector(b"\xff" * 256, 2) + vector(b"\x02", 2) + vector(b"y" * 256, 2) + b"\x08\x04" + vector(b"s", 2), "dh-2048"),
        (vector(b"\xff" * 768, 2) + vector(b"\x02", 2) + vector(b"y" * 768, 2) + b"\x08\x04" + vector(b"s", 2), "dh-6144"),
    ],
    ids=("x25519", "dh-2048", "dh-6144"),
)  # fmt: skip
def test_groups_of_tls12(exchange: bytes, group: str) -> None:
    cipher = f"{'ECDHE' if group == 'x25519' else 'DHE'}-RSA-AES128-GCM-SHA256"
    details = decode(message(12, exchange), "TLSv1.2", {}, cipher).details
    assert details["group"] == group and details["signature_scheme"] in (
        "ecdsa_secp256r1_sha256",
        "rsa_pss_rsae_sha256",
    )


def test_names_of_messages_nobody_knows() -> None:
    assert decode(message(200, b"x"), "TLSv1.3", {}).name == "handshake message 200"
    assert decode(message(24, b"\0"), "TLSv1.3", {}).name == "KeyUpdate"


@pytest.fixture(scope="module")
def mutual(shared_authority: Authority) -> Pair:
    return shared_authority.issue("decode-mutual")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_real_messages_cut_and_changed(
    shared_authority: Authority, mutual: Pair, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes, a name and plain details come out."""
    seen: list[tuple[bytes, str | None, str | None]] = []

    def noting(data: bytes, protocol: str | None, ciphers: dict[int, str], cipher: str | None) -> object:
        seen.append((data, protocol, cipher))
        return decode(data, protocol, ciphers, cipher)

    monkeypatch.setattr(recorder, "decode", noting)
    with tls_server(mutual, version=version, client_ca=shared_authority.root.certificate) as address:
        files = {"client_certificate": str(mutual.chain), "client_key": str(mutual.key)}
        trace(Endpoint(address.host, address.port, server_name="x", timeout=20, **files))
    assert len(seen) >= 10
    chance = random.Random(20261124)
    for data, protocol, cipher in seen:
        assert "malformed" not in decode(data, protocol, CIPHERS, cipher).details
        for _try in range(200):
            position = chance.randrange(len(data))
            changed = data[:position] + bytes([chance.randrange(256)]) + data[position + 1 :]
            for each in (data[:position], changed, changed[: chance.randrange(len(data))]):
                told = decode(each, protocol, CIPHERS, cipher)
                assert told.name and isinstance(told.details, dict)
