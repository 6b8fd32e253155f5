# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.proof.served import ProofTarget, handshake_with
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.glance import glance
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import handshake
from ansible_collections.fleet.tls.plugins.module_utils.tls.signatures import scheme_in_key_exchange, scheme_in_verify
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, tls_server

CURVE = b"\x0c\x00\x00\x10" + b"\x03\x00\x17" + b"\x02ab" + b"\x04\x03" + b"\x00\x02xy"
FIELD = b"\x0c\x00\x00\x20" + 3 * b"\x00\x02ab" + b"\x08\x04" + b"\x00\x02xy"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    ca = Authority(tmp_path_factory.mktemp("ca"))
    return {
        "ecdsa": ca.issue("www", "DNS:www.example.com"),
        "rsa": ca.issue("www-rsa", "DNS:www.example.com", rsa=2048),
    }


@pytest.mark.parametrize(
    ("message", "cipher", "protocol", "expected"),
    [
        (CURVE, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2", "ecdsa_secp256r1_sha256"),
        (CURVE, "ECDHE-ECDSA-AES128-SHA", "TLSv1.1", None),
        (CURVE, "AES128-SHA", "TLSv1.2", None),
        (CURVE.replace(b"\x03\x00\x17", b"\x01\x00\x17"), "ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2", None),
        (FIELD, "DHE-RSA-AES128-GCM-SHA256", "TLSv1.2", "rsa_pss_rsae_sha256"),
        (b"", "DHE-RSA-AES128-GCM-SHA256", "TLSv1.2", None),
        (CURVE, None, "TLSv1.2", None),
    ],
)
def test_in_a_key_exchange(message: bytes, cipher: str | None, protocol: str, expected: str | None) -> None:
    assert scheme_in_key_exchange(message, cipher, protocol) == expected


def test_cut_off_anywhere() -> None:
    for message, cipher in ((CURVE, "ECDHE-ECDSA-AES128-GCM-SHA256"), (FIELD, "DHE-RSA-AES128-GCM-SHA256")):
        told = {scheme_in_key_exchange(message[:end], cipher, "TLSv1.2") for end in range(len(message) - 4)}
        assert told == {None}
    assert scheme_in_verify(b"\x0f\x00\x00") is None and scheme_in_verify(b"") is None
    assert scheme_in_verify(b"\x0f\x00\x00\x04\xfe\x01") == "0xfe01"


@pytest.mark.parametrize(
    ("kind", "version", "expected"),
    [
        ("ecdsa", ssl.TLSVersion.TLSv1_3, "ecdsa_secp256r1_sha256"),
        ("ecdsa", ssl.TLSVersion.TLSv1_2, "ecdsa_secp256r1_sha256"),
        ("rsa", ssl.TLSVersion.TLSv1_3, "rsa_pss_rsae_sha256"),
        ("rsa", ssl.TLSVersion.TLSv1_2, "rsa_pss_rsae_sha256"),
    ],
)
def test_a_glance_and_a_handshake_tell_the_same(
    pairs: dict[str, Pair], kind: str, version: ssl.TLSVersion, expected: str
) -> None:
    with tls_server(pairs[kind], version=version) as server:
        seen = glance(server.host, server.port, "www.example.com", 30)
        result = handshake(Endpoint(server.host, server.port, "www.example.com", timeout=30))
    assert seen is not None and seen.leaf == pairs[kind].der
    assert seen.signature_scheme == result.signature_scheme == expected
    assert seen.group == result.group and "25519" in str(seen.group)


def test_a_proof_tells_who_asked(pairs: dict[str, Pair], tmp_path: Path) -> None:
    with tls_server(pairs["ecdsa"]) as server:
        told = handshake_with(ProofTarget(server.host, server.port, "www.example.com", "www", ""), 30)
    assert told.signature_scheme == "ecdsa_secp256r1_sha256" and "25519" in str(told.group)
    assert told.openssl and ssl.OPENSSL_VERSION.split()[1].startswith(told.openssl.rstrip("."))
