# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuer ``ca``: the internal CA, a root and an issuing CA below it, both in the store.

The root signs issuing CAs only, so its key is needed about every 16 months and may be kept elsewhere in between. The issuing
CA is replaced in time without any change of trust: clients know the root.
Where it lies in the store is told by ``plugin_utils/ca_files.py``; how the root is replaced, by ``plugin_utils/ca_rollover.py``.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import duration_text, parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    IssuerError,
    LedgerLost,
    SpecError,
    StoreConflict,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.files import CaFiles
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import CaState, number_of
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import (
    CanPrepare,
    CanRollOver,
    KeepsCrls,
    SealsKeys,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.ledger_rows import earlier_answer, issuance
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    Authority,
    make_issuing,
    make_leaf,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import is_issued_by, iso
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CERTIFICATE_NAME, KEY_ALGORITHMS
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Ledger

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crls import CaCrls
    from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CaRollover

# What is left of a common name (64 bytes, RFC 5280 appendix A) beside " Issuing 2026-11".
LONGEST_NAME = 48
TRIES = 5
# Says that the ledger has had rows: without it, and without rows, the CA has issued nothing yet.
ISSUED = "issued.json"
LOST_REMEDY = (
    "restore ledger.sqlite3 (or the KV folder ledger) from the store's newest backup; where there is none, go on with"
    " -e tls_ledger_lost=true. Until then everything installed stays, and CRLs go on being signed"
)


class CaIssuer(CaFiles, Issuer, CanPrepare, KeepsCrls, CanRollOver, SealsKeys):
    """Options: ``duration`` (of leaves), ``root_duration``, ``issuing_duration``, ``key_algorithm``, ``common_name``, ``crl_duration``."""

    ca_in_store = True

    def __init__(self, name: str, options: Any, store: Any) -> None:
        super().__init__(name, options, store)
        if not CERTIFICATE_NAME.fullmatch(name):
            raise SpecError(f"'{name}' is no name for an issuer", remedy="it becomes a directory of the store")
        self.duration = parse_duration(self.fields.get("duration", "90d"), f"issuer '{name}': duration")
        self.issuing_duration = parse_duration(
            self.fields.get("issuing_duration", "2y"), f"issuer '{name}': issuing_duration"
        )
        self.root_duration = parse_duration(self.fields.get("root_duration", "10y"), f"issuer '{name}': root_duration")
        if not self.duration < self.issuing_duration < self.root_duration:
            raise SpecError(
                f"issuer '{name}': a leaf ({duration_text(self.duration)}) has to live shorter than the issuing CA"
                f" ({duration_text(self.issuing_duration)}), and that shorter than the root"
                f" ({duration_text(self.root_duration)})",
                remedy="set duration < issuing_duration < root_duration",
            )
        self.crl_duration = parse_duration(self.fields.get("crl_duration", "7d"), f"issuer '{name}': crl_duration")
        self.key_algorithm = one_of(
            self.fields.get("key_algorithm", "ecdsa-p256"), KEY_ALGORITHMS, f"issuer '{name}': key_algorithm"
        )
        self.common_name = str(self.fields.get("common_name", f"{name} CA"))
        text = self.common_name
        if not text.strip() or not text.isprintable() or len(text.encode()) > LONGEST_NAME:
            raise SpecError(
                f"issuer '{name}': common_name is empty, longer than {LONGEST_NAME} bytes or not printable",
                remedy=f"set issuers.{name}.common_name to something shorter",
            )

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("duration", "root_duration", "issuing_duration", "key_algorithm", "common_name", "crl_duration")

    @property
    def lifetime(self) -> int:
        return self.duration

    def trust(self) -> tuple[x509.Certificate, ...]:
        state = self.state()
        return tuple(self.certificate(each) for each in state.trusted) if state else ()

    def authorities(self) -> dict[str, x509.Certificate]:
        state = self.state()
        return {each: self.certificate(each) for each in (state.ids if state else ())}

    def sealed_keys(self) -> tuple[str, ...]:
        state = self.state()
        if state is None:
            return ()
        # Those of earlier ones lie there still: with them, somebody could sign what is trusted.
        earlier = (f"issuing-{number}" for number in range(1, state.made + 1))
        return tuple(self.entry(f"{each}.key") for each in sorted({*state.ids, *earlier}))

    def superseded(self, chain: Sequence[x509.Certificate]) -> str | None:
        return self.rollover().superseded(chain)

    @functools.cached_property
    def crl_keeper(self) -> CaCrls:
        """Its revocation lists; late, as is the rollover: runs with nothing to do need neither."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crls import CaCrls

        return CaCrls(self.name, self.store, dt.timedelta(seconds=self.crl_duration), self.authority)

    def rollover(self) -> CaRollover:
        from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CaRollover

        return CaRollover(self)

    def unprepared(self, now: dt.datetime) -> str | None:
        state = self.state()
        if state is None:
            return f"the CA '{self.name}' does not exist yet: a root and an issuing CA are made"
        lifetime = dt.timedelta(seconds=self.duration)
        if self.issuing_serves(state, now, lifetime) or self.waits_for_root(state, now, lifetime):
            return None
        return f"{self.issuing_end(state, now)}: the next one is made"

    def waits_for(self, now: dt.datetime) -> str | None:
        state, lifetime = self.state(), dt.timedelta(seconds=self.duration)
        if state is None:
            return None
        texts = [f"CA '{self.name}': {text}" for text in self.crl_keeper.waits_for(self.in_use(now), now)]
        if not self.issuing_serves(state, now, lifetime) and self.waits_for_root(state, now, lifetime):
            remedy = f"put the key of {state.root} into the store, so that the next one can be made"
            texts.insert(0, f"{self.issuing_end(state, now)}: {remedy}")
        return "; ".join(texts) or None

    def issuing_end(self, state: CaState, now: dt.datetime) -> str:
        """Between when and when the issuing CA cannot be used, in words."""
        issuing = self.certificate(state.issuing)
        if issuing.not_valid_before_utc > now:
            begin = iso(issuing.not_valid_before_utc)
            return f"the issuing CA of '{self.name}' is from the future: it counts from {begin} on only"
        return f"the issuing CA of '{self.name}' expires on {iso(issuing.not_valid_after_utc)}"

    def crl_authorities(self, now: dt.datetime) -> tuple[x509.Certificate, ...]:
        return tuple(self.in_use(now).values())

    def crls(self, now: dt.datetime, *, renew: bool = True) -> tuple[x509.CertificateRevocationList, ...]:
        if renew:
            self.crl_keeper.renew(lambda: self.in_use(now), now)
        kept = (self.crl_keeper.kept(each, certificate) for each, certificate in self.in_use(now).items())
        return tuple(crl for crl in kept if crl is not None)

    def take_over_crls(self, seen: Sequence[x509.CertificateRevocationList], now: dt.datetime) -> tuple[str, ...]:
        return self.crl_keeper.take_over(lambda: self.in_use(now), seen, now)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        with self.store.lock(f"ca/{self.name}"):
            self.crl_keeper.forget_all_listed()
            yield

    def crls_due(self, now: dt.datetime) -> str | None:
        due = self.crl_keeper.due(self.in_use(now), now)
        return "; ".join(due[each] for each in self.crl_keeper.signable(due)) or None

    def in_use(self, now: dt.datetime) -> dict[str, x509.Certificate]:
        """The trusted roots and every issuing CA below them, by their ids, as long as they are valid.

        What an earlier issuing CA signed may be in use still. One beyond the present number is a leftover of a killed run.
        """
        state = self.state()
        if state is None:
            return {}
        numbers = range(1, state.made + 1)
        earlier = (f"issuing-{number}" for number in numbers)
        present = [each for each in earlier if each == state.issuing or self.store.get(self.entry(f"{each}.pem"))]
        roots = {each: self.certificate(each) for each in dict.fromkeys((state.root, *state.trusted))}
        issuing = {each: self.certificate(each) for each in present}
        below = {each: ca for each, ca in issuing.items() if any(is_issued_by(ca, root) for root in roots.values())}
        return {each: ca for each, ca in {**roots, **below}.items() if ca.not_valid_after_utc > now}

    def prepare(self, now: dt.datetime) -> None:
        self.ensure(now, dt.timedelta(seconds=self.duration))

    def ledger_lost(self) -> str | None:
        if self.state() is None or self.store.get(self.entry(ISSUED)) is None or any(self.rows()):
            return None
        return f"the CA '{self.name}' has issued certificates, and the ledger of {self.store.describe()} knows of none: it was lost"

    def rows(self) -> Iterator[Issuance]:
        """What the ledger has of its certificates, canaries left out: they are made also when that was lost."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CANARY_NAME, STRANGER_NAME

        rows = self.store.issuances(issuer=self.name)
        return (row for row in rows if row.certificate not in (CANARY_NAME, STRANGER_NAME))

    def note_issued(self) -> None:
        """That there is something in the ledger from now on; the first run that has issued notes it."""
        if self.store.get(self.entry(ISSUED)) is None:
            with contextlib.suppress(StoreConflict):
                self.store.put(self.entry(ISSUED), b'{"version": 1}', expect=None)

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        lost = None if self.store.accepts_lost_ledger else self.ledger_lost()
        if lost:
            raise LedgerLost(lost, remedy=LOST_REMEDY)
        state = self.ensure(now, self.longest(requests, now))
        issuing = self.authority(state.issuing)
        with self.store.ledger() as ledger:
            answers = tuple(self.issue_beside_others(request, issuing, ledger, now) for request in requests)
        self.note_issued()
        return answers

    def issue_beside_others(
        self, request: IssueRequest, issuing: Authority, ledger: Ledger, now: dt.datetime
    ) -> Issued | TlsError:
        """Where another run was faster with the same request, its certificate serves both: ours has left this process nowhere."""
        for _try in range(TRIES):
            with contextlib.suppress(StoreConflict):
                return self.issue_from_ledger(request, issuing, ledger, now)
        return IssuerError(
            "other runs issue for the same request all the time", remedy="run again when they have ended"
        )

    def longest(self, requests: Sequence[IssueRequest], now: dt.datetime) -> dt.timedelta:
        """The longest lifetime asked for that this CA can ever give: what goes beyond must not cost the other requests."""
        state = self.state()
        end = self.certificate(state.root).not_valid_after_utc if state else None
        lifetimes = [self.lifetime_of(request) for request in requests]
        possible = [
            each
            for each in lifetimes
            if each.total_seconds() <= self.issuing_duration and (end is None or now + each <= end)
        ]
        return max(possible, default=dt.timedelta(seconds=self.duration))

    def lifetime_of(self, request: IssueRequest) -> dt.timedelta:
        """How long the certificate is to live."""
        return dt.timedelta(seconds=request.duration or self.duration)

    def issue_from_ledger(
        self, request: IssueRequest, issuing: Authority, ledger: Ledger, now: dt.datetime
    ) -> Issued | TlsError:
        """Sign, or hand out again what was signed for this very request and can still be used."""
        public_key = request.csr.public_key()
        # One of a CA that was replaced meanwhile would have to be replaced at once.
        earlier = earlier_answer(ledger, self.name, request, self.rollover().signing_roots(), now)
        if earlier:
            return earlier
        lifetime = self.lifetime_of(request)
        if now + lifetime > issuing.certificate.not_valid_after_utc:
            return IssuerError(
                f"the issuing CA of '{self.name}' expires on {iso(issuing.certificate.not_valid_after_utc)}, before the"
                f" certificate would ({duration_text(int(lifetime.total_seconds()))} from now)",
                remedy="shorten the certificate's duration or lengthen issuing_duration",
            )
        leaf = make_leaf(public_key, request.names, request.usages, issuing, now, lifetime)
        chain = (leaf, issuing.certificate)
        ledger.add(issuance(self.name, request, chain, now))
        return Issued(chain)

    def ensure(self, now: dt.datetime, leaf_lifetime: dt.timedelta) -> CaState:
        """Make what is missing: both CAs, or an issuing CA that lives long enough.

        :raises IssuerError: the CA is gone though the ledger knows it, or the root's end is too near.
        :raises StoreError, PassphraseError: a key or the passphrase is missing or wrong.
        """
        state = self.state()
        if state and self.issuing_serves(state, now, leaf_lifetime):
            return state
        with self.store.lock(f"ca/{self.name}"):
            state = self.state()
            if state is None:
                return self.create(now)
            if self.issuing_serves(state, now, leaf_lifetime):
                return state
            self.date_root(state, now)
            return self.renew_issuing(state, now, leaf_lifetime)

    def issuing_serves(self, state: CaState, now: dt.datetime, leaf_lifetime: dt.timedelta) -> bool:
        """Whether the issuing CA outlives a leaf made now, with a third of its own life in hand for calm renewals."""
        issuing = self.certificate(state.issuing)
        end = issuing.not_valid_after_utc
        reserve = (end - issuing.not_valid_before_utc) / 3
        root = self.certificate(state.root)
        # A controller whose clock was ahead made what nobody takes before that day.
        begin = max(issuing.not_valid_before_utc, root.not_valid_before_utc)
        return begin <= now and now + leaf_lifetime <= end and (now + reserve <= end or end == root.not_valid_after_utc)

    def create(self, now: dt.datetime) -> CaState:
        """A new root and its first issuing CA; ``ca.json`` last: without it the rest does not count."""
        if any(self.store.issuances(issuer=self.name)):
            raise IssuerError(
                f"{self.store.describe()} has issued with the CA '{self.name}', but the CA itself is missing",
                remedy=f"restore ca/{self.name}/ from the store's backup; for a new CA choose a new issuer name",
            )
        self.make_pair("root-1", "issuing-1", now)
        state = CaState(root="root-1", issuing="issuing-1", trusted=("root-1",))
        self.keep_state(state)
        return state

    def renew_issuing(self, state: CaState, now: dt.datetime, leaf_lifetime: dt.timedelta) -> CaState:
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
        if self.waits_for_root(state, now, leaf_lifetime):
            return state
        root = self.authority(state.root)
        number = state.made + 1
        renewed = replace(state, issuing=f"issuing-{number}", made=number)
        issuing = self.new_issuing(state.root, root, now)
        self.keep(renewed.issuing, issuing)
        self.crl_keeper.sign(renewed.issuing, issuing, now)
        # The root's key is here, and may be gone again tomorrow.
        self.crl_keeper.sign(state.root, root, now)
        self.keep_state(renewed)
        return renewed

    def date_root(self, state: CaState, now: dt.datetime) -> None:
        """A root from the future gets the date of today: the same name and key, so that all below it stays what it is."""
        if self.certificate(state.root).not_valid_before_utc <= now:
            return
        root = self.authority(state.root)
        lifetime = dt.timedelta(seconds=self.root_duration)
        self.keep(state.root, make_root(root.common_name, self.key_algorithm, now, lifetime, key=root.private_key))

    def waits_for_root(self, state: CaState, now: dt.datetime, leaf_lifetime: dt.timedelta) -> bool:
        """A root key kept elsewhere is good practice: the present issuing CA goes on while it covers a leaf."""
        issuing = self.certificate(state.issuing)
        covers = issuing.not_valid_before_utc <= now and now + leaf_lifetime <= issuing.not_valid_after_utc
        return covers and self.store.get(self.entry(f"{state.root}.key")) is None

    def make_pair(self, root_id: str, issuing_id: str, now: dt.datetime) -> None:
        """A new root, under a name that no other of this CA has, an issuing CA below it, and a CRL of each."""
        lifetime = dt.timedelta(seconds=self.root_duration)
        root = make_root(f"{self.title(root_id)} Root", self.key_algorithm, now, lifetime)
        issuing = self.new_issuing(root_id, root, now)
        for authority_id, authority in ((root_id, root), (issuing_id, issuing)):
            self.keep(authority_id, authority)
            self.crl_keeper.sign(authority_id, authority, now)

    def title(self, root_id: str) -> str:
        """How names below a root begin."""
        suffix = "" if number_of(root_id) == 1 else f" {number_of(root_id)}"
        return self.common_name.encode()[: LONGEST_NAME - len(suffix)].decode(errors="ignore") + suffix

    def new_issuing(self, root_id: str, root: Authority, now: dt.datetime) -> Authority:
        """An issuing CA; the year and month in its name tell generations apart in a list."""
        lifetime = dt.timedelta(seconds=self.issuing_duration)
        name = f"{self.title(root_id)} Issuing {now:%Y-%m}"
        return make_issuing(name, self.key_algorithm, root, now, lifetime)


PROVIDER = CaIssuer
