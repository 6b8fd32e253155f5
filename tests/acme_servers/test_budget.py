# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rate budget with a CA that has limits: the most urgent first, the rest left for a later run; renewals by ARI are free."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest

from acme_servers.proxy import RenewalInfo
from acme_servers.world import World, make_spec, now, obtained, refused
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import Deferred

TWO = {"limits": {"certificates_per_domain": "2/7d"}}


def test_over_budget(world: World) -> None:
    issuer = world.ready(**TWO)
    for _each in range(2):
        obtained(issuer, world.request())
    orders = len(world.proxy.accepted("/order-plz"))
    found = refused(world.issuer(**TWO), world.request())
    assert isinstance(found, Deferred)
    assert "2 certificates of one registered domain in 7d (example.com) are all that the CA gives" in str(found)
    assert "there is room again in 168.0 h" in str(found)
    assert len(world.proxy.accepted("/order-plz")) == orders
    obtained(world.issuer(**TWO), world.request(dns_names=["www.example.org"]))


def test_many_hosts_at_once_share_what_is_left(world: World) -> None:
    world.ready(**TWO)
    requests = [world.request(f"host{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda request: world.issuer(**TWO).issue([request], now())[0], requests))
    assert sorted(type(answer).__name__ for answer in answers) == ["Deferred", "Deferred", "Issued", "Issued"]
    assert len(world.rows()) == 2


def test_what_is_left_goes_to_the_first_of_one_host(world: World) -> None:
    issuer = world.ready(**TWO)
    answers = issuer.issue([world.request(f"host{number}") for number in range(5)], now())
    assert [type(answer).__name__ for answer in answers] == ["Issued", "Issued", "Deferred", "Deferred", "Deferred"]
    assert len(world.rows()) == 2


def test_the_plan_of_check_mode_says_the_same(world: World) -> None:
    issuer = world.ready(**TWO)
    assert issuer.forecast("web1", make_spec(), None, now()) is None
    for _each in range(2):
        obtained(issuer, world.request())
    found = world.issuer(**TWO).forecast("web1", make_spec(), None, now())
    assert isinstance(found, Deferred)
    assert world.issuer(**TWO).forecast("web1", make_spec(dns_names=["www.example.org"]), None, now()) is None


def test_a_week_later_there_is_room(world: World) -> None:
    issuer = world.ready(**TWO)
    for _each in range(2):
        obtained(issuer, world.request())
    later = now() + dt.timedelta(days=7, seconds=1)
    assert world.issuer(**TWO).forecast("web1", make_spec(), None, later) is None


def test_orders_count_though_nothing_came_of_them(world: World) -> None:
    limits = {"limits": {"orders": "2/3h"}}
    issuer = world.ready(**limits, challenge={"type": "http-01", "check": False})
    world.responder.thumbprint = "another"
    for name in ("one", "two"):
        assert "could not validate" in str(refused(issuer, world.request(name)))
    assert isinstance(refused(issuer, world.request("three")), Deferred)


def test_failed_validations_of_a_name(world: World) -> None:
    limits = {"limits": {"failures": "1/1h"}}
    issuer = world.ready(**limits, challenge={"type": "http-01", "check": False})
    thumbprint, world.responder.thumbprint = world.responder.thumbprint, "another"
    assert "could not validate" in str(refused(issuer, world.request("one")))
    found = refused(issuer, world.request("one"))
    assert isinstance(found, Deferred)
    assert "1 failed validations of one name in 1h (one.example.com)" in str(found)
    world.responder.thumbprint = thumbprint
    obtained(issuer, world.request("two"))


def test_the_more_urgent_first(world: World) -> None:
    """Room for one more: of two certificates that are due, the one that ends first gets it, whoever asks first."""
    limits = {"limits": {"certificates_per_domain": "3/7d"}}
    issuer = world.ready(**limits)
    early = obtained(issuer, world.request("early")).chain[0]
    late = obtained(issuer, world.request("late")).chain[0]
    # Pebble gives all of them five years, to the second: names decide then.
    assert early.not_valid_after_utc <= late.not_valid_after_utc
    due = early.not_valid_after_utc - dt.timedelta(days=300)
    limits = {"limits": {"certificates_per_domain": "3/2000d"}}
    found = world.issuer(**limits).forecast("web1", make_spec("late"), late, due)
    assert isinstance(found, Deferred)
    assert world.issuer(**limits).forecast("web1", make_spec("early"), early, due) is None
    # What does not exist yet waits for nobody.
    assert world.issuer(**limits).forecast("web1", make_spec("new"), None, due) is None


def test_renewals_by_ari_are_free(world: World) -> None:
    RenewalInfo(world.proxy, ("2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z")).install()
    one = {"limits": {"certificates_per_domain": "1/7d", "certificates_per_set": "1/7d", "orders": "1/3h"}}
    issuer = world.ready(**one)
    leaf = obtained(issuer, world.request()).chain[0]
    assert isinstance(refused(issuer, world.request()), Deferred)
    again = obtained(issuer, world.request(present=leaf)).chain[0]
    obtained(issuer, world.request(present=again))
    assert world.issuer(**one).forecast("web1", make_spec(), leaf, now()) is None
    assert isinstance(refused(issuer, world.request()), Deferred)


def test_an_order_under_way_takes_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host asks while this one is being validated, or after it was killed there."""
    one = {"limits": {"certificates_per_domain": "1/7d"}}
    issuer, request = world.ready(**one), world.request("one")

    class Killed(BaseException):
        """Nothing of ours catches it."""

    def die(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(issuer.solver, "present", die)
        with pytest.raises(Killed):
            issuer.issue([request], now())
    assert isinstance(refused(world.issuer(**one), world.request("two")), Deferred)
    obtained(world.issuer(**one), request)
    assert isinstance(refused(world.issuer(**one), world.request("two")), Deferred)
    assert len(world.rows()) == 1
