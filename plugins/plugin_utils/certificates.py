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
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.anchors import bundle_text, select
from ansible_collections.fleet.tls.plugins.plugin_utils.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.errors import (
    CertificateError,
    HostError,
    IssuerError,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.found import (
    Found,
    Outcome,
    host_error,
    parse_clock,
    parse_found,
    parse_outcome,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.host_facts import HostFacts, parse_host_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.host_requests import (
    apply_request,
    install_entry,
    look_request,
    repair_entry,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuer import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.judge import Verdict, judge
from ansible_collections.fleet.tls.plugins.plugin_utils.keys import ControllerKey, controller_key, parse_csr
from ansible_collections.fleet.tls.plugins.plugin_utils.spec import CertificateSpec, HostSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.x509 import check_chain, check_issued, fingerprint, key_id

Step = Callable[..., Mapping[str, Any]]

# A new certificate is valid from an hour before it was made; a clock that is further off could not use it.
CLOCK_TOLERANCE = 3600.0
CLOCK_WARNING = 300.0


@dataclass(frozen=True)
class Settings:
    """What a task says besides the certificates; ``prove_timeout`` in seconds."""

    directory: str = "/etc/fleet-tls"
    force: bool | tuple[str, ...] = False
    defer_proof: bool = False
    prove_timeout: float = 15.0
    check_mode: bool = False

    def forces(self, name: str) -> bool:
        """Whether a new certificate is asked for whatever the present one is like."""
        return self.force if isinstance(self.force, bool) else name in self.force


@dataclass
class Progress:
    """What is known of one certificate so far."""

    spec: CertificateSpec
    found: Found = field(default_factory=Found)
    verdict: Verdict = field(default_factory=Verdict)
    key: ControllerKey | None = None
    issuer: str | None = None
    chain: tuple[x509.Certificate, ...] = ()
    reused: bool = False
    applied: Outcome | None = None
    error: TlsError | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class Run:
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
    skew: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def __call__(self) -> Run:
        """Go through it; afterwards ``progress`` and ``services`` tell what was found and done.

        :raises TlsError: the host as a whole could not be looked at or worked on.
        """
        self.progress = {spec.name: Progress(spec) for spec in self.spec.certificates}
        if not self.progress:
            return self
        self.see("never" if self.settings.check_mode else "auto")
        for each in self.progress.values():
            self.guard(each, self.reach_verdict)
        due = [each for each in self.progress.values() if each.verdict.due and not each.error]
        for each in due:
            self.guard(each, self.check_clock)
        if self.settings.check_mode:
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
        return bundle_text(select({name: self.issuers[name].trust() for name in spec.issuers}, self.now).anchors)

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
        named = each.found.manifest.get("issuer")
        issuer = self.issuers[named if named in each.spec.issuers else each.spec.issuers[0]]
        anchors = issuer.trust()
        advice = issuer.advice(each.found.leaf, self.now) if each.found.leaf else None
        each.verdict = judge(
            each.spec,
            each.found,
            now=self.now,
            anchors=anchors,
            forced=self.settings.forces(each.spec.name),
            advice=advice,
        )
        if named == issuer.name and not self.settings.forces(each.spec.name):
            self.refuse_another_store(each, issuer, anchors)

    def refuse_another_store(self, each: Progress, issuer: Issuer, anchors: Sequence[x509.Certificate]) -> None:
        """A run with the wrong store must not replace the CA of a fleet by one of the same name that it just made.

        :raises CertificateError: the present certificate is from this issuer by name, but not by this store.
        """
        leaf = each.found.leaf
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
            if each.spec.private_key.location == "controller":
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
        store = self.issuers[each.spec.issuers[0]].store
        each.key = controller_key(store, self.host, each.spec, each.found.leaf)

    def issue(self, due: Sequence[Progress]) -> None:
        """Ask each certificate's issuers in their order until one gives a good chain."""
        requests: dict[str, IssueRequest] = {}
        for each in due:
            self.guard(each, lambda each: requests.update({each.spec.name: self.request_for(each)}))
        waiting = {each.spec.name: list(each.spec.issuers) for each in due if not each.error}
        while waiting:
            rounds: dict[str, list[str]] = {}
            for name, issuers in waiting.items():
                rounds.setdefault(issuers.pop(0), []).append(name)
            for issuer, names in rounds.items():
                answers = self.answers(self.issuers[issuer], [requests[name] for name in names])
                for name, answer in zip(names, answers):
                    if self.accept(self.progress[name], self.issuers[issuer], answer) or not waiting[name]:
                        del waiting[name]
        for each in due:
            if each.error and len(each.notes) > 1:
                each.error = IssuerError("; ".join(each.notes), certificate=each.spec.name)

    def answers(self, issuer: Issuer, requests: Sequence[IssueRequest]) -> Sequence[Issued | TlsError]:
        """The issuer's answers; one error for all of them where it failed as a whole."""
        try:
            return issuer.issue(requests, self.now)
        except TlsError as error:
            return [error] * len(requests)

    def accept(self, each: Progress, issuer: Issuer, answer: Issued | TlsError) -> bool:
        """Take a chain only when it is what was asked for."""
        try:
            if isinstance(answer, TlsError):
                raise answer
            request_key = each.key.key_id if each.key else key_id(self.csr_of(each).public_key())
            check_issued(answer.chain, names=each.spec.names, usages=each.spec.usages, key=request_key, now=self.now)
            check_chain(answer.chain, issuer.trust(), self.now)
        except TlsError as error:
            each.notes.append(f"issuer '{issuer.name}': {error.about('')}".rstrip("."))
            each.error = error.about(each.spec.name)
            return False
        each.issuer, each.chain, each.reused, each.error = issuer.name, answer.chain, answer.reused, None
        return True

    def request_for(self, each: Progress) -> IssueRequest:
        """What an issuer gets to see."""
        request_id = each.key.request_id if each.key else each.found.pending.request_id if each.found.pending else ""
        return IssueRequest(
            request_id=request_id,
            host=self.host,
            certificate=each.spec.name,
            csr=self.csr_of(each),
            names=each.spec.names,
            usages=each.spec.usages,
            duration=each.spec.duration,
            reason=", ".join(reason.code for reason in each.verdict.reasons),
        )

    def csr_of(self, each: Progress) -> x509.CertificateSigningRequest:
        """The request's CSR, checked against the wish: what a host asks for must not go beyond it."""
        if each.key:
            return each.key.csr
        if each.found.pending is None:
            raise HostError("the host made no key for it", certificate=each.spec.name)
        return parse_csr(each.found.pending.csr, each.spec)

    def hand_over(self) -> None:
        """Install what was issued and put right what has drifted, in one round trip; none where there is neither."""
        entries, secrets = [], {}
        for name, each in self.progress.items():
            if each.chain:
                request_id = self.request_for(each).request_id
                entries.append(install_entry(each.spec, each.chain, str(each.issuer), request_id, self.anchors))
                if each.key:
                    secrets[name] = each.key.pem
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
        strangers = () if isinstance(self.settings.force, bool) else set(self.settings.force) - set(self.progress)
        if strangers:
            found.append(f"{self.host}: force: no certificate here is called {', '.join(sorted(strangers))}")
        for name, each in self.progress.items():
            found += [f"{self.host}: certificate '{name}': {note}" for note in each.notes if not each.error]
        return found
