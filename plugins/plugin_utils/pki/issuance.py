# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who issued whom: names, signatures, and what a certificate says of its issuer's key. Pure; needs ``cryptography``."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import elements, first
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.certificate_facts import facts_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import (
    InvalidSignature,
    UnsupportedAlgorithm,
    ec,
    rsa,
    x509,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.raw_certificate import VERSION, to_be_signed
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.weakness import weak_signature
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import UNREADABLE, to_der


def names_fit(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    """Whether ``lower`` names ``upper`` as its issuer (RFC 5280, section 6.1.3 (a) (4))."""
    return facts_of(lower).issuer == facts_of(upper).subject


def signature_fits(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    """Whether the key of ``upper`` made the signature on ``lower``, whatever their names.

    A signature of a kind that clients refuse anyway (:func:`weakness.weak_signature`) counts as made where it cannot be looked at.
    """
    try:
        verify(lower, upper)
    except UnsupportedAlgorithm:
        return weak_signature(lower) is not None
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def verify(lower: x509.Certificate, upper: x509.Certificate) -> None:
    """Errors as :func:`verify_signature`."""
    try:
        lower.verify_directly_issued_by(upper)
    except ValueError:
        # Names may be the same though their bytes are not (RFC 5280, section 7.1), which cryptography does not know.
        verify_signature(lower, upper.public_key())


def verify_signature(certificate: x509.Certificate, key: Any) -> None:
    """:raises InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm: it was not made with this key, or not as it says."""
    inner, outer = algorithms_of(certificate)
    if inner != outer:
        raise ValueError("two signature algorithms")
    signed = certificate.signature, certificate.tbs_certificate_bytes
    how: Any = certificate.signature_algorithm_parameters
    digest: Any = certificate.signature_hash_algorithm
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(*signed, how, digest)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(*signed, how)
    elif hasattr(key, "public_bytes_raw"):  # Ed25519, Ed448, ML-DSA
        key.verify(*signed)
    else:
        key.verify(*signed, digest)


def algorithms_of(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    """The signature algorithm inside of what is signed, and beside it; they have to be the same (RFC 5280, section 4.1.1.2).

    :raises ValueError: no certificate.
    """
    parts = to_be_signed(certificate)
    # The version comes first and is left out in version 1; then the serial number, and then the algorithm.
    inner = parts[2 if parts[0].tag == VERSION else 1].whole
    return inner, list(elements(first(to_der(certificate)).content))[1].whole


def identifiers_fit(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    """Whether the authority key identifier of ``lower`` may mean ``upper`` (RFC 5280, section 4.2.1.1): by key, and by name and serial."""
    below, above = facts_of(lower), facts_of(upper)
    if below.authority_key_id and above.subject_key_id and below.authority_key_id != above.subject_key_id:
        return False
    if below.authority_serial is not None and below.authority_serial != upper.serial_number:
        return False
    return not below.authority_names or above.issuer in below.authority_names
