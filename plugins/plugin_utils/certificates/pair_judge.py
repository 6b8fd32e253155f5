# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a pair, a host's or a pool's: its issuer is asked for the facts, ``judge.py`` and ``verdicts.py`` judge them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates import verdicts
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.judge import Verdict, judge
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.superseded import superseded
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import PairReport
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import AdvisesRenewal, HandsOutReadyMade
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import Anchor, select
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec


@dataclass(frozen=True)
class PairJudge:
    """Judges the pairs of one host; ``now`` is the controller's clock at the run's start."""

    host: str
    issuers: Mapping[str, Issuer]
    settings: Settings
    now: dt.datetime
    known_trust: dict[str, tuple[x509.Certificate, ...]] = field(default_factory=dict)

    def verdict(self, spec: CertificateSpec, found: PairReport, forced: bool) -> Verdict:
        """Whether a pair does for the wish, by the issuer that it says it is from.

        :raises TlsError: the issuer or the store does not tell what there is to know.
        """
        issuer = self.issuer_of(spec, found)
        # Another issuer knows nothing of this certificate.
        own = found.manifest.get("issuer") == issuer.name
        ready_made = own and isinstance(issuer, HandsOutReadyMade)
        verdict = judge(
            spec,
            found,
            now=self.now,
            anchors=self.trust(issuer),
            forced=forced,
            advice=self.advice(issuer, found.leaf) if own else None,
            ready_made=ready_made,
            superseded=superseded(spec, found, issuer, self.settings.rekey, issuer.store.issuances()),
        )
        return self.beside_successor(spec, found, issuer, verdict) if ready_made else verdict

    def advice(self, issuer: Issuer, leaf: x509.Certificate | None) -> dt.datetime | None:
        """The issuer's own word for when to renew, if it has one."""
        return issuer.advice(leaf, self.now) if leaf is not None and isinstance(issuer, AdvisesRenewal) else None

    def beside_successor(self, spec: CertificateSpec, found: PairReport, issuer: Issuer, verdict: Verdict) -> Verdict:
        """The verdict on what others have made, knowing what lies ready; an issuer that cannot tell is noted."""
        if found.leaf is None or not isinstance(issuer, HandsOutReadyMade) or not verdicts.asks_for_successor(verdict):
            return verdict
        try:
            successor = issuer.successor(spec.name, self.host, found.leaf, self.now, record=self.settings.may_note)
        except TlsError as error:
            note = f"issuer '{issuer.name}': {error.about('')}".rstrip(".")
            return replace(verdict, notes=(*verdict.notes, note))
        return verdicts.with_successor(verdict, spec, issuer.name, found.leaf, successor)

    def refuse_another_store(self, spec: CertificateSpec, found: PairReport, verdict: Verdict) -> None:
        """:raises CertificateError: the present certificate is from an issuer here by name, but not by this store."""
        issuer = self.issuer_of(spec, found)
        if found.manifest.get("issuer") != issuer.name or not issuer.ca_in_store:
            return
        leaf, anchors = found.leaf, self.trust(issuer)
        if leaf is None or not verdicts.seems_foreign(verdict, leaf, anchors):
            return
        if not any(row.fingerprint == fingerprint(leaf) for row in issuer.store.issuances()):
            raise verdicts.foreign_store(issuer.name, issuer.store.describe(), anchors)

    def is_revoked(self, spec: CertificateSpec, found: PairReport) -> bool:
        """Whether the ledger has the present certificate as revoked."""
        issuer, leaf = self.issuer_of(spec, found), found.leaf
        known = (row.issuance.fingerprint for row in issuer.store.revocations(issuer.name))
        return leaf is not None and fingerprint(leaf) in known

    def issuer_of(self, spec: CertificateSpec, found: PairReport) -> Issuer:
        """Who a pair says it is from, where that one may issue it; else who is asked first."""
        named = found.manifest.get("issuer")
        return self.issuers[named if named in spec.issuers else spec.issuers[0]]

    def trust(self, issuer: Issuer) -> tuple[x509.Certificate, ...]:
        """Its anchors, asked for once until something is issued: twenty certificates ask twenty times."""
        if issuer.name not in self.known_trust:
            self.known_trust[issuer.name] = tuple(issuer.trust())
        return self.known_trust[issuer.name]

    def ask_anew(self) -> None:
        """Something was issued, here or by another run: maybe by a CA that did not exist before."""
        self.known_trust.clear()

    def anchors(self, spec: CertificateSpec) -> tuple[Anchor, ...]:
        """What its issuers want trusted, for outputs that hold it; those of all of them, so that a change of CA overlaps."""
        return select({name: self.trust(self.issuers[name]) for name in spec.issuers}, self.now).anchors
