# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates revoked: recorded in the ledger, then listed in their CA's CRL."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of, suggestion
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import REASONS
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import KeepsCrls, waiting
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Ledger, Revocation, Store

HEX = re.compile(r"[0-9a-f]+")
FINGERPRINT_LENGTH = 64


@dataclass(frozen=True)
class RevocationResult:
    """What came of it.

    :param revocations: what is revoked, in the order asked for; what had been revoked before is there as it was.
    :param crls: those of the issuers concerned, as they are now.
    :param warnings: what keeps a CRL from telling, and what hosts knew better than the store, in words.
    """

    revocations: tuple[Revocation, ...]
    crls: tuple[x509.CertificateRevocationList, ...]
    warnings: tuple[str, ...]


def revoke(
    issuers: Mapping[str, Issuer],
    store: Store,
    which: Iterable[str],
    reason: str,
    now: dt.datetime,
    seen: Sequence[x509.CertificateRevocationList] = (),
) -> RevocationResult:
    """Revoke certificates of the ledger, all of them or (where one cannot be) none.

    :param which: serial numbers or SHA-256 fingerprints, hex with or without colons.
    :param reason: one of ``REASONS``.
    :param seen: CRLs that hosts have: what our CAs have signed of them, and the store does not know, is listed too.
    :raises SpecError: another reason, no such certificate, or one of an issuer that is not there or keeps no CRL.
    :raises TlsError: the ledger or a CRL cannot be written; what is recorded is listed by the next run.
    """
    known = one_of(reason, REASONS, "reason")
    wanted = [parse_which(each) for each in which]
    with contextlib.ExitStack() as stack:
        for _name, issuer in sorted(issuers.items()):
            if isinstance(issuer, KeepsCrls):
                stack.enter_context(issuer.recording())
        ledger = stack.enter_context(store.ledger())
        revocations = tuple(revoke_one(ledger, issuers, each, known, now) for each in wanted)
    concerned = [issuers[name] for name in dict.fromkeys(each.issuance.issuer for each in revocations)]
    keepers = [issuer for issuer in concerned if isinstance(issuer, KeepsCrls)]
    taken_over = [text for issuer in keepers for text in listed_by_hosts(issuer, seen, now)] if seen else []
    crls = tuple(crl for issuer in keepers for crl in issuer.crls(now))
    return RevocationResult(revocations, crls, (*taken_over, *waiting(concerned, now)))


def listed_by_hosts(
    issuer: KeepsCrls, seen: Sequence[x509.CertificateRevocationList], now: dt.datetime
) -> tuple[str, ...]:
    """Let the issuer list what CRLs of hosts list; what became of it, in words."""
    try:
        return issuer.take_over_crls(seen, now)
    except TlsError as error:
        # The servers' own part fails by it. Here it must not keep what is revoked now from being listed.
        return (str(error),)


def revoke_one(ledger: Ledger, issuers: Mapping[str, Issuer], which: str, reason: str, now: dt.datetime) -> Revocation:
    """One of them; errors as :func:`revoke`, inside the ledger's session, which then records nothing."""
    found = ledger.revoke(which, reason, seconds(now))
    if not found:
        raise SpecError(
            f"the ledger knows no certificate with the serial number or fingerprint {which}",
            remedy="see that tls_store is the store that issued it; nothing was revoked",
        )
    if len(found) > 1:
        raise SpecError(
            f"the serial number {which} is that of {len(found)} certificates",
            remedy="give the SHA-256 fingerprint of the right one; nothing was revoked",
        )
    name = found[0].issuance.issuer
    if name not in issuers:
        raise SpecError(
            f"the certificate {which} is from the issuer '{name}', which is not among the issuers",
            remedy=f"add it to tls_issuers ({suggestion(name, issuers)}); nothing was revoked",
        )
    if not isinstance(issuers[name], KeepsCrls):
        raise SpecError(
            f"the certificate {which} is from the issuer '{name}', which keeps no CRL here",
            remedy="revoke it at that CA; nothing was revoked",
        )
    return found[0]


def parse_which(text: str) -> str:
    """A serial number or fingerprint in the ledger's form.

    :raises SpecError: no hexadecimal number.
    """
    plain = str(text).strip().lower().replace(":", "").removeprefix("0x")
    if not HEX.fullmatch(plain):
        raise SpecError(
            f"'{text}' is neither a serial number nor a fingerprint",
            remedy="give it in hexadecimal, as openssl x509 -serial or -fingerprint -sha256 prints it",
        )
    return plain if len(plain) == FINGERPRINT_LENGTH else (plain.lstrip("0") or "0")
