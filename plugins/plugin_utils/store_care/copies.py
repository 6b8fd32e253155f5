# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of a store put into another one. Again is fine: a copy that was interrupted is finished so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Head, Record
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import CLOSED_ENTRY, Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.snapshot import Snapshot

# What a backup is, see backup.py. Like the word that a store is closed, it is not of what is copied.
MANIFEST = "backup.json"
NOT_COPIED = frozenset({CLOSED_ENTRY, MANIFEST})


def content_of(entries: Mapping[str, bytes]) -> dict[str, bytes]:
    """The entries that a copy has."""
    return {key: value for key, value in entries.items() if key not in NOT_COPIED}


def fill(target: Store, snapshot: Snapshot) -> None:
    """Have in ``target`` what the snapshot has: the ledger, then the entries. What it alone has was retired meanwhile, and goes.

    :raises StoreError: it cannot be written, or has another ledger; :raises StoreConflict: somebody else writes to it.
    """
    target.take_over(snapshot.records())
    content = content_of(snapshot.entries)
    for key in set(target.names()) - content.keys() - NOT_COPIED:
        target.discard(key)
    for key, value in content.items():
        present = target.read(key)
        if present is None or present.value != value:
            target.put(key, value, expect=present.version if present else None)


def is_empty(store: Store) -> bool:
    """Whether there is nothing in it that a copy could replace."""
    return not set(store.names()) - NOT_COPIED and not any(store.issuances())


def head_of(records: Iterable[Record]) -> Head:
    """The end of a chain."""
    head = Head()
    for each in records:
        head = each.head
    return head
