# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an internal CA lacks, made: both CAs, or the next issuing CA. Where the root's key is elsewhere, it is asked for.

``ca.json`` is written last: without it the rest does not count.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import duration_text
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    IssuerError,
    KeyUnavailable,
    RotationError,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.files import CaFiles
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.options import LONGEST_NAME
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import CaState, number_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    KEY_ALGORITHMS,
    Authority,
    make_issuing,
    make_root,
    redated,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.ca_profile import CaProfile, Pointers, same_constraints
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import NameOID, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.post_quantum import ALGORITHMS as POST_QUANTUM
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import extension_of, fingerprint, iso, key_algorithm
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import checked_passphrase

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.ca.adoption import CaAdoption
    from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crls import CaCrls
    from ansible_collections.fleet.tls.plugins.plugin_utils.ca.cross import CrossCertificates
    from ansible_collections.fleet.tls.plugins.plugin_utils.ca.given import GivenCa
    from ansible_collections.fleet.tls.plugins.plugin_utils.ca.signing_request import SigningRequest

# RFC 5280, appendix A, in bytes as ``cryptography`` counts it.
LONGEST_COMMON_NAME = 64


class CaMaker(CaFiles):
    """A CA with its options; durations in seconds.

    :param profile, pointers: what the CAs say that are made here, and what all of them say about themselves in what they issue.
    :param crosses: whether an old root signs the new one at a rollover.
    :param given: the CA, or the root, that the user brings; None: all of it is made here.
    """

    given: GivenCa | None
    profile: CaProfile
    pointers: Pointers
    crosses: bool
    common_name: str
    key_algorithm: str
    duration: int
    issuing_duration: int
    root_duration: int
    crl_keeper: CaCrls
    # Why an issuing CA that is due was not had in this run, though the present one goes on.
    put_off: str | None = None

    def ensure(self, now: dt.datetime, leaf_lifetime: dt.timedelta, *, ahead: bool = False) -> CaState:
        """Make what is missing: both CAs, or an issuing CA that lives long enough.

        :param ahead: also ask elsewhere for what is not needed yet.
        :returns: ``issuing`` is empty where the first one is asked for, and not signed yet.
        :raises IssuerError: the CA is gone though the ledger knows it, or the root's end is too near.
        :raises CertificateError: the CA that the user brings is not fit.
        :raises StoreError, PassphraseError: a key or the passphrase is missing or wrong.
        """
        state = self.state()
        if state and self.issuing_serves(state, now, leaf_lifetime):
            return state
        with self.store.lock(f"ca/{self.name}"):
            state = self.state()
            if state is None:
                self.refuse_second()
                state = self.adopt(now) if self.given else self.create(now)
            if self.issuing_serves(state, now, leaf_lifetime):
                return state
            self.date_root(state, now)
            return self.renew_or_wait(state, now, leaf_lifetime, ahead=ahead)

    def renew_or_wait(
        self, state: CaState, now: dt.datetime, leaf_lifetime: dt.timedelta, *, ahead: bool = False
    ) -> CaState:
        """As :meth:`renew_issuing`; but a key that cannot be used now costs nothing as long as the present issuing CA covers a leaf."""
        try:
            return self.renew_issuing(state, now, leaf_lifetime, ahead=ahead)
        except KeyUnavailable as error:
            if not self.covers(state, now, leaf_lifetime):
                raise
            self.put_off = str(error)
            return state

    def covers(self, state: CaState, now: dt.datetime, leaf_lifetime: dt.timedelta) -> bool:
        """Whether the issuing CA outlives a leaf made now."""
        if not state.issuing:
            return False
        issuing = self.certificate(state.issuing)
        return issuing.not_valid_before_utc <= now and now + leaf_lifetime <= issuing.not_valid_after_utc

    def issuing_serves(self, state: CaState, now: dt.datetime, leaf_lifetime: dt.timedelta) -> bool:
        """Whether the issuing CA outlives a leaf made now, with a third of its own life in hand for calm renewals."""
        if not state.issuing:
            return False
        issuing = self.certificate(state.issuing)
        end = issuing.not_valid_after_utc
        reserve = (end - issuing.not_valid_before_utc) / 3
        if not self.says_what_is_wanted(issuing):
            return False
        root = self.certificate(state.root)
        # A controller whose clock was ahead made what nobody takes before that day.
        begin = max(issuing.not_valid_before_utc, root.not_valid_before_utc)
        return begin <= now and now + leaf_lifetime <= end and (now + reserve <= end or end == root.not_valid_after_utc)

    def says_what_is_wanted(self, issuing: x509.Certificate) -> bool:
        """Whether an issuing CA has the name constraints that the inventory has. One that the user brings says what it says."""
        if self.given and self.given.issuing and self.given.issuing.brings_key:
            return True
        wanted = self.profile.constraints
        return wanted is None or same_constraints(wanted, extension_of(issuing, x509.NameConstraints))

    def refuse_second(self) -> None:
        """:raises IssuerError: the CA is gone, and not the ledger of what it issued."""
        if any(self.store.issuances(issuer=self.name)):
            raise IssuerError(
                f"{self.store.describe()} has issued with the CA '{self.name}', but the CA itself is missing",
                remedy=f"restore ca/{self.name}/ from the store's backup; for a new CA choose a new issuer name",
            )

    def create(self, now: dt.datetime) -> CaState:
        """A new root and its first issuing CA."""
        self.make_pair("root-1", "issuing-1", now)
        state = CaState(root="root-1", issuing="issuing-1", trusted=("root-1",))
        self.keep_state(state)
        return state

    def adopt(self, now: dt.datetime) -> CaState:
        """The CA that the user brings."""
        adoption = self.adoption()
        found = adoption.find(now)
        # Without the store's passphrase nothing is begun, also where there is no key of the root to be sealed.
        checked_passphrase(self.store)
        issuing = adoption.take(found, "root-1", "issuing-1", now)
        state = CaState(root="root-1", issuing=issuing or "", trusted=("root-1",))
        state = state.adopting("root-1", adoption.given.root.note)
        self.keep_state(state)
        return state

    def renew_issuing(
        self, state: CaState, now: dt.datetime, leaf_lifetime: dt.timedelta, *, ahead: bool = False
    ) -> CaState:
        """The next issuing CA under the same root.

        :raises IssuerError: the root would not outlive the leaf either.
        """
        root_end = self.certificate(state.root).not_valid_after_utc
        if now + leaf_lifetime > root_end:
            ended = "has expired on" if root_end <= now else "expires on"
            raise IssuerError(
                f"the root of the CA '{self.name}' {ended} {iso(root_end)}, before a certificate of"
                f" {duration_text(int(leaf_lifetime.total_seconds()))} would",
                remedy="shorten the issuer's duration for the time being and replace the CA with fleet.tls.rotate_ca",
            )
        may_wait = self.waits_for_root(state, now, leaf_lifetime)
        if may_wait and not ahead:
            return state
        request = self.request_to(state.root)
        if request:
            return self.ask(request, state, now, may_wait=may_wait)
        if may_wait:
            return state
        root = self.authority(state.root)
        renewed = state.renewed(f"issuing-{state.made + 1}")
        issuing = self.new_issuing(renewed.issuing, state.root, root, now)
        self.keep(renewed.issuing, issuing)
        self.crl_keeper.sign(renewed.issuing, issuing, now)
        # The root's key is here, and may be gone again tomorrow.
        self.crl_keeper.sign(state.root, root, now)
        self.keep_state(renewed)
        return renewed

    def ask(self, request: SigningRequest, state: CaState, now: dt.datetime, *, may_wait: bool) -> CaState:
        """Have the next issuing CA signed elsewhere, or take what was signed.

        :param may_wait: the present one serves still: what goes wrong is only said.
        """
        asking = request.ask(state, state.root, now)
        try:
            issuing = request.take(asking, now)
        except TlsError as error:
            if not may_wait:
                raise
            self.put_off = str(error)
            return asking
        if issuing is None:
            return asking
        self.keep_state(asking.renewed(issuing))
        return asking.renewed(issuing)

    def date_root(self, state: CaState, now: dt.datetime) -> None:
        """A root from the future gets the date of today: the same name and key, so that all below it stays what it is.

        :raises IssuerError: somebody else has made it.
        """
        begin = self.certificate(state.root).not_valid_before_utc
        if begin <= now:
            return
        if state.root in state.adopted:
            raise IssuerError(
                f"the root of the CA '{self.name}' is from the future: it counts from {iso(begin)} on only",
                remedy="set the controller's clock",
            )
        root = self.authority(state.root)
        lifetime = dt.timedelta(seconds=self.root_duration)
        self.keep(state.root, redated(root, now, lifetime))

    def waits_for_root(self, state: CaState, now: dt.datetime, leaf_lifetime: dt.timedelta) -> bool:
        """A root key kept elsewhere is good practice: the present issuing CA goes on while it covers a leaf."""
        return self.covers(state, now, leaf_lifetime) and not self.has_key(state.root)

    def next_pair(self, root_id: str, state: CaState, now: dt.datetime) -> CaState:
        """The root that is to take over, and its issuing CA: those that the user brings, where the store does not know that root,
        else new ones. The caller holds the CA's lock, and keeps the state.

        :raises RotationError: they bring a root without its key, and the CSR of the issuing CA is not signed yet; the old root is to sign
            the new one, and cannot.
        """
        if self.crosses:
            self.cross_certificates().refuse_impossible(state.root)
        prepared = self.make_next(root_id, state, now)
        if self.crosses:
            self.cross_certificates().make(state.root, root_id, now)
        return prepared

    def make_next(self, root_id: str, state: CaState, now: dt.datetime) -> CaState:
        """The same without what leads from the old root to the new one."""
        if self.given and not self.adoption().is_known(state):
            return self.adopt_next(root_id, state, now).adopting(root_id, self.given.root.note)
        issuing_id = f"issuing-{state.made + 1}"
        self.make_pair(root_id, issuing_id, now)
        return state.prepared(root_id, issuing_id)

    def adopt_next(self, root_id: str, state: CaState, now: dt.datetime) -> CaState:
        """The same of a root that the user brings."""
        adoption, request = self.adoption(), self.request()
        if not (state.waiting and state.waiting[0] == root_id and self.is_named(root_id)):
            found = adoption.find(now)
            issuing = adoption.take(found, root_id, f"issuing-{state.made + 1}", now)
            if issuing:
                return state.prepared(root_id, issuing)
            state = request.ask(replace(state, waiting=None), root_id, now)
        issuing = request.take(state, now)
        if issuing is None:
            message, remedy = request.message(state, now)
            raise RotationError(f"the rotation stays at 'prepare': {message}", remedy=remedy)
        return state.prepared(root_id, issuing)

    def is_named(self, root_id: str) -> bool:
        """Whether the root that the inventory names is this one of the store's; one that was adopted may be named though its file is gone.

        :raises TlsError: the root that is named cannot be read.
        """
        given, state = self.adoption().given.root, self.state()
        if not given.is_there() and state is not None and state.adopted.get(root_id) == given.note:
            return True
        named = self.adoption().given.root_certificate()
        return fingerprint(named) == fingerprint(self.certificate(root_id))

    def refuse_same_root(self, state: CaState) -> None:
        """:raises RotationError: the inventory names the present root, whose key is elsewhere, so nobody can say which is the next."""
        if self.request_to(state.root):
            raise RotationError(
                f"the root of the CA '{self.name}' is the one that the inventory names, and its key is elsewhere",
                remedy=f"name the next root in tls_issuers.{self.name}.root, or take root out, to have one made here",
            )

    def cross_certificates(self) -> CrossCertificates:
        """What leads from old roots to new ones; late, as most CAs have none."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.ca.cross import CrossCertificates

        return CrossCertificates(self)

    def crosses_of(self, root_id: str, now: dt.datetime) -> dict[str, x509.Certificate]:
        """The one that servers send beside what is issued below a root, by its name; empty: there is none."""
        return self.cross_certificates().of_root(root_id, now) if self.crosses else {}

    def adoption(self) -> CaAdoption:
        """What takes in the CA that the user brings; late, as most runs do not need it. Only where there is one."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.ca.adoption import CaAdoption

        return CaAdoption(self, self.brought())

    def request(self) -> SigningRequest:
        """What is asked of a root whose key is elsewhere; only where the user brings one."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.ca.signing_request import SigningRequest

        return SigningRequest(self, self.brought())

    def brought(self) -> GivenCa:
        """What the user brings; only where that is anything."""
        if self.given is None:
            raise AssertionError("the user brings no CA")
        return self.given

    def request_to(self, root_id: str) -> SigningRequest | None:
        """The same where the inventory names this root, and its key is elsewhere; None: it does not. Errors as :meth:`is_named`."""
        elsewhere = self.given is not None and not self.given.root.brings_key and not self.knows_key(root_id)
        return self.request() if elsewhere and self.is_named(root_id) else None

    def make_pair(self, root_id: str, issuing_id: str, now: dt.datetime) -> None:
        """A new root, under a name that no other of this CA has, an issuing CA below it, and a CRL of each."""
        lifetime = dt.timedelta(seconds=self.root_duration)
        name, key = f"{self.title(root_id)} Root", self.new_key(root_id, self.key_algorithm)
        root = make_root(name, self.key_algorithm, now, lifetime, self.profile, key=key)
        issuing = self.new_issuing(issuing_id, root_id, root, now)
        for authority_id, authority in ((root_id, root), (issuing_id, issuing)):
            self.keep(authority_id, authority)
            self.crl_keeper.sign(authority_id, authority, now)

    def title(self, root_id: str) -> str:
        """How names below a root begin."""
        suffix = "" if number_of(root_id) == 1 else f" {number_of(root_id)}"
        return shortened_to(self.common_name, LONGEST_NAME - len(suffix)) + suffix

    def issuing_name(self, root_id: str, now: dt.datetime) -> str:
        """The name of an issuing CA; the year and month in it tell generations apart in a list."""
        name = f"{self.title(root_id)} Issuing {now:%Y-%m}"
        state = self.state()
        if state and any(common_name_of(each) == name for each in self.issuing_authorities(state).values()):
            # Two of a month: clients choose a revocation list by its issuer's name.
            suffix = f" Issuing {now:%Y-%m}.{state.made + 1}"
            return shortened_to(self.title(root_id), LONGEST_COMMON_NAME - len(suffix)) + suffix
        return name

    def new_issuing(self, issuing_id: str, root_id: str, root: Authority, now: dt.datetime) -> Authority:
        """An issuing CA."""
        lifetime = dt.timedelta(seconds=self.issuing_duration)
        return make_issuing(
            self.issuing_name(root_id, now),
            self.algorithm_below(root_id),
            root,
            now,
            lifetime,
            self.profile,
            self.pointers_to(root_id),
            key=self.new_key(issuing_id, self.algorithm_below(root_id)),
        )

    def algorithm_below(self, root_id: str) -> str:
        """Of the key of the next issuing CA below a root. One that is renewed does not become ML-DSA, nor another kind again, by the way:
        clients that do not know it would take nothing any more. That comes with a new root, in a rotation."""
        state = self.state()
        if state is None or state.root != root_id or not state.issuing:
            return self.key_algorithm
        present = key_algorithm(self.certificate(state.issuing).public_key())
        same = (present in POST_QUANTUM) == (self.key_algorithm in POST_QUANTUM)
        return self.key_algorithm if same or present not in KEY_ALGORITHMS else present

    def pointers_to(self, authority_id: str) -> tuple[x509.ExtensionType, ...]:
        """Where a CA's CRL and certificate are published, for what it issues."""
        return tuple(self.pointers.extensions(f"{self.name}-{authority_id}"))

    def is_outside(self, authority_id: str) -> bool:
        """Whether a root was made by somebody else, and its key is elsewhere."""
        state = self.state()
        return state is not None and authority_id in state.adopted and not self.knows_key(authority_id)


def shortened_to(text: str, size: int) -> str:
    """As much of a text as fits into so many bytes."""
    return text.encode()[:size].decode(errors="ignore")


def common_name_of(certificate: x509.Certificate) -> str | None:
    """Its subject's common name."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else None
