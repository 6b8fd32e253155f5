# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a store and its issuers say that decides who is visited. Nothing is changed, and no secret is needed."""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.due import StoreView
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import AdvisesRenewal, KeepsCrls
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.handed_out import handed_out
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.upkeep import Upkeep, shown
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, parse_pem_chain, seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.record import Record
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Store
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore

# A CA may date a certificate back, hardly ahead.
AHEAD = 86400
ASKING_AT_ONCE = 8
# A CA that does not answer must not keep a run from what it has to do. Whoever was not asked is asked by the next one.
ASKING_SECONDS = 60.0
Issuers = Mapping[str, Issuer]


def rows_of(store: Store, pairs: Iterable[KnownPair]) -> Iterator[Issuance]:
    """The ledger's rows of these certificates; what it does not know is not there.

    :raises StoreError: it cannot be read.
    """
    wanted: set[str] = set()
    oldest = None
    for each in pairs:
        wanted.add(each.fingerprint)
        oldest = each.begins if oldest is None else min(oldest, each.begins)
    if oldest is None:
        return
    yield from (row for row in store.issuances(since=oldest - AHEAD) if row.fingerprint in wanted)


def view_of(
    store: Store,
    issuers: Issuers,
    tickets: Mapping[str, Collection[str]],
    pairs: Collection[KnownPair],
    now: dt.datetime,
) -> StoreView:
    """What they say.

    :param tickets: pool of session ticket keys → its hosts, as the inventory has it.
    :param pairs: all that are noted.
    :raises TlsError: the store cannot be read.
    """
    # Without any that wait for a maintenance window, nobody needs to know what was ever revoked.
    waiting = {each.fingerprint for each in pairs if each.waits}
    upkeeps = [Upkeep(issuer) for issuer in issuers.values()]
    known = {}
    for each in upkeeps:
        each.find(now)
        facts = each.tried(partial(shown, each.issuer, now))
        if facts:
            known[each.issuer.name] = facts
    given = handed_out(known)
    return StoreView(
        issued={row.fingerprint for row in rows_of(store, pairs)},
        revoked=revoked_among(waiting, store, issuers) if waiting else set(),
        trust=given["trust"],
        lists=given["lists"],
        pools={name: present(store, name) for name in {each.pool for each in pairs} if name},
        ca_due=any(each.unprepared or each.crls_due or each.errors for each in upkeeps),
        lists_due=any(isinstance(each.issuer, KeepsCrls) and (each.unprepared or each.crls_due) for each in upkeeps),
        rotating=any(is_under_way(store, name) for name in ("keys", *(f"ca-{issuer}" for issuer in issuers))),
        behind={host for pool, hosts in tickets.items() for host in behind(store, pool, hosts)},
    )


def revoked_among(fingerprints: Collection[str], store: Store, issuers: Iterable[str]) -> set[str]:
    """Which of them are revoked."""
    known = {row.issuance.fingerprint for name in issuers for row in store.revocations(name)}
    return known.intersection(fingerprints)


def is_under_way(store: Store, rotation: str) -> bool:
    """Whether a rotation has begun and is not at its end; one whose record is damaged may be."""
    try:
        found = Record(store, rotation).read()
    except TlsError:
        return True
    return found is not None and not found.is_done


def present(store: Store, pool: str) -> str:
    """The fingerprint of a pool's certificate; empty: it has none that can be read."""
    try:
        current = Pool(store, pool).load().current
    except TlsError:
        return ""
    return fingerprint(current.leaf) if current else ""


def behind(store: Store, pool: str, hosts: Collection[str]) -> Collection[str]:
    """Those hosts of a pool that have not shown its present session ticket keys; all, where it has none that can be read."""
    try:
        known = RingStore(store, pool).known()
    except TlsError:
        known = None
    if known is None:
        return hosts
    record = known.record
    shown_by = {host for host, proof in record.proven.items() if proof.generation == record.generation}
    return set(hosts) - shown_by


def wanted_by_their_cas(rows: Iterable[Issuance], load: Callable[[], Issuers], now: dt.datetime) -> set[str]:
    """Fingerprints of certificates whose CA wants them renewed by now (ARI), as far as CAs say so within a minute.

    :param rows: of the certificates in question; only read where there is such a CA.
    :param load: makes the issuers; once for each thread, as a store's connection is for one.
    """
    advising = {name for name, issuer in load().items() if isinstance(issuer, AdvisesRenewal)}
    asked = [row for row in rows if row.issuer in advising] if advising else []
    # Else it would be the same ones that are asked in each run.
    random.shuffle(asked)
    own, end = threading.local(), time.monotonic() + ASKING_SECONDS

    def is_wanted(row: Issuance) -> bool:
        if time.monotonic() > end:
            return False
        if not hasattr(own, "issuers"):
            own.issuers = load()
        issuer = own.issuers[row.issuer]
        try:
            moment = issuer.advice(parse_pem_chain(row.chain)[0], now)
        except (TlsError, IndexError):
            return False
        return moment is not None and seconds(moment) <= seconds(now)

    with ThreadPoolExecutor(ASKING_AT_ONCE) as pool:
        return {row.fingerprint for row, wanted in zip(asked, pool.map(is_wanted, asked)) if wanted}
