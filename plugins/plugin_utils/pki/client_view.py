# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client would object to in what an endpoint serves, in words that people understand. Pure; needs ``cryptography``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import UnsupportedAlgorithm, ec, hashes, rsa, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.name_constraints import forbidden_names
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import is_ip_address, parse_ip_address
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    Names,
    check_chain,
    fingerprint,
    is_issued_by,
    iso,
    key_algorithm,
    names_of,
    subject_text,
    usages_of,
)

# RFC 5280 section 4.2.1.12: good for everything.
ANY_USAGE = "2.5.29.37.0"
# What the CA/Browser Forum and the usual security level of OpenSSL (2) ask for.
SHORTEST_RSA = 2048
SHORTEST_CURVE = 224
WEAK_HASHES = ("MD5", "SHA-1")


def leaf_problems(leaf: x509.Certificate, wanted: str, now: dt.datetime) -> list[str]:
    """What a client would object to in the leaf alone: its dates, names and usages."""
    problems = []
    if leaf.not_valid_after_utc <= now:
        problems.append(f"the certificate expired on {iso(leaf.not_valid_after_utc)}")
    if leaf.not_valid_before_utc > now:
        problems.append(f"the certificate is not valid before {iso(leaf.not_valid_before_utc)}")
    names = names_of(leaf)
    if not speaks_for(names, wanted):
        has = ", ".join(names.dns_names + names.ip_addresses) or "none"
        problems.append(f"the certificate is not for {wanted} (its names: {has})")
    usages = usages_of(leaf)
    if usages and not {"server_auth", ANY_USAGE} & set(usages):
        problems.append(f"the certificate is not for servers (its usages: {', '.join(usages)})")
    return problems


def weaknesses(chain: Iterable[x509.Certificate]) -> list[str]:
    """Keys and signatures that clients refuse. Nobody looks at the signature of a certificate that signed itself."""
    problems = []
    for certificate in chain:
        who, key = subject_text(certificate), certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < SHORTEST_RSA:
            problems.append(
                f"the key of '{who}' is too weak: RSA of {key.key_size} bits, where {SHORTEST_RSA} are needed"
            )
        elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < SHORTEST_CURVE:
            problems.append(f"the key of '{who}' is too weak: {key_algorithm(key)}")
        elif key_algorithm(key) == "dsa":
            problems.append(f"the key of '{who}' is of a kind that clients refuse: DSA")
        if is_signed_weakly(certificate):
            problems.append(f"the signature of '{who}' is too weak: it is made with {signature_hash(certificate)}")
    return problems


def is_signed_weakly(certificate: x509.Certificate) -> bool:
    """Whether clients refuse the signature."""
    return signature_hash(certificate) in WEAK_HASHES and certificate.issuer != certificate.subject


def signature_hash(certificate: x509.Certificate) -> str | None:
    """The hash that a certificate is signed with, like ``SHA-1``; None where the signature has none of its own, or one unknown."""
    try:
        algorithm: Any = certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        return None
    return algorithm.name.upper().replace("SHA", "SHA-") if isinstance(algorithm, hashes.HashAlgorithm) else None


def speaks_for(names: Names, wanted: str) -> bool:
    """Whether a client that wants to reach ``wanted`` takes a certificate with these names.

    RFC 9525 section 6: a wildcard stands for one whole first label, an IP address is compared as such, and the common name
    does not count.
    """
    if is_ip_address(wanted):
        return parse_ip_address(wanted) in names.ip_addresses
    name = wanted.lower().rstrip(".")
    parent = name.partition(".")[2]
    return name in names.dns_names or (bool(parent) and f"*.{parent}" in names.dns_names)


def trust_problems(
    chain: Sequence[x509.Certificate | None], anchors: Sequence[x509.Certificate], now: dt.datetime
) -> list[str]:
    """Why the chain does not lead to an anchor, or may not; empty when it does."""
    readable = [certificate for certificate in chain if certificate is not None]
    if not readable or len(readable) < len(chain) or any(map(is_signed_weakly, readable)):
        return []  # that is a problem already, and such a signature is not even checked
    if len(readable) == 1 and readable[0].issuer == readable[0].subject and readable[0] not in anchors:
        return ["the certificate is self-signed: no CA stands for it"]
    try:
        check_chain(readable, anchors, now)
    except CertificateError as error:
        return [error.message]
    problems = []
    for place, certificate in enumerate(readable[1:]):
        if not is_ca(certificate):
            problems.append(f"'{subject_text(certificate)}' stands in the chain as an issuer and is no CA")
        elif not may_have_below(certificate, place):
            problems.append(f"'{subject_text(certificate)}' may not have so many CAs below it")
    return problems + forbidden_names(with_anchor(readable, anchors))


def with_anchor(chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The chain up to its anchor, which servers leave out; that has its say about names, too."""
    last = chain[-1]
    if fingerprint(last) in {fingerprint(anchor) for anchor in anchors}:
        return list(chain)
    return [*chain, *(anchor for anchor in anchors if is_issued_by(last, anchor))][: len(chain) + 1]


def may_have_below(certificate: x509.Certificate, count: int) -> bool:
    """Whether a CA may have so many CAs between itself and the leaf (RFC 5280 section 4.2.1.9)."""
    most = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    return most is None or count <= most


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether a certificate may issue others (RFC 5280 section 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
