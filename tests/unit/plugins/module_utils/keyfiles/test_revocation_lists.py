# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.revocation_lists import listed, lists_more
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem, make_crl, make_entry
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import Authority, make_root

NOW = dt.datetime(2026, 11, 23, 10, tzinfo=dt.timezone.utc)
WEEK = dt.timedelta(days=7)
# Numbers whose first bit is set have a byte more in DER.
SERIALS = (1, 0x80, 2**158 + 1, 2**64)


@pytest.fixture(scope="module")
def authorities() -> tuple[Authority, Authority]:
    one, other = (make_root(name, "ecdsa-p256", NOW, 10 * WEEK) for name in ("One", "Other"))
    return one, other


def pem(authority: Authority, *serials: int) -> bytes:
    entries = [make_entry(serial, 1, "superseded") for serial in serials]
    return crl_to_pem(make_crl(authority, entries, number=1, now=NOW, lifetime=WEEK)).encode()


def test_numbers_by_authority(authorities: tuple[Authority, Authority]) -> None:
    one, other = authorities
    found = listed(b"# a comment\n" + pem(one, *SERIALS) + pem(other) + pem(one, 7))
    numbers = {frozenset(int.from_bytes(each, "big", signed=True) for each in each) for each in found.values()}
    assert numbers == {frozenset({*SERIALS, 7}), frozenset()}


def test_what_would_be_lost(authorities: tuple[Authority, Authority]) -> None:
    one, other = authorities
    assert lists_more(pem(one, 1, 2), pem(one, 1))
    assert not lists_more(pem(one, 1), pem(one, 1, 2))
    assert lists_more(pem(one) + pem(other, 3), pem(one, 3) + pem(other))
    # A CA that nobody trusts any more.
    assert not lists_more(pem(one, 1) + pem(other, 3), pem(one, 1))
    assert not lists_more(pem(one, 1), b"")


def test_a_long_list(authorities: tuple[Authority, Authority]) -> None:
    one, _other = authorities
    numbers = next(iter(listed(pem(one, *range(1, 20001))).values()))
    assert len(numbers) == 20000


@pytest.mark.parametrize("cut", [0, 1, 30, 100])
def test_what_is_no_list_is_passed_over(cut: int, authorities: tuple[Authority, Authority]) -> None:
    whole = pem(authorities[0], 1)
    lines = whole.splitlines(keepends=True)
    broken = lines[0] + b"".join(lines[1:-1])[:cut] + b"\n" + lines[-1]
    assert listed(broken) == {} and len(listed(broken + whole)) == 1
