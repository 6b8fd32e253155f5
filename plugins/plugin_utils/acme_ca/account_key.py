# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private key of an ACME account: in the forms in which other clients keep it, its thumbprint, how it signs. Pure.

certbot has a JWK (``private_key.json``), lego and acme.sh have PEM (``*.key``, ``account.key``).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.library import jose, require_acme
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.renewal_window import unpadded
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import MISSHAPEN
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import ec, rsa, serialization
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.file_formats import read_key

SHORTEST_RSA = 2048
# Curve → its name (RFC 7518, 6.2.1.1) and the length of a coordinate in bytes.
CURVES = {"secp256r1": ("P-256", 32), "secp384r1": ("P-384", 48)}


def parse_account_key(text: str, what: str) -> Any:
    """A private key, from PEM or from a JWK (RFC 7517) as JSON.

    :raises SpecError: it is neither, encrypted, or of a kind that ACME CAs do not take. Nothing of it is told.
    :raises DependencyError: a JWK without the library that reads it.
    """
    try:
        key = read_jwk(text) if text.lstrip().startswith("{") else read_key(text.strip().encode(), None)
    except (CertificateError, UnicodeEncodeError):
        raise SpecError(
            f"{what}: not a private key that can be read",
            remedy="give the account key of certbot (private_key.json), lego or acme.sh (PEM), not encrypted",
        ) from None
    is_rsa = isinstance(key, rsa.RSAPrivateKey) and key.key_size >= SHORTEST_RSA
    if not is_rsa and not (isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES):
        raise SpecError(
            f"{what}: a key of this kind cannot be an account's here",
            remedy=f"use RSA of {SHORTEST_RSA} bits or more, P-256 or P-384",
        )
    return key


def read_jwk(text: str) -> Any:
    """A JWK's private key.

    :raises CertificateError: it is none. Nothing of it is told.
    """
    require_acme()
    try:
        found: Any = jose.JWK.from_json(json.loads(text))
        # Out of the library's wrapping.
        pem = found.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    except (*MISSHAPEN, jose.DeserializationError, RecursionError):
        raise CertificateError("the private key cannot be read") from None
    return read_key(pem, None)


def signing(private_key: Any) -> tuple[Any, Any]:
    """The key and the algorithm by which it signs, as the library takes them (RFC 7518, 3.1)."""
    if isinstance(private_key, rsa.RSAPrivateKey):
        return jose.JWKRSA(key=private_key), jose.RS256
    return jose.JWKEC(key=private_key), jose.ES384 if private_key.curve.name == "secp384r1" else jose.ES256


def thumbprint(private_key: Any) -> str:
    """The JWK thumbprint (RFC 7638) of a key, base64url."""
    numbers = private_key.public_key().public_numbers()
    if isinstance(private_key, rsa.RSAPrivateKey):
        members = {"e": number(numbers.e), "kty": "RSA", "n": number(numbers.n)}
    else:
        curve, length = CURVES[private_key.curve.name]
        members = {"crv": curve, "kty": "EC", "x": number(numbers.x, length), "y": number(numbers.y, length)}
    # The members in alphabetical order, without blanks.
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return unpadded(hashlib.sha256(canonical.encode()).digest())


def number(value: int, length: int | None = None) -> str:
    """A number of a JWK, base64url (RFC 7518, 2)."""
    return unpadded(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))
