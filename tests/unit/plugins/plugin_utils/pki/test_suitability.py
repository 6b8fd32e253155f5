# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import authority_builder, key_identifier_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.suitability import covers, in_order, is_newer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.tests.unit.support.given import DAY, Makers

NOW = dt.datetime(2026, 11, 23, 10, tzinfo=dt.timezone.utc)
MAKERS = Makers(NOW)
PAIR = MAKERS.give()
LEAF, ISSUING, ROOT = PAIR.chain
OTHER = Makers(NOW).give()


@pytest.mark.parametrize(
    ("has", "wanted", "enough"),
    [
        (["a.example"], ["a.example"], True),
        (["a.example", "b.example"], ["a.example"], True),
        (["a.example"], ["a.example", "b.example"], False),
        (["*.example.com"], ["www.example.com"], True),
        (["*.example.com"], ["example.com"], False),
        (["*.example.com"], ["a.b.example.com"], False),
        (["*.example.com"], ["*.example.com"], True),
        (["www.example.com"], ["*.example.com"], False),
        (["*.com"], ["*.example.com"], False),
        ([], ["a.example"], False),
    ],
)
def test_covers(has: list[str], wanted: list[str], enough: bool) -> None:
    assert covers(Names(dns_names=tuple(has)), Names(dns_names=tuple(wanted))) is enough


def test_covers_other_kinds_exactly() -> None:
    has = Names(dns_names=("a.example",), ip_addresses=("192.0.2.1",), uris=("spiffe://x",))
    assert covers(has, Names(ip_addresses=("192.0.2.1",), uris=("spiffe://x",)))
    assert not covers(has, Names(ip_addresses=("192.0.2.2",)))
    assert not covers(has, Names(dns_names=("spiffe://x",)))


@pytest.mark.parametrize(
    ("given", "chain"),
    [
        ([LEAF, ISSUING], [LEAF, ISSUING]),
        ([ISSUING, LEAF], [LEAF, ISSUING]),
        ([ROOT, ISSUING, LEAF], [LEAF, ISSUING]),
        ([ISSUING, LEAF, ISSUING, LEAF], [LEAF, ISSUING]),
        ([LEAF], [LEAF]),
        ([ROOT], [ROOT]),
    ],
)
def test_in_order(given: list[Any], chain: list[Any]) -> None:
    assert list(in_order(given)) == chain


def test_a_cross_signed_authority_is_no_stranger() -> None:
    key, signer = ISSUING.public_key(), Makers(NOW).root
    builder = authority_builder(
        ISSUING.subject, key, signer.certificate.subject, key_identifier_of(signer.certificate), path_length=0
    )
    cross = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY).sign(signer.private_key, hashes.SHA256())
    assert in_order([LEAF, ISSUING, cross]) == (LEAF, ISSUING, cross)
    assert in_order([cross, LEAF]) == (LEAF, cross)


@pytest.mark.parametrize("given", [[LEAF, OTHER.leaf], [LEAF, ISSUING, OTHER.leaf], []])
def test_not_one_chain(given: list[Any]) -> None:
    with pytest.raises(CertificateError, match="not one chain"):
        in_order(given)


def test_strangers_come_last() -> None:
    assert in_order([OTHER.chain[1], LEAF, ISSUING]) == (LEAF, ISSUING, OTHER.chain[1])


def test_is_newer() -> None:
    old = MAKERS.give(age=10 * DAY).leaf
    new, same_age = MAKERS.give(age=DAY).leaf, MAKERS.give(age=10 * DAY, lifetime=91 * DAY).leaf
    assert is_newer(new, old, NOW) and not is_newer(old, new, NOW) and not is_newer(new, new, NOW)
    assert is_newer(same_age, old, NOW) and not is_newer(old, same_age, NOW)
    assert not is_newer(MAKERS.give(age=-DAY).leaf, old, NOW)
    assert not is_newer(MAKERS.give(age=5 * DAY, lifetime=2 * DAY).leaf, old, NOW)
