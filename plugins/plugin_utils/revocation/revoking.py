# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates are meant, revoked wherever they are from, and the proof that a server knows of it.

The proof needs no revoked key: each time, the serial number of a canary is revoked with the rest. A server that refuses a canary of
that number, and takes one of another, works with the newest CRLs.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import REASONS
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CANARY_NAME, CanaryPair
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanRevoke, CanRollOver, KeepsCrls
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    fingerprint,
    key_id,
    parse_pem_chain,
    seconds,
    serial_text,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation import internal as revocation
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Store

# For so long a canary's number is listed, and a revocation can be proven again.
CANARY_LISTED = dt.timedelta(days=7)


@dataclass(frozen=True)
class RevocationSelector:
    """What the user means: certificates that fit everything given; at least one thing is given.

    :param which: serial numbers, fingerprints or key ids, hexadecimal.
    :param names: of certificates; :param hosts: of the inventory.
    :param same_key: with all other certificates of their keys.
    :param also: (host, fingerprint) of others that are meant: what the records of its pools give a host.
    """

    which: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    issuer: str | None = None
    same_key: bool = False
    also: frozenset[tuple[str, str]] = frozenset()

    def strangers(self, chosen: Sequence[Issuance]) -> list[str]:
        """What is given, and none of those that are ``chosen`` has."""
        numbers = {text for row in chosen for text in (row.serial, row.fingerprint, row.key_id)}
        missing = [each for each in self.which if each not in numbers]
        prints = {row.fingerprint for row in chosen}
        hosts = {row.host for row in chosen} | {host for host, seen in self.also if seen in prints}
        missing += [f"the name '{each}'" for each in sorted(self.names - {row.certificate for row in chosen})]
        return missing + [f"the host '{each}'" for each in sorted(self.hosts - hosts)]

    def fits(self, row: Issuance) -> bool:
        """Whether a certificate is meant."""
        return any(row.fingerprint == seen for _host, seen in self.also) or (
            (not self.which or bool({row.serial, row.fingerprint, row.key_id} & set(self.which)))
            and (not self.names or row.certificate in self.names)
            and (not self.hosts or row.host in self.hosts)
            and (self.issuer is None or row.issuer == self.issuer)
        )


@dataclass
class Outcome:
    """What came of it: rows that are revoked now, and what went wrong with others, in words."""

    revoked: list[Issuance] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def parse_meant(
    which: Iterable[str],
    names: Iterable[str],
    hosts: Iterable[str],
    issuer: str | None,
    *,
    same_key: bool = False,
    also: Iterable[tuple[str, str]] = (),
) -> RevocationSelector:
    """Options as a value.

    :raises SpecError: nothing is given, which would be everything; or a number that is none.
    """
    meant = RevocationSelector(
        tuple(revocation.parse_which(each) for each in which),
        frozenset(names),
        frozenset(hosts),
        issuer,
        same_key,
        frozenset(also),
    )
    if not (meant.which or meant.names or meant.hosts or meant.issuer):
        raise SpecError(
            "it is not said which certificates are meant",
            remedy="give which, names, hosts or issuer; nothing was revoked",
        )
    return meant


def choose(
    store: Store, meant: RevocationSelector, now: dt.datetime, unknown: Iterable[Issuance] = ()
) -> tuple[Issuance, ...]:
    """Those that are meant and have not expired, oldest first, canaries left out.

    :param unknown: (check mode) what would be entered into the ledger before.
    :raises SpecError: the ledger knows no such one, or something that is given is of none: a slip of the pen must not leave a stolen
        key valid.
    """
    rows = [row for row in (*store.issuances(), *unknown) if row.certificate != CANARY_NAME]
    chosen = [row for row in rows if meant.fits(row)]
    strangers = meant.strangers(chosen)
    if strangers or not chosen:
        what = ", ".join(strangers) or "what was asked for"
        raise SpecError(
            f"the ledger knows no certificate for {what}",
            remedy="see how it is spelled, and that tls_store is the store that issued it; what the ledger has never known is revoked as PEM"
            " text, or by its number together with its issuer's name; nothing was revoked",
        )
    if meant.same_key:
        keys = {row.key_id for row in chosen}
        chosen = [row for row in rows if row.key_id in keys]
    return tuple(row for row in chosen if row.not_after > seconds(now))


def revoked_already(store: Store, issuers: Iterable[str]) -> frozenset[str]:
    """Fingerprints of what the ledger has as revoked."""
    return frozenset(each.issuance.fingerprint for name in issuers for each in store.revocations(name))


def revoke_rows(
    issuers: Mapping[str, Issuer],
    store: Store,
    rows: Sequence[Issuance],
    reason: str,
    now: dt.datetime,
    seen: Sequence[x509.CertificateRevocationList] = (),
) -> Outcome:
    """Revoke certificates at whoever issued them; what fails with one CA does not keep the others.

    :param seen: as in :func:`revocation.revoke`.
    :raises SpecError: another reason.
    """
    known, outcome = one_of(reason, REASONS, "reason"), Outcome()
    for name in dict.fromkeys(row.issuer for row in rows):
        mine = [row for row in rows if row.issuer == name]
        issuer = issuers.get(name)
        if issuer is None:
            outcome.failed.append(f"'{name}', which issued {listing(mine)}, is not among the issuers")
        elif isinstance(issuer, KeepsCrls):
            prints = [row.fingerprint for row in mine] + canary_print(issuer, store, now)
            done = revocation.revoke({name: issuer}, store, prints, known, now, seen)
            outcome.revoked += mine
            outcome.warnings += done.warnings
        else:
            for row in mine:
                try:
                    revoke_there(issuer, row, known, now)
                    with store.ledger() as ledger:
                        ledger.revoke(row.fingerprint, known, seconds(now))
                    outcome.revoked.append(row)
                except TlsError as error:
                    outcome.failed.append(f"{listing([row])}: {error}")
    return outcome


def revoke_there(issuer: Issuer, row: Issuance, reason: str, now: dt.datetime) -> None:
    """Have the CA itself revoke one certificate.

    :raises IssuerError: it did not, or there is no way to tell it.
    """
    if not isinstance(issuer, CanRevoke):
        raise IssuerError(
            f"issuer '{issuer.name}' has no way to revoke a certificate", remedy="revoke it where it was issued"
        )
    issuer.revoke(parse_pem_chain(row.chain)[0], REASONS[reason], now)


def listing(rows: Iterable[Issuance]) -> str:
    """Certificates for people."""
    return ", ".join(f"'{row.certificate}' of {row.host} (serial {row.serial})" for row in rows)


def canary_print(issuer: Issuer, store: Store, now: dt.datetime) -> list[str]:
    """The fingerprint of a new canary in the ledger, to be revoked with the rest; none where the CA is not ours."""
    if not isinstance(issuer, CanRollOver):
        return []
    rollover = issuer.rollover()
    state = rollover.state()
    chain = rollover.canary(state.root, state.issuing, now).chain
    leaf = parse_pem_chain(chain)[0]
    row = Issuance(
        request_id=f"canary-{uuid.uuid4()}",
        issuer=issuer.name,
        host="",
        certificate=CANARY_NAME,
        serial=serial_text(leaf.serial_number),
        fingerprint=fingerprint(leaf),
        key_id=key_id(leaf.public_key()),
        names=(CANARY_NAME,),
        not_before=seconds(leaf.not_valid_before_utc),
        not_after=seconds(now + CANARY_LISTED),
        issued_at=seconds(now),
        reason="proof of a revocation",
        chain=chain,
    )
    with store.ledger() as ledger:
        ledger.add(row)
    return [row.fingerprint]


def proving_canaries(issuer: CanRollOver, store: Store, now: dt.datetime) -> dict[str, CanaryPair]:
    """Canaries that a server which knows of the last revocation tells apart: ``good`` and ``revoked``.

    :raises IssuerError: nothing was revoked within the last days.
    """
    rollover = issuer.rollover()
    state = rollover.state()
    issuing = key_id(rollover.ca.certificate(state.issuing).public_key())
    serials = [
        each.issuance.serial
        for each in store.revocations(issuer.name)
        if each.issuance.certificate == CANARY_NAME
        and each.issuance.not_after > seconds(now)
        and key_id(parse_pem_chain(each.issuance.chain)[1].public_key()) == issuing
    ]
    if not serials:
        raise IssuerError(
            f"nothing of '{issuer.name}' was revoked within the last seven days",
            remedy="revoke first, with state: revoked",
        )
    return {
        "good": rollover.canary(state.root, state.issuing, now),
        "revoked": rollover.canary(state.root, state.issuing, now, int(serials[-1], 16)),
    }


def proof_problems(proofs: Iterable[Mapping[str, str | None]]) -> list[str]:
    """Servers that take a revoked client, in words. Who does not take a good one has nothing to do with the CA."""
    outcomes: dict[str, dict[str, str | None]] = {}
    for proof in proofs:
        outcomes.setdefault(str(proof["subject"]), {})[str(proof["canary"])] = proof["outcome"]
    problems = []
    for subject, each in outcomes.items():
        if "absent" in each.values():
            problems.append(f"{subject} does not answer")
        elif each.get("revoked") == "accepted":
            problems.append(f"{subject} accepts a revoked client")
    return problems


def newest_revocation(store: Store, issuers: Iterable[str], rows: Iterable[Issuance]) -> int | None:
    """When the last of ``rows`` was revoked, in seconds since the epoch; None where one of them is not."""
    moments = {each.issuance.fingerprint: each.revoked_at for name in issuers for each in store.revocations(name)}
    found = [moments.get(row.fingerprint) for row in rows]
    return None if None in found else max((each for each in found if each is not None), default=None)


def replaced(before: Iterable[Issuance], after: Iterable[Issuance]) -> list[dict[str, str]]:
    """What took the place of what, for a report: the newest certificate of the same host and name."""
    newest = {(row.host, row.certificate): row for row in after}
    found = []
    for row in before:
        now = newest.get((row.host, row.certificate))
        by = now.fingerprint if now is not None and now.fingerprint != row.fingerprint else ""
        found.append(
            {"host": row.host, "certificate": row.certificate, "issuer": row.issuer, "serial": row.serial,
             "fingerprint_sha256": row.fingerprint, "replaced_by": by}
        )  # fmt: skip
    return found
