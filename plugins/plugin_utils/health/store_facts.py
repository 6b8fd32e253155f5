# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store knows that a check wants to know: authorities, revocation lists, rings, what was issued and revoked. No secret.

Nothing here needs the store's passphrase, and nothing is written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import is_crl_of, signs_crls
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanPrepare, KeepsCrls, SealsKeys
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, iso, seconds, subject_text, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.upkeep import is_noted_weak
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import parse_pool_name
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore


def store_facts(store: Store, issuers: Mapping[str, Issuer], pools: Iterable[str], now: dt.datetime) -> dict[str, Any]:
    """The whole result, as documented in ``fleet.tls.store_info``. What cannot be read is in ``errors``, and costs nothing else."""
    errors: list[dict[str, str | None]] = []

    def tried(about: str, read: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return read()
        except TlsError as error:
            errors.append({"about": about, "message": error.message, "remedy": error.remedy})
            return otherwise

    nothing: dict[str, Any] = {
        "anchors": "",
        "authorities": [],
        "crls": [],
        "ledger_lost": None,
        "signature_wanted": None,
    }
    known = {name: tried(name, partial(issuer_facts, issuer, now), nothing) for name, issuer in issuers.items()}
    names = sorted({parse_pool_name(pool) for pool in pools})
    rings = [tried(f"pool {pool}", partial(ring_facts, store, pool), None) for pool in names]
    return {
        "issuers": known,
        "rings": [ring for ring in rings if ring],
        "issued": tried("ledger", partial(issued, store, now), {}),
        "revoked": tried("ledger", partial(revoked, store, issuers, now), {}),
        "weak_passphrase": tried("passphrase", partial(is_noted_weak, store), False),
        "errors": errors,
    }


def issuer_facts(issuer: Issuer, now: dt.datetime) -> dict[str, Any]:
    """Anchors, authorities and revocation lists of an issuer.

    :raises TlsError: they cannot be read.
    """
    authorities = issuer.authorities()
    places = issuer.key_places() if isinstance(issuer, SealsKeys) else {}
    signing = issuer.crl_authorities(now) if isinstance(issuer, KeepsCrls) else ()
    # What may sign none has none, and who depends on it is refused, see ``client_trust.py``.
    signing = tuple(each for each in signing if signs_crls(each))
    wanted = issuer.signature_wanted(now) if isinstance(issuer, CanPrepare) else None
    crls = issuer.crls(now, renew=False) if isinstance(issuer, KeepsCrls) else ()
    return {
        "anchors": "".join(to_pem(anchor) for anchor in issuer.anchors()),
        "authorities": [
            {**authority_facts(each, certificate), "key": places.get(each)} for each, certificate in authorities.items()
        ],
        "crls": [crl_facts(certificate, crls) for certificate in signing],
        "ledger_lost": issuer.ledger_lost() if isinstance(issuer, KeepsCrls) else None,
        "signature_wanted": asdict(wanted) if wanted else None,
    }


def authority_facts(authority_id: str, certificate: x509.Certificate) -> dict[str, Any]:
    """A CA certificate."""
    return {
        "id": authority_id,
        "kind": "root" if certificate.issuer == certificate.subject else "issuing",
        "subject": subject_text(certificate),
        "not_before": iso(certificate.not_valid_before_utc),
        "not_after": iso(certificate.not_valid_after_utc),
        "fingerprint_sha256": fingerprint(certificate),
        "pem": to_pem(certificate),
    }


def crl_facts(certificate: x509.Certificate, crls: Iterable[x509.CertificateRevocationList]) -> dict[str, Any]:
    """The revocation list of a CA; ``last_update`` and ``next_update`` None: there is none that counts for it."""
    crl = next((each for each in crls if is_crl_of(each, certificate)), None)
    # An empty one is false.
    end = None if crl is None else crl.next_update_utc
    return {
        "subject": subject_text(certificate),
        "last_update": None if crl is None else iso(crl.last_update_utc),
        "next_update": iso(end) if end else None,
    }


def ring_facts(store: Store, pool: str) -> dict[str, Any] | None:
    """What may be known of a pool's session ticket keys; None: it has none yet.

    :raises StoreError: the entry is damaged.
    """
    known = RingStore(store, pool).known()
    if known is None:
        return None
    made = dt.datetime.fromtimestamp(known.record.made_at, dt.timezone.utc)
    return {"pool": pool, "generation": known.record.generation, "created": iso(made)}


def issued(store: Store, now: dt.datetime) -> dict[str, dict[str, Any]]:
    """Fingerprint → who has what was issued and has not expired."""
    rows = (row for row in store.issuances() if row.not_after > seconds(now))
    return {row.fingerprint: {"issuer": row.issuer, "host": row.host, "certificate": row.certificate} for row in rows}


def revoked(store: Store, issuers: Iterable[str], now: dt.datetime) -> dict[str, dict[str, Any]]:
    """Fingerprint → since when what has not expired is revoked, and why."""
    rows = (row for issuer in issuers for row in store.revocations(issuer) if row.issuance.not_after > seconds(now))
    return {
        row.issuance.fingerprint: {
            "issuer": row.issuance.issuer,
            "host": row.issuance.host,
            "certificate": row.issuance.certificate,
            "reason": row.reason,
            "revoked_at": iso(dt.datetime.fromtimestamp(row.revoked_at, dt.timezone.utc)),
        }
        for row in rows
    }
