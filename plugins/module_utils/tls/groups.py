# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The group in which a handshake agreed on its keys, read from the server's messages: Python's ssl does not tell it."""

from __future__ import annotations

# IANA "TLS Supported Groups", by the names that OpenSSL has for them.
GROUPS = {
    19: "secp192r1",
    21: "secp224r1",
    22: "secp256k1",
    23: "secp256r1",
    24: "secp384r1",
    25: "secp521r1",
    26: "brainpoolP256r1",
    27: "brainpoolP384r1",
    28: "brainpoolP512r1",
    29: "x25519",
    30: "x448",
    31: "brainpoolP256r1tls13",
    32: "brainpoolP384r1tls13",
    33: "brainpoolP512r1tls13",
    256: "ffdhe2048",
    257: "ffdhe3072",
    258: "ffdhe4096",
    259: "ffdhe6144",
    260: "ffdhe8192",
    512: "MLKEM512",
    513: "MLKEM768",
    514: "MLKEM1024",
    4587: "SecP256r1MLKEM768",
    4588: "X25519MLKEM768",
    4589: "SecP384r1MLKEM1024",
}
KEY_SHARE = 51
NAMED_CURVE = 3


def group_name(number: int) -> str:
    """The name of a group; its number in hexadecimal, where we know none."""
    return GROUPS.get(number, f"0x{number:04x}")


def group_in_hello(message: bytes) -> str | None:
    """The group of a whole ServerHello message, header included; None where it has no key share (TLS 1.2, or resumed without one).

    RFC 8446 section 4.1.3: version, 32 bytes of random, a session id with a length of 1, a cipher suite, a compression method, then the
    extensions. The key share (section 4.2.8) begins with its group, in a HelloRetryRequest as well.
    """
    start = 38
    start += 1 + int.from_bytes(message[start : start + 1], "big") + 3
    end = min(len(message), start + 2 + int.from_bytes(message[start : start + 2], "big"))
    start += 2
    while start + 4 <= end:
        kind = int.from_bytes(message[start : start + 2], "big")
        length = int.from_bytes(message[start + 2 : start + 4], "big")
        if kind == KEY_SHARE and length >= 2 and start + 6 <= end:
            return group_name(int.from_bytes(message[start + 4 : start + 6], "big"))
        start += 4 + length
    return None


def group_in_key_exchange(message: bytes, cipher: str | None) -> str | None:
    """The group of a whole ServerKeyExchange message (TLS 1.2 and below), header included.

    :param cipher: the suite, by OpenSSL's name: what the message holds depends on it (RFC 8422 section 5.4, RFC 5246 section 7.4.3).
    :returns: a named curve, ``dh-2048`` for finite fields, by the prime's bits; None for suites without such an exchange.
    """
    name = cipher or ""
    if name.startswith("ECDHE-") and message[4:5] == bytes([NAMED_CURVE]) and len(message) >= 7:
        return group_name(int.from_bytes(message[5:7], "big"))
    if name.startswith(("DHE-", "EDH-")) and len(message) >= 6:
        prime = message[6 : 6 + int.from_bytes(message[4:6], "big")]
        return f"dh-{int.from_bytes(prime, 'big').bit_length()}"
    return None
