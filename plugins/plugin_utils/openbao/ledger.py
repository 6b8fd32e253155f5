# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger in OpenBao's KV engine.

::

    ledger/requests/ISSUER/REQUEST-ID/KEY-ID               {"rows": [...]}: what was issued for one request and key, oldest first
    ledger/order/2026-11/ISSUED-AT:ISSUER:REQUEST-ID:KEY-ID:PLACE   no more than its name: the order, found by listing
    ledger/revoked/ISSUER/FINGERPRINT                      {"issuance": row, "reason", "revoked_at"}; the first record stands
    ledger/chain/…                                         who wrote it, see chain.py

A look for a request is one read, a recording two writes: the name first, which without its row counts for nothing, then the row,
check-and-set. So two runs that issue for one request at once do not wait for each other: one of them is told that it was not the first.
Reading all rows is one listing a month, and one read a row.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.whoami import present as present_user
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.chain import Chain, Link
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.kv import Kept, KeyValues, Moment
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Head, Record, next_record
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Ledger, Revocation
from ansible_collections.fleet.tls.plugins.plugin_utils.store.entry_names import safe

# How many rows are asked for at a time: whoever stops reading early has not paid for all.
WINDOW = 64


class KeyValueLedger(Ledger):
    """A session: it remembers what it has seen of each request, and records only when that is still so.

    :param root: the folder of the ledger.
    :param before: called before anything is written; what it raises ends the session.
    """

    def __init__(self, entries: KeyValues, root: str, before: Callable[[], None] = lambda: None) -> None:
        self.entries = entries
        self.root = root
        self.before = before
        self.chain = Chain(entries, root)
        self.seen: dict[str, Kept] = {}
        self.to_revoke: dict[str, Revocation] = {}

    def find(self, issuer: str, request_id: str, key_id: str) -> Issuance | None:
        path = self.path(issuer, request_id, key_id)
        self.seen[path] = self.entries.read(path)
        wanted = (issuer, request_id, key_id)
        rows = [row for row in rows_of(self.seen[path], path) if (row.issuer, row.request_id, row.key_id) == wanted]
        return next((row for row in reversed(rows) if not self.revoked(row)), None)

    def add(self, issuance: Issuance) -> None:
        path, place = self.put(issuance)
        self.chain.append(issuance, path, place, present_user(), int(time.time()))

    def put(self, issuance: Issuance) -> tuple[str, int]:
        """Write a row; the path of its entry below the ledger's folder, and its place there."""
        path = self.path(issuance.issuer, issuance.request_id, issuance.key_id)
        present = self.seen.get(path) or self.entries.read(path)
        rows = [*rows_of(present, path), issuance]
        with contextlib.suppress(StoreConflict):
            # Another run that was faster in the same second has named it; whose the row becomes is decided below.
            self.entries.write(f"{self.root}/order/{order_name(issuance, len(rows))}", {}, expect=0)
        values = {"rows": [asdict(row) for row in rows]}
        expect = present.version if present.values is not None else 0
        version = self.entries.write(path, values, expect=expect, before=self.before)
        self.seen[path] = Kept(version, values)
        return path.removeprefix(f"{self.root}/"), len(rows)

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
            # The first record stands, be it another run's.
            with contextlib.suppress(StoreConflict):
                self.chain.append(each, self.put_revocation(each), 0, present_user(), int(time.time()))

    def put_revocation(self, each: Revocation) -> str:
        """Write one; its path below the ledger's folder.

        :raises StoreConflict: there is one already.
        """
        values = {"issuance": asdict(each.issuance), "reason": each.reason, "revoked_at": each.revoked_at}
        path = self.revoked_path(each.issuance)
        self.entries.write(path, values, expect=0, before=self.before)
        return path.removeprefix(f"{self.root}/")

    def take_over(self, records: Iterable[Record], ours: str) -> None:
        """As :meth:`Store.take_over`. A record is written after what it is about, so a killed one is gone on with.

        :param ours: the store, for the message.
        """
        present = {link.number: link.digest for link in self.chain.read_all(self.chain.numbers()) if link}
        for each in records:
            if each.number not in present:
                self.chain.put(Link.of_record(each, *self.put_subject(each)))
            elif present[each.number] != each.digest:
                raise StoreError(f"{ours} has another ledger", remedy="use an empty store")

    def put_subject(self, each: Record) -> tuple[str, int]:
        """Write what a record of another store is about, unless it is there already."""
        if each.what is None:
            # What is gone stays gone: a copy is broken where its original is.
            return "gone", 0
        if isinstance(each.what, Revocation):
            with contextlib.suppress(StoreConflict):
                return self.put_revocation(each.what), 0
            return self.revoked_path(each.what.issuance).removeprefix(f"{self.root}/"), 0
        path = self.path(each.what.issuer, each.what.request_id, each.what.key_id)
        rows = rows_of(self.entries.read(path), path)
        if each.what in rows:
            return path.removeprefix(f"{self.root}/"), rows.index(each.what) + 1
        self.seen.pop(path, None)
        return self.put(each.what)

    def revoked_path(self, row: Issuance) -> str:
        """Where its revocation lies."""
        return f"{self.root}/revoked/{safe(row.issuer)}/{safe(row.fingerprint)}"

    def path(self, issuer: str, request_id: str, key_id: str) -> str:
        """Where the rows of a request lie."""
        return f"{self.root}/requests/{safe(issuer)}/{safe(request_id)}/{safe(key_id)}"


def records(entries: KeyValues, root: str, moment: Moment) -> tuple[Head, tuple[Record, ...]]:
    """The chain's end at a moment, and all records until then; behind them one of each row and revocation that has none.

    Those are of an earlier release, or of a run that was killed, and are not in the chain. One that is recorded later is left out.
    """
    chain, head = Chain(entries, root), Head()
    rows = {(row.fingerprint, row.request_id): row for row in issuances(entries, root)}
    revoked = {each.issuance.fingerprint: each for each in all_revocations(entries, root)}
    found: list[Record] = []
    for link in chain.read_all(chain.numbers()):
        if link is not None:
            what = subject(entries, root, link)
            if isinstance(what, Revocation):
                revoked.pop(what.issuance.fingerprint, None)
            elif what is not None:
                rows.pop((what.fingerprint, what.request_id), None)
            if link.created <= moment:
                found.append(link.about(what))
                head = link.head
    last = head
    unrecorded: list[Issuance | Revocation] = [*rows.values(), *sorted(revoked.values(), key=revocation_order)]
    for left in unrecorded:
        found.append(next_record(last, left, None, 0))
        last = found[-1].head
    return head, tuple(found)


def subject(entries: KeyValues, root: str, link: Link) -> Issuance | Revocation | None:
    """What a record is about; None: it is gone, or damaged."""
    path = f"{root}/{link.of}"
    with contextlib.suppress(StoreError):
        kept = entries.read(path)
        if not link.place:
            return revocation_of(kept, path)
        rows = rows_of(kept, path)
        return rows[link.place - 1] if link.place <= len(rows) else None
    return None


def all_revocations(entries: KeyValues, root: str) -> Iterator[Revocation]:
    """Those of all issuers."""
    paths = tuple(entries.all_names(f"{root}/revoked"))
    yield from (each for path, kept in zip(paths, entries.read_all(paths)) if (each := revocation_of(kept, path)))


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
