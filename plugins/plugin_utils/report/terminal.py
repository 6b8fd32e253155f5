# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document for the terminal: what was found and what to do about it, then tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import served_text, title_of
from ansible_collections.fleet.tls.plugins.plugin_utils.report.text_table import text_table


def render(document: Mapping[str, Any]) -> str:
    """Lines without trailing blanks."""
    blocks = [
        [headline(document)],
        *findings(document["findings"]),
        table([certificate_row(each) for each in document["certificates"]]),
        table([authority_row(each) for each in document["authorities"]]),
        table([ring_row(each) for each in document["rings"]]),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def headline(document: Mapping[str, Any]) -> str:
    """Everything in one line."""
    severities = [each["severity"] for each in document["findings"]]
    found = [f"{severities.count(each)} {each}" for each in ("critical", "warning", "notice") if each in severities]
    hosts, certificates = len(document["hosts"]), len(document["certificates"])
    seen = f"{hosts} host{'s'[: hosts != 1]}, {certificates} certificate{'s'[: certificates != 1]}"
    return f"{document['generated']}  {seen}: {', '.join(found) or 'all well'}"


def findings(found: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """A block a finding."""
    blocks = []
    for each in found:
        where = ": ".join(str(part) for part in (each["host"], each["subject"]) if part)
        lines = [f"{each['severity'].upper()} {each['code']}  {where}", f"    {each['message']}"]
        blocks.append([*lines, f"    remedy: {each['remedy']}"] if each["remedy"] else lines)
    return blocks


def certificate_row(certificate: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the main table."""
    return {
        "HOST": certificate["host"],
        "CERTIFICATE": title_of(certificate),
        "ISSUER": certificate["issuer"] or certificate["issuer_subject"],
        "DAYS LEFT": certificate["days_left"],
        "NOT AFTER": certificate["not_after"],
        "DISK": certificate["fingerprint_sha256"][:8] if certificate["path"] and certificate["fingerprint_sha256"] else None,
        "SERVED": served_text(certificate),
        "NEXT RUN": certificate["next_run"],
        "STATE": certificate["state"],
    }  # fmt: skip


def authority_row(authority: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the authorities."""
    return {
        "ISSUER": authority["issuer"],
        "KIND": authority["kind"],
        "SUBJECT": authority["subject"],
        "DAYS LEFT": authority["days_left"],
        "NOT AFTER": authority["not_after"],
        "KEY": authority["key"],
        "STATE": authority["state"],
    }


def ring_row(ring: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the session ticket keys."""
    return {
        "POOL": ring["pool"],
        "GENERATION": ring["generation"],
        "AGE (DAYS)": ring["age_days"],
        "STATE": ring["state"],
    }


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The rows with their headings; nothing for no rows."""
    return text_table(list(rows[0]), rows) if rows else []
