# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a certificate says about itself, read once, for the judgement of chains. Pure; needs ``cryptography``."""

from __future__ import annotations

import functools
import string
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import ExtensionOID, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.raw_certificate import extensions_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import UNREADABLE

# So many certificates are kept in mind: thousands of endpoints share few CAs.
MOST_KNOWN = 1024
# RFC 6962, section 3.1: in a critical extension that makes sure that nobody takes a precertificate for a certificate.
POISON = "1.3.6.1.4.1.11129.2.4.3"
# Critical extensions that clients know how to process (RFC 5280, section 4.2); any other critical one makes them refuse.
PROCESSED = frozenset(
    {
        "2.5.29.14",  # subject key identifier
        "2.5.29.15",  # key usage
        "2.5.29.17",  # subject alternative name
        "2.5.29.19",  # basic constraints
        "2.5.29.30",  # name constraints
        "2.5.29.31",  # CRL distribution points
        "2.5.29.32",  # certificate policies
        "2.5.29.33",  # policy mappings
        "2.5.29.35",  # authority key identifier
        "2.5.29.36",  # policy constraints
        "2.5.29.37",  # extended key usage
        "2.5.29.54",  # inhibit any-policy
    }
)
UPPER_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

# A name in the form in which two names are compared: one set of (type, value) for each relative name.
CanonicalName = tuple[frozenset[tuple[str, str]], ...]


@dataclass(frozen=True)
class CertificateFacts:
    """A certificate's fields and extensions as path validation needs them (RFC 5280, section 6.1).

    :param error: why its extensions cannot be read; everything that stands in one is then absent here.
    :param ca: None: it has no basic constraints.
    :param usages: extended key usages, dotted; None: no such extension, which allows all.
    :param unknown_critical: dotted identifiers of critical extensions that clients do not process.
    :param authority_names: directory names of the authority's issuer, as the authority key identifier has them.
    """

    subject: CanonicalName
    issuer: CanonicalName
    version1: bool
    error: str | None = None
    ca: bool | None = None
    path_length: int | None = None
    key_usage: Any = None
    usages: frozenset[str] | None = None
    constraints: Any = None
    alternative_names: Any = None
    subject_key_id: bytes | None = None
    authority_key_id: bytes | None = None
    authority_serial: int | None = None
    authority_names: tuple[CanonicalName, ...] = ()
    unknown_critical: tuple[str, ...] = ()

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer have the same name: a CA's new key, or a root (RFC 5280, section 3.2)."""
        return self.subject == self.issuer


@functools.lru_cache(MOST_KNOWN)
def facts_of(certificate: x509.Certificate) -> CertificateFacts:
    """Read a certificate. What cannot be read becomes ``error``; nothing is raised for its contents."""
    version1 = certificate.version is x509.Version.v1
    names = canonical_name(certificate.subject), canonical_name(certificate.issuer)
    try:
        extensions = extensions_of(certificate)
    except UNREADABLE as error:
        return CertificateFacts(*names, version1, error=" ".join(str(error).split())[:200] or type(error).__name__)
    return CertificateFacts(*names, version1, **values_of(extensions))


def values_of(extensions: list[Any]) -> dict[str, Any]:
    """The fields of :class:`CertificateFacts` that stand in extensions."""
    by_oid = {each.oid: each.value for each in extensions}
    constraints = by_oid.get(ExtensionOID.BASIC_CONSTRAINTS)
    usages = by_oid.get(ExtensionOID.EXTENDED_KEY_USAGE)
    own_id = by_oid.get(ExtensionOID.SUBJECT_KEY_IDENTIFIER)
    authority = by_oid.get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    return {
        "ca": None if constraints is None else constraints.ca,
        "path_length": None if constraints is None else constraints.path_length,
        "key_usage": by_oid.get(ExtensionOID.KEY_USAGE),
        "usages": None if usages is None else frozenset(each.dotted_string for each in usages),
        "constraints": by_oid.get(ExtensionOID.NAME_CONSTRAINTS),
        "alternative_names": by_oid.get(ExtensionOID.SUBJECT_ALTERNATIVE_NAME),
        "subject_key_id": None if own_id is None else own_id.digest,
        "authority_key_id": None if authority is None else authority.key_identifier,
        "authority_serial": None if authority is None else authority.authority_cert_serial_number,
        "authority_names": tuple(
            canonical_name(each.value)
            for each in (authority.authority_cert_issuer or () if authority is not None else ())
            if isinstance(each, x509.DirectoryName)
        ),
        "unknown_critical": tuple(
            each.oid.dotted_string for each in extensions if each.critical and each.oid.dotted_string not in PROCESSED
        ),
    }


def canonical_name(name: x509.Name) -> CanonicalName:
    """A name as RFC 5280, section 7.1 compares it: whatever the string type, the case of ASCII letters and the width of blanks."""
    return tuple(frozenset((each.oid.dotted_string, canonical_value(each.value)) for each in rdn) for rdn in name.rdns)


def canonical_value(value: str | bytes) -> str:
    """One attribute's value."""
    return value.hex() if isinstance(value, bytes) else " ".join(value.translate(UPPER_TO_LOWER).split())
