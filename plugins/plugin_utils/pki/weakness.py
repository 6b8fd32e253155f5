# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and signatures that clients refuse, whoever asks: what is served, what is on disk, what an issuer gives. Pure."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import UnsupportedAlgorithm, hashes, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import UNREADABLE, key_algorithm, subject_text

# What the CA/Browser Forum (Baseline Requirements, section 6.1.5) and the usual security level of OpenSSL (2) ask for.
SHORTEST = {"rsa": 2048, "ecdsa": 224}
WEAK_HASHES = ("MD2", "MD4", "MD5", "SHA1")


def weaknesses(key: str, signature: str) -> list[str]:
    """What is too weak in a certificate of which only words are known.

    :param key: as :func:`x509.key_algorithm` has it; :param signature: as :func:`x509.signature_algorithm`.
    """
    found = [f"the key is {key}"] if is_weak_key(key) else []
    if any(word in signature.upper().replace("-", "") for word in WEAK_HASHES):
        found.append(f"the signature is {signature}")
    return found


def is_weak_key(algorithm: str) -> bool:
    """Whether clients refuse a key of this kind, in the words of :func:`x509.key_algorithm`."""
    kind, _dash, rest = algorithm.partition("-")
    size = re.search(r"[0-9]+", rest)
    return kind == "dsa" or (size is not None and int(size[0]) < SHORTEST.get(kind, 0))


def weak_key(certificate: x509.Certificate) -> str | None:
    """What is wrong with its key, in words; None: nothing."""
    who = subject_text(certificate)
    try:
        algorithm = key_algorithm(certificate.public_key())
    except UNREADABLE:
        return f"the key of '{who}' is of a kind that clients do not know"
    if not is_weak_key(algorithm):
        return None
    if algorithm == "dsa":
        return f"the key of '{who}' is of a kind that clients refuse: DSA"
    if algorithm.startswith("rsa-"):
        size = algorithm.removeprefix("rsa-")
        return f"the key of '{who}' is too weak: RSA of {size} bits, where {SHORTEST['rsa']} are needed"
    return f"the key of '{who}' is too weak: {algorithm}"


def weak_signature(certificate: x509.Certificate) -> str | None:
    """What is wrong with the signature on it, in words; None: nothing. Of one that signed itself nobody looks at it."""
    name = signature_hash(certificate)
    if name is None or name.replace("-", "") not in WEAK_HASHES or certificate.issuer == certificate.subject:
        return None
    return f"the signature of '{subject_text(certificate)}' is too weak: it is made with {name}"


def signature_hash(certificate: x509.Certificate) -> str | None:
    """The hash that a certificate is signed with, like ``SHA-1``; None where the signature has none of its own, or one unknown."""
    try:
        algorithm: Any = certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        return None
    return algorithm.name.upper().replace("SHA", "SHA-") if isinstance(algorithm, hashes.HashAlgorithm) else None
