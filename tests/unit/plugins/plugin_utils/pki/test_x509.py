# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import datetime as dt
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    generate_key,
    make_issuing,
    make_leaf,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    Names,
    describe,
    fingerprint,
    iso,
    key_algorithm,
    key_id,
    names_of,
    parse_pem_chain,
    to_pem,
    usages_of,
)
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW

NAMES = Names(dns_names=("a.example", "b.example"), ip_addresses=("192.0.2.1",))
ROOT = make_root("Root", "ecdsa-p256", NOW, 100 * DAY)
ISSUING = make_issuing("Issuing", "ecdsa-p256", ROOT, NOW, 50 * DAY)
OTHER = make_root("Root", "ecdsa-p256", NOW, 100 * DAY)
KEY = generate_key("ecdsa-p256")
LEAF = make_leaf(KEY.public_key(), NAMES, ("server_auth",), ISSUING, NOW, 10 * DAY)
CHAIN = (LEAF, ISSUING.certificate)


def test_pem_there_and_back() -> None:
    text = f"a comment\n{to_pem(LEAF)}between\n{to_pem(ISSUING.certificate)}"
    assert parse_pem_chain(text) == CHAIN
    assert parse_pem_chain(text.replace("\n", "\r\n")) == CHAIN


def altered(der: bytes, old: bytes, new: bytes) -> str:
    """A certificate's PEM with some bytes of its DER form replaced by as many others."""
    assert der.count(old) >= 1 and len(old) == len(new)
    text = base64.b64encode(der.replace(old, new, 1)).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


DER = LEAF.public_bytes(serialization.Encoding.DER)


UNREADABLE = {
    "nothing": "",
    "words": "hello",
    "no end": to_pem(LEAF)[:-10],
    "a half": to_pem(LEAF)[: len(to_pem(LEAF)) // 2],
    "one and a piece": to_pem(LEAF) + to_pem(LEAF)[:40],
    "no base64": "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    "an empty sequence": "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    "a lone surrogate": "-----BEGIN CERTIFICATE-----\n\udcff\n-----END CERTIFICATE-----\n",
    "version 4": altered(DER, bytes.fromhex("a003020102"), bytes.fromhex("a003020103")),
    "a key on no curve": altered(DER, bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030177")),
    "two basic constraints": altered(DER, bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d13")),
    "an address of 3 bytes": altered(DER, bytes.fromhex("8704c0000201"), bytes.fromhex("8703c000028600")[:6]),
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_is_refused_in_whole(text: str) -> None:
    with pytest.raises(CertificateError, match="PEM certificate"):
        parse_pem_chain(text)


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"])
def test_key_algorithms(algorithm: str) -> None:
    assert key_algorithm(generate_key(algorithm).public_key()) == algorithm


def test_other_key_algorithms() -> None:
    assert key_algorithm(ec.generate_private_key(ec.SECP521R1()).public_key()) == "ecdsa-p521"
    assert key_algorithm(ec.generate_private_key(ec.SECP256K1()).public_key()) == "ecdsa-secp256k1"
    assert key_algorithm(ed448.Ed448PrivateKey.generate().public_key()) == "ed448"
    assert key_algorithm(dsa.generate_private_key(1024).public_key()) == "dsa"


def test_fingerprint_and_key_id_are_openssls(tmp_path: Path) -> None:
    (tmp_path / "leaf.pem").write_text(to_pem(LEAF))

    def openssl(*words: str, data: bytes = b"") -> bytes:
        return subprocess.run(["openssl", *words], cwd=tmp_path, input=data, capture_output=True, check=True).stdout

    shown = openssl("x509", "-in", "leaf.pem", "-noout", "-fingerprint", "-sha256").decode().strip()
    assert shown.rpartition("=")[2].replace(":", "").lower() == fingerprint(LEAF)
    public_key = openssl("x509", "-in", "leaf.pem", "-noout", "-pubkey")
    der = openssl("pkey", "-pubin", "-outform", "DER", data=public_key)
    assert openssl("dgst", "-sha256", "-r", data=der).decode().split()[0] == key_id(LEAF.public_key())


def test_names_in_one_form() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    san = x509.SubjectAlternativeName([x509.DNSName("B.example"), x509.DNSName("a.example")])
    csr = builder.add_extension(san, critical=False).sign(KEY, hashes.SHA256())
    assert names_of(csr) == Names(dns_names=("a.example", "b.example"))


def test_describe_is_ready_for_a_result() -> None:
    assert describe(LEAF, NOW) == {
        "subject": "CN=a.example",
        "issuer": "CN=Issuing",
        "common_name": "a.example",
        "dns_names": ["a.example", "b.example"],
        "ip_addresses": ["192.0.2.1"],
        "uris": [],
        "email_addresses": [],
        "usages": ["server_auth"],
        "not_before": "2026-11-23T09:00:00Z",
        "not_after": "2026-12-03T10:00:00Z",
        "days_left": 10.0,
        "serial": f"{LEAF.serial_number:x}",
        "fingerprint_sha256": fingerprint(LEAF),
        "key_algorithm": "ecdsa-p256",
        "signature_algorithm": "ecdsa-with-SHA256",
    }
    assert usages_of(ROOT.certificate) == ()


def test_iso_is_utc_wherever_the_clock_stands() -> None:
    assert iso(NOW.astimezone(dt.timezone(dt.timedelta(hours=5)))) == "2026-11-23T10:00:00Z"
