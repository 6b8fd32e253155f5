# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of TLS by their names: IANA's registry "Transport Layer Security (TLS) Parameters", as far as people meet them."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.fleet.tls.plugins.module_utils.tls.signatures import SCHEMES

__all__ = ("MESSAGES", "SCHEMES", "VERSIONS", "is_grease", "name_of")
VERSIONS = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}

# Handshake types (RFC 8446 appendix B.3, RFC 5246 section 7.4, RFC 6066 section 8, RFC 8879 section 4).
MESSAGES = {
    0: "HelloRequest",
    1: "ClientHello",
    2: "ServerHello",
    4: "NewSessionTicket",
    5: "EndOfEarlyData",
    8: "EncryptedExtensions",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    16: "ClientKeyExchange",
    20: "Finished",
    22: "CertificateStatus",
    24: "KeyUpdate",
    25: "CompressedCertificate",
}


def name_of(table: Mapping[int, str], number: int) -> str:
    """A number's name, or the number in hexadecimal where it is none that we know."""
    return table.get(number) or f"0x{number:04x}"


def is_grease(number: int) -> bool:
    """Whether a number is one of those that are there to be ignored (RFC 8701)."""
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF
