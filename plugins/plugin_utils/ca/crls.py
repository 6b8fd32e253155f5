# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CRLs of an internal CA: one an authority, kept in the store beside it and signed anew in time.

In the store, for an issuer named ``internal``: ``ca/internal/issuing-1.crl``, PEM. A CRL that is lost or damaged costs nothing:
the ledger knows what was revoked, and the numbers follow the clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import (
    crl_number,
    crl_to_pem,
    is_crl_of,
    make_crl,
    parse_pem_crls,
    serials,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import BACKDATE, Authority
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import iso, key_id, parse_pem_chain, seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Revocation, Store

# A root's key may be kept elsewhere, and comes back for the next issuing CA only.
ROOT_LIFETIME = dt.timedelta(days=365)


@dataclass(frozen=True)
class CaCrls:
    """The CRLs of the CA ``name``.

    :param lifetime: of an issuing CA's CRL.
    :param authority: opens an authority by its id; raises as ``CaIssuer.authority``.
    """

    name: str
    store: Store
    lifetime: dt.timedelta
    authority: Callable[[str], Authority]

    def kept(self, authority_id: str, certificate: x509.Certificate) -> x509.CertificateRevocationList | None:
        """The CRL in the store; None where there is none, or none of this authority."""
        entry = self.store.get(self.entry(authority_id))
        try:
            crl = parse_pem_crls(entry.value.decode() if entry else "")[0]
        except (CertificateError, UnicodeDecodeError):
            return None
        return crl if is_crl_of(crl, certificate) else None

    def due(self, authorities: Mapping[str, x509.Certificate], now: dt.datetime) -> dict[str, str]:
        """Which authorities' CRLs are to be signed anew, and why, in words."""
        revocations = tuple(self.store.revocations(self.name))
        reasons = {each: self.reason(each, certificate, revocations, now) for each, certificate in authorities.items()}
        return {each: reason for each, reason in reasons.items() if reason}

    def reason(
        self, authority_id: str, certificate: x509.Certificate, revocations: Iterable[Revocation], now: dt.datetime
    ) -> str | None:
        """Why one CRL is to be signed anew; None: it is not."""
        crl = self.kept(authority_id, certificate)
        if crl is None:
            return f"the CRL of {authority_id} is missing or damaged"
        alive = [each for each in of_authority(revocations, certificate) if each.issuance.not_after > seconds(now)]
        missing = {each.issuance.serial for each in alive} - serials(crl)
        if missing:
            return f"the CRL of {authority_id} does not list what was revoked since ({len(missing)} of {len(alive)})"
        begin, end = lifetime_of(crl)
        return f"the CRL of {authority_id} ends on {iso(end)}" if now >= begin + (end - begin) / 2 else None

    def signable(self, authority_ids: Iterable[str]) -> list[str]:
        """Those whose keys can be had now: in the store, and its passphrase given."""
        return [
            each
            for each in authority_ids
            if self.store.passphrase and self.store.get(f"ca/{self.name}/{each}.key") is not None
        ]

    def renew(self, authorities: Callable[[], Mapping[str, x509.Certificate]], now: dt.datetime) -> None:
        """Sign anew what is due and can be signed. Runs that want it at once do it once.

        :raises TlsError: a key cannot be opened, or the store not be written.
        """
        if not self.signable(self.due(authorities(), now)):
            return
        with self.store.lock(f"ca/{self.name}"):
            for each in self.signable(self.due(authorities(), now)):
                self.sign(each, self.authority(each), now)

    def sign(self, authority_id: str, authority: Authority, now: dt.datetime) -> None:
        """Make an authority's next CRL. The caller holds the CA's lock.

        What has expired is listed once more (RFC 5280, 3.3), and then left out.
        """
        before = self.kept(authority_id, authority.certificate)
        # A CRL that lists nothing is falsy: it has a length.
        horizon = seconds(now if before is None else min(before.last_update_utc, now))
        number = max(0 if before is None else (crl_number(before) or 0) + 1, seconds(now))
        crl = make_crl(
            authority,
            [
                each
                for each in of_authority(self.store.revocations(self.name), authority.certificate)
                if each.issuance.not_after > horizon
            ],
            number=number,
            now=now - BACKDATE,
            lifetime=BACKDATE + (ROOT_LIFETIME if authority_id.startswith("root-") else self.lifetime),
        )
        entry = self.entry(authority_id)
        self.store.put(entry, crl_to_pem(crl).encode(), expect=self.store.version(entry))

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

    def remedy(self, authority_id: str) -> str:
        """What lets a CRL be signed."""
        if self.store.get(f"ca/{self.name}/{authority_id}.key") is None:
            return f"put the key of {authority_id} into the store, so that the next one can be signed"
        return "give the store's passphrase, so that the next one can be signed"

    def entry(self, authority_id: str) -> str:
        """A CRL's key in the store."""
        return f"ca/{self.name}/{authority_id}.crl"


def of_authority(revocations: Iterable[Revocation], certificate: x509.Certificate) -> tuple[Revocation, ...]:
    """Those whose certificates an authority's key signed."""
    key = key_id(certificate.public_key())
    return tuple(each for each in revocations if signer_of(each) == key)


def signer_of(revocation: Revocation) -> str | None:
    """The id of the key that signed a revoked certificate, by its recorded chain."""
    chain = parse_pem_chain(revocation.issuance.chain)
    return key_id(chain[1].public_key()) if len(chain) > 1 else None


def lifetime_of(crl: x509.CertificateRevocationList) -> tuple[dt.datetime, dt.datetime]:
    """From when to when one of ours counts; it begins, for late clocks, a while before it was signed."""
    begin = crl.last_update_utc + BACKDATE
    return begin, crl.next_update_utc or begin
