# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate's own bytes, where ``cryptography`` reads all or nothing, or writes something else than it has read. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import (
    SEQUENCE,
    Element,
    elements,
    encode,
    first,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import UnsupportedAlgorithm, serialization, x509

VERSION, EXTENSIONS = 0xA0, 0xA3
# id-ecPublicKey (RFC 5480, section 2.1.1).
EC_KEY = bytes.fromhex("06072a8648ce3d0201")
# What is raised for an extension that cannot be read.
ODD = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm)
# Extensions that clients go by, as they stand in DER: key usage, names, basic constraints, name constraints, extended key usage.
DECISIVE = frozenset(bytes((6, 3, 0x55, 0x1D, last)) for last in (15, 17, 19, 30, 37))


def to_be_signed(certificate: x509.Certificate) -> list[Element]:
    """The fields of TBSCertificate (RFC 5280, section 4.1).

    :raises ValueError: they have a form that no certificate needs.
    """
    return list(elements(first(certificate.tbs_certificate_bytes).content))


def public_key_info(certificate: x509.Certificate) -> bytes:
    """Its SubjectPublicKeyInfo as it stands: ``cryptography`` would write rsaEncryption for id-RSASSA-PSS.

    :raises ValueError: as :func:`to_be_signed`.
    """
    fields = to_be_signed(certificate)
    # Serial number, algorithm, issuer, validity and subject stand before it, and the version where there is one.
    return fields[6 if fields[0].tag == VERSION else 5].whole


def has_curve_of_its_own(certificate: x509.Certificate) -> bool:
    """Whether its key is on a curve that is described there and has no name, which RFC 5480, section 2.1.1.1 forbids."""
    try:
        algorithm = first(first(public_key_info(certificate)).content)
        kind, *parameters = elements(algorithm.content)
    except ValueError:
        return False
    return kind.whole == EC_KEY and bool(parameters) and parameters[0].tag == SEQUENCE


def extensions_of(certificate: x509.Certificate) -> list[x509.Extension[Any]]:
    """Its extensions. What cannot be read is left out, unless it is critical or clients go by it.

    :raises ValueError and its like, see :data:`ODD`: they do go by it; or an extension appears twice.
    """
    try:
        return list(certificate.extensions)
    except x509.DuplicateExtension:
        raise
    except ODD as error:
        found: list[x509.Extension[Any]] = []
        for raw, alone in with_one_extension(certificate):
            try:
                found += alone.extensions
            except ODD:
                kind, *rest = elements(first(raw).content)
                if kind.whole in DECISIVE or rest[0].content == b"\xff":
                    raise error from None
        return found


def with_one_extension(certificate: x509.Certificate) -> Iterator[tuple[bytes, x509.Certificate]]:
    """For each of its extensions: the bytes, and the same certificate with nothing but that one (and a signature that no longer fits).

    :raises ValueError: as :func:`to_be_signed`.
    """
    fields = to_be_signed(certificate)
    rest = b"".join(field.whole for field in fields if field.tag != EXTENSIONS)
    _tbs, *signature = elements(first(certificate.public_bytes(serialization.Encoding.DER)).content)
    for field in fields:
        if field.tag == EXTENSIONS:
            for each in elements(first(field.content).content):
                tbs = encode(SEQUENCE, rest + encode(EXTENSIONS, encode(SEQUENCE, each.whole)))
                whole = encode(SEQUENCE, tbs + b"".join(part.whole for part in signature))
                yield each.whole, x509.load_der_x509_certificate(whole)
