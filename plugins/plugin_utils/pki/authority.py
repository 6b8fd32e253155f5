# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of an internal CA as ``cryptography`` builds them: root, issuing CA, leaf. Pure: no store, no clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.pki import post_quantum
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.ca_profile import CaProfile
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import NameOID, ec, ed448, ed25519, hashes, rsa, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import distinguished_name
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import key_usage_of, usage_oid
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, extension_of, general_names

# Clocks of clients run late now and then: a certificate is valid from a while before it was made.
BACKDATE = dt.timedelta(hours=1)
LONGEST_COMMON_NAME = 64
USUAL = CaProfile()
# In the words of ``private_key.algorithm``.
KEY_ALGORITHMS = (
    "ecdsa-p256",
    "ecdsa-p384",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
    "ed25519",
    "ed448",
    *post_quantum.ALGORITHMS,
)


@dataclass(frozen=True)
class Authority:
    """A CA that can sign."""

    certificate: x509.Certificate
    private_key: Any

    @property
    def common_name(self) -> str:
        """Its name, of which a common name is all."""
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def generate_key(algorithm: str) -> Any:
    """A private key; algorithms as in ``private_key.algorithm``.

    :raises DependencyError: ML-DSA, for which the controller's cryptography is too old.
    """
    if algorithm in post_quantum.ALGORITHMS:
        return post_quantum.generate(algorithm)
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "ed448":
        return ed448.Ed448PrivateKey.generate()
    kind, _dash, size = algorithm.partition("-")
    if kind == "rsa":
        return rsa.generate_private_key(65537, int(size))
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1()}[size])


def make_root(
    common_name: str,
    algorithm: str,
    now: dt.datetime,
    lifetime: dt.timedelta,
    profile: CaProfile = USUAL,
    *,
    key: Any | None = None,
) -> Authority:
    """A self-signed root that may have as many CAs below it as its profile says (RFC 5280, 4.2.1.9).

    :param key: None: one of ``algorithm`` is made.
    """
    key = generate_key(algorithm) if key is None else key
    subject = distinguished_name(profile.subject, common_name)
    own = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = authority_builder(subject, key.public_key(), subject, own, path_length=profile.path_length)
    builder = constrained(builder, profile.constraints)
    builder = builder.not_valid_before(now - BACKDATE).not_valid_after(now + lifetime)
    return Authority(builder.sign(key, signature_hash(key)), key)


def redated(root: Authority, now: dt.datetime, lifetime: dt.timedelta) -> Authority:
    """The same root, with other dates: the same name, key and extensions, so that all below it stays what it is."""
    old = root.certificate
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), x509.random_serial_number(), extensions=list(old.extensions)
    )
    builder = builder.not_valid_before(now - BACKDATE).not_valid_after(now + lifetime)
    return Authority(builder.sign(root.private_key, signature_hash(root.private_key)), root.private_key)


def make_issuing(
    common_name: str,
    algorithm: str,
    root: Authority,
    now: dt.datetime,
    lifetime: dt.timedelta,
    profile: CaProfile = USUAL,
    pointers: Iterable[x509.ExtensionType] = (),
    *,
    key: Any | None = None,
) -> Authority:
    """A CA under ``root`` that signs leaves only; it never outlives the root.

    :param pointers: where the root's CRL and certificate are.
    :param key: None: one of ``algorithm`` is made.
    """
    key = generate_key(algorithm) if key is None else key
    end = min(now + lifetime, root.certificate.not_valid_after_utc)
    above = root.certificate
    subject = distinguished_name(profile.subject, common_name)
    builder = authority_builder(subject, key.public_key(), above.subject, key_identifier_of(above), path_length=0)
    builder = pointing(constrained(builder, profile.constraints), pointers)
    builder = builder.not_valid_before(now - BACKDATE).not_valid_after(end)
    return Authority(builder.sign(root.private_key, signature_hash(root.private_key)), key)


def make_cross(
    root: x509.Certificate, old: Authority, now: dt.datetime, pointers: Iterable[x509.ExtensionType] = ()
) -> x509.Certificate:
    """A certificate of an old root for the key and the name of a new one, as long as both live: whoever knows the old root alone takes
    what is below the new one.

    :param pointers: where the old root's CRL and certificate are.
    """
    public_key: Any = root.public_key()
    above = old.certificate
    builder = authority_builder(root.subject, public_key, above.subject, key_identifier_of(above), path_length=1)
    constraints = extension_of(root, x509.NameConstraints)
    builder = pointing(constrained(builder, constraints), pointers)
    end = min(root.not_valid_after_utc, above.not_valid_after_utc)
    builder = builder.not_valid_before(now - BACKDATE).not_valid_after(end)
    return builder.sign(old.private_key, signature_hash(old.private_key))


def constrained(builder: x509.CertificateBuilder, constraints: x509.NameConstraints | None) -> x509.CertificateBuilder:
    """The same with name constraints, critical as RFC 5280, 4.2.1.10, wants them."""
    return builder if constraints is None else builder.add_extension(constraints, critical=True)


def pointing(builder: x509.CertificateBuilder, pointers: Iterable[x509.ExtensionType]) -> x509.CertificateBuilder:
    """The same with the places of a CRL and of a CA's certificate."""
    for each in pointers:
        builder = builder.add_extension(each, critical=False)
    return builder


def make_leaf(
    public_key: Any,
    names: Names,
    usages: tuple[str, ...],
    issuing: Authority,
    now: dt.datetime,
    lifetime: dt.timedelta,
    *,
    key_usages: tuple[str, ...] = (),
    pointers: Iterable[x509.ExtensionType] = (),
    serial: int | None = None,
) -> x509.Certificate:
    """An end-entity certificate with exactly ``names``.

    Where the subject is empty, the alternative names are critical (RFC 5280, 4.2.1.6).

    :param usages: extended ones, in our words or dotted.
    :param key_usages: in our words; empty: what TLS needs of such a key.
    :param pointers: where the CRL and the certificate of ``issuing`` are.
    :param serial: None: a random one, as every certificate that is to be used has.
    """
    subject = leaf_subject(names)
    rsa_key = isinstance(public_key, rsa.RSAPublicKey)
    usual = ("digital_signature", "key_encipherment") if rsa_key else ("digital_signature",)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuing.certificate.subject)
        .public_key(public_key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage_of(key_usages or usual), critical=True)
        .add_extension(x509.ExtendedKeyUsage(list(map(usage_oid, usages))), critical=False)
        .add_extension(x509.SubjectAlternativeName(general_names(names)), critical=not list(subject))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(key_identifier_of(issuing.certificate), critical=False)
    )
    builder = pointing(builder, pointers)
    return builder.sign(issuing.private_key, signature_hash(issuing.private_key))


def authority_builder(
    subject: x509.Name, public_key: Any, issuer: x509.Name, signer: x509.AuthorityKeyIdentifier, *, path_length: int
) -> x509.CertificateBuilder:
    """What a root and an issuing CA have in common."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(key_usage_of((), certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(signer, critical=False)
    )


def key_identifier_of(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The identifier of the key that signs, as what it signs has to name it: that in the CA's own certificate, which tools make in
    several ways. OpenSSL takes no other (RFC 5280, 4.2.1.1, 4.2.1.2)."""
    own = extension_of(authority, x509.SubjectKeyIdentifier)
    if own is not None:
        return x509.AuthorityKeyIdentifier(own.digest, None, None)
    public_key: Any = authority.public_key()
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key)


def leaf_subject(names: Names) -> x509.Name:
    """The subject of a leaf: what was asked for, and a common name for the people who read lists where one is short enough."""
    candidates = (names.common_name, *(value for _kind, value in names.sans()))
    common_name = next((name for name in candidates if name and len(name) <= LONGEST_COMMON_NAME), None)
    return distinguished_name(names.subject, common_name)


def make_authority_csr(common_name: str, key: Any, profile: CaProfile = USUAL) -> x509.CertificateSigningRequest:
    """What asks for an issuing CA, such as :func:`make_issuing` makes, of a CA whose key is elsewhere."""
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(distinguished_name(profile.subject, common_name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage_of((), certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if profile.constraints is not None:
        builder = builder.add_extension(profile.constraints, critical=True)
    return builder.sign(key, signature_hash(key))


def signature_hash(private_key: Any) -> hashes.SHA256 | hashes.SHA384 | None:
    """The hash a key signs with; Ed25519, Ed448 and ML-DSA bring their own."""
    if isinstance(private_key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)) or post_quantum.algorithm_of(
        private_key
    ):
        return None
    if isinstance(private_key, ec.EllipticCurvePrivateKey) and private_key.curve.key_size >= 384:
        return hashes.SHA384()
    return hashes.SHA256()
