# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_renew_before
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import Validity, parse_moment, validity_of
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority

BEGIN = dt.datetime(2026, 11, 1, tzinfo=dt.timezone.utc)
END = dt.datetime(2026, 12, 1, tzinfo=dt.timezone.utc)


@pytest.mark.parametrize(
    ("now", "within", "expiring", "expired"),
    [
        ("2026-11-02T00:00:00Z", "14d", False, False),
        ("2026-11-16T23:59:59Z", "14d", False, False),
        ("2026-11-17T00:00:00Z", "14d", True, False),
        ("2026-11-30T11:59:59Z", "12h", False, False),
        ("2026-11-30T12:00:00Z", "12h", True, False),
        ("2026-11-21T00:00:00Z", "33%", False, False),
        ("2026-11-21T03:00:00Z", "33%", True, False),
        ("2026-11-30T23:59:59Z", "1s", True, False),
        ("2026-12-01T00:00:00Z", "1s", True, True),
        # More than its lifetime: it does end within that.
        ("2026-11-02T00:00:00Z", "90d", True, False),
        ("2027-01-01T00:00:00Z", "33%", True, True),
    ],
)
def test_moments(now: str, within: str, expiring: bool, expired: bool) -> None:
    validity = Validity(END, BEGIN)
    assert validity.expiring(parse_renew_before(within), parse_moment(now)) is expiring
    assert validity.expired(parse_moment(now)) is expired


def test_a_duration_needs_no_beginning() -> None:
    assert Validity(END).expiring(parse_renew_before("14d"), BEGIN) is False
    assert Validity(END).expiring(parse_renew_before("30d"), BEGIN) is True
    assert Validity(END).expiring(parse_renew_before("31d"), BEGIN) is True


def test_a_percentage_does() -> None:
    with pytest.raises(TlsError, match="needs not_before"):
        Validity(END).expiring(parse_renew_before("33%"), BEGIN)
    # What is over is over, whenever it began.
    assert Validity(END).expiring(parse_renew_before("33%"), END) is True


def test_mappings_and_pem_say_the_same(tmp_path: Path) -> None:
    pair = Authority(tmp_path / "ca").issue("www", days=7)
    seen = validity_of(pair.chain.read_text())
    assert seen.not_before is not None and seen.not_after - seen.not_before == dt.timedelta(days=7)
    text = seen.not_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert validity_of({"not_after": text}) == Validity(seen.not_after)
    assert validity_of({"not_after": text, "not_before": seen.not_before.isoformat()}) == seen


def test_without_a_zone_it_is_utc() -> None:
    assert parse_moment("2026-12-01T00:00:00") == parse_moment("2026-12-01T01:00:00+01:00") == END


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "neither a PEM certificate nor a mapping"),
        ({}, "neither a PEM certificate nor a mapping"),
        ({"not_after": None}, "neither a PEM certificate nor a mapping"),
        (["x"], "neither a PEM certificate nor a mapping"),
        ({"not_after": "soon"}, "'soon' is not a moment"),
        ("no certificate", "not a complete PEM certificate"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "cannot be parsed"),
    ],
)
def test_refused(value: Any, complaint: str) -> None:
    with pytest.raises(TlsError, match=complaint):
        validity_of(value)
