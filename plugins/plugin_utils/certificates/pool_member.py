# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's part in a pool: is its pair the pool's, and who has the next one issued."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.issuing import IssuanceRound
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.judge import Reason, Verdict
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool, PoolPair, PoolState
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Progress, Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import PairReport
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import load_private_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec


@dataclass(frozen=True)
class PoolMember:
    """A host's certificate of a pool.

    :param judge: the verdict on a pair for the wish: (wish, found, forced) → verdict.
    :param clock: the controller's clock by now, seconds since the epoch.
    """

    pool: Pool
    settings: Settings
    now: dt.datetime
    judge: Callable[[CertificateSpec, PairReport, bool], Verdict]
    clock: Callable[[], float]

    def verdict(self, each: Progress) -> Verdict:
        """Whether the host needs another pair than it has: its own faults, those of the pool's pair, or another pair in the pool.

        :raises CertificateError: other hosts of the pool wish for something else.
        """
        current = self.pool.load().current
        mine = self.judge(each.spec, each.found, self.forced(each, current))
        if current is not None:
            self.refuse_disagreement(each, current)
        leaf = each.found.leaf
        if mine.due or leaf is None or (current and fingerprint(leaf) == fingerprint(current.leaf)):
            return mine
        what = "has no pair yet" if current is None else f"has another pair by now ({fingerprint(current.leaf)[:8]})"
        return replace(mine, reasons=(Reason("pool_changed", f"the pool '{self.pool.name}' {what}"),))

    def issue(self, each: Progress, ask: IssuanceRound) -> None:
        """Take the pool's pair; the first host that finds that due has the next one issued, the others wait for it.

        :raises TlsError: the store or the pool does not let it.
        """
        with self.pool.lock():
            state = self.pool.load()
            current = state.current
            if current is not None:
                self.refuse_disagreement(each, current)
                verdict = self.judge(each.spec, current.as_found(), self.forced(each, current))
                each.notes += verdict.notes
                if not verdict.due:
                    self.take(each, current)
                    return
            each.key, state = self.pool.next_key(state, each.spec)
            ask([each])
            if each.chain:
                self.keep(each, state, ask.host)

    def take(self, each: Progress, pair: PoolPair) -> None:
        """The pool's pair for this host."""
        each.private_key = self.pool.key_of(pair)
        each.issuer, each.chain, each.request_id, each.reused = pair.issuer, pair.chain, pair.request_id, True

    def keep(self, each: Progress, state: PoolState, host: str) -> None:
        """What was issued, for all of them."""
        brought = each.private_key if each.key and each.private_key != each.key.pem else None
        pair = PoolPair(
            chain=each.chain,
            issuer=str(each.issuer),
            request_id=each.request_id,
            request_digest=each.spec.request_digest,
            wish=wish_text(each.spec),
            slot="",
            host=host,
            run=self.settings.run,
            issued_at=self.clock(),
        )
        self.pool.keep(state, pair, load_private_key(brought) if brought else None)

    def forced(self, each: Progress, current: PoolPair | None) -> bool:
        """Whether a new pair is asked for that this run has not had issued yet: once for all hosts."""
        return self.is_named(each.spec) and (current is None or not self.of_this_run(current))

    def is_named(self, spec: CertificateSpec) -> bool:
        """Whether ``force`` names it, or its pool."""
        return self.settings.forces(spec.name, self.pool.name)

    def of_this_run(self, pair: PoolPair) -> bool:
        """Whether it was issued in this run, or by another one since this one began."""
        return pair.run == self.settings.run or pair.issued_at >= self.settings.run_started

    def refuse_disagreement(self, each: Progress, current: PoolPair) -> None:
        """Hosts that wish for different things would take the pair from each other at every run.

        A wish that changed since this host got its pair is a change; that of a new host, or one that is as it was while the pool's is
        another, is a disagreement.

        :raises CertificateError: it is one.
        """
        spec = each.spec
        same = current.request_digest == spec.request_digest
        if same and (current.issuer in spec.issuers or not self.of_this_run(current)):
            return
        unchanged = each.found.leaf is None or each.found.manifest.get("request_digest") == spec.request_digest
        established = unchanged and not same and current.leaf.not_valid_after_utc > self.now
        if not self.of_this_run(current) and (not established or self.is_named(spec)):
            return
        raise CertificateError(
            f"the hosts of the pool '{self.pool.name}' wish for different things: its pair was issued for {current.host},"
            f" {current.wish} from {current.issuer}; this host wishes for {wish_text(spec)} from {' or '.join(spec.issuers)}",
            remedy="give all hosts of a pool the same names, usages, key algorithm and issuer (no inventory_hostname in them);"
            " where this host is right, name the certificate in tls_force",
        )


def wish_text(spec: CertificateSpec) -> str:
    """What is wished for, in words."""
    names = ", ".join(value for _kind, value in spec.names.sans())
    common_name = f" CN {spec.names.common_name}" if spec.names.common_name else ""
    subject = "".join(f" {part}={value}" for part, value in spec.names.subject)
    return (
        f"{names}{common_name}{subject} ({', '.join((*spec.usages, *spec.key_usages))}, {spec.private_key.algorithm})"
    )
