# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document as CSV (RFC 4180): a row a certificate, and one for what was found on anything else. Pure.

Spreadsheets take cells that begin with certain characters for formulas, and what stands here was said by certificates and
servers of other people. Such cells get an apostrophe in front, which spreadsheets do not show.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import served_text, sort_findings

COLUMNS = (
    "generated", "kind", "severity", "state", "host", "name", "days_left", "not_before", "not_after", "common_name", "dns_names",
    "ip_addresses", "issuer", "issuer_subject", "serial", "fingerprint_sha256", "key_algorithm", "signature_algorithm", "origin",
    "path", "served", "next_run", "findings", "remedies",
)  # fmt: skip
# At the start of a cell, and behind what some locale separates cells with; the wide forms count as well in some programs.
FORMULA = re.compile(r"(^|[;,|\t])(\s*)(?=[=+\-@＝＋－＠])")


def render(document: Mapping[str, Any]) -> str:
    """A heading, then the rows; lines end with CR LF."""
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows(document):
        whole = {"generated": document["generated"], **row}
        writer.writerow([cell(whole.get(column)) for column in COLUMNS])
    return stream.getvalue()


def rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Certificates, authorities, rings, and findings about none of these."""
    found = sort_findings(document)
    made = []
    for index, certificate in enumerate(document["certificates"]):
        facts = {**certificate, "served": served_text(certificate)}
        made.append({**facts, "kind": "certificate", **told(found.of_certificates[index])})
    for authority in document["authorities"]:
        made.append({**authority, "name": authority["subject"], "kind": authority["kind"]})
    made += [
        {**ring, "kind": "ring", "name": ring["pool"], "not_before": ring["created"]} for ring in document["rings"]
    ]
    for finding in found.others:
        made.append({**finding, "name": finding["subject"], "state": finding["code"], **told([finding])})
    return made


def told(findings: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The columns that say what was found and what to do."""
    findings = list(findings)
    return {
        "findings": " | ".join(f"{each['code']}: {each['message']}" for each in findings),
        "remedies": " | ".join(dict.fromkeys(str(each["remedy"]) for each in findings if each["remedy"])),
    }


def cell(value: Any) -> Any:
    """One cell; numbers are ours, so they may be negative."""
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return value
    text = " ".join(value) if isinstance(value, (list, tuple)) else str(value)
    return FORMULA.sub(r"\1\2'", text)
