# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which key a private key is: the digest of its public half, read out of the key itself, without a process a key.

Keys of RSA hold their modulus and exponent (RFC 8017, A.1.2), keys of elliptic curves nearly always their point (RFC 5915, section 3),
and others may (RFC 5958, section 2). For those that do not, ``openssl`` is asked.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.content import digest
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import (
    BIT_STRING,
    INTEGER,
    NULL,
    OCTET_STRING,
    OID,
    SEQUENCE,
    elements,
    encode,
    first,
)
from ansible_collections.fleet.tls.plugins.module_utils.system.memory import in_memory
from ansible_collections.fleet.tls.plugins.module_utils.system.openssl import call

RSA = bytes.fromhex("2a864886f70d010101")
EC = bytes.fromhex("2a8648ce3d0201")
# RFC 8410 and RFC 9881: their private keys are a seed, and the public half has to be computed.
NAMES = {
    RSA: "rsa", bytes.fromhex("2a864886f70d01010a"): "rsa-pss", EC: "ecdsa", bytes.fromhex("2a8648ce380401"): "dsa",
    bytes.fromhex("2b6570"): "ed25519", bytes.fromhex("2b6571"): "ed448",
    **{bytes.fromhex(f"6086480165030403{number:02x}"): f"ml-dsa-{size}" for number, size in ((17, 44), (18, 65), (19, 87))},
}  # fmt: skip
UNCOMPRESSED = 4
BLOCK = re.compile(b"-----BEGIN (PUBLIC KEY)-----(.+?)-----END PUBLIC KEY-----", re.DOTALL)


class PrivateKey(NamedTuple):
    """What may be told of a private key.

    :param algorithm: ``rsa``, ``ecdsa`` …; None: it is encrypted, or of a kind that is not known here.
    :param key_id: SHA-256 (hex) of its public half as SubjectPublicKeyInfo (DER); None: nobody could tell.
    """

    algorithm: str | None
    key_id: str | None
    encrypted: bool = False


ENCRYPTED = PrivateKey(None, None, True)


def key_of_der(der: bytes) -> PrivateKey:
    """A private key in the form PKCS#8, PKCS#1 or SEC1.

    :raises ValueError: it is none of them.
    """
    version, second, *rest = elements(sequence(der))
    if version.tag != INTEGER:
        raise ValueError("no private key")
    if second.tag == SEQUENCE:
        return pkcs8_key(der, second.whole, rest)
    if second.tag == INTEGER and len(rest) >= 7:
        return PrivateKey("rsa", spki(algorithm_identifier(RSA), rsa_public(second.whole, rest[0].whole)))
    if second.tag == OCTET_STRING:
        parameters = next((first(each.content).whole for each in rest if each.tag == 0xA0), None)
        return PrivateKey("ecdsa", point_id(rest, parameters) or asked(der))
    raise ValueError("no private key")


def pkcs8_key(der: bytes, algorithm: bytes, rest: list) -> PrivateKey:  # type: ignore[type-arg]
    """A PKCS#8 key (RFC 5958): algorithm, the key in an octet string, maybe its public half."""
    oid, *parameters = elements(first(algorithm).content)
    if oid.tag != OID or not rest or rest[0].tag != OCTET_STRING:
        raise ValueError("no private key")
    inner = rest[0].content
    if oid.content == RSA:
        _version, modulus, exponent, *_rest = elements(sequence(inner))
        return PrivateKey("rsa", spki(algorithm_identifier(RSA), rsa_public(modulus.whole, exponent.whole)))
    if oid.content == EC and parameters:
        _version, _secret, *parts = elements(sequence(inner))
        return PrivateKey("ecdsa", point_id(parts, parameters[0].whole) or asked(der))
    public = next((each.content for each in rest if each.tag == 0x81), None)
    known = spki(algorithm, public[1:]) if public else asked(der)
    return PrivateKey(NAMES.get(oid.content), known)


def point_id(parts: list, parameters: bytes | None) -> str | None:  # type: ignore[type-arg]
    """The id of an EC key by the point that stands in it; None: it does not, or in a form that certificates do not have."""
    for part in parts:
        if part.tag == 0xA1 and parameters:
            bits = first(part.content)
            if bits.tag == BIT_STRING and bits.content[:2] == bytes([0, UNCOMPRESSED]):
                return spki(algorithm_identifier(EC, parameters), bits.content[1:])
    return None


def sequence(der: bytes) -> bytes:
    """The content of a sequence.

    :raises ValueError: it is none.
    """
    outer = first(der)
    if outer.tag != SEQUENCE:
        raise ValueError("no sequence")
    return outer.content


def algorithm_identifier(oid: bytes, parameters: bytes = encode(NULL, b"")) -> bytes:
    """AlgorithmIdentifier, DER."""
    return encode(SEQUENCE, encode(OID, oid) + parameters)


def rsa_public(modulus: bytes, exponent: bytes) -> bytes:
    """RSAPublicKey, DER."""
    return encode(SEQUENCE, modulus + exponent)


def spki(algorithm: bytes, public: bytes) -> str:
    """The digest of a SubjectPublicKeyInfo."""
    return digest(encode(SEQUENCE, algorithm + encode(BIT_STRING, b"\0" + public)))


def asked(der: bytes) -> str | None:
    """The id of a key that does not hold its public half, from ``openssl``."""
    try:
        return public_id(call(["pkey", "-inform", "DER", "-pubout", "-passin", "pass:"], der))
    except StepError:
        return None


def opened(pem: bytes, passphrase: str) -> str | None:
    """The id of an encrypted key (PEM); None: this is not its passphrase."""
    try:
        with in_memory(passphrase.encode() + b"\n") as secret:
            return public_id(call(["pkey", "-pubout", "-passin", f"fd:{secret}"], pem, (secret,)))
    except StepError:
        return None


def public_id(pem: bytes) -> str | None:
    """The digest of a public key (PEM)."""
    match = BLOCK.search(pem)
    try:
        return digest(base64.b64decode(match.group(2))) if match else None
    except (binascii.Error, ValueError):
        return None
