# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of our CAs that the ledger does not know, given as PEM or by their numbers: entered, so that they can be revoked as all others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import STRANGER_NAME
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanRollOver, KeepsCrls
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    fingerprint,
    is_issued_by,
    key_id,
    parse_pem_chain,
    seconds,
    serial_text,
    to_pem,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import parse_which
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Store

PEM = "-----BEGIN CERTIFICATE-----"
# Bits (RFC 5280, 4.1.2.2); longer ones are fingerprints and key ids.
LONGEST_SERIAL = 159


def as_ledger_has_them(
    store: Store, issuers: Mapping[str, Issuer], which: Iterable[str], issuer: str | None, now: dt.datetime
) -> tuple[list[str], list[Issuance]]:
    """What is meant in the ledger's words, and rows for what it does not know yet.

    A number that the ledger does not know may be a slip of the pen, so it counts only with the issuer's name beside it.

    :raises SpecError: a PEM text that none of our CAs has signed; :raises TlsError: the key of a CA cannot be opened.
    """
    known = {text for row in store.issuances() for text in (row.serial, row.fingerprint, row.key_id)}
    words, rows = [], []
    for each in which:
        if PEM in each:
            leaf = parse_pem_chain(each)[0]
            words.append(fingerprint(leaf))
            rows += [] if words[-1] in known else [row_of_pem(issuers, leaf, now)]
            continue
        words.append(parse_which(each))
        number = int(words[-1], 16)
        if words[-1] not in known and issuer in issuers and 0 < number.bit_length() <= LONGEST_SERIAL:
            rows += rows_of_number(issuers[str(issuer)], number, now)
    return words, rows


def row_of_pem(issuers: Mapping[str, Issuer], leaf: x509.Certificate, now: dt.datetime) -> Issuance:
    """:raises SpecError: no CA of an issuer that keeps CRLs has signed it."""
    for name, issuer in issuers.items():
        for authority in issuer.crl_authorities(now) if isinstance(issuer, KeepsCrls) else ():
            if is_issued_by(leaf, authority):
                return row(name, leaf, authority, seconds(leaf.not_valid_after_utc), now)
    raise SpecError(
        f"the certificate with the serial number {serial_text(leaf.serial_number)} is from none of the CAs whose CRLs are kept here",
        remedy="see that it is from a CA of tls_issuers; nothing was revoked",
    )


def rows_of_number(issuer: Issuer, number: int, now: dt.datetime) -> Iterator[Issuance]:
    """One for each of its CAs that issue: which one has given the number is not known.

    The ledger wants a chain: it is that of a placeholder with this number, whose key is kept nowhere.
    """
    if not isinstance(issuer, CanRollOver):
        return
    rollover = issuer.rollover()
    authorities, adopted = rollover.ca.in_use(now), rollover.state().adopted
    for each, ca in authorities.items():
        root = next((name for name, other in authorities.items() if name != each and is_issued_by(ca, other)), None)
        # One that was adopted may have issued by itself.
        root = each if each in adopted and rollover.ca.knows_key(each) else root
        if root is not None:
            leaf = parse_pem_chain(rollover.canary(root, each, now, number).chain)[0]
            yield row(issuer.name, leaf, ca, seconds(ca.not_valid_after_utc), now)


def row(issuer: str, leaf: x509.Certificate, authority: x509.Certificate, end: int, now: dt.datetime) -> Issuance:
    """What the ledger is told; ``end``: until when it is listed, seconds since the epoch."""
    return Issuance(
        request_id=f"revoked-{fingerprint(leaf)}",
        issuer=issuer,
        host="",
        certificate=STRANGER_NAME,
        serial=serial_text(leaf.serial_number),
        fingerprint=fingerprint(leaf),
        key_id=key_id(leaf.public_key()),
        names=(),
        not_before=seconds(leaf.not_valid_before_utc),
        not_after=end,
        issued_at=seconds(now),
        reason="to be revoked",
        chain=to_pem(leaf) + to_pem(authority),
    )
