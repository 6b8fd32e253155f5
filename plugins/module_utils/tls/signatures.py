# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The algorithm with which a server signed its handshake, read from its messages: Python's ssl does not tell it before 3.15."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.tls.groups import NAMED_CURVE

# TLS 1.2 has them as a hash and an algorithm, a byte each; the values are the same (RFC 8446 section 4.2.3).
SCHEMES = {
    0x0101: "rsa_md5",
    0x0201: "rsa_pkcs1_sha1",
    0x0202: "dsa_sha1",
    0x0203: "ecdsa_sha1",
    0x0301: "rsa_pkcs1_sha224",
    0x0302: "dsa_sha224",
    0x0303: "ecdsa_sha224",
    0x0401: "rsa_pkcs1_sha256",
    0x0402: "dsa_sha256",
    0x0403: "ecdsa_secp256r1_sha256",
    0x0501: "rsa_pkcs1_sha384",
    0x0502: "dsa_sha384",
    0x0503: "ecdsa_secp384r1_sha384",
    0x0601: "rsa_pkcs1_sha512",
    0x0602: "dsa_sha512",
    0x0603: "ecdsa_secp521r1_sha512",
    0x0804: "rsa_pss_rsae_sha256",
    0x0805: "rsa_pss_rsae_sha384",
    0x0806: "rsa_pss_rsae_sha512",
    0x0807: "ed25519",
    0x0808: "ed448",
    0x0809: "rsa_pss_pss_sha256",
    0x080A: "rsa_pss_pss_sha384",
    0x080B: "rsa_pss_pss_sha512",
    0x081A: "ecdsa_brainpoolP256r1tls13_sha256",
    0x081B: "ecdsa_brainpoolP384r1tls13_sha384",
    0x081C: "ecdsa_brainpoolP512r1tls13_sha512",
    0x0904: "mldsa44",
    0x0905: "mldsa65",
    0x0906: "mldsa87",
}


def scheme_name(number: int) -> str:
    """The name of a signature scheme; its number in hexadecimal, where we know none."""
    return SCHEMES.get(number, f"0x{number:04x}")


def scheme_in_verify(message: bytes) -> str | None:
    """That of a whole CertificateVerify message of TLS 1.3, header included (RFC 8446 section 4.4.3); None: there is none."""
    return scheme_name(int.from_bytes(message[4:6], "big")) if len(message) >= 6 else None


def scheme_in_key_exchange(message: bytes, cipher: str | None, protocol: str | None) -> str | None:
    """That of a whole ServerKeyExchange message, header included, behind what it vouches for (RFC 5246 section 7.4.3, RFC 8422 section 5.4).

    :param cipher: the suite, by OpenSSL's name.
    :param protocol: only TLS 1.2 says it there; versions before have one way for each kind of key.
    """
    if protocol != "TLSv1.2" or not (cipher or "").startswith(("ECDHE-", "DHE-", "EDH-")):
        return None
    if (cipher or "").startswith("ECDHE-"):
        if message[4:5] != bytes([NAMED_CURVE]):
            return None
        start = 8 + int.from_bytes(message[7:8], "big")
    else:
        start = 4
        for _value in ("prime", "generator", "public"):
            start += 2 + int.from_bytes(message[start : start + 2], "big")
    return scheme_name(int.from_bytes(message[start : start + 2], "big")) if start + 2 <= len(message) else None
