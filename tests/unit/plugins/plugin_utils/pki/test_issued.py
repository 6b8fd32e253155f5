# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    Authority,
    generate_key,
    make_issuing,
    make_leaf,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issued import check_issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import key_usage_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, key_id
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW

NAMES = Names(dns_names=("a.example", "b.example"), ip_addresses=("192.0.2.1",))
ROOT = make_root("Root", "ecdsa-p256", NOW, 100 * DAY)
ISSUING = make_issuing("Issuing", "ecdsa-p256", ROOT, NOW, 50 * DAY)
KEY = generate_key("ecdsa-p256")
LEAF = make_leaf(KEY.public_key(), NAMES, ("server_auth",), ISSUING, NOW, 10 * DAY)
CHAIN = (LEAF, ISSUING.certificate)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"names": Names(dns_names=("a.example", "b.example"), ip_addresses=("192.0.2.1",), common_name="x")}, None),
        ({"usages": ()}, None),
        ({"key": "0" * 64}, "for another key"),
        ({"names": Names(dns_names=("a.example",), ip_addresses=("192.0.2.1",))}, "other names"),
        (
            {"names": Names(dns_names=("a.example", "b.example", "c.example"), ip_addresses=("192.0.2.1",))},
            "other names",
        ),
        ({"names": Names(dns_names=("192.0.2.1", "a.example", "b.example"))}, "other names"),
        ({"usages": ("client_auth", "server_auth")}, "left out the usage client_auth"),
        ({"now": NOW - DAY}, "not valid now"),
        ({"now": NOW + 10 * DAY}, "not valid now"),
    ],
)
def test_check_issued(changes: dict[str, Any], words: str | None) -> None:
    asked: dict[str, Any] = {"names": NAMES, "usages": ("server_auth",), "key": key_id(KEY.public_key()), "now": NOW}
    if words is None:
        return check_issued(CHAIN, **{**asked, **changes})
    with pytest.raises(CertificateError, match=words):
        check_issued(CHAIN, **{**asked, **changes})


SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
SANS = (x509.DNSName("a.example"), x509.DNSName("b.example"))
COMMON, ORGANIZATION = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME
SCTS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def issued(
    *extensions: x509.ExtensionType,
    subject: tuple[tuple[ObjectIdentifier, str], ...] = (),
    names: tuple[x509.GeneralName, ...] = SANS,
    usages: tuple[ObjectIdentifier, ...] = (SERVER,),
    signer: Authority = ISSUING,
) -> x509.Certificate:
    """What an issuer may make of a request for a.example and b.example, or a host of an issuer."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(*each) for each in subject]))
        .issuer_name(signer.certificate.subject)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 10 * DAY)
    )
    for extension in (x509.SubjectAlternativeName(names), x509.ExtendedKeyUsage(usages), *extensions):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer.private_key, hashes.SHA256())


def check(leaf: x509.Certificate, **changes: Any) -> None:
    asked: dict[str, Any] = {"names": Names(dns_names=("a.example", "b.example")), "usages": ("server_auth",)}
    check_issued((leaf, ISSUING.certificate), **{**asked, **changes}, key=key_id(KEY.public_key()), now=NOW)


BEYOND = {
    "a CA": issued(x509.BasicConstraints(ca=True, path_length=None)),
    "a CA by its usage": issued(key_usage_of(("digital_signature",), certificates=True)),
    "any usage": issued(usages=(SERVER, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)),
    "answers about other certificates": issued(usages=(SERVER, ExtendedKeyUsageOID.OCSP_SIGNING)),
    "signing programs": issued(usages=(SERVER, ExtendedKeyUsageOID.CODE_SIGNING)),
    "an administrator": issued(subject=((COMMON, "db-admin"),)),
    "two common names": issued(subject=((COMMON, "a.example"), (COMMON, "db-admin"))),
    "one more name": issued(names=(*SANS, x509.DNSName("c.example"))),
    "a name of another kind": issued(names=(*SANS, x509.DirectoryName(x509.Name([])))),
    "a user": issued(
        names=(*SANS, x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x05admin")),
    ),
}


@pytest.mark.parametrize("what", BEYOND)
def test_an_answer_says_only_what_was_asked_for(what: str) -> None:
    with pytest.raises(CertificateError, match="the issuer answered with"):
        check(BEYOND[what])


USUAL = {
    "nothing but names": issued(),
    "a name as common name": issued(subject=((COMMON, "B.example"),)),
    "an organisation that the CA has validated": issued(subject=((ORGANIZATION, "Example Ltd"), (COMMON, "a.example"))),
    "both usages": issued(usages=(SERVER, CLIENT)),
    "what public CAs add": issued(
        x509.BasicConstraints(ca=False, path_length=None),
        key_usage_of(("digital_signature", "key_encipherment")),
        x509.SubjectKeyIdentifier.from_public_key(KEY.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ISSUING.private_key.public_key()),
        x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier("2.23.140.1.2.1"), None)]),
        x509.AuthorityInformationAccess(
            [x509.AccessDescription(ObjectIdentifier("1.3.6.1.5.5.7.48.2"), x509.UniformResourceIdentifier("http://x"))]
        ),
        x509.CRLDistributionPoints(
            [x509.DistributionPoint([x509.UniformResourceIdentifier("http://x")], None, None, None)]
        ),
        x509.UnrecognizedExtension(SCTS, b"\x04\x02\x00\x00"),
        x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"),
    ),
}


@pytest.mark.parametrize("what", USUAL)
def test_what_healthy_cas_leave_out_and_add(what: str) -> None:
    check(USUAL[what])


def test_a_common_name_that_was_asked_for() -> None:
    check(
        issued(subject=((COMMON, "Chosen"),)), names=Names(dns_names=("a.example", "b.example"), common_name="Chosen")
    )


def test_what_others_have_made() -> None:
    """Nobody could ask for anything: it may speak for more, but the host's own CSR must not have made a CA of it."""
    for what in ("one more name", "a user", "an administrator", "signing programs"):
        check(BEYOND[what], ready_made=True)
    check(issued(names=(x509.DNSName("*.example.com"),)), names=Names(dns_names=("a.example.com",)), ready_made=True)
    with pytest.raises(CertificateError, match="other names"):
        check(issued(), names=Names(dns_names=("c.example",)), ready_made=True)
    ca = x509.BasicConstraints(ca=True, path_length=None)
    with pytest.raises(CertificateError, match="a CA"):
        check(issued(ca), ready_made=True)
    check(issued(ca, subject=((COMMON, "self"),), signer=self_signed()), ready_made=True)


def self_signed() -> Authority:
    """Who signs as the leaf itself: openssl req -x509 makes a CA of it."""
    name = x509.Name([x509.NameAttribute(COMMON, "self")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    dated = builder.serial_number(7).not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    return Authority(dated.sign(KEY, hashes.SHA256()), KEY)
