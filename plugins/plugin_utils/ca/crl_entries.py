# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an authority's next CRL has to list, by the ledger and by what its key has signed before. Pure: no store, no clock.

Signed CRLs are a second memory beside the ledger: where that was lost, or restored from an older copy, what they list goes on being listed.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_number, entries, make_entry, serials
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    is_issued_by,
    key_id,
    parse_pem_chain,
    seconds,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Revocation

END = "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class LedgerMemory:
    """What the ledger knows of the certificates of one authority.

    :param revoked: those that are revoked.
    :param ends: serial number → when that certificate ends, seconds since the epoch; of others the end is not known.
    """

    revoked: tuple[Revocation, ...]
    ends: Mapping[str, int]

    def is_past(self, serial: str, moment: int) -> bool:
        """Whether a certificate's end is known, and not after ``moment``."""
        end = self.ends.get(serial)
        return end is not None and end <= moment


def next_entries(
    memory: LedgerMemory, before: Sequence[x509.CertificateRevocationList], now: dt.datetime
) -> dict[str, x509.RevokedCertificate]:
    """The entries of an authority's next CRL, by serial numbers.

    An entry stays until a CRL issued after the certificate's end has listed it (RFC 5280, 3.3); where the ledger does not know
    that end, as long as there are CRLs of this authority, which is until it ends itself.

    :param before: CRLs of the authority: all that they list and that has not gone by is listed again.
    """
    horizon = min([seconds(now), *(seconds(crl.last_update_utc) for crl in before)])
    signed = {serial: entry for crl in before for serial, entry in entries(crl).items()}
    recorded = {
        each.issuance.serial: make_entry(int(each.issuance.serial, 16), each.revoked_at, each.reason)
        for each in memory.revoked
    }
    return {serial: entry for serial, entry in {**signed, **recorded}.items() if not memory.is_past(serial, horizon)}


def lacking(
    memory: LedgerMemory,
    seen: x509.CertificateRevocationList,
    kept: x509.CertificateRevocationList | None,
    now: dt.datetime,
) -> frozenset[str]:
    """What ``seen`` revokes and ``kept`` does not, though it may be in use still."""
    missing = serials(seen) - (frozenset() if kept is None else serials(kept))
    return frozenset(each for each in missing if not memory.is_past(each, seconds(now)))


def highest_number(crls: Iterable[x509.CertificateRevocationList]) -> int:
    """0: none has one."""
    return max((crl_number(crl) or 0 for crl in crls), default=0)


def of_authority(revocations: Iterable[Revocation], certificate: x509.Certificate) -> tuple[Revocation, ...]:
    """Those whose certificates an authority's key signed."""
    key = key_id(certificate.public_key())
    return tuple(each for each in revocations if is_signed_by(each, certificate, key))


def is_signed_by(revocation: Revocation, certificate: x509.Certificate, key: str) -> bool:
    """Whether the CA ``certificate``, with the key id ``key``, signed a revoked certificate, by its recorded chain: that of a root
    which issues by itself has nothing but the leaf."""
    leaf, end, rest = revocation.issuance.chain.partition(END)
    if "-----BEGIN " in rest:
        return first_key(rest) == key
    try:
        return is_issued_by(parse_pem_chain(leaf + end)[0], certificate)
    except CertificateError:
        return False


@functools.lru_cache(maxsize=64)
def first_key(chain: str) -> str | None:
    """The id of the first certificate's key; thousands of certificates have the same few CAs."""
    try:
        return key_id(parse_pem_chain(chain)[0].public_key())
    except CertificateError:
        return None
