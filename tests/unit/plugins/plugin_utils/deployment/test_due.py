# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host is left out only where everything that is known says that there is nothing to do."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.due import (
    REASONS,
    WEEK,
    KnownHost,
    StoreView,
    due_hosts,
    is_week_over,
    wanted_early,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair, LastLook

NOW = 1_800_000_000
DAY = 86400
PAIR = KnownPair("aa", NOW - DAY, NOW + DAY, "pool1")
LOOK = LastLook(NOW - 1, "w", {"internal": "t"}, None, {"www": PAIR})
VIEW = StoreView({"aa", "bb"}, set(), {"internal": "t"}, {"internal": "l"}, {"pool1": "aa"})
LISTED = dataclasses.replace(LOOK, lists={"internal": "l"})


def chosen(look: LastLook | None = LOOK, view: StoreView | None = VIEW, wishes: str = "w", **more: Any) -> str | None:
    """Why a host is visited, among others that are in order."""
    others = [KnownHost("calm", "w", LOOK, view)] if view is VIEW else []
    return due_hosts([*others, KnownHost("web1", wishes, look, view)], NOW, **more).get("web1")


def test_in_order_is_left_out() -> None:
    assert chosen() is None and chosen(LISTED) is None
    # One that has trust to keep and no certificate.
    assert chosen(dataclasses.replace(LOOK, certificates={})) is None


@pytest.mark.parametrize(
    ("code", "look", "view"),
    [
        ("unknown", None, {}),
        ("unknown", {"at": NOW + 1}, {}),
        ("week", {"at": NOW - WEEK}, {}),
        ("renewal", {"certificates": {"www": dataclasses.replace(PAIR, due_at=NOW)}}, {}),
        ("ledger", {}, {"issued": {"bb"}}),
        ("ledger", {"certificates": {"www": PAIR, "own": KnownPair("cc", NOW, NOW + DAY)}}, {}),
        ("revoked", {"certificates": {"www": dataclasses.replace(PAIR, waits=True)}}, {"revoked": {"aa"}}),
        ("pool", {}, {"pools": {"pool1": "bb"}}),
        ("pool", {}, {"pools": {"pool1": ""}}),
        ("rotation", {}, {"rotating": True}),
        ("tickets", {}, {"behind": {"web1"}}),
        ("trust", {}, {"trust": {"internal": "other"}}),
        ("trust", {}, {"trust": {"internal": "t", "second": "s"}}),
        ("lists", {"lists": {"internal": "old"}}, {}),
        ("lists", {"lists": {"internal": "l"}}, {"lists_due": True}),
    ],
)
def test_each_reason(code: str, look: dict[str, Any] | None, view: dict[str, Any]) -> None:
    known = None if look is None else dataclasses.replace(LOOK, **look)
    assert chosen(known, dataclasses.replace(VIEW, **view) if view else VIEW) == code
    assert code in REASONS


def test_a_certificate_that_waits_for_its_window_does_so_whatever_its_pool_has() -> None:
    waits = dataclasses.replace(LOOK, certificates={"www": dataclasses.replace(PAIR, waits=True)})
    assert chosen(waits, dataclasses.replace(VIEW, pools={"pool1": "bb"})) is None


def test_a_revoked_certificate_that_a_deployment_would_leave_is_no_reason() -> None:
    assert chosen(view=dataclasses.replace(VIEW, revoked={"aa"})) is None


def test_a_changed_inventory_and_a_store_that_cannot_be_read() -> None:
    assert chosen(wishes="other") == "inventory"
    assert chosen(view=None) == "unknown"


def test_what_is_forced() -> None:
    assert chosen(force=True) == chosen(None, force=True) == "forced"
    assert chosen(force=("www",)) == chosen(force=("pool1",)) == "forced"
    assert chosen(force=("other",)) is None and chosen(force=()) is None


def test_an_issuer_that_cannot_be_read_says_nothing_against_a_host() -> None:
    look = dataclasses.replace(LOOK, trust={"internal": "t", "away": "x"})
    assert chosen(look) is None


def test_lists_and_cas_that_are_due_are_somebodys_work() -> None:
    due = dataclasses.replace(VIEW, ca_due=True, lists_due=True)
    calm = [KnownHost(name, "w", LOOK, due) for name in ("a", "b", "c")]
    assert due_hosts(calm, NOW) == {"a": "ca"}
    assert due_hosts([*calm, KnownHost("d", "w", LISTED, due)], NOW) == {"d": "lists"}
    assert due_hosts([*calm, KnownHost("e", "w", LOOK, VIEW)], NOW) == {"a": "ca"}
    # An issuer that is away is reported by one host.
    sick = dataclasses.replace(VIEW, ca_due=True)
    assert due_hosts([KnownHost(name, "w", LISTED, sick) for name in ("a", "b")], NOW) == {"a": "ca"}


def test_a_ca_that_is_due_is_not_left_to_a_host_that_may_be_dead() -> None:
    due = dataclasses.replace(VIEW, ca_due=True)
    fresh = dataclasses.replace(LOOK, at=NOW - 1)
    dead = [KnownHost("a", "w", dataclasses.replace(LOOK, at=NOW - WEEK), due), KnownHost("b", "w", None, due)]
    old = KnownHost("c", "w", dataclasses.replace(LOOK, at=NOW - 2), due)
    found = due_hosts([*dead, old, KnownHost("d", "w", fresh, due)], NOW)
    assert found == {"a": "week", "b": "unknown", "d": "ca"}


def test_a_host_of_whom_nothing_is_wanted_any_more_is_visited_once() -> None:
    def visited(look: LastLook | None, wishes: str, view: StoreView | None = None) -> dict[str, str]:
        return due_hosts([KnownHost("web1", wishes, look, view, concerned=False)], NOW, force=True)

    assert visited(LOOK, "less") == {"web1": "inventory"}
    assert visited(LOOK, "w") == visited(None, "w") == {}


def test_what_a_ca_wants_early() -> None:
    hosts = [KnownHost("a", "w", LOOK, VIEW), KnownHost("b", "w", None, VIEW)]
    assert wanted_early(hosts, {"aa"}) == {"a": "early"} and wanted_early(hosts, {"bb"}) == {}


def test_the_looks_of_a_week_are_spread_evenly_and_nobody_is_forgotten() -> None:
    names = [f"host{number}" for number in range(2000)]
    days = Counter(next(day for day in range(1, 9) if is_week_over(name, NOW, NOW + day * DAY)) for name in names)
    assert set(days) == set(range(1, 8)) and max(days.values()) < 1.25 * 2000 / 7
    # Looked at again by then, it has a week again; and daily runs come to each within eight days.
    assert not any(is_week_over(name, NOW, NOW) for name in names)
    for name in names[:50]:
        looks = 0
        at = NOW
        for day in range(1, 71):
            if is_week_over(name, at, NOW + day * DAY):
                looks, at = looks + 1, NOW + day * DAY
        assert looks == 10
