# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which orders of a host overlap, and whose time their waiting for each other is. Without a CA; with one: tests/acme_servers."""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("acme", reason="the suite unit-lowest has none: it wants a newer cryptography")

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.network import Network
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.order import Order
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.ordering import OrderRound
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import Deferred
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.plugins.sub_plugins.solver.acme_dns import AcmeDnsSolver

PAUSE = 0.05


def request(name: str, *domains: str) -> Any:
    return IssueRequest(name, "web1", name, None, Names(domains), ("server_auth",), None, "first")  # type: ignore[arg-type]


def solver(**shared: str) -> AcmeDnsSolver:
    """With registrations that the user has given: domain, with _ for a dot, and where it leads to."""
    accounts = {
        domain.replace("_", "."): {"username": "u", "password": "p", "subdomain": "s", "fulldomain": full}
        for domain, full in shared.items()
    }
    return AcmeDnsSolver({"server": "https://auth.example.org", "accounts": accounts}, "challenge")


@dataclass
class Fake:
    """An issuer's options as far as they are read here."""

    solver: Any


def network() -> Network:
    return Network(None, verify=None, patience=60)


class Rounds(OrderRound):
    """One that orders nothing, and notes whose orders overlapped."""

    def __call__(self, request: IssueRequest) -> Any:
        with LOCK:
            UNDER_WAY.add(request.certificate)
            MET.update(frozenset((request.certificate, each)) for each in UNDER_WAY if each != request.certificate)
        time.sleep(PAUSE)
        with LOCK:
            UNDER_WAY.remove(request.certificate)
        return request.certificate


LOCK = threading.Lock()
UNDER_WAY: set[str] = set()
MET: set[frozenset[str]] = set()


def ordering(kind: type[OrderRound], solver: Any, **named: Any) -> OrderRound:
    client = SimpleNamespace(network=network(), renewal_info=None)
    client.another = lambda: client
    now = dt.datetime(2026, 11, 30, tzinfo=dt.timezone.utc)
    parts: dict[str, Any] = {
        "issuer": None,
        "records": None,
        "budget": None,
        "accounts": None,
        "account": None,
        **named,
    }
    return kind(options=Fake(solver), client=client, called_at=now, called=time.monotonic(), **parts)  # type: ignore[arg-type]


def test_orders_with_a_name_in_common_do_not_overlap() -> None:
    MET.clear()
    given = solver(a_example_com="x.auth.example.org", b_example_com="X.auth.example.org.")
    requests = [
        request("rsa", "www.example.com", "example.com"),
        request("ecdsa", "*.example.com"),
        # One registration for two domains.
        request("a", "a.example.com"),
        request("b", "B.example.com"),
    ]
    assert ordering(Rounds, given).all(requests) == ["rsa", "ecdsa", "a", "b"]
    assert not MET & {frozenset(("rsa", "ecdsa")), frozenset(("a", "b"))}


def test_time_in_which_an_order_waits_for_others_is_not_the_cas() -> None:
    def refuse(*_given: Any, **_named: Any) -> None:
        raise Deferred("no room")

    waiting = ordering(
        OrderRound,
        None,
        budget=SimpleNamespace(take=refuse),
        await_turn=lambda: time.sleep(PAUSE),
    )
    before = waiting.client.network.deadline
    with pytest.raises(Deferred):
        waiting.place(request("www", "www.example.com"), None)
    assert waiting.client.network.deadline >= before + PAUSE
    slow = SimpleNamespace(cleanup=lambda *_given: time.sleep(PAUSE))
    before = waiting.client.network.deadline
    Order(waiting.client, slow, "", "", "", None).clean([], quietly=True)  # type: ignore[arg-type]
    assert waiting.client.network.deadline >= before + PAUSE


def test_an_order_that_is_resumed_holds_nobody_back() -> None:
    passed: list[bool] = []

    class Resumed(OrderRound):
        def resumable(self, request: IssueRequest) -> str | None:
            return "https://ca.example.com/order/1"

        def order_at(self, url: str, request: IssueRequest, *, resumed: bool) -> Order:
            assert passed and resumed
            raise Deferred("far enough")

    with pytest.raises(Deferred, match="far enough"):
        ordering(Resumed, None, pass_on=lambda: passed.append(True)).obtain(request("www", "www.example.com"))
