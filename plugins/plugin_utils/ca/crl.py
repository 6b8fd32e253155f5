# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate revocation lists (RFC 5280, section 5): PEM in and out, made, and judged. Pure: no store, no clock."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    Authority,
    key_identifier_of,
    signature_hash,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import (
    InvalidSignature,
    UnsupportedAlgorithm,
    serialization,
    x509,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import iso, serial_text

PEM_CRL = re.compile(r"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)

# Our words for the reasons of RFC 5280, 5.3.1. The two that are not for good (a hold, and its end) are left out.
REASONS = {
    "unspecified": "unspecified",
    "key_compromise": "keyCompromise",
    "ca_compromise": "cACompromise",
    "affiliation_changed": "affiliationChanged",
    "superseded": "superseded",
    "cessation_of_operation": "cessationOfOperation",
    "privilege_withdrawn": "privilegeWithdrawn",
    "aa_compromise": "aACompromise",
}


def make_crl(
    authority: Authority,
    entries: Iterable[x509.RevokedCertificate],
    *,
    number: int,
    now: dt.datetime,
    lifetime: dt.timedelta,
) -> x509.CertificateRevocationList:
    """A CRL of ``authority`` that says so from ``now`` on, with its number and the identifier of its key."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + lifetime)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(key_identifier_of(authority.certificate), critical=False)
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.private_key, signature_hash(authority.private_key))


def make_entry(serial: int, revoked_at: int, reason: str) -> x509.RevokedCertificate:
    """An entry of a CRL. The reason ``unspecified`` is told by no extension (RFC 5280, 5.3.1).

    :param revoked_at: seconds since the epoch.
    :param reason: one of ``REASONS``.
    """
    moment = dt.datetime.fromtimestamp(revoked_at, dt.timezone.utc)
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment)
    if reason != "unspecified":
        entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(REASONS[reason])), critical=False)
    return entry.build()


def read_crls(content: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """All CRLs of a file, PEM or DER; errors as :func:`parse_pem_crls`."""
    if b"-----BEGIN " not in content:
        try:
            content = x509.load_der_x509_crl(content).public_bytes(serialization.Encoding.PEM)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CertificateError(f"neither a PEM nor a DER CRL: {error}") from error
    return parse_pem_crls(content.decode("ascii", errors="replace"))


def parse_pem_crls(text: str) -> tuple[x509.CertificateRevocationList, ...]:
    """All CRLs of a PEM text, in its order.

    :raises CertificateError: none in it, or one that cannot be parsed.
    """
    blocks = PEM_CRL.findall(text)
    if not blocks or text.count("-----BEGIN X509 CRL-----") != len(blocks):
        raise CertificateError("not a complete PEM CRL (truncated or empty)")
    try:
        crls = tuple(x509.load_pem_x509_crl(block.encode()) for block in blocks)
        for crl in crls:
            # ``cryptography`` parses most of it when it is asked for, so ask now, where errors are expected.
            crl_number(crl), serials(crl), crl.issuer.rfc4514_string(), crl.next_update_utc, crl.last_update_utc
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise CertificateError(f"a PEM CRL cannot be parsed: {error}") from error
    return crls


def crl_to_pem(crl: x509.CertificateRevocationList) -> str:
    """PEM text with a final newline."""
    return crl.public_bytes(serialization.Encoding.PEM).decode()


def crl_number(crl: x509.CertificateRevocationList) -> int | None:
    """The number that grows from one CRL of a CA to its next; None: it has none."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def serials(crl: x509.CertificateRevocationList) -> frozenset[str]:
    """What it revokes, in the ledger's form of serial numbers."""
    return frozenset(entries(crl))


def entries(crl: x509.CertificateRevocationList) -> dict[str, x509.RevokedCertificate]:
    """What it revokes, by serial numbers in the ledger's form, and how."""
    return {serial_text(entry.serial_number): entry for entry in crl}


def is_crl_of(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    """Whether name and signature of a CRL are those of a CA."""
    try:
        return crl.issuer == certificate.subject and crl.is_signature_valid(public_key_of(certificate))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False


def public_key_of(certificate: x509.Certificate) -> Any:
    """A CA's public key; its type is narrower than what a certificate may hold."""
    return certificate.public_key()


def crl_problem(crl: x509.CertificateRevocationList, now: dt.datetime) -> str | None:
    """Why servers would not take a CRL at the moment, in words; None: they do."""
    if crl.next_update_utc is None:
        return "does not say until when it counts (no next update)"
    if crl.last_update_utc > now:
        return f"counts from {iso(crl.last_update_utc)} on only"
    if crl.next_update_utc <= now:
        return f"expired on {iso(crl.next_update_utc)}"
    return None


def describe_crl(crl: x509.CertificateRevocationList) -> dict[str, Any]:
    """A CRL as it stands in results: JSON-ready, dates ISO 8601 in UTC."""
    return {
        "issuer": crl.issuer.rfc4514_string(),
        "number": crl_number(crl),
        "last_update": iso(crl.last_update_utc),
        "next_update": iso(crl.next_update_utc) if crl.next_update_utc else None,
        "revoked": sorted(serials(crl)),
        "pem": crl_to_pem(crl),
    }


def signs_crls(certificate: x509.Certificate) -> bool:
    """Whether a CA's key usage lets it sign CRLs (RFC 5280, 4.2.1.3); OpenSSL takes none of a CA that may not."""
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign)
    except x509.ExtensionNotFound:
        return True
