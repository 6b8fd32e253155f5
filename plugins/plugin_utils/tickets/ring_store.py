# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rings in the store: one entry a pool, ``tickets/<pool>.json``, a public record beside the sealed keys.

Both change in one put-if-unchanged, so no ring is ever on a host that the store does not have, and of two runs that begin a step
one wins and the other says so. Whatever needs no key needs no passphrase.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP, JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import nobody_changes_it
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealed_entries import ring_context
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import seal, unseal
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import Ring, RingRecord


@dataclass(frozen=True)
class StoredRing:
    """A pool's entry; ``version`` is the store's word for it as it was read."""

    record: RingRecord
    sealed: dict[str, Any]
    version: str = ""

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> StoredRing:
        """:raises ValueError, KeyError, TypeError, AttributeError: not what :meth:`as_json` gives."""
        return cls(RingRecord.load(raw), dict(raw["ring"]))

    def as_json(self) -> dict[str, Any]:
        """What may be known, and the sealed ring."""
        return {**self.record.dump(), "ring": self.sealed}


class RingStore:
    """One pool's ring."""

    def __init__(self, store: Store, pool: str) -> None:
        self.store = store
        self.pool = pool
        self.entry = JsonEntry(store, f"tickets/{pool}.json", StoredRing.from_json, StoredRing.as_json)

    def known(self) -> StoredRing | None:
        """The entry, None where there is none.

        :raises DamagedEntry: it is damaged.
        """
        found = self.entry.load()
        return replace(found.value, version=found.version) if found else None

    def ring(self, known: StoredRing) -> Ring:
        """The keys.

        :raises PassphraseError: none given, or the wrong one.
        :raises StoreError: they are damaged, or not those of the record.
        """
        try:
            ring = Ring.load(unseal(self.store, known.sealed, self.context(known.record)))
        except ValueError:
            ring = None
        if ring is None or ring.ids != known.record.keys:
            raise StoreError(
                f"the keys of '{self.entry.key}' in {self.store.describe()} are not those of its record",
                remedy=BACKUP,
            )
        return ring

    def context(self, record: RingRecord) -> str:
        """What is sealed, in words that bind it to its pool and generation."""
        return ring_context(self.pool, record.generation)

    def create(self, now: int) -> StoredRing:
        """The pool's first ring; the one that is there where another host of this run was faster.

        :param now: seconds since the epoch.
        """
        ring = Ring.new()
        record = RingRecord(1, ring.ids, now)
        with contextlib.suppress(StoreConflict), nobody_changes_it(self.store):
            self.put(record, seal(self.store, ring.dump(), self.context(record)), expect=None)
        known = self.known()
        if known is None:
            raise StoreError(f"'{self.entry.key}' went from {self.store.describe()} as soon as it was there")
        return known

    @contextlib.contextmanager
    def exclusive(self, generation: int | None = None) -> Iterator[StoredRing]:
        """The entry, kept from changing until the block ends.

        :param generation: what the caller has looked at.
        :raises StoreConflict: the pool has another generation by now.
        :raises StoreError: there is no ring; StoreBusy: another run holds it.
        """
        with self.store.lock(self.entry.key.removesuffix(".json")):
            known = self.known()
            if known is None:
                raise StoreError(
                    f"there is no ring of '{self.pool}' in {self.store.describe()}", remedy="run fleet.tls.deploy first"
                )
            if generation is not None and known.record.generation != generation:
                raise StoreConflict(
                    f"another run has brought the ring of '{self.pool}' from generation {generation} to"
                    f" {known.record.generation} meanwhile",
                    remedy="let that run end; this one has changed nothing",
                )
            yield known

    def rotate(self, known: StoredRing, leave_behind: Iterable[str], now: int) -> RingRecord:
        """One step, inside :meth:`exclusive`; nothing of it is on any host before it is here."""
        ring = self.ring(known).rotated()
        return self.renew(known, ring, known.record.leaving(leave_behind).renewed(ring, now))

    def replace(self, known: StoredRing, leave_behind: Iterable[str], at_least: int, now: int) -> RingRecord:
        """All keys at once, inside :meth:`exclusive`: every session that there is ends.

        :param at_least: the new generation is newer than this one, which some host may have.
        """
        ring = Ring.new()
        generation = max(known.record.generation, at_least) + 1
        return self.renew(known, ring, known.record.leaving(leave_behind).renewed(ring, now, generation))

    def renew(self, known: StoredRing, ring: Ring, record: RingRecord) -> RingRecord:
        """Put another ring in the place of the one that was read."""
        self.put(record, seal(self.store, ring.dump(), self.context(record)), expect=known.version)
        return record

    def note(self, change: Callable[[RingRecord], RingRecord], generation: int) -> RingRecord:
        """Change the public record, whoever else does at the same time; nothing is written where nothing changes.

        :raises StoreConflict, StoreError, StoreBusy: as :meth:`exclusive`.
        """
        with self.exclusive(generation) as known:
            record = change(known.record)
            if record != known.record:
                self.put(record, known.sealed, expect=known.version)
            return record

    def leave(self, host: str, *, really: bool) -> str | None:
        """A host leaves the pool; with the last one the ring goes. What became of it, in words; None: the host was not in it.

        :param really: it is not only asked.
        """
        known = self.known()
        if known is None or known.record.forgetting([host]) is known.record:
            return None
        with self.exclusive() if really else contextlib.nullcontext(known) as known:
            record = known.record.forgetting([host])
            last = not record.proven and not record.left_behind
            if really and last:
                self.store.delete(self.entry.key, expect=known.version)
            elif really:
                self.put(record, known.sealed, expect=known.version)
        return f"{self.entry.key}: removed" if last else f"{self.entry.key}: without {host}"

    def put(self, record: RingRecord, sealed: dict[str, Any], *, expect: str | None) -> None:
        """Write the entry unless it changed."""
        self.entry.put(StoredRing(record, sealed), expect=expect)
