# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot as a store that nobody can write to: what reads a store reads this one, and sees one moment."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import (
    Entry,
    Issuance,
    Ledger,
    Revocation,
    Store,
    check_key,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.snapshot import Snapshot


class FrozenStore(Store):
    """``of`` as it was in ``snapshot``."""

    def __init__(self, of: Store, snapshot: Snapshot) -> None:
        super().__init__({"passphrase": of.passphrase} if of.passphrase else {})
        self.of = of
        self.moment = snapshot

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ()

    def describe(self) -> str:
        return self.of.describe()

    def get(self, key: str) -> Entry | None:
        value = self.moment.entries.get(check_key(key))
        return None if value is None else Entry(value, hashlib.sha256(value).hexdigest())

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.moment.entries))

    def put(self, key: str, value: bytes, *, expect: str | None) -> str:
        raise StoreError(f"{self.describe()} is only looked at")

    def delete(self, key: str, *, expect: str) -> None:
        raise StoreError(f"{self.describe()} is only looked at")

    @contextlib.contextmanager
    def lock(self, name: str, *, wait: float = 60.0) -> Iterator[None]:
        yield

    def ledger(self) -> AbstractContextManager[Ledger]:
        raise StoreError(f"{self.describe()} is only looked at")

    def issuances(self, *, issuer: str | None = None, since: int = 0) -> Iterator[Issuance]:
        for each in self.moment.records():
            what = each.what
            if isinstance(what, Issuance) and issuer in (None, what.issuer) and what.issued_at >= since:
                yield what

    def revocations(self, issuer: str) -> Iterator[Revocation]:
        for each in self.moment.records():
            if isinstance(each.what, Revocation) and each.what.issuance.issuer == issuer:
                yield each.what
