# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ClientHello of our own. It offers what OpenSSL would not, and one thing alone; the handshake it begins is never ended.

So no private key is needed: a key share is a point that everybody knows. What a server makes of it protects nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

SSL3, TLS10, TLS11, TLS12, TLS13 = 0x0300, 0x0301, 0x0302, 0x0303, 0x0304
SERVER_NAME, GROUPS, POINT_FORMATS, SCHEMES, EXTENDED_MASTER_SECRET = 0, 10, 11, 13, 23
SUPPORTED_VERSIONS, CERTIFICATE_SCHEMES, KEY_SHARE, RENEGOTIATION = 43, 50, 51, 0xFF01
# "I know of secure renegotiation" where there are no extensions (RFC 5746 section 3.3).
RENEGOTIATION_SIGNAL = 0x00FF
# Prefixes of groups' generators as uncompressed points (SEC 2 sections 2.4.2 to 2.6.1), and what else is a valid public key.
P256 = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
P384 = bytes.fromhex(
    "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7"
    "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"
)
P521 = bytes.fromhex(
    "0400c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ff"
    "a8de3348b3c1856a429bf97e7e31c2e5bd66011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e"
    "662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650"
)
X25519 = (9).to_bytes(32, "little")
# An encapsulation key of ML-KEM-768 (FIPS 203 section 7.2): 1152 bytes of coefficients, all below q, and 32 of seed.
MLKEM768 = bytes(1184)
SHARES = {
    23: P256,
    24: P384,
    25: P521,
    29: X25519,
    30: (5).to_bytes(56, "little"),
    # RFC 7919: any number between 1 and p-1.
    **{256 + place: (2).to_bytes(size, "big") for place, size in enumerate((256, 384, 512, 768, 1024))},
    4587: P256 + MLKEM768,
    4588: MLKEM768 + X25519,
}


class Offer(NamedTuple):
    """What is offered, in numbers of IANA's registries.

    :param version: the only one, ``0x0303`` for TLS 1.2.
    :param share: a key for this group goes along; None: the server is to say for which it wants one (RFC 8446 section 4.2.8).
    :param whole: read on until it is known how the server signs, not only that it agrees.
    """

    version: int
    suites: tuple[int, ...]
    groups: tuple[int, ...] = ()
    schemes: tuple[int, ...] = ()
    share: int | None = None
    whole: bool = False


def client_hello(offer: Offer, server_name: str | None, every_scheme: Sequence[int]) -> bytes:
    """The record with the message.

    :param server_name: as it is sent; None: no name.
    :param every_scheme: by which the certificates above the leaf may be signed.
    """
    suites = numbers(offer.suites)
    if offer.version < TLS13:
        suites += numbers((RENEGOTIATION_SIGNAL,))
    legacy = min(offer.version, TLS12)
    session = os.urandom(32) if offer.version == TLS13 else b""
    body = legacy.to_bytes(2, "big") + os.urandom(32) + vector(session, 1) + vector(suites, 2) + b"\x01\x00"
    if offer.version > SSL3:
        body += vector(extensions(offer, server_name, every_scheme), 2)
    message = b"\x01" + vector(body, 3)
    return b"\x16" + min(offer.version, TLS10).to_bytes(2, "big") + vector(message, 2)


def extensions(offer: Offer, server_name: str | None, every_scheme: Sequence[int]) -> bytes:
    """Those that an offer needs."""
    found: list[tuple[int, bytes]] = []
    if server_name:
        found.append((SERVER_NAME, vector(b"\x00" + vector(server_name.encode("idna"), 2), 2)))
    if offer.groups:
        found += [(GROUPS, vector(numbers(offer.groups), 2)), (POINT_FORMATS, b"\x01\x00")]
    if offer.version >= TLS12 and offer.schemes:
        found += [(SCHEMES, vector(numbers(offer.schemes), 2)), (CERTIFICATE_SCHEMES, vector(numbers(every_scheme), 2))]
    if offer.version == TLS13:
        share = b"" if offer.share is None else numbers((offer.share,)) + vector(SHARES[offer.share], 2)
        found += [(SUPPORTED_VERSIONS, vector(numbers((TLS13,)), 1)), (KEY_SHARE, vector(share, 2))]
    else:
        found.append((EXTENDED_MASTER_SECRET, b""))
    return b"".join(numbers((kind,)) + vector(data, 2) for kind, data in found)


def vector(data: bytes, size: int) -> bytes:
    """Bytes behind their length, a number of so many bytes."""
    return len(data).to_bytes(size, "big") + data


def numbers(values: Sequence[int]) -> bytes:
    """Numbers of two bytes."""
    return b"".join(value.to_bytes(2, "big") for value in values)
