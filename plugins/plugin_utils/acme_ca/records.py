# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an ACME issuer writes down in the store besides its account: orders under way, renewal information, what it ordered.

For an issuer named ``public``::

    acme/public/orders/<00..ff>.json     orders by request: {"<request id> <key id>": {"account", "url", "at"}}
    acme/public/renewals/<00..ff>.json   renewal information by certificate: {"<ari id>": {...}}
    acme/public/ordered.json             {"version": 1, "orders": [...], "failures": [[name, at], ...]}
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.renewal_window import Renewal, ari_id
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import UNIT_SECONDS
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id, seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry

# Seconds; orders are open for a week or so.
REMEMBERED = 30 * UNIT_SECONDS["d"]


class Records:
    """The entries of one issuer. What cannot be read counts as not there: none of it is needed to issue."""

    def __init__(self, store: Store, issuer: str) -> None:
        self.store, self.issuer = store, issuer

    def pending_order(self, request: IssueRequest, account: str) -> str | None:
        """URL of the order that an earlier run began for this very request, on this host or on another one of its pool."""
        name = order_name(request)
        found = self.read(entry_of("orders", name)).get(name)
        if not isinstance(found, dict) or found.get("account") != account:
            return None
        return found["url"] if isinstance(found.get("url"), str) else None

    def keep_order(self, request: IssueRequest, account: str, url: str, now: int) -> None:
        """Write an order down; those that no CA knows any more go."""
        name, order = order_name(request), {"account": account, "url": url, "at": now}

        def work(old: dict[str, Any]) -> dict[str, Any]:
            young = {key: value for key, value in old.items() if is_young(value, now)}
            return {**young, name: order}

        self.change(entry_of("orders", name), work)

    def renewal(self, certificate: str) -> Renewal | None:
        """What is known of a certificate's renewal."""
        return renewal_of(self.read(entry_of("renewals", certificate)).get(certificate))

    def keep_renewal(self, certificate: str, renewal: Renewal, now: int) -> None:
        """Write it down; those of certificates that have ended go."""

        def work(old: dict[str, Any]) -> dict[str, Any]:
            live = {key: value for key, value in old.items() if (each := renewal_of(value)) and each.not_after > now}
            return {**live, certificate: renewal.as_json()}

        self.change(entry_of("renewals", certificate), work)

    def replaceable(self, present: x509.Certificate, now: dt.datetime) -> str | None:
        """The ARI name of a certificate that an order may say it replaces."""
        name = ari_id(present)
        known = self.renewal(name) if name else None
        return None if present.not_valid_after_utc <= now or (known and known.replaced) else name

    def keep_replaced(self, certificate: str, present: x509.Certificate, now: dt.datetime) -> None:
        """Remember that the CA does not take this one as what an order replaces."""
        known = self.renewal(certificate) or Renewal(seconds(present.not_valid_after_utc))
        self.keep_renewal(certificate, replace(known, replaced=True), seconds(now))

    def lock(self, what: str, wait: float = 60.0) -> Any:
        """A lock of this issuer."""
        return self.store.lock(f"acme/{self.issuer}/{what}", wait=wait)

    def read(self, name: str) -> dict[str, Any]:
        """An entry's JSON object, an empty one for none."""
        return self.entry(name).usable() or {}

    def change(self, name: str, work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Replace an entry by what ``work`` makes of it."""
        with self.lock("records"):
            self.entry(name).replace(work(self.read(name)))

    def entry(self, name: str) -> JsonEntry[dict[str, Any]]:
        """An entry as it is, since what cannot be read of it is left out by whoever needs it."""
        return JsonEntry(self.store, f"acme/{self.issuer}/{name}", dict, dict)


def entry_of(what: str, name: str) -> str:
    """In which of 256 entries something is: none grows large, and not all hosts wait for one."""
    return f"{what}/{hashlib.sha256(name.encode()).hexdigest()[:2]}.json"


def order_name(request: IssueRequest) -> str:
    """Request and key: a host that names another's request finds nothing."""
    return f"{request.request_id} {key_id(request.csr.public_key())}"


def is_young(order: Any, now: int) -> bool:
    """Whether a CA may still know an order."""
    return isinstance(order, dict) and isinstance(order.get("at"), int) and order["at"] > now - REMEMBERED


def renewal_of(raw: Any) -> Renewal | None:
    """One piece of renewal information, None for what cannot be read."""
    try:
        return Renewal.from_json(raw)
    except (TypeError, ValueError, KeyError):
        return None
