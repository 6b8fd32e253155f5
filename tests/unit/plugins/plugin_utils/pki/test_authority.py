# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The profiles of root, issuing CA and leaf, with openssl's strictest check as the judge."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    Authority,
    generate_key,
    make_issuing,
    make_leaf,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    Names,
    key_algorithm,
    names_of,
    subject_text,
    to_pem,
)
from ansible_collections.fleet.tls.tests.unit.support.pki import CLASSICAL, DAY, NOW

NAMES = Names(
    dns_names=("*.example.com", "www.example.com"),
    ip_addresses=("192.0.2.1", "2001:db8::1"),
    uris=("spiffe://example.com/x,y",),
    email_addresses=("ops@example.com",),
)
BOTH = ("client_auth", "server_auth")


@pytest.fixture(scope="module")
def tiers() -> tuple[Authority, Authority]:
    """A root and an issuing CA."""
    root = make_root("Test Root", "ecdsa-p256", NOW, 3650 * DAY)
    return root, make_issuing("Test Issuing", "ecdsa-p256", root, NOW, 730 * DAY)


def openssl_verify(
    folder: Path, root: Authority, issuing: Authority, leaf: x509.Certificate, *options: str, at: dt.datetime = NOW
) -> str:
    """What ``openssl verify`` says, its exit status first."""
    for name, certificate in (("root", root.certificate), ("issuing", issuing.certificate), ("leaf", leaf)):
        (folder / f"{name}.pem").write_text(to_pem(certificate))
    command = ["openssl", "verify", "-x509_strict", "-attime", str(int(at.timestamp())), "-CAfile", "root.pem"]
    ended = subprocess.run(
        [*command, *options, "-untrusted", "issuing.pem", "leaf.pem"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{ended.returncode} {ended.stdout}{ended.stderr}"


@pytest.mark.parametrize("algorithm", CLASSICAL)
def test_openssl_accepts_the_chain_for_every_algorithm(algorithm: str, tmp_path: Path) -> None:
    root = make_root("Test Root", algorithm, NOW, 3650 * DAY)
    issuing = make_issuing("Test Issuing", algorithm, root, NOW, 730 * DAY)
    key = generate_key(algorithm)
    leaf = make_leaf(key.public_key(), NAMES, BOTH, issuing, NOW, 90 * DAY)
    assert key_algorithm(leaf.public_key()) == algorithm
    for options in (
        ("-purpose", "sslserver", "-verify_hostname", "www.example.com"),
        ("-purpose", "sslserver", "-verify_hostname", "anything.example.com"),
        ("-purpose", "sslclient", "-verify_ip", "2001:db8::1"),
        ("-verify_email", "ops@example.com"),
    ):
        assert openssl_verify(tmp_path, root, issuing, leaf, *options).startswith("0 ")


@pytest.mark.parametrize(
    ("options", "at", "words"),
    [
        (("-verify_hostname", "example.com"), NOW, "hostname mismatch"),
        (("-verify_ip", "192.0.2.2"), NOW, "IP address mismatch"),
        (("-purpose", "sslclient"), NOW, "unsuitable certificate purpose"),
        ((), NOW + 91 * DAY, "certificate has expired"),
        ((), NOW - dt.timedelta(minutes=61), "not yet valid"),
        ((), NOW - dt.timedelta(minutes=59), "OK"),
    ],
)
def test_openssl_refuses_what_was_not_asked_for(
    tiers: tuple[Authority, Authority], options: tuple[str, ...], at: dt.datetime, words: str, tmp_path: Path
) -> None:
    leaf = make_leaf(generate_key("ecdsa-p256").public_key(), NAMES, ("server_auth",), tiers[1], NOW, 90 * DAY)
    answer = openssl_verify(tmp_path, *tiers, leaf, *options, at=at)
    assert words in answer and answer.startswith("0 ") is (words == "OK")


def test_a_leaf_cannot_sign_nor_an_issuing_ca_have_another_below_it(
    tiers: tuple[Authority, Authority], tmp_path: Path
) -> None:
    key = generate_key("ecdsa-p256")
    leaf = make_leaf(key.public_key(), NAMES, BOTH, tiers[1], NOW, 90 * DAY)
    below = make_leaf(generate_key("ecdsa-p256").public_key(), NAMES, BOTH, Authority(leaf, key), NOW, DAY)
    assert openssl_verify(tmp_path, tiers[1], Authority(leaf, key), below, "-partial_chain").startswith("2 ")
    third = make_issuing("Third", "ecdsa-p256", tiers[1], NOW, DAY)
    leaf = make_leaf(key.public_key(), NAMES, BOTH, third, NOW, DAY)
    (tmp_path / "second.pem").write_text(to_pem(tiers[1].certificate))
    answer = openssl_verify(tmp_path, tiers[0], third, leaf, "-untrusted", "second.pem")
    assert "path length constraint exceeded" in answer


def test_profile_of_the_authorities(tiers: tuple[Authority, Authority]) -> None:
    for authority, path_length in zip(tiers, (1, 0)):
        extensions = authority.certificate.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints)
        assert (constraints.critical, constraints.value) == (
            True,
            x509.BasicConstraints(ca=True, path_length=path_length),
        )
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical and usage.value.key_cert_sign and usage.value.crl_sign
        assert not usage.value.digital_signature
    assert tiers[1].certificate.issuer == tiers[0].certificate.subject
    assert tiers[0].certificate.serial_number.bit_length() > 64


@pytest.mark.parametrize(("algorithm", "encipherment"), [("ecdsa-p384", False), ("ed25519", False), ("rsa-2048", True)])
def test_profile_of_a_leaf(tiers: tuple[Authority, Authority], algorithm: str, encipherment: bool) -> None:
    leaf = make_leaf(generate_key(algorithm).public_key(), NAMES, BOTH, tiers[1], NOW, 90 * DAY)
    extensions = leaf.extensions
    assert names_of(leaf).sans() == NAMES.sans()
    assert extensions.get_extension_for_class(x509.SubjectAlternativeName).critical is False
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and usage.value.key_encipherment is encipherment
    assert not usage.value.key_cert_sign and not usage.value.crl_sign and not usage.value.key_agreement
    extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(extended.value) == [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    issuer_key = tiers[1].certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == issuer_key
    assert leaf.not_valid_after_utc == NOW + 90 * DAY
    assert leaf.not_valid_before_utc == NOW - dt.timedelta(hours=1)


LONG = ".".join(["a" * 40, "b" * 40, "example.com"])


@pytest.mark.parametrize(
    ("names", "subject"),
    [
        (Names(dns_names=("a.example", "b.example")), "CN=a.example"),
        (Names(dns_names=("a.example",), common_name="Chosen"), "CN=Chosen"),
        (Names(dns_names=(LONG, "z.example")), "CN=z.example"),
        (Names(ip_addresses=("192.0.2.1",)), "CN=192.0.2.1"),
        (Names(dns_names=(LONG,)), ""),
    ],
)
def test_subject_and_its_absence(
    tiers: tuple[Authority, Authority], names: Names, subject: str, tmp_path: Path
) -> None:
    leaf = make_leaf(generate_key("ecdsa-p256").public_key(), names, BOTH, tiers[1], NOW, 90 * DAY)
    assert leaf.subject.rfc4514_string() == subject
    # RFC 5280, 4.2.1.6: without a subject the alternative names have to be critical.
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical is (subject == "")
    assert subject_text(leaf)
    assert openssl_verify(tmp_path, *tiers, leaf).startswith("0 ")


def test_an_issuing_ca_does_not_outlive_its_root() -> None:
    root = make_root("Short Root", "ecdsa-p256", NOW, 30 * DAY)
    issuing = make_issuing("Issuing", "ecdsa-p256", root, NOW, 730 * DAY)
    assert issuing.certificate.not_valid_after_utc == root.certificate.not_valid_after_utc
