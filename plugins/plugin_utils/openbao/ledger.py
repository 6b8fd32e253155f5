# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger in OpenBao's KV engine.

::

    ledger/requests/ISSUER/REQUEST-ID/KEY-ID               {"rows": [...]}: what was issued for one request and key, oldest first
    ledger/order/2026-11/ISSUED-AT:ISSUER:REQUEST-ID:KEY-ID:PLACE   no more than its name: the order, found by listing
    ledger/revoked/ISSUER/FINGERPRINT                      {"issuance": row, "reason", "revoked_at"}; the first record stands

A look for a request is one read, a recording two writes: the name first, which without its row counts for nothing, then the row,
check-and-set. So two runs that issue for one request at once do not wait for each other: one of them is told that it was not the first.
Reading all rows is one listing a month, and one read a row.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.kv import Kept, KeyValues
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Ledger, Revocation
from ansible_collections.fleet.tls.plugins.plugin_utils.store.entry_names import safe

# How many rows are asked for at a time: whoever stops reading early has not paid for all.
WINDOW = 64


class KeyValueLedger(Ledger):
    """A session: it remembers what it has seen of each request, and records only when that is still so.

    :param root: the folder of the ledger.
    """

    def __init__(self, entries: KeyValues, root: str) -> None:
        self.entries = entries
        self.root = root
        self.seen: dict[str, Kept] = {}
        self.to_revoke: dict[str, Revocation] = {}

    def find(self, issuer: str, request_id: str, key_id: str) -> Issuance | None:
        path = self.path(issuer, request_id, key_id)
        self.seen[path] = self.entries.read(path)
        wanted = (issuer, request_id, key_id)
        rows = [row for row in rows_of(self.seen[path], path) if (row.issuer, row.request_id, row.key_id) == wanted]
        return next((row for row in reversed(rows) if not self.revoked(row)), None)

    def add(self, issuance: Issuance) -> None:
        path = self.path(issuance.issuer, issuance.request_id, issuance.key_id)
        present = self.seen.get(path) or self.entries.read(path)
        rows = [*rows_of(present, path), issuance]
        with contextlib.suppress(StoreConflict):
            # Another run that was faster in the same second has named it; whose the row becomes is decided below.
            self.entries.write(f"{self.root}/order/{order_name(issuance, len(rows))}", {}, expect=0)
        values = {"rows": [asdict(row) for row in rows]}
        expect = present.version if present.values is not None else 0
        version = self.entries.write(path, values, expect=expect)
        self.seen[path] = Kept(version, values)

    def revoke(self, which: str, reason: str, now: int) -> tuple[Revocation, ...]:
        rows = [row for row in issuances(self.entries, self.root) if which in (row.serial, row.fingerprint)]
        found = {row.fingerprint: self.revoked(row) or Revocation(row, reason, now) for row in rows}
        self.to_revoke.update(found)
        return tuple(sorted(found.values(), key=revocation_order))

    def revoked(self, row: Issuance) -> Revocation | None:
        """What is recorded of its revocation, or was said of it in this session."""
        if row.fingerprint in self.to_revoke:
            return self.to_revoke[row.fingerprint]
        path = self.revoked_path(row)
        return revocation_of(self.entries.read(path), path)

    def finish(self) -> None:
        """Record what was revoked: a session that fails revokes nothing, since it says so."""
        for each in self.to_revoke.values():
            values = {"issuance": asdict(each.issuance), "reason": each.reason, "revoked_at": each.revoked_at}
            # The first record stands, be it another run's.
            with contextlib.suppress(StoreConflict):
                self.entries.write(self.revoked_path(each.issuance), values, expect=0)

    def revoked_path(self, row: Issuance) -> str:
        """Where its revocation lies."""
        return f"{self.root}/revoked/{safe(row.issuer)}/{safe(row.fingerprint)}"

    def path(self, issuer: str, request_id: str, key_id: str) -> str:
        """Where the rows of a request lie."""
        return f"{self.root}/requests/{safe(issuer)}/{safe(request_id)}/{safe(key_id)}"


def issuances(entries: KeyValues, root: str, issuer: str | None = None, since: int = 0) -> Iterator[Issuance]:
    """As :meth:`Store.issuances`."""
    for month in entries.names(f"{root}/order"):
        if month.rstrip("/") < month_of(since):
            continue
        named = [name.split(":") for name in entries.names(f"{root}/order/{month.rstrip('/')}")]
        wanted = [
            each
            for each in named
            if len(each) == 5 and (issuer is None or each[1] == safe(issuer)) and int(each[0]) >= since
        ]
        for start in range(0, len(wanted), WINDOW):
            window = wanted[start : start + WINDOW]
            paths = ["/".join((root, "requests", *each[1:4])) for each in window]
            for each, path, kept in zip(window, paths, entries.read_all(paths)):
                rows, place = rows_of(kept, path), int(each[4])
                # A name whose run was killed, or was not the first, has no row of its moment.
                if place <= len(rows) and rows[place - 1].issued_at == int(each[0]):
                    if issuer is None or rows[place - 1].issuer == issuer:
                        yield rows[place - 1]


def revocations(entries: KeyValues, root: str, issuer: str) -> Iterator[Revocation]:
    """As :meth:`Store.revocations`."""
    folder = f"{root}/revoked/{safe(issuer)}"
    paths = [f"{folder}/{name}" for name in entries.names(folder)]
    found = [each for path, kept in zip(paths, entries.read_all(paths)) if (each := revocation_of(kept, path))]
    yield from sorted((each for each in found if each.issuance.issuer == issuer), key=revocation_order)


def revocation_order(revocation: Revocation) -> tuple[int, int, str]:
    """Oldest first; those of one second by when they were issued."""
    return revocation.revoked_at, revocation.issuance.issued_at, revocation.issuance.fingerprint


def order_name(issuance: Issuance, place: int) -> str:
    """Below ``order/``: the month, then a name that sorts by time and leads to the row."""
    names = (safe(issuance.issuer), safe(issuance.request_id), safe(issuance.key_id))
    return f"{month_of(issuance.issued_at)}/{issuance.issued_at:012}:{':'.join(names)}:{place}"


def month_of(moment: int) -> str:
    """``2026-11``, in UTC."""
    return f"{dt.datetime.fromtimestamp(moment, dt.timezone.utc):%Y-%m}"


def rows_of(kept: Kept, path: str) -> list[Issuance]:
    """The rows of an entry, oldest first.

    :raises StoreError: it is damaged.
    """
    try:
        return [row_of(raw) for raw in kept.values["rows"]] if kept.values else []
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path) from error


def revocation_of(kept: Kept, path: str) -> Revocation | None:
    """What an entry says of a revocation, None where there is none.

    :raises StoreError: it is damaged.
    """
    if not kept.values:
        return None
    try:
        values = kept.values
        return Revocation(row_of(values["issuance"]), str(values["reason"]), int(values["revoked_at"]))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path) from error


def row_of(raw: Mapping[str, Any]) -> Issuance:
    """A row as a value.

    :raises TypeError: other fields than it has.
    """
    return Issuance(**{**raw, "names": tuple(raw["names"])})


def damaged(path: str) -> StoreError:
    """An entry that is not ours."""
    return StoreError(f"the ledger's entry '{path}' is damaged", remedy="restore it (bao kv rollback)")
