# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a store is whole, and agrees with what hosts have. Nothing is written. See docs/stores/care.md."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
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
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Head, Record, breaks, title
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import (
    being_changed,
    check_entry,
    encoded_passphrase,
    wrong_passphrase,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.copies import head_of
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.fleet import fleet_findings
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.frozen import FrozenStore
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.verify_entries import Finding, entry_findings

LEDGER = "ledger"
HOW_TO_MEND_LEDGER = (
    "find out who could write to the store; the newest backup whose ledger is whole has the rows as they were"
)


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
        records = tuple(snapshot.records())
        fleet, unseen = fleet_findings(seen, frozen, internal)
        findings = (
            *entry_findings(frozen),
            *chain_findings(records, expected),
            *row_findings(records, seconds(now)),
            *fleet,
        )
        return Verified(
            findings,
            len(frozen.names()),
            bool(store.passphrase),
            sum(isinstance(each.what, Issuance) for each in records),
            sum(each.who is None for each in records),
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


def chain_findings(records: tuple[Record, ...], expected: Head | None) -> Iterator[Finding]:
    """Whether the ledger is as it was written, and has not lost its end."""
    for text in breaks(records):
        yield Finding("ledger_broken", LEDGER, f"the ledger: {text}", HOW_TO_MEND_LEDGER)
    if expected is not None and expected.number and expected not in (each.head for each in records):
        text = f"the ledger ends at record {head_of(records).number}, or had another record {expected.number}"
        yield Finding("ledger_cut", LEDGER, f"{text}, than it had when tls_store_head was taken", HOW_TO_MEND_LEDGER)


def row_findings(records: tuple[Record, ...], now: int) -> Iterator[Finding]:
    """Whether each row says what its certificate says, as long as that counts."""
    for each in records:
        if isinstance(each.what, Issuance) and each.what.not_after > now and not is_true(each.what):
            text = f"the row of record {each.number} says another thing than its certificate ({title(each.what)})"
            yield Finding("ledger_broken", LEDGER, f"the ledger: {text}", HOW_TO_MEND_LEDGER)


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
