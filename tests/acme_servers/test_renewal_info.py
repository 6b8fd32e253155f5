# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renewal information (RFC 9773) through the proxy: one moment, kept; asked as seldom as the CA wants; and orders that replace."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509

from acme_servers.proxy import Answer, Proxy, RenewalInfo, Seen
from acme_servers.world import World, now, obtained
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.renewal_window import ari_id, latest

DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)


def text(moment: dt.datetime) -> str:
    """RFC 3339."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def window(start: dt.timedelta, end: dt.timedelta) -> tuple[str, str]:
    """A window from now on."""
    return text(now() + start), text(now() + end)


def days_ahead(proxy: Proxy, start: int = 10, end: int = 20) -> RenewalInfo:
    """Renewal information that says: in so many days."""
    return RenewalInfo(proxy, window(start * DAY, end * DAY)).install()


def leaf_of(world: World, **options: object) -> x509.Certificate:
    """A certificate of the CA."""
    return obtained(world.ready(**options), world.request()).chain[0]


def test_one_moment_in_the_window_kept(world: World) -> None:
    info = days_ahead(world.proxy)
    leaf = leaf_of(world)
    moment = world.issuer().advice(leaf, now())
    assert moment is not None
    assert info.default[0] <= text(moment) <= info.default[1]
    assert [world.issuer().advice(leaf, now()) for _run in range(5)] == [moment] * 5
    assert info.requests == 1


def test_nothing_but_renewal_information_is_asked_for(world: World) -> None:
    days_ahead(world.proxy)
    leaf = leaf_of(world)
    before = len(world.proxy.seen)
    world.issuer().advice(leaf, now())
    assert [each.path.split("/")[1] for each in world.proxy.seen[before:]] == ["renewal-info"]


def test_asked_again_when_the_ca_said(world: World) -> None:
    info = days_ahead(world.proxy)
    info.retry_after = "7200"
    leaf = leaf_of(world)
    start = now()
    for after, requests in ((0 * HOUR, 1), (1.9 * HOUR, 1), (2.1 * HOUR, 2), (3.9 * HOUR, 2), (4.2 * HOUR, 3)):
        world.issuer().advice(leaf, start + after)
        assert info.requests == requests


def test_no_more_often_than_is_reasonable(world: World) -> None:
    info = days_ahead(world.proxy)
    leaf = leaf_of(world)
    start = now()
    info.retry_after = "0"
    for seconds, requests in ((0, 1), (30, 1), (61, 2)):
        world.issuer().advice(leaf, start + dt.timedelta(seconds=seconds))
        assert info.requests == requests
    info.retry_after = "99999999"
    world.issuer().advice(leaf, start + HOUR)
    world.issuer().advice(leaf, start + 26 * HOUR)
    assert info.requests == 4


def test_a_window_that_was_moved(world: World) -> None:
    """A CA that has to revoke moves it into the past: due now."""
    info = days_ahead(world.proxy)
    leaf = leaf_of(world)
    first = world.issuer().advice(leaf, now())
    info.windows[str(ari_id(leaf))] = window(-3 * DAY, -2 * DAY)
    assert world.issuer().advice(leaf, now() + HOUR) == first
    moved = world.issuer().advice(leaf, now() + 7 * HOUR)
    assert moved is not None
    assert moved < now()


def test_never_later_than_a_twentieth_before_the_end(world: World) -> None:
    days_ahead(world.proxy, 4000, 5000)
    leaf = leaf_of(world)
    assert world.issuer().advice(leaf, now()) == latest(leaf) < leaf.not_valid_after_utc


@pytest.mark.parametrize(
    "failing",
    [
        Answer.problem(404, "malformed"),
        Answer.problem(503, "serverInternal", Retry_After="7200"),
        Answer(200, [("Content-Type", "text/html")], b"<html>"),
        Answer.json({"suggestedWindow": {"start": "yesterday", "end": "tomorrow"}}),
        Answer.json({"suggestedWindow": {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}}),
        Answer.json([1]),
    ],
)
def test_what_cannot_be_fetched_fails_nothing(world: World, failing: Answer) -> None:
    info = days_ahead(world.proxy)
    leaf = leaf_of(world)
    info.failing = failing
    assert world.issuer().advice(leaf, now()) is None
    assert world.issuer().advice(leaf, now() + HOUR / 2) is None
    assert info.requests == 1


def test_what_was_said_last_holds_when_the_ca_is_down(world: World) -> None:
    info = days_ahead(world.proxy)
    leaf = leaf_of(world)
    moment = world.issuer().advice(leaf, now())
    info.failing = Answer.problem(500, "serverInternal")
    assert world.issuer().advice(leaf, now() + 7 * HOUR) == moment
    assert info.requests == 2


def test_a_ca_that_is_gone(world: World) -> None:
    """Not even a connection; and no account of this CA at all."""
    days_ahead(world.proxy)
    leaf = leaf_of(world)
    elsewhere = world.issuer(directory_url="https://127.0.0.1:1/dir")
    assert elsewhere.advice(leaf, now()) is None
    account = world.folder / "store/acme/public/account.json"
    account.write_text(account.read_text().replace(str(world.proxy.port), "1"))
    assert world.issuer(directory_url="https://127.0.0.1:1/dir").advice(leaf, now()) is None


def test_a_ca_without_renewal_information(world: World) -> None:
    leaf = leaf_of(world)
    before = len(world.proxy.seen)
    assert world.issuer().advice(leaf, now()) is None
    assert len(world.proxy.seen) == before


def orders(world: World) -> list[object]:
    """What the orders so far say that they replace; refused nonces counted once."""
    said = [(each.payload or {}).get("replaces") for each in world.proxy.seen if each.path == "/order-plz"]
    return [one for place, one in enumerate(said) if place == 0 or one != said[place - 1]]


def test_a_renewal_says_what_it_replaces(world: World) -> None:
    days_ahead(world.proxy)
    leaf = leaf_of(world)
    obtained(world.issuer(), world.request(present=leaf))
    assert orders(world) == [None, ari_id(leaf)]


def test_without_renewal_information_nothing_is_replaced(world: World) -> None:
    leaf = leaf_of(world)
    obtained(world.issuer(), world.request(present=leaf))
    assert orders(world) == [None]


@pytest.mark.parametrize(
    "answer",
    [
        Answer.problem(409, "alreadyReplaced"),
        Answer.problem(409, "conflict"),
        Answer.problem(400, "malformed", "no certificate of ours"),
        Answer.problem(403, "unauthorized", "another account's"),
    ],
    ids=["alreadyReplaced", "conflict", "malformed", "unauthorized"],
)
def test_what_cannot_be_replaced_is_ordered_without(world: World, answer: Answer) -> None:
    days_ahead(world.proxy)
    leaf = leaf_of(world)

    def refuse(seen: Seen) -> Answer | None:
        return answer if (seen.payload or {}).get("replaces") else None

    world.proxy.before.append(refuse)
    obtained(world.issuer(), world.request(present=leaf))
    assert orders(world) == [None, ari_id(leaf), None]
    # It is not tried a second time.
    obtained(world.issuer(), world.request(present=leaf))
    assert orders(world) == [None, ari_id(leaf), None]


def test_other_refusals_stay_refusals(world: World) -> None:
    days_ahead(world.proxy)
    leaf = leaf_of(world)
    world.proxy.before.append(
        lambda seen: Answer.problem(403, "rejectedIdentifier") if (seen.payload or {}).get("replaces") else None
    )
    (found,) = world.issuer().issue([world.request(present=leaf)], now())
    assert "rejectedIdentifier" in str(found)
