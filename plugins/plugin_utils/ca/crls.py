# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CRLs of an internal CA: one an authority, kept in the store beside it and signed anew in time.

In the store, for an issuer named ``internal``::

    ca/internal/issuing-1.crl     PEM
    ca/internal/listed.json       which CRLs list all that the ledger has as revoked: most runs need not read it

A CRL that is lost or damaged costs nothing: the ledger knows what was revoked, and the numbers follow the clock. Where the ledger was
lost, or the store restored from an older copy, the signed CRLs of the store and of hosts are what is known (``crl_entries.py``).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    CertificateError,
    KeyUnavailable,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import (
    crl_to_pem,
    is_crl_of,
    make_crl,
    parse_pem_crls,
    serials,
    signs_crls,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl_entries import (
    LedgerMemory,
    highest_number,
    next_entries,
    of_authority,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.keeper import Keeper
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import BACKDATE, Authority
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import iso, seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Revocation, Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry

# A root's key may be kept elsewhere, and comes back for the next issuing CA only.
ROOT_LIFETIME = dt.timedelta(days=365)

Crl = x509.CertificateRevocationList


@dataclass(frozen=True)
class CaCrls:
    """The CRLs of the CA ``ca``.

    :param lifetime: of the CRL of a CA that issues certificates.
    """

    ca: Keeper
    lifetime: dt.timedelta
    # Text → what it is: a list of thousands is parsed once a task, not once a question.
    parsed: dict[str, Crl | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The CA's."""
        return self.ca.name

    @property
    def store(self) -> Store:
        """Where it is kept."""
        store: Store = self.ca.store
        return store

    def kept(self, authority_id: str, certificate: x509.Certificate) -> Crl | None:
        """The CRL in the store; None where there is none, or none of this authority."""
        entry = self.store.get(self.entry(authority_id))
        text = entry.value.decode(errors="replace") if entry else ""
        if text not in self.parsed:
            try:
                crl = parse_pem_crls(text)[0]
                self.parsed[text] = crl if is_crl_of(crl, certificate) else None
            except CertificateError:
                self.parsed[text] = None
        crl_or_none = self.parsed[text]
        # The text of one authority may lie in the place of another one's.
        same = crl_or_none is not None and crl_or_none.issuer == certificate.subject
        return crl_or_none if same else None

    def due(self, authorities: Mapping[str, x509.Certificate], now: dt.datetime) -> dict[str, str]:
        """Which authorities' CRLs are to be signed anew, and why, in words."""
        # Read late: with all of it listed, it is of no interest how much was ever revoked.
        revocations = () if self.all_listed(authorities) else tuple(self.store.revocations(self.name))
        reasons = {each: self.reason(each, certificate, revocations, now) for each, certificate in authorities.items()}
        return {each: reason for each, reason in reasons.items() if reason}

    def reason(
        self, authority_id: str, certificate: x509.Certificate, revocations: Iterable[Revocation], now: dt.datetime
    ) -> str | None:
        """Why one CRL is to be signed anew; None: it is not."""
        crl = self.kept(authority_id, certificate)
        if not signs_crls(certificate):
            _alive, missing = alive_and_missing(revocations, certificate, None, now)
            return f"what was revoked of {authority_id} cannot be listed ({len(missing)})" if missing else None
        if crl is None:
            return f"the CRL of {authority_id} is missing or damaged"
        if crl.last_update_utc > now:
            return f"the CRL of {authority_id} is from the future: it counts from {iso(crl.last_update_utc)} on only"
        alive, missing = alive_and_missing(revocations, certificate, crl, now)
        if missing:
            return f"the CRL of {authority_id} does not list what was revoked since ({len(missing)} of {len(alive)})"
        begin, end = lifetime_of(crl)
        return f"the CRL of {authority_id} ends on {iso(end)}" if now >= begin + (end - begin) / 2 else None

    def signable(self, authority_ids: Iterable[str]) -> list[str]:
        """Those whose keys can be had now (in the store, and its passphrase given) and that may sign CRLs."""
        return [
            each
            for each in authority_ids
            if self.store.passphrase and self.ca.has_key(each) and signs_crls(self.ca.certificate(each))
        ]

    def given(self, authorities: Mapping[str, x509.Certificate]) -> dict[str, Crl]:
        """The CRL that the inventory names of a root whose key is elsewhere, where it is newer than the store's.

        One that cannot be read costs nothing as long as the store's counts; :meth:`waits_for` tells of that one's end.
        """
        found: dict[str, Crl] = {}
        root = self.ca.given.root if self.ca.given else None
        if root is None or root.crl is None:
            return found
        for each, certificate in authorities.items():
            with contextlib.suppress(TlsError):
                if self.ca.is_outside(each) and (crl := root.read_crl(certificate)) is not None:
                    kept = self.kept(each, certificate)
                    found.update({each: crl} if kept is None or crl.last_update_utc > kept.last_update_utc else {})
        return found

    def renew(self, authorities: Callable[[], Mapping[str, x509.Certificate]], now: dt.datetime) -> None:
        """Sign anew what is due and can be signed. Runs that want it at once do it once.

        :raises TlsError: a key cannot be opened, or the store not be written.
        """
        present = authorities()
        all_done = not self.signable(self.due(present, now)) and not self.given(present)
        if all_done and (self.all_listed(present) or not self.store.passphrase):
            return
        with self.store.lock(f"ca/{self.name}"):
            present = authorities()
            for each, crl in self.given(present).items():
                self.keep(each, crl)
            errors: list[TlsError] = []
            for each in self.signable(self.due(present, now)):
                # A root's key that cannot be opened must not let the list of the CA that issues run out.
                try:
                    self.sign(each, self.ca.authority(each), now)
                except KeyUnavailable as error:
                    # As with a key that is kept elsewhere: the one there is counts still.
                    if not self.may_wait(each, present[each], now):
                        errors.append(error)
                except TlsError as error:
                    errors.append(error)
            if errors:
                raise errors[0]
            self.note_all_listed(present, now)

    def sign(
        self,
        authority_id: str,
        authority: Authority,
        now: dt.datetime,
        also: Sequence[Crl] = (),
        *,
        issues: bool | None = None,
    ) -> Crl:
        """Make an authority's next CRL. The caller holds the CA's lock.

        What has expired is listed once more (RFC 5280, 3.3), and then left out.

        :param also: other CRLs that its key has signed, whose entries are taken over.
        :param issues: whether it issues certificates of hosts; None: ``ca.json`` tells.
        """
        issues = self.issues(authority_id) if issues is None else issues
        kept = self.kept(authority_id, authority.certificate)
        # A CRL that lists nothing is falsy: it has a length.
        before = [*also] if kept is None else [kept, *also]
        memory = self.memory(authority.certificate, before)
        crl = make_crl(
            authority,
            next_entries(memory, before, now).values(),
            number=max(highest_number(before) + 1 if before else 0, seconds(now)),
            now=now - BACKDATE,
            lifetime=BACKDATE + (self.lifetime if issues else ROOT_LIFETIME),
        )
        self.keep(authority_id, crl)
        return crl

    def issues(self, authority_id: str) -> bool:
        """Whether an authority issues certificates of hosts, as a root may that has no CA below it."""
        state = self.ca.state()
        return not authority_id.startswith("root-") or (state is not None and state.issuing == authority_id)

    def memory(self, certificate: x509.Certificate, crls: Iterable[Crl]) -> LedgerMemory:
        """What the ledger knows of an authority's revocations, and of the ends of what ``crls`` list."""
        revoked = of_authority(self.store.revocations(self.name), certificate)
        ends = {each.issuance.serial: each.issuance.not_after for each in revoked}
        unknown = frozenset().union(*(serials(crl) for crl in crls)) - set(ends)
        if unknown:
            rows = self.store.issuances(issuer=self.name)
            ends.update((row.serial, row.not_after) for row in rows if row.serial in unknown)
        return LedgerMemory(revoked, ends)

    def keep(self, authority_id: str, crl: Crl) -> None:
        """Let a CRL be the authority's; the caller holds the CA's lock."""
        entry = self.entry(authority_id)
        self.store.put(entry, crl_to_pem(crl).encode(), expect=self.store.version(entry))

    def all_listed(self, authorities: Mapping[str, x509.Certificate]) -> bool:
        """Whether nothing was revoked since these CRLs were found to list it all."""
        if not all(map(signs_crls, authorities.values())):
            return False
        return not authorities or self.listed.usable() == self.digests(authorities)

    def note_all_listed(self, authorities: Mapping[str, x509.Certificate], now: dt.datetime) -> None:
        """Write that down where it is so; the caller holds the CA's lock."""
        revocations = tuple(self.store.revocations(self.name))
        if not any(alive_and_missing(revocations, ca, self.kept(each, ca), now)[1] for each, ca in authorities.items()):
            self.listed.replace(self.digests(authorities))

    def forget_all_listed(self) -> None:
        """To be done before a revocation is recorded; the caller holds the CA's lock until it is."""
        if self.listed.usable():
            self.listed.replace({})

    @property
    def listed(self) -> JsonEntry[dict[str, str]]:
        """Authority → digest of a CRL that lists all that the ledger had as revoked when that was last looked at."""
        return JsonEntry(
            self.store, f"ca/{self.name}/listed.json", lambda raw: dict(raw["crls"]), lambda crls: {"crls": crls}
        )

    def digests(self, authorities: Iterable[str]) -> dict[str, str]:
        """The CRLs as the store has them now."""
        found = {each: self.store.get(self.entry(each)) for each in sorted(authorities)}
        return {each: hashlib.sha256(entry.value).hexdigest() for each, entry in found.items() if entry}

    def waits_for(self, authorities: Mapping[str, x509.Certificate], now: dt.datetime) -> tuple[str, ...]:
        """What is due, cannot be signed now, and has come near its end or lacks a revocation, in words."""
        due = self.due(authorities, now)
        stuck = set(due) - set(self.signable(due))
        return tuple(
            f"{due[each]}: {self.remedy(each)}" for each in sorted(stuck) if self.pressing(each, authorities[each], now)
        )

    def pressing(self, authority_id: str, certificate: x509.Certificate, now: dt.datetime) -> bool:
        """Whether a CRL that is due has less than a quarter of its life left, or is due for another reason than its age."""
        crl = self.kept(authority_id, certificate)
        if crl is None:
            return True
        begin, end = lifetime_of(crl)
        return now < begin + (end - begin) / 2 or now >= end - (end - begin) / 4

    def may_wait(self, authority_id: str, certificate: x509.Certificate, now: dt.datetime) -> bool:
        """Whether a CRL that is due, and whose key cannot be used now, is good enough: it has not come near its end, and lacks nothing."""
        return not self.pressing(authority_id, certificate, now)

    def remedy(self, authority_id: str) -> str:
        """What lets a CRL be signed."""
        if not signs_crls(self.ca.certificate(authority_id)):
            return "its key usage does not let it sign a CRL: replace the CA with fleet.tls.rotate_ca"
        if self.ca.given and self.ca.is_outside(authority_id):
            root = self.ca.given.root
            where = f"put it to {root.place(root.crl)}" if root.crl else f"name it as tls_issuers.{self.name}.root.crl"
            return f"have the root's keeper sign the next one, and {where}"
        if not self.ca.has_key(authority_id):
            return f"{self.ca.key_remedy(authority_id)}, so that the next one can be signed"
        return "give the store's passphrase, so that the next one can be signed"

    def entry(self, authority_id: str) -> str:
        """A CRL's key in the store."""
        return f"ca/{self.name}/{authority_id}.crl"


def alive_and_missing(
    revocations: Iterable[Revocation], certificate: x509.Certificate, crl: Crl | None, now: dt.datetime
) -> tuple[frozenset[str], frozenset[str]]:
    """Serial numbers of what is revoked of an authority's and has not expired; and those of them that its CRL does not list."""
    mine = of_authority(revocations, certificate)
    alive = frozenset(each.issuance.serial for each in mine if each.issuance.not_after > seconds(now))
    return alive, alive - (frozenset() if crl is None or not alive else serials(crl))


def lifetime_of(crl: x509.CertificateRevocationList) -> tuple[dt.datetime, dt.datetime]:
    """From when to when one of ours counts; it begins, for late clocks, a while before it was signed."""
    begin = crl.last_update_utc + BACKDATE
    return begin, crl.next_update_utc or begin
