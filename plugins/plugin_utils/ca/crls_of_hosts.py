# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRLs that hosts have of an internal CA, where they know better than the store: it was restored from an older copy, say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_problem, is_crl_of, serials
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl_entries import LedgerMemory, highest_number, lacking
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crls import CaCrls, Crl
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509


@dataclass(frozen=True)
class CrlsOfHosts:
    """What takes them over into ``crls``."""

    crls: CaCrls

    def take_over(
        self, authorities: Callable[[], Mapping[str, x509.Certificate]], seen: Sequence[Crl], now: dt.datetime
    ) -> tuple[str, ...]:
        """Make good what hosts know better than the store: CRLs that an authority's key has signed, and that list more, or are newer.

        :returns: what was done, in words.
        :raises TlsError: a key cannot be opened, or the store not be written.
        """
        if not any(self.newer(each, ca, seen, now) for each, ca in authorities().items()):
            return ()
        with self.crls.store.lock(f"ca/{self.crls.name}"):
            found = {each: (ca, self.newer(each, ca, seen, now)) for each, ca in authorities().items()}
            said: list[str] = []
            errors: list[TlsError] = []
            for each, (ca, newer) in found.items():
                # As where they are renewed: one that cannot be signed must not keep another from listing what hosts know.
                try:
                    said += [self.merge(each, ca, newer, now)] if newer else []
                except TlsError as error:
                    errors.append(error)
        if errors:
            errors[0].message = "; ".join([*said, errors[0].message])
            raise errors[0]
        return tuple(said)

    def newer(
        self, authority_id: str, certificate: x509.Certificate, seen: Iterable[Crl], now: dt.datetime
    ) -> list[Crl]:
        """Those of ``seen`` that are the authority's, and list what the store's CRL does not, or have a higher number."""
        kept = self.crls.kept(authority_id, certificate)
        # A listing of the whole ledger is for what is not the same anyway.
        own = [crl for crl in seen if crl != kept and is_crl_of(crl, certificate)]
        if own and self.crls.ca.is_outside(authority_id):
            # The newest is its keeper's word, also where it lists less: it leaves out what has ended.
            later = [crl for crl in own if kept is None or crl.last_update_utc > kept.last_update_utc]
            return sorted((crl for crl in later if not crl_problem(crl, now)), key=lambda crl: crl.last_update_utc)[-1:]
        memory = self.crls.memory(certificate, own) if own else LedgerMemory((), {})
        number = -1 if kept is None else highest_number([kept])
        return [crl for crl in own if lacking(memory, crl, kept, now) or highest_number([crl]) > number]

    def merge(self, authority_id: str, certificate: x509.Certificate, newer: Sequence[Crl], now: dt.datetime) -> str:
        """One CRL of the store's and those that hosts have; the caller holds the CA's lock. Says what was done.

        :raises IssuerError: each lists what the other does not, and there is no key to sign one that lists it all.
        """
        kept = self.crls.kept(authority_id, certificate)
        memory = self.crls.memory(certificate, newer)
        more = frozenset().union(*(lacking(memory, crl, kept, now) for crl in newer))
        newest = max(newer, key=lambda crl: highest_number([crl]))
        what = (
            f"a CRL of {authority_id} of '{self.crls.name}' on the host (number {highest_number(newer)}) is newer than that of"
            f" {self.crls.store.describe()} and lists {len(more)} certificates that it lacks"
        )
        if self.crls.signable([authority_id]):
            number = highest_number(
                [self.crls.sign(authority_id, self.crls.ca.authority(authority_id), now, also=newer)]
            )
            return f"{what}: merged as number {number}. Was the store restored from an older copy?"
        outside = self.crls.ca.is_outside(authority_id)
        if kept is None or outside or (serials(kept) <= serials(newest) and not crl_problem(newest, now)):
            self.crls.keep(authority_id, newest)
            return f"{what}: the store has taken it. Was the store restored from an older copy?"
        raise IssuerError(f"{what}, and cannot be merged", remedy=self.crls.remedy(authority_id))
