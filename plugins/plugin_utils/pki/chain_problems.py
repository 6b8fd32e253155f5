# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a chain can be told: each code with the section that it is from. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class ChainCode(NamedTuple):
    """Where a rule stands. ``soft``: only some clients refuse for it, so it is no reason to refuse what an issuer gives."""

    source: str
    soft: bool = False


CODES = {
    # of the leaf
    "expired": ChainCode("RFC 5280 4.1.2.5"),
    "not_yet_valid": ChainCode("RFC 5280 4.1.2.5"),
    "name_mismatch": ChainCode("RFC 9525 6 (before: RFC 6125 6.4)"),
    "wrong_usage": ChainCode("RFC 5280 4.2.1.12"),
    "wrong_key_usage": ChainCode("RFC 5280 4.2.1.3, RFC 8446 4.4.2.2"),
    "precertificate": ChainCode("RFC 6962 3.1"),
    # of any certificate of the path
    "unreadable": ChainCode("RFC 5280 4.1, 4.2"),
    "unknown_critical_extension": ChainCode("RFC 5280 4.2"),
    "weak_key": ChainCode("CA/B Forum Baseline Requirements 6.1.5; OpenSSL security level 2", soft=True),
    "weak_signature": ChainCode("RFC 9155; OpenSSL, Go, browsers"),
    # of a CA
    "ca_expired": ChainCode("RFC 5280 6.1.3 (a) (2)"),
    "ca_not_yet_valid": ChainCode("RFC 5280 6.1.3 (a) (2)"),
    "not_a_ca": ChainCode("RFC 5280 6.1.4 (k)"),
    "no_cert_sign": ChainCode("RFC 5280 6.1.4 (n)"),
    "path_too_long": ChainCode("RFC 5280 6.1.4 (l), (m)"),
    "ca_wrong_usage": ChainCode("CA/B Forum Baseline Requirements 7.1.2.10.6; OpenSSL, Go, NSS"),
    "name_not_allowed": ChainCode("RFC 5280 6.1.3 (b), (c)"),
    "identifier_mismatch": ChainCode("RFC 5280 4.2.1.1; OpenSSL"),
    # of the path
    "bad_signature": ChainCode("RFC 5280 6.1.3 (a) (1)"),
    "self_signed": ChainCode("RFC 5280 6.1.1 (d)"),
    "no_path": ChainCode("RFC 5280 6.1, RFC 4158"),
    "too_much_work": ChainCode("RFC 4158 2.4.2"),
    # a notice: clients of TLS 1.3 do not mind
    "wrong_order": ChainCode("RFC 8446 4.4.2", soft=True),
}


@dataclass(frozen=True)
class ChainProblem:
    """One thing that is wrong: its code in :data:`CODES`, and words for people."""

    code: str
    message: str

    @property
    def soft(self) -> bool:
        """Whether only some clients refuse for it."""
        return CODES[self.code].soft

    def __str__(self) -> str:
        return self.message
