# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.file_formats import read_handed_over, read_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, key_id
from ansible_collections.fleet.tls.tests.unit.support.given import Given, Makers

NOW = dt.datetime.now(dt.timezone.utc)
MAKERS = Makers(NOW)
PAIR = MAKERS.give()
RSA = MAKERS.give(algorithm="rsa-2048")
SECRET = "passphrase of the key"
OPENSSL = serialization.PrivateFormat.TraditionalOpenSSL


def comes_back(content: bytes | str, passphrase: str | None = None, *, pair: Given = PAIR, key: bool = True) -> None:
    found = read_handed_over(content.encode() if isinstance(content, str) else content, passphrase)
    assert [fingerprint(each) for each in found.chain()] == [fingerprint(each) for each in pair.chain[:-1]]
    assert (found.private_key is not None) is key
    if key:
        assert key_id(found.private_key.public_key()) == key_id(pair.leaf.public_key())  # type: ignore[union-attr]
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize("pair", [PAIR, RSA])
def test_the_forms(pair: Given) -> None:
    comes_back(pair.pem(), pair=pair, key=False)
    comes_back(pair.pem(2, 1, 0), pair=pair, key=False)
    comes_back(pair.pem() + pair.key_pem(), pair=pair)
    comes_back("Bag Attributes\n  x: y\n" + pair.key_pem() + "subject=CN = x\n" + pair.pem(1, 0), pair=pair)
    comes_back(pair.pem() + pair.key_pem(SECRET), SECRET, pair=pair)
    comes_back(pair.pem() + pair.key_pem(form=OPENSSL), pair=pair)
    comes_back(pair.pem() + pair.key_pem(SECRET, OPENSSL), SECRET, pair=pair)
    comes_back(pair.pem() + pair.key_pem(), SECRET, pair=pair)
    comes_back(pair.pkcs12(SECRET), SECRET, pair=pair)
    comes_back(pair.pkcs12(None), pair=pair)
    comes_back(pair.pkcs12(SECRET, with_key=False), SECRET, pair=pair, key=False)


def openssl(*arguments: str, content: str) -> bytes:
    return subprocess.run(["openssl", *arguments], input=content.encode(), capture_output=True, check=True).stdout


@pytest.mark.parametrize("form", ["PEM", "DER"])
@pytest.mark.parametrize("order", [(0, 1), (2, 1, 0)])
def test_pkcs7_of_openssl(form: str, order: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "chain.pem"
    path.write_text(PAIR.pem(*order))
    bundle = openssl("crl2pkcs7", "-nocrl", "-certfile", str(path), "-outform", form, content="")
    comes_back(bundle, key=False)
    if form == "PEM":
        text = bundle.decode()
        comes_back(PAIR.key_pem() + text)
        for label in ("CMS", "PKCS #7 SIGNED DATA"):
            comes_back(text.replace("PKCS7", label), key=False)
        with pytest.raises(CertificateError, match="not a complete PEM"):
            read_handed_over(bundle[:-40], None)
        with pytest.raises(CertificateError, match="cannot be parsed"):
            read_handed_over(text.replace("MII", "AAA", 1).encode(), None)


def test_trusted_certificates_of_openssl() -> None:
    trusted = [
        openssl("x509", "-trustout", "-addtrust", "serverAuth", "-setalias", "mine", content=PAIR.pem(number)).decode()
        for number in (0, 1)
    ]
    assert all("BEGIN TRUSTED CERTIFICATE" in each for each in trusted)
    comes_back("".join(trusted), key=False)
    comes_back(trusted[0] + PAIR.pem(1) + PAIR.key_pem())


def test_der_is_a_certificate_alone() -> None:
    found = read_handed_over(PAIR.der(), None)
    assert [fingerprint(each) for each in found.chain()] == [PAIR.fingerprint] and found.private_key is None


@pytest.mark.parametrize("content", [PAIR.key_pem().encode(), PAIR.key_pem(SECRET).encode(), PAIR.key_der()])
def test_keys(content: bytes) -> None:
    assert key_id(read_key(content, SECRET).public_key()) == key_id(PAIR.leaf.public_key())


@pytest.mark.parametrize(
    ("content", "passphrase", "words", "remedy"),
    [
        (b"", None, "cannot be opened as PKCS#12", "a PKCS#12 file needs its passphrase"),
        (b"<html>", None, "neither PEM nor DER", "needs its passphrase"),
        (PAIR.der()[:-40], None, "neither PEM nor DER", "needs its passphrase"),
        (PAIR.pkcs12(SECRET), None, "cannot be opened as PKCS#12", "needs its passphrase"),
        (PAIR.pkcs12(SECRET), "another one", "cannot be opened as PKCS#12", "check passphrase"),
        (PAIR.pkcs12(SECRET)[:-50], SECRET, "cannot be opened as PKCS#12", "check passphrase"),
        (PAIR.pem()[:-100].encode(), None, "not a complete PEM certificate", None),
        ((PAIR.pem() + PAIR.key_pem()[:-60]).encode(), None, "a truncated private key", None),
        ((PAIR.key_pem() + PAIR.pem() + PAIR.key_pem()).encode(), None, "or more than one", None),
        ((PAIR.pem() + PAIR.key_pem(SECRET)).encode(), None, "private key cannot be read", "give its passphrase"),
        ((PAIR.pem() + PAIR.key_pem(SECRET)).encode(), "wrong", "private key cannot be read", "check passphrase"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", None, "neither a certificate nor a private key", None),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "cannot be parsed", None),
    ],
)  # fmt: skip
def test_what_is_none(content: bytes, passphrase: str | None, words: str, remedy: str | None) -> None:
    with pytest.raises(CertificateError) as caught:
        read_handed_over(content, passphrase)
    assert words in caught.value.message and (remedy is None or remedy in str(caught.value.remedy))
    assert SECRET not in str(caught.value)


def test_a_key_of_another_certificate() -> None:
    with pytest.raises(CertificateError, match="does not belong to the certificate"):
        read_handed_over((PAIR.pem() + MAKERS.give().key_pem()).encode(), None).chain()
