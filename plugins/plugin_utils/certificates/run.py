# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flow of ``fleet.tls.certificates`` for one host: look → judge → issue → apply. See docs/architecture.md.

The host is reached through two callables, so all of this runs in a test without Ansible.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, HostError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.host_requests import (
    apply_request,
    install_entry,
    look_request,
    repair_entry,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.judge import Reason, Verdict, judge
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Progress, Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.superseded import superseded
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import (
    PairReport,
    host_error,
    parse_clock,
    parse_found,
    parse_outcome,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.facts import HostFacts, parse_host_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import bundle_text, select
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import HostStep
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.suitability import covers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, iso, names_of
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec, HostSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store

# Imported where they are used: with nothing due most of it is not, and every run would wait for it to be compiled.
if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.issuing import IssuanceRound
    from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_member import PoolMember

Step = Callable[..., Mapping[str, Any]]

# A new certificate is valid from an hour before it was made; a clock that is further off could not use it.
CLOCK_TOLERANCE = 3600.0
CLOCK_WARNING = 300.0


@dataclass
class HostRun:
    """One host's run of the task; ``now`` is the controller's clock at its start."""

    host: str
    spec: HostSpec
    issuers: Mapping[str, Issuer]
    settings: Settings
    look: Step
    apply: Step
    now: dt.datetime
    progress: dict[str, Progress] = field(default_factory=dict)
    services: Mapping[str, Any] = field(default_factory=dict)
    facts: HostFacts | None = None
    challenge: HostStep | None = None
    skew: float = 0.0
    started: float = field(default_factory=time.monotonic)
    known_trust: dict[str, tuple[x509.Certificate, ...]] = field(default_factory=dict)

    def __call__(self) -> HostRun:
        """Go through it; afterwards ``progress`` and ``services`` tell what was found and done.

        :raises TlsError: the host as a whole could not be looked at or worked on.
        """
        wanted = (self.settings.rekey.applied_to(spec) for spec in self.spec.certificates)
        self.progress = {spec.name: Progress(spec) for spec in wanted}
        if not self.progress:
            return self
        self.see("never" if self.settings.check_mode else "auto")
        for each in self.progress.values():
            self.guard(each, self.reach_verdict)
        due = [each for each in self.progress.values() if each.verdict.due and not each.error]
        for each in due:
            self.guard(each, self.check_clock)
        if self.settings.check_mode:
            self.asking().foresee([each for each in due if not each.error and not each.pool])
            return self
        due = [each for each in due if not each.error]
        if due:
            self.request_keys(due)
            self.issue([each for each in due if not each.error])
        self.hand_over()
        return self

    def see(self, prepare: str | list[str]) -> None:
        """Look at the host, at all certificates or (with a list of names) at some."""
        wanted = [each.spec for name, each in self.progress.items() if not isinstance(prepare, list) or name in prepare]
        asked = self.clock()
        answer = self.look(look_request(wanted, self.spec.services, self.settings, self.now, prepare, self.anchors))
        host_clock = parse_clock(answer)
        if host_clock is not None:
            # The look may take minutes (RSA keys on small machines): all moments of it are right.
            self.skew = min(host_clock - asked, 0.0) + max(host_clock - self.clock(), 0.0)
        self.facts = parse_host_facts(answer["host"]) if answer.get("host") else None
        entries = answer.get("certificates")
        for spec in wanted:
            self.note(self.progress[spec.name], entries.get(spec.name) if isinstance(entries, Mapping) else None)

    def anchors(self, spec: CertificateSpec) -> str:
        """What its issuers want trusted, PEM, for outputs that hold it; those of all of them, so that a change of CA overlaps."""
        return bundle_text(select({name: self.trust(self.issuers[name]) for name in spec.issuers}, self.now).anchors)

    def trust(self, issuer: Issuer) -> tuple[x509.Certificate, ...]:
        """Its anchors, asked for once until something is issued: twenty certificates ask twenty times."""
        if issuer.name not in self.known_trust:
            self.known_trust[issuer.name] = tuple(issuer.trust())
        return self.known_trust[issuer.name]

    def note(self, each: Progress, entry: Any) -> None:
        """What a look found of one certificate; where it ended with an error, what it had seen until then is kept too."""
        name = each.spec.name
        try:
            if isinstance(entry, Mapping) and entry.get("error"):
                each.error = host_error(entry["error"], name)
                entry = {**entry, "error": None}
            each.found = parse_found(entry, name)
        except TlsError as error:
            each.error = each.error or error

    def clock(self) -> float:
        """The controller's clock by now, seconds since the epoch."""
        return self.now.timestamp() + time.monotonic() - self.started

    def guard(self, each: Progress, work: Callable[[Progress], None]) -> None:
        """Do ``work`` for one certificate; its failure costs no other one."""
        if each.error is None:
            try:
                work(each)
            except TlsError as error:
                each.error = error

    def reach_verdict(self, each: Progress) -> None:
        """Judge by the issuer that the present certificate says it is from."""
        forced = self.settings.forces(each.spec.name, each.pool)
        if each.pool:
            each.verdict = self.pooling(each).verdict(each)
        else:
            each.verdict = self.judge(each.spec, each.found, forced)
        issuer = self.issuer_of(each.spec, each.found)
        if each.found.manifest.get("issuer") == issuer.name and issuer.ca_in_store and not forced:
            self.refuse_another_store(each, issuer)

    def issuer_of(self, spec: CertificateSpec, found: PairReport) -> Issuer:
        """Who a pair says it is from, where that one may issue it; else who is asked first."""
        named = found.manifest.get("issuer")
        return self.issuers[named if named in spec.issuers else spec.issuers[0]]

    def judge(self, spec: CertificateSpec, found: PairReport, forced: bool) -> Verdict:
        """The verdict on a pair, a host's or a pool's."""
        issuer = self.issuer_of(spec, found)
        named = found.manifest.get("issuer")
        ready_made = issuer.ready_made and named == issuer.name
        verdict = judge(
            spec,
            found,
            now=self.now,
            anchors=self.trust(issuer),
            forced=forced,
            # Another issuer knows nothing of this certificate.
            advice=issuer.advice(found.leaf, self.now) if found.leaf and named == issuer.name else None,
            ready_made=ready_made,
            superseded=superseded(spec, found, issuer, self.settings.rekey, issuer.store.issuances()),
        )
        return self.with_successor(spec, found, issuer, verdict) if ready_made else verdict

    def with_successor(self, spec: CertificateSpec, found: PairReport, issuer: Issuer, verdict: Verdict) -> Verdict:
        """Where certificates are made by others, a newer one makes this one due, and where there is none it has to do."""
        if found.leaf is None or any(reason.code != "expiring" for reason in verdict.reasons):
            return verdict
        notes = self.progress[spec.name].notes
        try:
            successor = issuer.successor(
                spec.name, self.host, found.leaf, self.now, record=not self.settings.check_mode
            )
        except TlsError as error:
            notes.append(f"issuer '{issuer.name}': {error.about('')}".rstrip("."))
            return verdict
        if successor is not None and covers(names_of(successor), spec.names):
            detail = f"'{issuer.name}' has a newer one, valid until {iso(successor.not_valid_after_utc)}"
            return Verdict((*verdict.reasons, Reason("source_changed", detail)), verdict.repairs)
        if successor is not None:
            others = ", ".join(value for _kind, value in names_of(successor).sans()) or "none"
            notes.append(f"issuer '{issuer.name}' has a newer certificate, but for other names ({others})")
        if verdict.due and len(spec.issuers) == 1:
            notes.append(
                f"issuer '{issuer.name}' has nothing newer than the certificate that expires on"
                f" {iso(found.leaf.not_valid_after_utc)}"
            )
            return Verdict((), verdict.repairs)
        return verdict

    def refuse_another_store(self, each: Progress, issuer: Issuer) -> None:
        """A run with the wrong store must not replace the CA of a fleet by one of the same name that it just made.

        :raises CertificateError: the present certificate is from this issuer by name, but not by this store.
        """
        leaf, anchors = each.found.leaf, self.trust(issuer)
        stranger = not anchors or any(reason.code == "chain_untrusted" for reason in each.verdict.reasons)
        if (
            leaf is None
            or not stranger
            or any(row.fingerprint == fingerprint(leaf) for row in issuer.store.issuances())
        ):
            return
        what = "has another CA" if anchors else "has no CA"
        raise CertificateError(
            f"it was issued by '{issuer.name}', but that issuer {what} in {issuer.store.describe()}, which never issued it",
            remedy="check tls_store, or restore the store from its backup; where that is lost, name the certificate in"
            " tls_force to have it issued anew; it was kept as it is",
        )

    def check_clock(self, each: Progress) -> None:
        """:raises HostError: the host's clock is too far off for a new certificate."""
        if abs(self.skew) > CLOCK_TOLERANCE:
            direction = "ahead of" if self.skew > 0 else "behind"
            raise HostError(
                f"the host's clock is {abs(self.skew) / 3600:.1f} h {direction} the controller's:"
                " a new certificate's dates would be wrong for it",
                code="clock",
                remedy="set the clock (timedatectl, chronyc makestep) and run again; what is installed was kept",
            )

    def request_keys(self, due: Sequence[Progress]) -> None:
        """See to it that every due certificate has a key and a CSR, with one more look where the host made none."""
        for each in due:
            if each.spec.private_key.location == "controller" and not each.pool:
                self.guard(each, self.make_controller_key)
        unprepared = [
            each.spec.name
            for each in due
            if not each.error and each.found.pending is None and each.spec.private_key.location == "host"
        ]
        if unprepared:
            self.see(unprepared)

    def make_controller_key(self, each: Progress) -> None:
        """A key out of the store, where hosts may not make their own."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import controller_key

        each.key = controller_key(self.store_of(each.spec), self.host, each.spec, each.found.leaf)

    def issue(self, due: Sequence[Progress]) -> None:
        """Ask the issuers, for this host or for its pools."""
        ask = self.asking()
        ask([each for each in due if not each.pool])
        for each in due:
            if each.pool:
                # What another run has issued for the pool may be from a CA that did not exist when this one looked.
                self.known_trust.clear()
                self.guard(each, lambda each: self.pooling(each).issue(each, ask))
        self.known_trust.clear()

    def asking(self) -> IssuanceRound:
        """The issuers, for requests of this host."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.issuing import IssuanceRound

        return IssuanceRound(
            self.host, self.issuers, self.clock, self.challenge, servers_follow=self.settings.defer_proof
        )

    def pooling(self, each: Progress) -> PoolMember:
        """The certificate's pool."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_member import PoolMember
        from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool

        return PoolMember(
            Pool(self.store_of(each.spec), str(each.pool)), self.settings, self.now, self.judge, self.clock
        )

    def store_of(self, spec: CertificateSpec) -> Store:
        """The store, which all issuers share."""
        return self.issuers[spec.issuers[0]].store

    def hand_over(self) -> None:
        """Install what was issued and put right what has drifted, in one round trip; none where there is neither."""
        entries, secrets = [], {}
        for name, each in self.progress.items():
            if each.chain and not each.error:
                entries.append(install_entry(each.spec, each.chain, str(each.issuer), each.request_id, self.anchors))
                if each.private_key:
                    secrets[name] = each.private_key
            elif self.repairable(each):
                entries.append(repair_entry(each.spec, each.found.manifest, self.anchors))
        if not entries:
            return
        answer = self.apply(apply_request(entries, self.spec, self.settings, self.now), secrets)
        services = answer.get("services")
        self.services = services if isinstance(services, Mapping) else {}
        outcomes = answer.get("certificates")
        for entry in entries:
            each = self.progress[entry["name"]]
            try:
                each.applied = parse_outcome(
                    outcomes.get(each.spec.name) if isinstance(outcomes, Mapping) else None, each.spec.name
                )
                each.error = each.error or each.applied.error
            except TlsError as error:
                each.error = each.error or error

    def repairable(self, each: Progress) -> bool:
        """Whether the present pair is to be put right: also where a new one is due and was not to be had."""
        sound = each.found.leaf is not None and not each.found.problems
        return bool(each.verdict.repairs) and sound and (each.verdict.due or not each.error)

    def warnings(self) -> list[str]:
        """What deserves a look though nothing failed."""
        found = []
        if abs(self.skew) > CLOCK_WARNING:
            found.append(f"{self.host}: the clock is {self.skew:+.0f} s off the controller's")
        known = {*self.progress, *(each.pool for each in self.progress.values())}
        strangers = () if isinstance(self.settings.force, bool) else set(self.settings.force) - known
        if strangers:
            found.append(f"{self.host}: force: no certificate here is called {', '.join(sorted(strangers))}")
        for name, each in self.progress.items():
            found += [f"{self.host}: certificate '{name}': {text}" for text in dict.fromkeys(each.warnings())]
        return found
