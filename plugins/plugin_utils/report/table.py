# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document as rows, a verdict each, and as a table for the terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.report.text_table import cell, text_table

COLUMNS = {
    "host": "HOST",
    "certificate": "CERTIFICATE",
    "issuer": "ISSUER",
    "days_left": "DAYS LEFT",
    "not_after": "NOT AFTER",
    "disk": "DISK",
    "served": "SERVED",
    "verdict": "VERDICT",
}


def rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a certificate, and one for each finding that is about none of them.

    :returns: ``host``, ``certificate``, ``issuer``, ``days_left``, ``not_after``, ``disk`` and ``served`` (the first eight digits of
        fingerprints), ``verdict`` (a code in words, or ``ok``), ``why`` (text or None). What is not known is None.
    """
    findings = document["findings"]
    told: set[int] = set()
    found = []
    numbers: dict[Any, list[int]] = {}
    for number, each in enumerate(findings):
        # By what is_about compares, so that ten thousand certificates do not each look at ten thousand findings.
        for key in ((each["host"], each["subject"]), (each["host"], each["path"], each["fingerprint_sha256"])):
            numbers.setdefault(key, []).append(number)
    for certificate in document["certificates"]:
        name, fingerprint = certificate["name"], certificate["fingerprint_sha256"]
        key = (certificate["host"], name) if name else (certificate["host"], certificate["path"], fingerprint)
        mine = [number for number in numbers.get(key, ()) if is_about(findings[number], certificate)]
        told.update(mine)
        reasons = (findings[number] for number in mine if findings[number]["code"] == certificate["state"])
        found.append(certificate_row(certificate, next((each["message"] for each in reasons), None)))
    found += [finding_row(each) for number, each in enumerate(findings) if number not in told]
    # In the order of the play, what belongs to no host at the end.
    places = {each["host"]: place for place, each in enumerate(document["hosts"])}
    return sorted(found, key=lambda row: places.get(row["host"], len(places)))


def is_about(finding: Mapping[str, Any], certificate: Mapping[str, Any]) -> bool:
    """Whether a finding is about this certificate of its host."""
    if finding["host"] != certificate["host"]:
        return False
    if certificate["name"]:
        return bool(finding["subject"] == certificate["name"]) and finding["kind"] != "host"
    return bool(
        finding["kind"] == "certificate"
        and finding["path"] == certificate["path"]
        and finding["fingerprint_sha256"] == certificate["fingerprint_sha256"]
    )


def certificate_row(certificate: Mapping[str, Any], why: str | None) -> dict[str, Any]:
    """The row of one certificate."""
    sights = certificate["served"]
    endpoints = [each["endpoint"] for each in sights]
    served = ", ".join(dict.fromkeys(short(each["fingerprint_sha256"]) or "error" for each in sights)) or None
    return {
        "host": certificate["host"],
        "certificate": certificate["name"] or certificate["path"] or ", ".join(endpoints),
        "issuer": issuer_of(certificate),
        "days_left": certificate["days_left"],
        "not_after": certificate["not_after"],
        "disk": None if certificate["origin"] == "wire" else short(certificate["fingerprint_sha256"]),
        "served": served,
        "verdict": words(certificate["state"]),
        "why": why,
    }


def issuer_of(certificate: Mapping[str, Any]) -> str | None:
    """Who it is from, and in whose place where that was not the first choice."""
    issuer, instead_of = certificate["issuer"], certificate.get("fallback_for")
    return f"{issuer} (for {instead_of})" if issuer and instead_of else issuer


def finding_row(finding: Mapping[str, Any]) -> dict[str, Any]:
    """The row of what is about no certificate."""
    subject = None if finding["kind"] == "host" and finding["subject"] == finding["host"] else finding["subject"]
    facts = {"host": finding["host"], "certificate": subject, "verdict": words(finding["code"])}
    return {**dict.fromkeys(COLUMNS), **facts, "why": finding["message"]}


def words(code: str) -> str:
    """A code for people."""
    return code.replace("_", " ")


def short(fingerprint: Any) -> str | None:
    """Enough of a fingerprint to compare two with the eye."""
    return str(fingerprint)[:8] if fingerprint else None


def table(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Rows as aligned lines, a heading first; the verdict with its reason."""
    return text_table(list(COLUMNS.values()), [labelled(row) for row in entries])


def labelled(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row under its headings."""
    days, verdict, why = (row.get(each) for each in ("days_left", "verdict", "why"))
    shown = {
        **row,
        "days_left": None if days is None else f"{float(days):.1f}",
        "verdict": f"{cell(verdict)}: {cell(why)}" if verdict and why else verdict,
    }
    return {heading: shown.get(column) for column, heading in COLUMNS.items()}
