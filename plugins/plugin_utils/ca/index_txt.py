# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``index.txt``, in which ``openssl ca`` and easy-rsa note what they issued: its revoked rows. Pure.

A row has six fields between tabs: V, R or E; the certificate's end; when it was revoked, and after a comma why; the serial number,
hexadecimal; a file; the subject (openssl-ca(1), apps/lib/apps.c).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import REASONS, make_entry
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import seconds

FIELDS = 6
# openssl's words, in lower case as it compares them, for ours. A hold is listed like any other: nobody here would end it.
WORDS = {
    **{theirs.lower(): ours for ours, theirs in REASONS.items()},
    "keytime": "key_compromise",
    "cakeytime": "ca_compromise",
}


@dataclass(frozen=True)
class RevokedRow:
    """A certificate that the index has as revoked; ``reason`` one of ``REASONS``."""

    serial: int
    end: dt.datetime
    revoked: dt.datetime
    reason: str

    def entry(self) -> x509.RevokedCertificate:
        """As a CRL lists it."""
        return make_entry(self.serial, seconds(self.revoked), self.reason)


def parse_index(text: str) -> tuple[RevokedRow, ...]:
    """The revoked rows.

    :raises CertificateError: a line that is no row.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split("\t")
        if not line.strip():
            continue
        try:
            if len(fields) != FIELDS or fields[0] not in ("V", "R", "E"):
                raise ValueError("no row")
            found += [parse_row(fields)] if fields[0] == "R" else []
        except ValueError:
            raise CertificateError(
                f"line {number} is none of an index.txt of openssl", remedy="name the index.txt of the CA's folder"
            ) from None
    return tuple(found)


def parse_row(fields: list[str]) -> RevokedRow:
    """One revoked row; :raises ValueError: it is none."""
    moment, _comma, rest = fields[2].partition(",")
    word = rest.partition(",")[0].lower()
    return RevokedRow(int(fields[3], 16), parse_time(fields[1]), parse_time(moment), WORDS.get(word, "unspecified"))


def parse_time(text: str) -> dt.datetime:
    """A UTCTime or GeneralizedTime (RFC 5280, 4.1.2.5: two digits up to 49 are of this century)."""
    form = "%y%m%d%H%M%SZ" if len(text) == len("YYMMDDHHMMSSZ") else "%Y%m%d%H%M%SZ"
    moment = dt.datetime.strptime(text, form).replace(tzinfo=dt.timezone.utc)
    century = 100 if form.startswith("%y") and moment.year >= 2050 else 0
    return moment.replace(year=moment.year - century)
