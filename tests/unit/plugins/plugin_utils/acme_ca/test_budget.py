# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rate budget while another process finishes its order; tests/acme_servers/test_budget.py has it with a real CA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.budget import Budget
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.rate_limits import (
    CERTIFICATE,
    Limit,
    Wanted,
    parse_limits,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.records import Records
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import Deferred
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance
from ansible_collections.fleet.tls.plugins.sub_plugins.store.directory import DirectoryStore

NOW = 1_800_000_000
DAY = 86400
ONE = parse_limits({"certificates_per_domain": "1/7d"}, "ca.example.com", "issuer 'public'")


def order(budget: Budget, host: str) -> None:
    """Take room for one certificate of this host."""
    budget.take(f"request-{host}", Wanted((f"{host}.example.com",)), (host, "www"), exempt=False, ari=False, now=NOW)


def finish(budget: Budget, host: str) -> None:
    """What an issuer does when its certificate has come: first the ledger, then the record."""
    row = Issuance(
        f"request-{host}",
        "public",
        host,
        "www",
        "01",
        "f" * 64,
        "k" * 64,
        (f"{host}.example.com",),
        NOW,
        NOW + 9,
        NOW,
        "",
        "",
    )
    with budget.records.store.ledger() as ledger:
        ledger.add(row)
    budget.settle(row.request_id)


class Interrupted(DirectoryStore):
    """A store in which something happens right before, or right after, the ledger is read."""

    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None

    def issuances(self, *, issuer: str | None = None, since: int = 0) -> Iterator[Issuance]:
        if self.before:
            self.before()
        rows = list(super().issuances(issuer=issuer, since=since))
        if self.after:
            self.after()
        return iter(rows)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_order_that_ends_while_another_one_is_judged_counts(tmp_path: Path, moment: str) -> None:
    options = {"path": str(tmp_path / "store"), "passphrase": "only for these tests"}
    elsewhere = Budget(Records(DirectoryStore(options), "public"), ONE)
    order(elsewhere, "web1")
    store = Interrupted(options)
    setattr(store, moment, lambda: finish(elsewhere, "web1"))
    with pytest.raises(Deferred, match="1 certificates of one registered domain"):
        order(Budget(Records(store, "public"), ONE), "web2")


def test_an_order_that_came_to_nothing_leaves_its_room(tmp_path: Path) -> None:
    options = {"path": str(tmp_path / "store"), "passphrase": "only for these tests"}
    budget = Budget(Records(DirectoryStore(options), "public"), ONE)
    order(budget, "web1")
    budget.settle("request-web1")
    order(budget, "web2")


def add(records: Records, host: str, *, begins: int, ends: int) -> None:
    """A row of the ledger; days from now."""
    name = f"{host}.example.com"
    row = Issuance(
        request_id=f"{host}-{begins}", issuer="public", host=host, certificate="www", serial=f"{host}{begins}", fingerprint=f"{host}{begins}",
        key_id="", names=(name,), not_before=NOW + begins * DAY, not_after=NOW + ends * DAY, issued_at=NOW + begins * DAY, reason="missing",
        chain="",
    )  # fmt: skip
    with records.store.ledger() as ledger:
        ledger.add(row)


def judge(records: Records, host: str, present_ends: int = 0) -> None:
    """Whether the host may have a certificate now, of two a week; ``present_ends``: days from now, 0: it says that it has none."""
    limit = Limit("certificates_per_domain", CERTIFICATE, 2, 7 * DAY, "certificates of one registered domain")
    wanted = Wanted((f"{host}.example.com",), NOW + present_ends * DAY if present_ends else 0)
    Budget(records, (limit,)).judge(wanted, (host, "www"), ari=False, now=NOW)


def test_a_host_that_says_it_has_none_does_not_overtake(tmp_path: Path) -> None:
    records = Records(DirectoryStore({"path": str(tmp_path / "store"), "passphrase": "only for these tests"}), "public")
    add(records, "urgent", begins=-88, ends=2)
    add(records, "hostile", begins=-3, ends=87)
    with pytest.raises(Deferred, match="what is more urgent comes first"):
        judge(records, "hostile")
    # An end that it shows is no better word than the ledger's.
    with pytest.raises(Deferred, match="what is more urgent comes first"):
        judge(records, "hostile", present_ends=1)
    judge(records, "urgent", present_ends=2)
    # A host that never had one takes what is left, as before.
    judge(records, "new")
