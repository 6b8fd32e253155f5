# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a store is whole, and agrees with what hosts have. Nothing is written. See docs/stores/care.md."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    fingerprint,
    key_id,
    parse_pem_chain,
    seconds,
    serial_text,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Head, Record, record_breaks, title
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import (
    being_changed,
    check_entry,
    encoded_passphrase,
    wrong_passphrase,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.fleet import fleet_findings
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.frozen import FrozenStore
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.verify_entries import Finding, entry_findings

LEDGER = "ledger"
MEND = "find out who could write to the store; the newest backup whose ledger is whole has the rows as they were"
# Findings about the ledger that are told; where all of it is wrong, the first ones say so.
MOST = 100


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what was found.

    :param opened: whether sealed entries could be opened: the passphrase was given.
    :param rows: certificates in the ledger.
    :param unattributed: records of which nobody knows who wrote them.
    :param head: the ledger's end.
    :param unseen: hosts that could not be looked at.
    """

    findings: tuple[Finding, ...]
    entries: int
    opened: bool
    rows: int
    unattributed: int
    head: Head
    unseen: tuple[str, ...]


def verify(
    store: Store, seen: Mapping[str, Any], internal: Collection[str], expected: Head | None, now: dt.datetime
) -> Verified:
    """Look at all of it, at one moment.

    :param seen: host → what ``fleet.tls.certificates`` returned there in check mode.
    :param internal: the issuers whose CA is in this store: all that they issue is in its ledger.
    :param expected: the head of the ledger that somebody kept.
    :raises PassphraseError: it is another one, or is being changed; :raises StoreError: the store cannot be read.
    """
    store.refuse_closed()
    with store.snapshot() as snapshot:
        frozen = FrozenStore(store, snapshot)
        check_passphrase(frozen)
        ledger = LedgerLook(expected, seconds(now))
        ledger.look(snapshot.records())
        fleet, unseen = fleet_findings(seen, frozen, internal)
        return Verified(
            (*entry_findings(frozen), *ledger.findings[:MOST], *fleet),
            len(frozen.names()),
            bool(store.passphrase),
            ledger.rows,
            ledger.unattributed,
            snapshot.head,
            unseen,
        )


def check_passphrase(store: Store) -> None:
    """:raises PassphraseError: it is not the store's, or is being changed."""
    known = check_entry(store).read() if store.passphrase else None
    if known is None:
        return
    if known.following is not None:
        raise being_changed(store)
    if not known.present.is_of(encoded_passphrase(store)):
        raise wrong_passphrase(store)


class LedgerLook:
    """One way through all records, none of which is kept: a ledger may be large.

    :param expected: as in :func:`verify`.
    :param now: seconds since the epoch: what has ended is not compared with its certificate any more.
    """

    def __init__(self, expected: Head | None, now: int) -> None:
        self.expected, self.now = expected, now
        self.findings: list[Finding] = []
        self.rows = self.unattributed = 0

    def look(self, records: Iterable[Record]) -> None:
        """See whether the chain is whole, has its end, and each row says what its certificate says."""
        previous = Head()
        found = self.expected is None or self.expected == previous
        for each in records:
            self.broken(record_breaks(previous, each))
            self.look_at(each)
            previous = each.head
            found = found or previous == self.expected
        if not found:
            text = f"the ledger ends at record {previous.number}, or had another record {self.expected.number}"  # type: ignore[union-attr]
            self.findings.insert(0, Finding("ledger_cut", LEDGER, f"{text}, than when tls_store_head was taken", MEND))

    def look_at(self, each: Record) -> None:
        """One record."""
        self.unattributed += each.who is None
        if isinstance(each.what, Issuance):
            self.rows += 1
            if each.what.not_after > self.now and not is_true(each.what):
                text = f"the row of record {each.number} says another thing than its certificate"
                self.broken((f"{text} ({title(each.what)})",))

    def broken(self, texts: Iterable[str]) -> None:
        """What is wrong with a record."""
        self.findings += (Finding("ledger_broken", LEDGER, f"the ledger: {text}", MEND) for text in texts)


def is_true(row: Issuance) -> bool:
    """Whether a row says what its certificate says."""
    try:
        leaf = parse_pem_chain(row.chain)[0]
    except CertificateError:
        return False
    known = (
        fingerprint(leaf),
        serial_text(leaf.serial_number),
        key_id(leaf.public_key()),
        seconds(leaf.not_valid_after_utc),
    )
    return known == (row.fingerprint, row.serial, row.key_id, row.not_after)
