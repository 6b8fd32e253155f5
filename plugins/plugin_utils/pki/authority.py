# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of an internal CA as ``cryptography`` builds them: root, issuing CA, leaf. Pure: no store, no clock."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import NameOID, ec, ed448, ed25519, hashes, rsa, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import USAGES, Names, extension_of, general_names

# Clocks of clients run late now and then: a certificate is valid from a while before it was made.
BACKDATE = dt.timedelta(hours=1)
LONGEST_COMMON_NAME = 64


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
    """A private key; algorithms as in ``private_key.algorithm``."""
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    kind, _dash, size = algorithm.partition("-")
    if kind == "rsa":
        return rsa.generate_private_key(65537, int(size))
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1()}[size])


def make_root(
    common_name: str, algorithm: str, now: dt.datetime, lifetime: dt.timedelta, *, key: Any = None
) -> Authority:
    """A self-signed root that may have one CA below it (RFC 5280, 4.2.1.9).

    :param key: its private key; None: a new one.
    """
    key = key or generate_key(algorithm)
    subject = name_of(common_name)
    own = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = authority_builder(subject, key.public_key(), subject, own, path_length=1)
    builder = builder.not_valid_before(now - BACKDATE).not_valid_after(now + lifetime)
    return Authority(builder.sign(key, signature_hash(key)), key)


def make_issuing(
    common_name: str, algorithm: str, root: Authority, now: dt.datetime, lifetime: dt.timedelta
) -> Authority:
    """A CA under ``root`` that signs leaves only; it never outlives the root."""
    key = generate_key(algorithm)
    end = min(now + lifetime, root.certificate.not_valid_after_utc)
    above = root.certificate
    builder = authority_builder(
        name_of(common_name), key.public_key(), above.subject, key_identifier_of(above), path_length=0
    )
    builder = builder.not_valid_before(now - BACKDATE).not_valid_after(end)
    return Authority(builder.sign(root.private_key, signature_hash(root.private_key)), key)


def make_leaf(
    public_key: Any,
    names: Names,
    usages: tuple[str, ...],
    issuing: Authority,
    now: dt.datetime,
    lifetime: dt.timedelta,
    *,
    serial: int | None = None,
) -> x509.Certificate:
    """An end-entity certificate with exactly ``names``.

    Where the subject is empty, the alternative names are critical (RFC 5280, 4.2.1.6).

    :param serial: None: a random one, as every certificate that is to be used has.
    """
    subject = leaf_subject(names)
    rsa_key = isinstance(public_key, rsa.RSAPublicKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuing.certificate.subject)
        .public_key(public_key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True, key_encipherment=rsa_key), critical=True)
        .add_extension(x509.ExtendedKeyUsage([USAGES[usage] for usage in usages]), critical=False)
        .add_extension(x509.SubjectAlternativeName(general_names(names)), critical=not list(subject))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(key_identifier_of(issuing.certificate), critical=False)
    )
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
        .add_extension(key_usage(digital_signature=False, certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(signer, critical=False)
    )


def key_usage(*, digital_signature: bool, key_encipherment: bool = False, certificates: bool = False) -> x509.KeyUsage:
    """The usages this collection needs, all others off."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_encipherment=key_encipherment,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
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
    """The subject of a leaf: a common name for the people who read lists; empty where none is short enough."""
    candidates = (names.common_name, *(value for _kind, value in names.sans()))
    common_name = next((name for name in candidates if name and len(name) <= LONGEST_COMMON_NAME), None)
    return name_of(common_name) if common_name else x509.Name([])


def make_authority_csr(common_name: str, key: Any) -> x509.CertificateSigningRequest:
    """What asks for an issuing CA, such as :func:`make_issuing` makes, of a CA whose key is elsewhere."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name_of(common_name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(digital_signature=False, certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, signature_hash(key))
    )


def signature_hash(private_key: Any) -> hashes.SHA256 | hashes.SHA384 | None:
    """The hash a key signs with; Ed25519 and Ed448 bring their own."""
    if isinstance(private_key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return None
    if isinstance(private_key, ec.EllipticCurvePrivateKey) and private_key.curve.key_size >= 384:
        return hashes.SHA384()
    return hashes.SHA256()


def name_of(common_name: str) -> x509.Name:
    """A distinguished name of a common name only."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
