# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NIST's Public Key Interoperability Test Suite (PKITS), as PyPI's cryptography_vectors has it: its cases about paths."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.certificate_facts import facts_of

# Any moment at which what is to be valid is.
MOMENT = dt.datetime(2015, 1, 1, tzinfo=dt.timezone.utc)
# Sections 4.1, 4.2, 4.3, 4.6, 4.7 (1 to 3), 4.13, 4.16, and of 4.5 what needs no CRL. The others are about CRLs and policies.
ABOUT_PATHS = re.compile(
    "CertificatePathTest1EE|(CA|EE)SignatureTest|DSA|DateTest|NameChaining|NameUIDs|RFC3280|UTF8String|^ValidBasicSelfIssued"
    "|[bB]asicConstraints|cAFalse|pathLenConstraint|keyCertSignFalse|keyUsageNotCriticalTest3|nameConstraints|CertificateExtensionTest"
)


@dataclass(frozen=True)
class PkitsCase:
    """One case: its name, the leaf first in ``chain``, what stands between in no order; empty where the leaf cannot be read."""

    name: str
    chain: tuple[x509.Certificate, ...]
    anchor: x509.Certificate
    expected: bool


def folder() -> Path:
    """Where the certificates are."""
    import cryptography_vectors

    return Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data" / "certs"


def path_cases() -> Iterator[PkitsCase]:
    """The 89 cases about paths."""
    files = dict(readable())
    anchor = files.pop("TrustAnchorRootCertificate")
    authorities = [each for name, each in files.items() if not name.endswith("EE")]
    for name in sorted(path.stem for path in folder().glob("*EE.crt") if ABOUT_PATHS.search(path.stem)):
        leaf = files.get(name)
        chain = (leaf, *above(leaf, authorities)) if leaf else ()
        yield PkitsCase(name.removesuffix("EE"), chain, anchor, name.startswith("Valid"))


def readable() -> Iterator[tuple[str, x509.Certificate]]:
    """Name and certificate of those that cryptography can read: of one the key has no parameters of its own."""
    for path in sorted(folder().glob("*.crt")):
        with contextlib.suppress(ValueError):
            yield path.stem, x509.load_der_x509_certificate(path.read_bytes())


def above(leaf: x509.Certificate, authorities: list[x509.Certificate]) -> list[x509.Certificate]:
    """All that could stand above a certificate, by names."""
    found: list[x509.Certificate] = []
    for lower in iter_growing(leaf, found):
        found += [
            each for each in authorities if each not in found and facts_of(each).subject == facts_of(lower).issuer
        ]
    return found


def iter_growing(first: x509.Certificate, others: list[x509.Certificate]) -> Iterator[x509.Certificate]:
    """The first, and then a list that grows meanwhile."""
    yield first
    yield from others
