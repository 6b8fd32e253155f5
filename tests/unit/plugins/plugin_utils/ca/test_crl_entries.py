# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A revocation is never taken back: stores and ledgers that were restored or lost, and CRLs of hosts that know more."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import (
    crl_number,
    is_crl_of,
    make_crl,
    make_entry,
    serials,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_issuing, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import serial_text
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import revoke
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_request, make_spec

HOUR = dt.timedelta(hours=1)
Crl = x509.CertificateRevocationList


def issue(issuer: CaIssuer, number: int = 1, **fields: str) -> str:
    """The serial number of a client's certificate."""
    spec = make_spec("app", usages=["client_auth"], **fields)
    (issued,) = issuer.issue([make_request(spec, request_id=f"request-{number:04}", host="app1")], NOW)
    assert isinstance(issued, Issued), issued
    return serial_text(issued.chain[0].serial_number)


def revoked(issuer: CaIssuer, serial: str, now: dt.datetime = NOW) -> None:
    revoke({issuer.name: issuer}, issuer.store, [serial], "key_compromise", now)


def crl(issuer: CaIssuer, now: dt.datetime = NOW, authority: str = "issuing-1") -> Crl:
    ca = issuer.authorities()[authority]
    (found,) = [each for each in issuer.crls(now) if is_crl_of(each, ca)]
    return found


def number(found: Crl) -> int:
    return crl_number(found) or 0


@pytest.fixture
def restored(tmp_path: Path) -> tuple[CaIssuer, Crl, str]:
    """A store of before a revocation, the CRL that hosts have, and the number it lists."""
    issuer = make_issuer(tmp_path / "store")
    serial = issue(issuer)
    shutil.copytree(tmp_path / "store", tmp_path / "backup")
    revoked(issuer, serial, NOW + HOUR)
    return make_issuer(tmp_path / "backup"), crl(issuer, NOW + HOUR), serial


def test_the_newer_crl_of_a_host_is_merged(restored: tuple[CaIssuer, Crl, str]) -> None:
    older, newer, serial = restored
    another = issue(older, 2)
    revoked(older, another, NOW + 2 * HOUR)
    (said,) = older.take_over_crls([newer], NOW + 2 * HOUR)
    assert "lists 1 certificates that it lacks: merged as number" in said
    merged = crl(older, NOW + 2 * HOUR)
    assert serials(merged) == {serial, another}
    assert number(merged) > number(newer)
    (entry,) = [each for each in merged if serial_text(each.serial_number) == serial]
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    assert older.take_over_crls([newer, merged], NOW + 2 * HOUR) == ()
    # And it goes on being listed: the older ledger knows nothing of it.
    assert serial in serials(crl(older, NOW + 40 * DAY)) and serial in serials(crl(older, NOW + 80 * DAY))


def test_who_revokes_lists_what_hosts_list(restored: tuple[CaIssuer, Crl, str]) -> None:
    older, newer, serial = restored
    another = issue(older, 2)
    done = revoke({older.name: older}, older.store, [another], "superseded", NOW + 2 * HOUR, [newer])
    assert serials(crl(older, NOW + 2 * HOUR)) == {serial, another} and "merged as number" in done.warnings[0]


def test_what_cannot_be_merged_keeps_no_revocation_back(restored: tuple[CaIssuer, Crl, str]) -> None:
    older, newer, _serial = restored
    revoked(older, issue(older, 2), NOW + HOUR)
    third = issue(older, 3)
    reader = make_issuer(Path(older.store.root), passphrase=None)
    done = revoke({reader.name: reader}, reader.store, [third], "superseded", NOW + 2 * HOUR, [newer])
    assert [each.issuance.serial for each in done.revocations] == [third]
    assert "cannot be merged. Give the store's passphrase" in done.warnings[0]


def test_without_a_key_the_store_takes_the_newer_one_as_it_is(restored: tuple[CaIssuer, Crl, str]) -> None:
    older, newer, _serial = restored
    reader = make_issuer(Path(older.store.root), passphrase=None)
    (said,) = reader.take_over_crls([newer], NOW + HOUR)
    assert "the store has taken it" in said and crl(reader, NOW + HOUR) == newer


def test_without_a_key_two_that_differ_are_told(restored: tuple[CaIssuer, Crl, str]) -> None:
    older, newer, serial = restored
    revoked(older, issue(older, 2), NOW + HOUR)
    reader = make_issuer(Path(older.store.root), passphrase=None)
    with pytest.raises(IssuerError, match="cannot be merged. Give the store's passphrase"):
        reader.take_over_crls([newer], NOW + HOUR)
    assert serial not in serials(crl(reader, NOW + HOUR))


def test_a_number_alone_is_reason_enough(tmp_path: Path) -> None:
    """Numbers only rise (RFC 5280, 5.2.3), also where a store was restored that lacks no revocation."""
    issuer = make_issuer(tmp_path / "store")
    issue(issuer)
    shutil.copytree(tmp_path / "store", tmp_path / "backup")
    newer = crl(issuer, NOW + 4 * DAY)
    older = make_issuer(tmp_path / "backup")
    assert older.take_over_crls([newer], NOW + 4 * DAY)
    assert number(crl(older, NOW + 4 * DAY)) > number(newer)


def test_only_what_our_ca_has_signed_counts(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    serial = issue(issuer)
    before = crl(issuer)
    root = make_root("internal CA Root", "ecdsa-p256", NOW, 365 * DAY)
    name = str(before.issuer.rfc4514_string()).removeprefix("CN=")
    forger = make_issuing(name, "ecdsa-p256", root, NOW, 200 * DAY)
    entry = make_entry(int(serial, 16), 1, "key_compromise")
    forged = make_crl(forger, [entry], number=9**20, now=NOW, lifetime=DAY)
    assert forged.issuer == before.issuer
    assert issuer.take_over_crls([forged], NOW) == () and crl(issuer) == before


def test_an_entry_whose_end_is_known_and_past_is_not_missed(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    serial = issue(issuer, duration="2d")
    revoked(issuer, serial)
    old = crl(issuer)
    for days in (4, 8):
        now = NOW + days * DAY
        gone = crl(issuer, now)
    assert serial not in serials(gone)
    assert issuer.take_over_crls([old], now) == () and crl(issuer, now) == gone


@pytest.mark.parametrize("lost", ["restored", "removed"])
def test_the_ledger_alone_restored_or_lost(lost: str, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path / "store")
    known = issue(issuer, 1, duration="2d")
    ledger = tmp_path / "store/ledger.sqlite3"
    shutil.copy(ledger, tmp_path / "ledger")
    revoked(issuer, known)
    unknown = issue(issuer, 2, duration="2d")
    revoked(issuer, unknown)
    ledger.unlink()
    if lost == "restored":
        shutil.copy(tmp_path / "ledger", ledger)
    issuer = make_issuer(tmp_path / "store")
    lists = [serials(crl(issuer, NOW + days * DAY)) for days in (0, 4, 8, 12)]
    # Listed once more after the certificate's end, then left out; where that end is not known, for good.
    both, rest = {known, unknown}, {unknown} if lost == "restored" else {known, unknown}
    assert lists == [both, both, rest, rest]


def test_a_crl_from_the_future_is_due_and_mended(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    serial = issue(issuer)
    revoked(issuer, serial)
    wrong = crl(issuer, NOW + 5 * DAY)
    assert wrong.last_update_utc > NOW
    again = make_issuer(tmp_path)
    assert "the CRL of issuing-1 is from the future" in str(again.crls_due(NOW))
    mended = crl(again)
    assert mended.last_update_utc < NOW and serials(mended) == {serial} and number(mended) > number(wrong)
    assert again.crls_due(NOW) is None
