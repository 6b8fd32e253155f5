# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""X.509 as this collection sees it: PEM in and out, names, chains, fingerprints. No Ansible, no files."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import (
    InvalidSignature,
    NameOID,
    UnsupportedAlgorithm,
    ec,
    ed448,
    ed25519,
    hashes,
    rsa,
    serialization,
    x509,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.post_quantum import SIGNATURES, algorithm_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.raw_certificate import extensions_of, public_key_info
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import usage_word

PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

# What ``cryptography`` raises for contents that are no certificate; most of them are no ValueErrors.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True)
class Names:
    """Who a certificate speaks for; each tuple sorted, DNS names in lower case, IPs in their canonical text form.

    :param subject: part (``O``) and value of what the subject says beside the common name, in its order; see ``subject.py``.
    """

    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    email_addresses: tuple[str, ...] = ()
    common_name: str | None = None
    subject: tuple[tuple[str, str], ...] = ()

    def sans(self) -> tuple[tuple[str, str], ...]:
        """``(type, value)`` in openssl's words for the types: DNS, IP, URI, email."""
        typed = (
            ("DNS", self.dns_names),
            ("IP", self.ip_addresses),
            ("URI", self.uris),
            ("email", self.email_addresses),
        )
        return tuple((kind, value) for kind, values in typed for value in values)


def parse_pem_chain(text: str) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM text, in its order.

    :raises CertificateError: no certificate in it, or one that cannot be parsed (all of it: names, key, extensions).
    """
    blocks = PEM_CERTIFICATE.findall(text)
    if not blocks or text.count("-----BEGIN CERTIFICATE-----") != len(blocks):
        raise CertificateError("not a complete PEM certificate (truncated or empty)")
    try:
        return tuple(_load(block) for block in blocks)
    except UNREADABLE as error:
        raise CertificateError(f"a PEM certificate cannot be parsed: {error}") from error


def _load(block: str) -> x509.Certificate:
    """``cryptography`` parses most of a certificate when it is asked for, so ask now, where errors are expected."""
    certificate = x509.load_pem_x509_certificate(block.encode())
    names_of(certificate), usages_of(certificate), subject_text(certificate), issuer_text(certificate)
    key_algorithm(certificate.public_key())
    return certificate


def to_pem(certificate: x509.Certificate) -> str:
    """PEM text with a final newline."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def to_der(certificate: x509.Certificate) -> bytes:
    """DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER form, lower-case hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_id(public_key: Any) -> str:
    """SHA-256 of a public key's SubjectPublicKeyInfo (DER), lower-case hex: which key this is."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def certificate_key_id(certificate: x509.Certificate) -> str:
    """The same of a certificate's key, as it stands there: what openssl says of an RSA-PSS key, too."""
    try:
        return hashlib.sha256(public_key_info(certificate)).hexdigest()
    except ValueError:
        return key_id(certificate.public_key())


def key_algorithm(public_key: Any) -> str:
    """The algorithm in the words of ``private_key.algorithm``; others (``dsa``, curves) in like manner."""
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"rsa-{public_key.key_size}"
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        curve = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}.get(public_key.curve.name)
        return f"ecdsa-{curve or public_key.curve.name}"
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(public_key, ed448.Ed448PublicKey):
        return "ed448"
    return algorithm_of(public_key) or type(public_key).__name__.removesuffix("PublicKey").lower()


def signature_algorithm(certificate: x509.Certificate) -> str:
    """How it is signed, in OpenSSL's word (``ecdsa-with-SHA256``), or the dotted OID where it has none."""
    oid = certificate.signature_algorithm_oid
    name = oid._name  # pylint: disable=protected-access
    return SIGNATURES.get(oid.dotted_string, oid.dotted_string) if name == "Unknown OID" else name


def names_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> Names:
    """The names in the subject alternative name extension (RFC 5280, 4.2.1.6) and the common name."""
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    san = alternative_names(certificate)

    def of_type(kind: type[Any]) -> list[str]:
        return [str(name.value) for name in san if isinstance(name, kind)]

    return Names(
        dns_names=tuple(sorted(name.lower() for name in of_type(x509.DNSName))),
        ip_addresses=tuple(sorted(of_type(x509.IPAddress))),
        uris=tuple(sorted(of_type(x509.UniformResourceIdentifier))),
        email_addresses=tuple(sorted(of_type(x509.RFC822Name))),
        common_name=str(common_names[0].value) if common_names else None,
    )


def alternative_names(
    certificate: x509.Certificate | x509.CertificateSigningRequest,
) -> tuple[x509.GeneralName, ...]:
    """All names of the extension, those that :class:`Names` has no place for among them."""
    return tuple(extension_of(certificate, x509.SubjectAlternativeName) or ())


def extension_of(certificate: x509.Certificate | x509.CertificateSigningRequest, kind: type[Any]) -> Any:
    """The value of an extension, None: it has none; what else is in the certificate may be odd."""
    is_certificate = isinstance(certificate, x509.Certificate)
    extensions = extensions_of(certificate) if is_certificate else certificate.extensions  # type: ignore[arg-type]
    return next((each.value for each in extensions if isinstance(each.value, kind)), None)


def general_names(names: Names) -> list[x509.GeneralName]:
    """The same names as ``cryptography`` wants them for a SAN extension."""
    return [
        *(x509.DNSName(name) for name in names.dns_names),
        *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in names.ip_addresses),
        *(x509.UniformResourceIdentifier(uri) for uri in names.uris),
        *(x509.RFC822Name(email) for email in names.email_addresses),
    ]


def usages_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Extended key usages in our words, sorted; unknown ones by their dotted OID."""
    usages = extension_of(certificate, x509.ExtendedKeyUsage) or ()
    return tuple(sorted(usage_word(oid.dotted_string) for oid in usages))


def must_staple(certificate: x509.Certificate | x509.CertificateSigningRequest) -> bool:
    """Whether clients are told to refuse it without a stapled OCSP answer (RFC 7633)."""
    return x509.TLSFeatureType.status_request in (extension_of(certificate, x509.TLSFeature) or ())


def authority_key_identifier(certificate: x509.Certificate) -> bytes | None:
    """The issuer's key identifier as the certificate names it, or None."""
    identifier = extension_of(certificate, x509.AuthorityKeyIdentifier)
    return None if identifier is None else identifier.key_identifier


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether name and signature of ``certificate`` lead to ``issuer``."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def subject_text(certificate: x509.Certificate) -> str:
    """RFC 4514 text of the subject; the names where the subject is empty (as newer profiles have it)."""
    text = certificate.subject.rfc4514_string()
    return text or ", ".join(value for _kind, value in names_of(certificate).sans())


def issuer_text(certificate: x509.Certificate) -> str:
    """RFC 4514 text of the issuer."""
    return certificate.issuer.rfc4514_string()


def iso(moment: dt.datetime) -> str:
    """ISO 8601 in UTC with whole seconds, ``2026-11-23T10:00:00Z``."""
    # Not strftime, whose years before 1000 have fewer digits: certificates may say what they like.
    return moment.astimezone(dt.timezone.utc).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def seconds(moment: dt.datetime) -> int:
    """Seconds since the epoch (UTC)."""
    return int(moment.timestamp())


def serial_text(serial: int) -> str:
    """A serial number as lower-case hex, as every tool but openssl prints it."""
    return f"{serial:x}"


def days_left(end: dt.datetime, now: dt.datetime) -> float:
    """Days until then, with one decimal."""
    return round((end - now).total_seconds() / 86400, 1)


def describe(certificate: x509.Certificate, now: dt.datetime) -> dict[str, Any]:
    """A certificate as it stands in results: JSON-ready, dates ISO 8601 in UTC, ``days_left`` with one decimal."""
    names = names_of(certificate)
    return {
        "subject": subject_text(certificate),
        "issuer": issuer_text(certificate),
        "common_name": names.common_name,
        "dns_names": list(names.dns_names),
        "ip_addresses": list(names.ip_addresses),
        "uris": list(names.uris),
        "email_addresses": list(names.email_addresses),
        "usages": list(usages_of(certificate)),
        "not_before": iso(certificate.not_valid_before_utc),
        "not_after": iso(certificate.not_valid_after_utc),
        "days_left": days_left(certificate.not_valid_after_utc, now),
        "serial": serial_text(certificate.serial_number),
        "fingerprint_sha256": fingerprint(certificate),
        "key_algorithm": key_algorithm(certificate.public_key()),
        "signature_algorithm": signature_algorithm(certificate),
    }
