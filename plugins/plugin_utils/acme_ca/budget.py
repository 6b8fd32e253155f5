# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rate budget of one ACME issuer: what it ordered, out of the store and the ledger, and whether one more may be ordered."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.rate_limits import (
    CERTIFICATE,
    FAILURE,
    ORDER,
    Event,
    Limit,
    Wanted,
    refusal,
    registered_domain,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.records import Records
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import UNIT_SECONDS
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import Deferred
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance

ENTRY = "ordered.json"
# How long an order is remembered at least.
REMEMBERED = 8 * UNIT_SECONDS["d"]


class Budget:
    """Decides under a lock: every host is worked on by a process of its own.

    :param limits: none: everything may be ordered.
    """

    def __init__(self, records: Records, limits: tuple[Limit, ...]) -> None:
        self.records, self.limits = records, limits
        self.kept = max([REMEMBERED, *(limit.period for limit in limits)])

    def take(self, request_id: str, wanted: Wanted, who: tuple[str, str], *, exempt: bool, ari: bool, now: int) -> None:
        """Note an order that is about to be made.

        :param who: host and certificate.
        :param exempt: it replaces a certificate by ARI, which counts for nothing.
        :param ari: whether the CA has ARI, so that the renewals that are due elsewhere need no room.
        :raises Deferred: there is no room for it.
        """
        with self.records.lock("budget"):
            if not exempt:
                self.judge(wanted, who, ari=ari, now=now)
            order = {"at": now, "request_id": request_id, "names": list(wanted.names), "exempt": exempt, "open": True}

            def work(old: dict[str, Any]) -> dict[str, Any]:
                orders = [each for each in orders_of(old) if each["at"] > now - self.kept]
                failures = [[name, at] for name, at in failures_of(old) if at > now - self.kept]
                return {"orders": [*orders, order], "failures": failures}

            self.records.change(ENTRY, work)

    def settle(self, request_id: str) -> None:
        """Note that an order is over; a certificate that came of it stands in the ledger."""

        def work(old: dict[str, Any]) -> dict[str, Any]:
            orders = [{**each, "open": each["open"] and each["request_id"] != request_id} for each in orders_of(old)]
            return {**old, "orders": orders}

        self.records.change(ENTRY, work)

    def failed(self, names: list[str], now: int) -> None:
        """Note failed validations."""
        added = [[name, now] for name in names]
        self.records.change(ENTRY, lambda old: {**old, "failures": [*map(list, failures_of(old)), *added]})

    def judge(self, wanted: Wanted, who: tuple[str, str], *, ari: bool, now: int) -> None:
        """:raises Deferred: there is no room for it now."""
        if not self.limits:
            return
        # Before the ledger: an order that ends meanwhile is then seen there, or still open here, or both, but never in neither.
        record = self.records.read(ENTRY)
        rows = [row for row in self.records.store.issuances() if row.issuer == self.records.issuer]
        domain_of, by_list = registered_domain()
        due = [] if ari else due_of(rows, who, now)
        found = refusal(as_recorded(wanted, rows, who), events(record, rows), due, self.limits, now, domain_of)
        if found is None:
            return
        guessed = found.limit.name == "certificates_per_domain" and not by_list
        hint = "; domains were told by their last two labels, the package publicsuffixlist tells them rightly"
        raise Deferred(
            f"not ordered now: {found.limit}{f' ({found.key})' if found.key else ''} are all that the CA gives, and what is"
            f" more urgent comes first; there is room again in {max(found.until - now, 0) / 3600:.1f} h",
            remedy=f"run again then{hint if guessed else ''}",
        )


def events(record: dict[str, Any], rows: list[Issuance]) -> Iterator[Event]:
    """All that counts: what the record and the issuer's rows of the ledger say.

    An order under way counts as the certificate that will come of it.
    """
    orders = orders_of(record)
    exempt = {each["request_id"] for each in orders if each["exempt"]}
    issued = {row.request_id for row in rows}
    for each in orders:
        if not each["exempt"]:
            yield Event(ORDER, each["at"], tuple(each["names"]))
            if each["open"] and each["request_id"] not in issued:
                yield Event(CERTIFICATE, each["at"], tuple(each["names"]))
    for row in rows:
        if row.request_id not in exempt:
            yield Event(CERTIFICATE, row.issued_at, row.names)
    for name, at in failures_of(record):
        yield Event(FAILURE, at, (name,))


def wanted(names: Names, present: x509.Certificate | None) -> Wanted:
    """A certificate as the budget sees it.

    :param present: the one that is to be replaced.
    """
    values = tuple(value for _kind, value in names.sans())
    return Wanted(values, seconds(present.not_valid_after_utc) if present else 0)


def as_recorded(wanted: Wanted, rows: Iterable[Issuance], who: tuple[str, str]) -> Wanted:
    """The certificate with the end that its newest row of the ledger has: a host that says it has none must not overtake others."""
    ends = [row.not_after for row in rows if (row.host, row.certificate) == who]
    return dataclasses.replace(wanted, not_after=ends[-1]) if ends else wanted


def due_of(rows: list[Issuance], who: tuple[str, str], now: int) -> list[Wanted]:
    """Other certificates of the ledger in the last third of their life. One that has ended may be no one's any more."""
    newest = {(row.host, row.certificate): row for row in rows}
    newest.pop(who, None)
    return [
        Wanted(row.names, row.not_after)
        for row in newest.values()
        if row.not_after - (row.not_after - row.not_before) // 3 <= now < row.not_after
    ]


def orders_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The orders of the record, less what cannot be read."""
    found = record.get("orders")
    return [
        {
            "at": each["at"],
            "request_id": str(each.get("request_id")),
            "names": [str(name) for name in each["names"]],
            "exempt": bool(each.get("exempt")),
            "open": bool(each.get("open")),
        }
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, dict) and isinstance(each.get("at"), int) and isinstance(each.get("names"), list)
    ]


def failures_of(record: dict[str, Any]) -> list[tuple[str, int]]:
    """The failed validations of the record, less what cannot be read."""
    found = record.get("failures")
    return [
        (str(each[0]), each[1])
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, list) and len(each) == 2 and isinstance(each[1], int)
    ]
