# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys in the forms in which they are handed over: PEM, DER, PKCS#7, PKCS#12; keys encrypted or not. Pure."""

from __future__ import annotations

import base64
import contextlib
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import first
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import pkcs7, pkcs12, serialization, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.post_quantum import read_expanded
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.suitability import in_order
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import UNREADABLE, key_id, parse_pem_chain, to_pem

# A PKCS#7 of certificates (RFC 5652, 3; .p7b, .p7c) in PEM: openssl's label, that of RFC 7468, and one of Java and Netscape.
PKCS7_LABELS = ("PKCS7", "CMS", "PKCS #7 SIGNED DATA")
CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
PEM_CERTIFICATES = re.compile(
    rf"-----BEGIN ({'|'.join((*CERTIFICATE_LABELS, *PKCS7_LABELS))})-----((?:(?!-----).)+)-----END \1-----", re.DOTALL
)
PEM_KEY = re.compile(r"-----BEGIN ([A-Z0-9]+ )?PRIVATE KEY-----.+?-----END ([A-Z0-9]+ )?PRIVATE KEY-----", re.DOTALL)


@dataclass(frozen=True)
class HandedOver:
    """Certificates in any order, and the private key that came with them; it is never part of a repr."""

    certificates: tuple[x509.Certificate, ...] = ()
    private_key: Any | None = field(default=None, repr=False)

    def chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates leaf first.

        :raises CertificateError: they are not one chain, or the key is not the leaf's.
        """
        chain = in_order(self.certificates)
        if self.private_key is not None and key_id(self.private_key.public_key()) != key_id(chain[0].public_key()):
            raise CertificateError("the private key does not belong to the certificate")
        return chain


def read_handed_over(content: bytes, passphrase: str | None) -> HandedOver:
    """Whatever is in ``content``; its form is seen from it.

    :param passphrase: of an encrypted key or a PKCS#12 file.
    :raises CertificateError: it is none of the forms, truncated, or locked.
    """
    if b"-----BEGIN " in content:
        return read_pem(content.decode("ascii", errors="replace"), passphrase)
    for load in (lambda der: [x509.load_der_x509_certificate(der)], load_pkcs7):
        try:
            return HandedOver(parsed(load(content)))
        except (*UNREADABLE, CertificateError):
            continue
    return read_pkcs12(content, passphrase)


def read_pem(text: str, passphrase: str | None) -> HandedOver:
    """Certificates and at most one key; errors as :func:`read_handed_over`."""
    keys = [match.group() for match in PEM_KEY.finditer(text)]
    if len(keys) != text.count("PRIVATE KEY-----") / 2 or len(keys) > 1:
        raise CertificateError("not a complete PEM text (a truncated private key, or more than one)")
    certificates = read_pem_certificates(text)
    if not keys and not certificates:
        raise CertificateError("there is neither a certificate nor a private key in it")
    return HandedOver(certificates, read_key(keys[0].encode(), passphrase) if keys else None)


def read_pem_certificates(text: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM text, also those that are together in a PKCS#7, in its order; none where there are none.

    :raises CertificateError: one of them is truncated, or cannot be read.
    """
    blocks = PEM_CERTIFICATES.findall(text)
    begun = sum(text.count(f"-----BEGIN {label}-----") for label in (*CERTIFICATE_LABELS, *PKCS7_LABELS))
    if len(blocks) != begun:
        raise CertificateError("not a complete PEM certificate (truncated or empty)")
    found: list[x509.Certificate] = []
    for label, body in blocks:
        try:
            der = base64.b64decode("".join(body.split()), validate=True)
            if label in PKCS7_LABELS:
                found += load_pkcs7(der)
            else:
                # openssl's "trusted" ones are followed by what they are trusted for.
                found.append(x509.load_der_x509_certificate(first(der).whole))
        except UNREADABLE as error:
            raise CertificateError(f"a PEM certificate cannot be parsed: {error}") from error
    return parsed(found)


def load_pkcs7(der: bytes) -> list[x509.Certificate]:
    """The certificates of a PKCS#7; as ``cryptography`` raises."""
    with warnings.catch_warnings():
        # openssl leaves their order as it is given, which DER does not allow: nobody can do anything about that.
        warnings.simplefilter("ignore")
        return pkcs7.load_der_pkcs7_certificates(der)


def parsed(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The same ones, through PEM, which parses all of them.

    :raises CertificateError: one of them cannot be read to its end.
    """
    text = "".join(to_pem(each) for each in certificates)
    return parse_pem_chain(text) if text else ()


def read_key(content: bytes, passphrase: str | None) -> Any:
    """A private key, PEM or DER, encrypted or not.

    :raises CertificateError: it is none, or locked. Nothing of it is told.
    """
    load: Any = serialization.load_pem_private_key if b"-----BEGIN " in content else serialization.load_der_private_key
    password = passphrase.encode() if passphrase else None
    # A passphrase that an unencrypted key does not need is no fault.
    for attempt in dict.fromkeys((password, None)):
        try:
            return load(content, attempt)
        except UNREADABLE:
            continue
    with contextlib.suppress(*UNREADABLE):
        return read_expanded(content)
    raise CertificateError(
        "the private key cannot be read",
        remedy="check passphrase" if passphrase else "it may be encrypted: give its passphrase",
    ) from None


def read_pkcs12(content: bytes, passphrase: str | None) -> HandedOver:
    """A PKCS#12 file (RFC 7292); errors as :func:`read_handed_over`."""
    try:
        found = pkcs12.load_pkcs12(content, passphrase.encode() if passphrase else None)
    except UNREADABLE:
        raise CertificateError(
            "neither PEM nor DER nor PKCS#7, and it cannot be opened as PKCS#12",
            remedy="check passphrase" if passphrase else "a PKCS#12 file needs its passphrase",
        ) from None
    members = [found.cert, *found.additional_certs] if found.cert else list(found.additional_certs)
    if not members:
        raise CertificateError("there is no certificate in the PKCS#12 file")
    return HandedOver(parsed(member.certificate for member in members), found.key)
