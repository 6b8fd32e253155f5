# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flow of ``fleet.tls.certificates`` for one host: look → judge → issue → apply. See docs/architecture.md.

The host is reached through two callables, so all of this runs in a test without Ansible.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.clocks import opinion_of, skew_between
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates import verdicts
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.host_requests import (
    adopt_entry,
    apply_request,
    check_request,
    install_entry,
    look_request,
    repair_entry,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pair_judge import PairJudge
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Progress, Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import (
    host_error,
    parse_clock,
    parse_found,
    parse_outcome,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.facts import HostFacts, parse_host_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import HostStep
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec, HostSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store

# Imported where they are used: with nothing due most of it is not, and every run would wait for it to be compiled.
if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.issuing import IssuanceRound
    from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_member import PoolMember

Step = Callable[..., Mapping[str, Any]]


@dataclass
class HostRun:
    """One host's run of the task; ``now`` is the controller's clock at its start.

    :param clocks: by how many seconds hosts' clocks are ahead of the controller's, as far as this run knows by now.
    :param clocks_undecided: what is due was left for when it knows more.
    """

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
    clocks: Callable[[], Mapping[str, float]] = dict
    clocks_undecided: bool = False
    skew: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def __call__(self) -> HostRun:
        """Go through it; afterwards ``progress`` and ``services`` tell what was found and done.

        :raises TlsError: the host as a whole could not be looked at or worked on.
        """
        wanted = [self.settings.rekey.applied_to(spec.on(self.host)) for spec in self.spec.certificates]
        if self.settings.adopt_only:
            wanted = [spec for spec in wanted if spec.adopt]
        self.progress = {spec.name: Progress(spec) for spec in wanted}
        if not self.progress:
            return self
        self.see("never" if self.settings.check_mode or self.settings.adopt_only else "auto")
        self.for_each(self.progress.values(), self.reach_verdict)
        due = [each for each in self.progress.values() if each.verdict.due and not each.adopts and not each.deferred]
        self.for_each(due, self.wait_for_window)
        due = self.for_each([each for each in due if not each.wait], self.refuse_unverifiable)
        opinion = opinion_of({**self.clocks(), self.host: self.skew})
        self.clocks_undecided = bool(due) and self.settings.waits_for_clocks and opinion.in_doubt
        if self.clocks_undecided:
            for each in due:
                each.deferred = "whether the controller's clock is wrong is known when all hosts have been looked at"
            due = []
        if not self.settings.ignore_clocks:
            due = self.for_each(due, lambda each: opinion.refuse())
            due = self.for_each(due, lambda each: verdicts.refuse_clock(self.skew))
        if self.settings.check_mode:
            if self.settings.foretells:
                self.foretell([*due, *(each for each in self.progress.values() if each.adopts and not each.error)])
                self.asking().foresee([each for each in due if not each.pool and not each.error])
            return self
        if due:
            self.issue(self.request_keys(due))
        self.hand_over()
        return self

    @cached_property
    def judge(self) -> PairJudge:
        """Who judges this host's pairs."""
        return PairJudge(self.host, self.issuers, self.settings, self.now)

    def clock(self) -> float:
        """The controller's clock by now, seconds since the epoch."""
        return self.now.timestamp() + time.monotonic() - self.started

    def for_each(self, some: Iterable[Progress], work: Callable[[Progress], None]) -> list[Progress]:
        """Do ``work`` for certificates one by one; the failure of one costs no other. Those are returned that have none."""
        some = [each for each in some if each.error is None]
        for each in some:
            try:
                work(each)
            except TlsError as error:
                each.error = error
        return [each for each in some if each.error is None]

    def see(self, prepare: str | list[str]) -> None:
        """Look at the host, at all certificates or (with a list of names) at some."""
        wanted = [each.spec for name, each in self.progress.items() if not isinstance(prepare, list) or name in prepare]
        asked = self.clock()
        request = look_request(wanted, self.spec.services, self.settings, self.now, prepare, self.judge.anchors)
        answer = self.look(request)
        host_clock = parse_clock(answer)
        if host_clock is not None:
            self.skew = skew_between(asked, host_clock, self.clock())
        self.facts = parse_host_facts(answer["host"]) if answer.get("host") else None
        entries = answer.get("certificates")
        for spec in wanted:
            self.note(self.progress[spec.name], entries.get(spec.name) if isinstance(entries, Mapping) else None)

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

    def reach_verdict(self, each: Progress) -> None:
        """Judge one certificate, by itself or as one of its pool."""
        forced = self.settings.forces(each.spec.name, each.pool)
        if each.spec.adopt and each.found.generation is None and not forced:
            from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.adopting import adopt

            if adopt(each, self.judge, self.now, only=self.settings.adopt_only):
                return
        if each.pool:
            each.verdict = self.pooling(each).verdict(each)
        else:
            each.verdict = self.judge.verdict(each.spec, each.found, forced)
        if not forced:
            self.judge.refuse_another_store(each.spec, each.found, each.verdict)
        if self.settings.adopt_only and each.verdict.due:
            each.deferred = "it is renewed by the next fleet.tls.deploy"

    def wait_for_window(self, each: Progress) -> None:
        """Leave what can wait for the next maintenance window; what is revoked does not."""
        leaf, since = each.found.leaf, each.verdict.due_since
        wait = self.settings.maintenance.wait(self.now, since, leaf.not_valid_after_utc) if leaf and since else None
        if wait and not self.judge.is_revoked(each.spec, each.found):
            each.wait, each.deferred = wait, str(wait)
            each.notes.append(f"is due, and {wait}")

    def refuse_unverifiable(self, each: Progress) -> None:
        """Before anything is issued: the host could not verify what its issuers sign.

        :raises CertificateError: it could not.
        """
        verdicts.refuse_old_openssl(self.facts.openssl if self.facts else (), lambda: self.judge.anchors(each.spec))

    def request_keys(self, due: Sequence[Progress]) -> list[Progress]:
        """See to it that every due certificate has a key and a CSR, with one more look where the host made none."""
        self.for_each(
            [each for each in due if each.spec.private_key.location == "controller" and not each.pool],
            self.make_controller_key,
        )
        lacking = [each.spec.name for each in due if verdicts.lacks_request(each)]
        if lacking:
            self.see(lacking)
        return [each for each in due if not each.error]

    def make_controller_key(self, each: Progress) -> None:
        """A key out of the store, where hosts may not make their own."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import controller_key

        each.key = controller_key(self.store_of(each.spec), self.host, each.spec, each.found.leaf)

    def issue(self, due: Sequence[Progress]) -> None:
        """Ask the issuers, for this host or for its pools."""
        ask = self.asking()
        ask([each for each in due if not each.pool])
        self.judge.ask_anew()
        for each in due:
            if each.pool:
                self.for_each([each], lambda each: self.pooling(each).issue(each, ask))
                # The next pool's pair may be from another CA that another run has made meanwhile.
                self.judge.ask_anew()

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

        pool = Pool(self.store_of(each.spec), str(each.pool))
        return PoolMember(pool, self.settings, self.now, self.judge.verdict, self.clock)

    def store_of(self, spec: CertificateSpec) -> Store:
        """The store, which all issuers share."""
        return self.issuers[spec.issuers[0]].store

    def foretell(self, due: Sequence[Progress]) -> None:
        """Ask the host, which changes nothing, whether it would refuse any of them for its services' sake."""
        specs = [each.spec for each in due if each.spec.services]
        if not specs:
            return
        outcomes = self.apply(check_request(specs, self.spec, self.settings), {}).get("certificates")
        for each in due:
            entry = outcomes.get(each.spec.name) if isinstance(outcomes, Mapping) else None
            if isinstance(entry, Mapping) and entry.get("error"):
                each.error = host_error(entry["error"], each.spec.name)

    def hand_over(self) -> None:
        """Install what was issued and put right what has drifted, in one round trip; none where there is neither."""
        entries, secrets = [], {}
        for name, each in self.progress.items():
            try:
                entry = self.entry_for(each)
            except TlsError as error:
                each.error = each.error or error
                continue
            if entry:
                entries.append(entry)
                if entry["action"] == "install" and each.private_key:
                    secrets[name] = each.private_key
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

    def entry_for(self, each: Progress) -> dict[str, Any] | None:
        """What the host is to do about one certificate; None: nothing.

        :raises CertificateError: an output cannot be made of what is known here.
        """
        if each.adopts and not each.error:
            return adopt_entry(each.spec, each.chain, each.issuer, self.judge.anchors)
        if each.chain and not each.error:
            return install_entry(each.spec, each.chain, str(each.issuer), each.request_id, self.judge.anchors)
        return (
            repair_entry(each.spec, each.found.manifest, self.judge.anchors) if verdicts.is_repairable(each) else None
        )

    def warnings(self) -> list[str]:
        """What deserves a look though nothing failed."""
        return verdicts.warnings(self.host, self.skew, self.settings.force, self.progress)
