# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.host_requests import look_entry
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.csr import make_csr, parse_csr
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import key_usage_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import must_staple
from ansible_collections.fleet.tls.tests.unit.support.pki import make_spec

SPEC = make_spec(dns_names=["a.example", "b.example"])
KEY = generate_key("ecdsa-p256")


def pem(csr: x509.CertificateSigningRequest) -> str:
    return csr.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"])
def test_a_good_csr(algorithm: str) -> None:
    spec = make_spec(dns_names=["a.example"], common_name="x", private_key={"algorithm": algorithm})
    csr = make_csr(generate_key(algorithm), spec)
    assert parse_csr(pem(csr), spec) == csr


@pytest.mark.parametrize("common_name", [None, "x"])
def test_alternative_names_are_critical_where_the_subject_is_empty(common_name: str | None) -> None:
    """RFC 5280, 4.2.1.6: CAs that copy what a CSR has make a certificate that strict clients take."""
    csr = make_csr(KEY, make_spec(dns_names=["a.example"], common_name=common_name))
    assert csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical == (common_name is None)


def test_a_csr_that_is_to_be_stapled() -> None:
    spec = make_spec(must_staple=True)
    csr = make_csr(generate_key("ecdsa-p256"), spec)
    assert must_staple(csr) and parse_csr(pem(csr), spec) == csr
    for one, other in ((make_spec(), spec), (spec, make_spec())):
        with pytest.raises(CertificateError, match="must_staple"):
            parse_csr(pem(make_csr(generate_key("ecdsa-p256"), one)), other)


def two_extensions() -> str:
    """A CSR whose signature is good and whose alternative names cannot be read."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    value = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x01\xff")
    return pem(builder.add_extension(value, critical=False).sign(KEY, hashes.SHA256()))


def broken_signature() -> str:
    lines = pem(make_csr(KEY, SPEC)).splitlines(keepends=True)
    other = "A" if lines[2][10] != "A" else "B"
    return "".join([lines[0], lines[1], lines[2][:10], other, lines[2][11:], *lines[3:]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("garbage", "cannot be read"),
        ("\ud800", "cannot be read"),
        (pem(make_csr(KEY, SPEC))[:120], "cannot be read"),
        (two_extensions(), "cannot be read"),
        (broken_signature(), "(cannot be read|not signed by its own key|other names)"),
        (pem(make_csr(KEY, make_spec(dns_names=["a.example"]))), "asks for other names"),
        (pem(make_csr(KEY, make_spec(dns_names=["a.example", "b.example", "bank.example"]))), "asks for other names"),
        (pem(make_csr(generate_key("ecdsa-p384"), SPEC)), "the host's key is ecdsa-p384, not ecdsa-p256"),
        (pem(make_csr(generate_key("rsa-2048"), SPEC)), "the host's key is rsa-2048, not ecdsa-p256"),
    ],
)
def test_bad_csrs(text: str, words: str) -> None:
    with pytest.raises(CertificateError, match=words) as caught:
        parse_csr(text, SPEC)
    assert caught.value.certificate == "www"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"common_name": 'Zürich, "North" + O=x'},
        {"must_staple": True, "usages": ["client_auth", "server_auth"]},
        {"subject": {"O": "Ex, Ltd", "OU": ["a", "b"], "DC": "example.com", "C": "DE", "serialNumber": "7-a"}},
        {"subject": {"L": "Köln", "ST": "NRW"}, "common_name": "x", "usages": ["email_protection", "1.2.3.4"]},
        {"key_usages": ["content_commitment", "digital_signature"]},
        {"uris": ["spiffe://example.com/x"], "email_addresses": ["a@example.com"], "ip_addresses": ["2001:db8::1"]},
    ],
)
def test_what_the_host_makes_is_what_is_wanted(fields: dict[str, Any]) -> None:
    spec = make_spec(**fields)
    subject = look_entry(spec, forced=False)["subject"]
    assert parse_csr(openssl.make_csr(openssl.generate_key("ecdsa-p256"), subject).decode(), spec)
    assert parse_csr(pem(make_csr(KEY, spec)), spec)


Attribute = tuple[ObjectIdentifier, str]
MASTERS = (NameOID.ORGANIZATION_NAME, "system:masters")
ADMIN = (NameOID.COMMON_NAME, "db-admin")
NAMES = [x509.DNSName("a.example"), x509.DNSName("b.example")]
PASSWORD = ObjectIdentifier("1.2.840.113549.1.9.7")


def smuggled(
    *extensions: x509.ExtensionType,
    subject: tuple[Attribute, ...] = (),
    names: tuple[x509.GeneralName, ...] = (),
    attributes: tuple[tuple[ObjectIdentifier, bytes], ...] = (),
) -> str:
    """A CSR for SPEC's names with more in it."""
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(x509.Name([x509.NameAttribute(*each) for each in subject]))
    for extension in (x509.SubjectAlternativeName([*NAMES, *names]), *extensions):
        builder = builder.add_extension(extension, critical=False)
    for oid, value in attributes:
        builder = builder.add_attribute(oid, value)
    return pem(builder.sign(KEY, hashes.SHA256()))


SMUGGLED = {
    "an organisation": smuggled(subject=(MASTERS,)),
    "another common name": smuggled(subject=(ADMIN,)),
    "two common names": smuggled(subject=((NameOID.COMMON_NAME, "Chosen"), ADMIN)),
    "an organisation beside the right name": smuggled(subject=((NameOID.COMMON_NAME, "Chosen"), MASTERS)),
    "a user's name": smuggled(names=(x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x05admin"),)),
    "a directory's name": smuggled(names=(x509.DirectoryName(x509.Name([x509.NameAttribute(*ADMIN)])),)),
    "a registered id": smuggled(names=(x509.RegisteredID(ObjectIdentifier("1.2.3.4")),)),
    "a name twice": smuggled(names=(x509.DNSName("a.example"),)),
    "a CA": smuggled(x509.BasicConstraints(ca=True, path_length=None)),
    "no CA, unasked": smuggled(x509.BasicConstraints(ca=False, path_length=None)),
    "signing certificates": smuggled(key_usage_of(("digital_signature",), certificates=True)),
    "client_auth": smuggled(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])),
    "any usage": smuggled(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])),
    "no check of revocation": smuggled(x509.OCSPNoCheck()),
    "an unknown extension": smuggled(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")),
    "a password": smuggled(attributes=((PASSWORD, b"challenge"),)),
}


@pytest.mark.parametrize("what", SMUGGLED)
def test_a_csr_says_only_what_the_inventory_says(what: str) -> None:
    for spec in (SPEC, make_spec(dns_names=["a.example", "b.example"], common_name="Chosen")):
        with pytest.raises(CertificateError, match="(other names|says more) than the inventory"):
            parse_csr(SMUGGLED[what], spec)
