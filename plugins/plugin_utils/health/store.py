# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities, revocation lists and session ticket keys of the health document, judged. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import text_or_none
from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import OK, severity_of
from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import (
    DAY,
    Context,
    Finding,
    days,
    first_text,
    mappings,
    printable,
    span_text,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import parse_moment
from ansible_collections.fleet.tls.plugins.plugin_utils.store.upkeep import ADVICE

# Of its life. An issuing CA is replaced at a third, so something keeps it from that; a root is replaced by hand, in stages.
LEFT = {"issuing": 1 / 4, "root": 1 / 10, "crl": 1 / 4}
TITLES = {"issuing": "the issuing CA", "root": "the root", "crl": "the revocation list of"}
REMEDIES = {
    "issuing": "run fleet.tls.deploy with the store's passphrase and, where it is kept elsewhere, the root's key",
    "root": "replace it with fleet.tls.rotate_ca",
    "crl": "run fleet.tls.deploy with the store's passphrase and, where it is kept elsewhere, the root's key",
}


def judge_store(
    store: Mapping[str, Any], context: Context, ring_age: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Finding]]:
    """``authorities``, ``rings`` and the findings about them."""
    authorities: list[dict[str, Any]] = []
    rings: list[dict[str, Any]] = []
    findings: list[Finding] = []
    for issuer, known in (store.get("issuers") or {}).items():
        for each in mappings(known.get("authorities")):
            kind = str(each.get("kind"))
            row = judged(
                str(issuer), kind, str(each.get("subject")), each.get("not_before"), each.get("not_after"), context
            )
            row[0]["key"] = text_or_none(each.get("key"))
            keep(authorities, findings, *row)
        for each in mappings(known.get("crls")):
            row = judged(
                str(issuer), "crl", str(each.get("subject")), each.get("last_update"), each.get("next_update"), context
            )
            keep(authorities, findings, *row)
        if known.get("ledger_lost"):
            message, remedy = (
                first_text([known["ledger_lost"]], "it was lost"),
                "restore it from the store's newest backup",
            )
            findings.append(Finding("ledger_lost", "authority", str(issuer), message, remedy))
        findings += signature_wanted(str(issuer), known.get("signature_wanted"))
    for each in mappings(store.get("rings")):
        keep(rings, findings, *judged_ring(each, context, ring_age))
    findings += weak_passphrase(store)
    findings += unread(store)
    return authorities, rings, findings


def keep(rows: list[dict[str, Any]], findings: list[Finding], row: dict[str, Any], finding: Finding | None) -> None:
    """A row with the state that its finding gives it."""
    state = finding.code if finding else OK
    rows.append({**row, "state": state, "severity": severity_of(state) if finding else OK})
    findings += [finding] if finding else []


def judged(
    issuer: str, kind: str, subject: str, begin: Any, end: Any, context: Context
) -> tuple[dict[str, Any], Finding | None]:
    """A CA or a revocation list with its validity; ``end`` None: a list that is not there."""
    left = (parse_moment(end) - context.now).total_seconds() if end else None
    row = {
        "issuer": issuer,
        "kind": kind,
        "subject": printable(subject),
        "not_after": end,
        "days_left": None if left is None else days(left),
    }
    what, prefix = f"{TITLES[kind]} {subject}", "crl" if kind == "crl" else "ca"
    if left is None:
        return row, about(f"{prefix}_expired", kind, issuer, f"{what} is not there")
    if parse_moment(begin) > context.now:
        return row, about(
            f"{prefix}_expired", kind, issuer, f"{what} is from the future: it counts from {begin} on only"
        )
    if left <= 0:
        return row, about(f"{prefix}_expired", kind, issuer, f"{what} expired on {end}, {span_text(left)} ago")
    lifetime = (parse_moment(end) - parse_moment(begin)).total_seconds()
    if left < lifetime * LEFT[kind]:
        return row, about(f"{prefix}_expiring", kind, issuer, f"{what} expires on {end}, in {span_text(left)}")
    return row, None


def about(code: str, kind: str, issuer: str, message: str) -> Finding:
    """A finding about an issuer's CA or list."""
    return Finding(code, "crl" if kind == "crl" else "authority", issuer, message, REMEDIES[kind])


def signature_wanted(issuer: str, wanted: Any) -> Iterable[Finding]:
    """The CSR of an issuing CA that somebody else has to sign."""
    if isinstance(wanted, Mapping):
        message, remedy = (first_text([wanted.get(each)], "it waits") for each in ("message", "remedy"))
        yield Finding("signature_wanted", "authority", issuer, message, remedy)


def judged_ring(each: Mapping[str, Any], context: Context, ring_age: int) -> tuple[dict[str, Any], Finding | None]:
    """The session ticket keys of a pool."""
    age = (context.now - parse_moment(each["created"])).total_seconds()
    row = {
        "pool": str(each.get("pool")),
        "generation": each.get("generation"),
        "created": each["created"],
        "age_days": days(age),
    }
    if age <= ring_age:
        return row, None
    message = f"the keys of generation {row['generation']} are {span_text(age)} old, more than {ring_age / DAY:g} days"
    remedy = "run fleet.tls.rotate_session_tickets, best from a scheduler"
    return row, Finding("ring_old", "ring", row["pool"], message, remedy)


def weak_passphrase(store: Mapping[str, Any]) -> Iterable[Finding]:
    """What keeps the CA's keys from whoever has the store or its backup."""
    if store.get("weak_passphrase") is True:
        message = "its passphrase is easy to guess, and all that keeps its keys from whoever has a copy of it"
        yield Finding("weak_passphrase", "authority", "tls_store", message, ADVICE)


def unread(store: Mapping[str, Any]) -> Iterable[Finding]:
    """What of the store could not be read."""
    remedy = "see that the store is there and can be read"
    if store.get("failed"):
        return [
            Finding("failed", "authority", "tls_store", first_text([store.get("msg")], "it could not be read"), remedy)
        ]
    return [
        Finding(
            "failed",
            "authority",
            str(each.get("about")),
            str(each.get("message")),
            first_text([each.get("remedy")], remedy),
        )
        for each in mappings(store.get("errors"))
    ]
