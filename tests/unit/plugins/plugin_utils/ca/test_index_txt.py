# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.index_txt import RevokedRow, parse_index


def moment(year: int, month: int = 1, day: int = 2) -> dt.datetime:
    return dt.datetime(year, month, day, 3, 4, 5, tzinfo=dt.timezone.utc)


def row(status: str = "R", end: str = "300102030405Z", revoked: str = "260102030405Z", serial: str = "0A") -> str:
    return "\t".join((status, end, revoked, serial, "unknown", "/CN=client"))


def test_revoked_rows_alone_count() -> None:
    text = "\n".join((row("V", revoked=""), row(), row("E", revoked=""), ""))
    assert parse_index(text) == (RevokedRow(10, moment(2030), moment(2026), "unspecified"),)
    assert parse_index("") == ()


@pytest.mark.parametrize(
    ("revoked", "reason"),
    [
        ("260102030405Z,keyCompromise", "key_compromise"),
        ("260102030405Z,CACompromise", "ca_compromise"),
        ("260102030405Z,superseded", "superseded"),
        ("260102030405Z,keyTime,20260101000000Z", "key_compromise"),
        # Nobody here would end a hold, so it is for good.
        ("260102030405Z,certificateHold", "unspecified"),
        ("260102030405Z,holdInstruction,1.2.840.10040.2.2", "unspecified"),
    ],
)
def test_reasons(revoked: str, reason: str) -> None:
    (found,) = parse_index(row(revoked=revoked))
    assert (found.reason, found.revoked) == (reason, moment(2026))
    assert found.entry().serial_number == 10 and found.entry().revocation_date_utc == moment(2026)


@pytest.mark.parametrize(
    ("end", "year"), [("490102030405Z", 2049), ("500102030405Z", 1950), ("99990102030405Z", 9999), ("20500102030405Z", 2050)]
)  # fmt: skip
def test_years(end: str, year: int) -> None:
    (found,) = parse_index(row(end=end))
    assert found.end == moment(year)


@pytest.mark.parametrize(
    "line", ["-----BEGIN CERTIFICATE-----", row("X"), row(serial="none"), row(revoked=""), row(end="soon"), row().replace("\t", " ")]
)  # fmt: skip
def test_what_is_no_row_is_named_by_its_line(line: str) -> None:
    with pytest.raises(CertificateError, match="line 2 is none of an index.txt of openssl"):
        parse_index(f"{row()}\n{line}")
