# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.rate_limits import (
    CERTIFICATE,
    FAILURE,
    LETS_ENCRYPT,
    ORDER,
    Event,
    Limit,
    Wanted,
    last_two_labels,
    parse_limits,
    refusal,
    registered_domain,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError

DAY = 86400
NOW = 100 * DAY


def limits(**raw: str) -> tuple[Limit, ...]:
    return parse_limits(raw, "ca.example.com", "issuer 'x'")


def certificates(number: int, *names: str, at: int = NOW - DAY) -> list[Event]:
    return [Event(CERTIFICATE, at + each, names) for each in range(number)]


def judged(wanted: Wanted, events: list[Event], due: Sequence[Wanted] = (), **raw: str) -> Any:
    return refusal(wanted, events, due, limits(**raw), NOW, last_two_labels)


NEW = Wanted(("www.example.com",))


@pytest.mark.parametrize(
    ("events", "raw", "refused"),
    [
        ([], {"certificates_per_domain": "1/7d"}, False),
        (certificates(1, "a.example.com"), {"certificates_per_domain": "1/7d"}, True),
        (certificates(1, "a.example.com"), {"certificates_per_domain": "2/7d"}, False),
        (certificates(1, "a.example.org"), {"certificates_per_domain": "1/7d"}, False),
        (certificates(1, "a.example.com", at=NOW - 7 * DAY - 1), {"certificates_per_domain": "1/7d"}, False),
        (certificates(1, "a.example.com"), {"certificates_per_set": "1/7d"}, False),
        (certificates(1, "www.example.com"), {"certificates_per_set": "1/7d"}, True),
        ([Event(ORDER, NOW - 1, ("other.example.org",))], {"orders": "1/3h"}, True),
        ([Event(ORDER, NOW - 3 * 3600 - 1, ("other.example.org",))], {"orders": "1/3h"}, False),
        ([Event(FAILURE, NOW - 1, ("www.example.com",))], {"failures": "1/1h"}, True),
        ([Event(FAILURE, NOW - 1, ("a.example.com",))], {"failures": "1/1h"}, False),
        (certificates(9, "a.example.com"), {}, False),
    ],
)
def test_what_is_over_a_limit(events: list[Event], raw: dict[str, str], refused: bool) -> None:
    assert (judged(NEW, events, **raw) is not None) == refused


def test_from_when_on_there_is_room() -> None:
    events = [Event(CERTIFICATE, NOW - days * DAY, ("a.example.com",)) for days in (6, 4, 2)]
    found = judged(NEW, events, certificates_per_domain="3/7d")
    assert (found.key, found.until) == ("example.com", NOW + 1 * DAY)
    assert judged(NEW, events, certificates_per_domain="2/7d").until == NOW + 3 * DAY
    assert str(found.limit) == "3 certificates of one registered domain in 7d"


def test_the_longest_wait_of_all_limits_is_told() -> None:
    events = [*certificates(1, "www.example.com"), Event(ORDER, NOW - 1, ("www.example.com",))]
    found = judged(NEW, events, orders="1/3h", certificates_per_set="1/7d")
    assert found.limit.name == "certificates_per_set"


@pytest.mark.parametrize(
    ("not_after", "refused"),
    [(NOW + 5 * DAY, False), (NOW + 15 * DAY, True), (NOW + 25 * DAY, True), (0, False)],
)
def test_the_most_urgent_first(not_after: int, refused: bool) -> None:
    """Room for one; two others are due, which end in 10 and 20 days. What does not exist yet waits for nobody."""
    due = [Wanted(("a.example.com",), NOW + 10 * DAY), Wanted(("b.example.com",), NOW + 20 * DAY)]
    wanted = Wanted(("www.example.com",), not_after)
    found = judged(wanted, certificates(1, "x.example.com"), due, certificates_per_domain="2/7d")
    assert (found is not None) == refused


def test_those_of_other_domains_are_not_ahead() -> None:
    due = [Wanted(("a.example.org",), NOW + DAY)] * 5
    wanted = Wanted(("www.example.com",), NOW + 9 * DAY)
    assert judged(wanted, [], due, certificates_per_domain="1/7d") is None
    assert judged(wanted, [], due, orders="5/3h") is not None


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("www.example.com", "example.com"),
        ("*.a.example.com", "example.com"),
        ("example.com", "example.com"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
    ],
)
def test_domains_by_their_last_labels(name: str, domain: str) -> None:
    assert last_two_labels(name) == domain
    domain_of, _by_list = registered_domain()
    assert domain_of(name) == domain


def test_domains_by_the_list_of_public_suffixes() -> None:
    pytest.importorskip("publicsuffixlist")
    domain_of, by_list = registered_domain()
    assert by_list and domain_of("www.example.co.uk") == "example.co.uk"


def test_which_limits_hold() -> None:
    assert parse_limits(None, "ca.example.com", "x") == ()
    by_itself = parse_limits(None, "api.letsencrypt.org", "x")
    assert parse_limits("letsencrypt", "ca.example.com", "x") == by_itself
    assert [f"{limit.count}/{limit.period}" for limit in by_itself] == ["300/10800", "50/604800", "5/604800", "5/3600"]
    assert len(by_itself) == len(LETS_ENCRYPT)
    assert parse_limits("none", "api.letsencrypt.org", "x") == ()


@pytest.mark.parametrize(
    "raw", ["some", {"order": "1/1h"}, {"orders": "1"}, {"orders": "0/1h"}, {"orders": "1/1"}, ["x"]]
)
def test_what_is_no_limit(raw: Any) -> None:
    with pytest.raises(SpecError):
        parse_limits(raw, "ca.example.com", "x")
