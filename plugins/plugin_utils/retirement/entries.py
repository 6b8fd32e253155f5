# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store has of what was retired on a host: revoked where that is asked for, then taken away. The ledger stays.

Everything is looked up anew, so a run that was killed is finished by the next one, and one after that finds nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CANARY_NAME
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.wishes import AbsentCertificate
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.revoking import revoke_rows, revoked_already
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.entry_names import safe
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore


@dataclass
class StoreOutcome:
    """What was done, or would be (check mode).

    :param entries: that were removed, or lost the host, in words.
    :param revoked: serial numbers.
    :param failed: what could not be revoked, in words.
    """

    entries: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything was."""
        return bool(self.entries or self.revoked)


class HostEntries:
    """What the store has of one host.

    :param wanted_pools: pools that other hosts want, or this one under another name: they stay.
    :param seen: revocation lists that servers have, see :func:`revoking.revoke_rows`.
    """

    def __init__(
        self,
        store: Store,
        issuers: Mapping[str, Issuer],
        host: str,
        now: dt.datetime,
        *,
        wanted_pools: Iterable[str] = (),
        check: bool = False,
        seen: Sequence[x509.CertificateRevocationList] = (),
    ) -> None:
        self.store, self.issuers, self.host, self.now = store, issuers, host, now
        self.wanted_pools = frozenset(wanted_pools)
        self.check, self.seen = check, seen
        self.outcome = StoreOutcome()

    def retire(self, certificates: Iterable[AbsentCertificate]) -> None:
        """Certificates that are served nowhere any more."""
        certificates = [each for each in certificates if each.pool is None or each.pool not in self.wanted_pools]
        failed = self.revoke([each for each in certificates if each.revoke])
        for each in certificates:
            if each.pool is None:
                self.drop(f"keys/{safe(self.host)}/{safe(each.name)}.key", f"keys/{safe(self.host)}")
            elif each.name not in failed:
                # It says which pair is to be revoked.
                self.drop_pool(Pool(self.store, each.pool))

    def revoke(self, certificates: Sequence[AbsentCertificate]) -> set[str]:
        """Revoke what is still valid of these; the names of those with which that failed."""
        failed: set[str] = set()
        if not certificates:
            return failed
        done = revoked_already(self.store, self.issuers)
        rows = [row for row in self.store.issuances() if self.is_valid(row) and row.fingerprint not in done]
        for each in certificates:
            mine = self.rows_of(each, rows)
            if mine and self.check:
                self.outcome.revoked += [row.serial for row in mine]
            elif mine:
                outcome = revoke_rows(self.issuers, self.store, mine, str(each.revoke), self.now, self.seen)
                self.outcome.revoked += [row.serial for row in outcome.revoked]
                self.outcome.failed += outcome.failed
                self.outcome.warnings += outcome.warnings
                failed |= {each.name} if outcome.failed else set()
        return failed

    def rows_of(self, certificate: AbsentCertificate, rows: Iterable[Issuance]) -> list[Issuance]:
        """Those of the ledger's rows that a certificate is; of a pool its present pair, whoever had it issued."""
        if certificate.pool is None:
            return [row for row in rows if (row.host, row.certificate) == (self.host, certificate.name)]
        current = Pool(self.store, certificate.pool).load().current
        return [row for row in rows if current is not None and row.fingerprint == fingerprint(current.leaf)]

    def names_in_ledger(self) -> list[str]:
        """The names of all certificates that were ever issued for the host."""
        return sorted({row.certificate for row in self.store.issuances() if row.host == self.host} - {CANARY_NAME})

    def is_valid(self, row: Issuance) -> bool:
        """Whether a certificate has not expired."""
        return row.not_after > seconds(self.now) and row.certificate != CANARY_NAME

    def leave_rings(self, pools: Iterable[str]) -> None:
        """The host is of these pools no more."""
        for pool in pools:
            became = RingStore(self.store, pool).leave(self.host, really=not self.check)
            self.outcome.entries += [became] if became else []

    def forget(self) -> None:
        """What was noted of the host itself."""
        self.drop(f"hosts/{safe(self.host)}.json")

    def drop_pool(self, pool: Pool) -> None:
        """A pool that nobody wants any more."""
        if not pool.entries():
            return
        if self.check:
            self.outcome.entries += pool.entries()
            return
        with pool.lock():
            self.outcome.entries += pool.remove()

    def drop(self, entry: str, lock: str | None = None) -> None:
        """One entry."""
        if self.store.version(entry) is None:
            return
        if not self.check:
            with self.store.lock(lock or entry.removesuffix(".json")):
                self.store.discard(entry)
        self.outcome.entries.append(entry)
