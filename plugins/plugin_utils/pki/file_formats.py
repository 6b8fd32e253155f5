# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys in the forms in which they are handed over: PEM, DER, PKCS#12; keys encrypted or not. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import pkcs12, serialization, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.suitability import in_order
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import UNREADABLE, key_id, parse_pem_chain, to_pem

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
    try:
        # Through PEM, which parses all of it.
        return HandedOver(parse_pem_chain(to_pem(x509.load_der_x509_certificate(content))))
    except (*UNREADABLE, CertificateError):
        return read_pkcs12(content, passphrase)


def read_pem(text: str, passphrase: str | None) -> HandedOver:
    """Certificates and at most one key; errors as :func:`read_handed_over`."""
    keys = [match.group() for match in PEM_KEY.finditer(text)]
    if len(keys) != text.count("PRIVATE KEY-----") / 2 or len(keys) > 1:
        raise CertificateError("not a complete PEM text (a truncated private key, or more than one)")
    certificates = parse_pem_chain(text) if "-----BEGIN CERTIFICATE-----" in text else ()
    if not keys and not certificates:
        raise CertificateError("there is neither a certificate nor a private key in it")
    return HandedOver(certificates, read_key(keys[0].encode(), passphrase) if keys else None)


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
            "neither PEM nor DER, and it cannot be opened as PKCS#12",
            remedy="check passphrase" if passphrase else "a PKCS#12 file needs its passphrase",
        ) from None
    members = [found.cert, *found.additional_certs] if found.cert else list(found.additional_certs)
    if not members:
        raise CertificateError("there is no certificate in the PKCS#12 file")
    text = "".join(to_pem(member.certificate) for member in members)
    return HandedOver(parse_pem_chain(text), found.key)
