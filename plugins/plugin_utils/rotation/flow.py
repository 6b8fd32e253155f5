# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation's steps on the controller: begin or resume, judge a host's proof, go on. Ansible is not needed for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import RotationError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of, parse_path, refuse_strangers
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened, text_or_none
from ansible_collections.fleet.tls.plugins.plugin_utils.base.windows import Maintenance, Wait
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.superseded import Rekey
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import parse_found
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanRollOver
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation import proof as rotation_proof
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.record import Record, take, this_run
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.stages import DONE, Rotation, begin, listing
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import HostSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store


@dataclass(frozen=True)
class TrustedFiles:
    """Bundle files of a host that have to hold the CA; ``issuer`` None: none of them has to."""

    issuer: str | None
    paths: tuple[str, ...] = ()


@dataclass
class Flow:
    """One task's part in a rotation.

    :param issuer: whose CA it is; None: it is about keys.
    :param inventory: the hosts that have to prove each stage, besides those it began with.
    :param check: nothing is recorded and nothing made.
    :param hosts: all hosts of the inventory; :param certificates: the names of all certificates there. Who is named and is neither
        there nor in the store is a slip of the pen.
    :param waits: the next stage is left for a maintenance window.
    """

    store: Store
    kind: str
    issuer: CanRollOver | None
    inventory: Sequence[str]
    now: dt.datetime
    check: bool = False
    take_over: bool = False
    hosts: Collection[str] = ()
    certificates: Collection[str] = ()
    maintenance: Maintenance = Maintenance()
    notes: list[str] = field(default_factory=list)
    waits: Wait | None = None

    @property
    def record(self) -> Record:
        """Where it is recorded."""
        return Record(self.store, f"ca-{self.issuer.name}" if self.issuer else "keys")

    @property
    def moment(self) -> int:
        """Now, in seconds since the epoch."""
        return seconds(self.now)

    def is_under_way(self, after: Rotation) -> bool:
        """Whether a run that was killed has let the CA go on to this stage already, and only the record has not."""
        if self.issuer is None:
            return False
        state = self.issuer.rollover().state()
        return state.root == after.target if after.stage == "activate" else state.trusted == (after.target,)

    def wait_for_window(self) -> Wait | None:
        """Whether the next stage waits for a maintenance window: like a certificate, a CA is due when a third of its life is left."""
        anchors = self.issuer.trust() if isinstance(self.issuer, Issuer) else ()
        oldest = min(anchors, key=lambda each: each.not_valid_after_utc, default=None)
        if oldest is None:
            self.waits = self.maintenance.wait(self.now)
        else:
            end = oldest.not_valid_after_utc
            self.waits = self.maintenance.wait(self.now, end - (end - oldest.not_valid_before_utc) / 3, end)
        return self.waits

    def present(self) -> Rotation | None:
        """What is recorded."""
        return self.record.read()

    def required(self) -> Rotation:
        """The rotation under way.

        :raises RotationError: there is none.
        """
        rotation = self.present()
        if rotation is None or rotation.is_done:
            raise RotationError("no rotation is under way", remedy="begin one with state: begun")
        return rotation

    def refuse_strangers(self, leave_behind: Sequence[str], names: Sequence[str] = ()) -> None:
        """:raises SpecError: a name that the inventory, the ledger and what is recorded of a rotation do not have."""
        if not leave_behind and not names:
            return
        rows, known = list(self.store.issuances()), self.present()
        hosts = {*self.hosts, *self.inventory, *(row.host for row in rows), *(known.known_hosts if known else ())}
        refuse_strangers(leave_behind, hosts, "leave_behind: neither inventory nor store know a host")
        certificates = {*self.certificates, *(row.certificate for row in rows), *(known.names if known else ())}
        refuse_strangers(names, certificates, "names: neither inventory nor store know a certificate")

    def begin(self, names: Iterable[str], leave_behind: Iterable[str]) -> Rotation | None:
        """Begin, or go on with what a run before left. None: it waits for a maintenance window. In check mode: what is recorded,
        None where nothing is under way.

        :raises RotationError: another run drives it.
        :raises SpecError: a name that nobody knows.
        """
        leave_behind, names = list(leave_behind), list(names)
        self.refuse_strangers(leave_behind, names)
        me = this_run()
        rotation = self.present()
        idle = rotation is None or rotation.is_done
        if (idle and self.wait_for_window()) or self.check:
            return None if idle else rotation

        def work(present: Rotation | None) -> Rotation:
            if present is None or present.is_done:
                subject = self.issuer.name if self.issuer else "keys"
                target = self.issuer.rollover().next_root() if self.issuer else ""
                made = begin(self.kind, subject, self.inventory, self.moment, names, target)
                return made.taken_by(me, self.moment).leaving(leave_behind)
            self.notes.append(f"the {present.title} of an earlier run continues at '{present.stage}'")
            return take(present, me, self.moment, take_over=self.take_over).leaving(leave_behind)

        rotation = self.record.change(work)
        if self.issuer and rotation.stage == "prepare":
            self.issuer.rollover().prepare(rotation.target, self.now)
        return rotation

    def advance(self, leave_behind: Iterable[str], why: Mapping[str, str]) -> Rotation:
        """The next stage, once every host has proven the present one. The CA changes first: what is recorded then is true.

        :raises RotationError: a host holds it back, another run drives it, or none is under way.
        :raises SpecError: a name that nobody knows.
        """
        leave_behind = list(leave_behind)
        self.refuse_strangers(leave_behind)
        if self.check:
            rotation = self.present()
            if rotation is None:
                raise RotationError("no rotation is under way", remedy="begin one with state: begun")
            waiting = rotation.holding_back(self.inventory)
            if not waiting and rotation.next_stage != DONE:
                self.wait_for_window()
            if waiting and not rotation.is_done:
                self.notes.append(f"'{rotation.next_stage}' is next, held back by {listing(waiting, why)}")
            return rotation
        me = this_run()

        def work(present: Rotation | None) -> Rotation:
            if present is None or present.is_done:
                raise RotationError("no rotation is under way", remedy="begin one with state: begun")
            mine = take(present, me, self.moment).leaving(leave_behind)
            after = mine.advanced(self.inventory, self.moment, why)
            if not after.is_done and not self.is_under_way(after) and self.wait_for_window():
                self.notes.append(f"'{mine.stage}' is proven; '{after.stage}' {self.waits}")
                return mine
            if self.issuer and after.stage == "activate":
                self.issuer.rollover().activate()
            if self.issuer and after.stage == "retire":
                self.issuer.rollover().retire()
            return after

        return self.record.change(work)

    def proof_request(
        self,
        spec: HostSpec,
        settings: Settings,
        files: TrustedFiles,
        endpoints: Sequence[Mapping[str, Any]],
        *,
        system: bool,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """What a host is asked, and the keys that go with it."""
        stage = self.required().stage
        canaries = self.issuer.rollover().canaries(self.now) if self.issuer else {}
        request = rotation_proof.proof_request(
            spec,
            settings,
            self.now,
            stage=stage,
            canaries=canaries,
            bundles=files.paths,
            system=system,
            endpoints=endpoints,
        )
        return request, {name: canary.key for name, canary in canaries.items()}

    def problems(self, spec: HostSpec, answer: Mapping[str, Any]) -> list[str]:
        """What a host's answer has against the present stage, in words; nothing: it has proven it.

        :raises RotationError: the store is older than what the host shows.
        """
        rotation = self.required()
        entries = answer["certificates"]
        founds = {each.name: parse_found(entries.get(each.name), each.name) for each in spec.certificates}
        problems = rotation_proof.clock_problems(answer, self.now.timestamp()) + rotation_proof.state_problems(founds)
        if self.issuer is None:
            rekey = Rekey(rotation.begun_at, frozenset(rotation.names) or None)
            return problems + rotation_proof.key_problems(rekey, founds, list(self.store.issuances()))
        proofs = parse_proofs(answer)
        rollover = self.issuer.rollover()
        problems += rotation_proof.ca_problems(
            rotation.stage, self.issuer.name, rollover, founds, self.store.issuances(), proofs
        )
        return problems + rotation_proof.trust_problems(rotation.stage, proofs)

    def record_proof(self, host: str, problems: Sequence[str]) -> Rotation:
        """Note what a host has proven, or that what it had proven is so no more."""
        before = self.required()
        if self.check:
            return before

        def work(present: Rotation | None) -> Rotation:
            if present is None or (present.stage, present.begun_at) != (before.stage, before.begun_at):
                raise RotationError("the rotation has gone on meanwhile", remedy="see what the other run says")
            mine = take(present, this_run(), self.moment)
            return mine.disproved(host) if problems else mine.proved(host, self.moment)

        return self.record.change(work)


def parse_proofs(answer: Mapping[str, Any]) -> list[dict[str, str | None]]:
    """What the canaries met, by a host's answer.

    :raises KeyError, TypeError, AttributeError: it does not have the agreed form.
    """
    return [
        {
            **{name: shortened(proof[name]) for name in ("kind", "subject", "canary")},
            **{name: text_or_none(proof.get(name)) for name in ("outcome", "error", "fingerprint")},
        }
        for proof in answer["proofs"]
    ]


def chosen_issuer(issuers: Mapping[str, Issuer], name: str | None) -> CanRollOver:
    """The issuer whose CA is replaced: the one named, or the only one that has a CA of ours.

    :raises SpecError: there is no such one, or none is named and there are several.
    """
    if name is not None:
        issuer = issuers[one_of(name, issuers, "issuer")]
        if not isinstance(issuer, CanRollOver):
            raise SpecError(
                f"issuer '{name}' has no CA in the store that could be replaced", remedy="name an issuer of type ca"
            )
        return issuer
    able = [each for each in issuers.values() if isinstance(each, CanRollOver)]
    if len(able) != 1:
        names = ", ".join(each.name for each in able) or "none"
        raise SpecError(
            f"issuer: which CA is to be replaced? Those that can be: {names}",
            remedy="name it: -e tls_rotate_issuer=NAME",
        )
    return able[0]


def trusted_files(options: Mapping[str, Any], issuer: str | None) -> TrustedFiles:
    """The bundle files of the roles trust and client that have to hold the issuer's CA.

    :raises SpecError: a path that is none.
    """
    if issuer is None:
        return TrustedFiles(None)
    paths = []
    trusted = options.get("trust_issuers")
    ours = trusted is None or issuer in trusted
    for each in options["bundles"]:
        chosen = each.get("issuers")
        if ours if chosen is None else issuer in chosen:
            paths.append(parse_path(each.get("path"), "bundles: path"))
    for client in options["clients"]:
        bundle = client.get("bundle")
        if isinstance(bundle, str):
            bundle = {"path": bundle}
        chosen = (bundle or {}).get("issuers")
        if bundle and (not chosen or issuer in chosen):
            paths.append(parse_path(bundle.get("path"), "clients: bundle"))
    return TrustedFiles(issuer if ours else None, tuple(dict.fromkeys(paths)))
