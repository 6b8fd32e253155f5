# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document as renderers read it: checked, every field there, every text printable, its days as of one moment. Pure.

What hosts, certificates and servers say of themselves stands in it, so nothing of it is taken on trust.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_renew_before
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import SCHEMA, SEVERITIES
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import parse_moment
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import iso

WORST_FIRST = tuple(reversed(SEVERITIES))
LONGEST_TEXT = 4096
SECONDS_A_DAY = 86400

# What each list's entries have; those that are missing are None, [] or {}.
LISTS: dict[str, tuple[str, ...]] = {
    "hosts": ("host", "reachable", "certificates", "severity"),
    "certificates": (
        "host", "name", "origin", "path", "subject", "common_name", "dns_names", "ip_addresses", "issuer", "issuer_subject",
        "serial", "fingerprint_sha256", "not_before", "not_after", "days_left", "key_algorithm", "signature_algorithm", "served",
        "next_run", "state", "severity",
    ),
    "authorities": ("issuer", "kind", "subject", "not_after", "days_left", "key", "state", "severity"),
    "rings": ("pool", "generation", "created", "age_days", "state", "severity"),
    "findings": (
        "code", "severity", "host", "kind", "subject", "path", "endpoint", "fingerprint_sha256", "message", "remedy",
    ),
}  # fmt: skip
SERVED = ("endpoint", "server_name", "fingerprint_sha256", "protocol", "group", "signature_scheme", "error")
MOMENTS = ("not_before", "not_after", "created")
NUMBERS = ("days_left", "age_days", "generation")
ARRAYS = ("dns_names", "ip_addresses")


def parse_document(raw: Any) -> dict[str, Any]:
    """The document with every field of every entry, in plain types, its texts printable.

    :raises SpecError: it is no health document, or a field has another type than it has to have.
    """
    document = plain(raw)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise SpecError(
            f"this is not a document of the schema {SCHEMA}",
            remedy="give fleet_tls_health, as fleet.tls.check makes it",
        )
    lists = {name: entries(document, name) for name in LISTS}
    moment = parse_moment(document.get("generated"))
    summary = document.get("summary") if isinstance(document.get("summary"), dict) else {}
    return as_of({**document, "threshold": str(document.get("threshold") or ""), "summary": summary, **lists}, moment)


def entries(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """One of the lists, each entry checked."""
    found = document.get(name, [])
    if not isinstance(found, list):
        raise SpecError(f"health document: {name} must be a list")
    return [entry(each, f"{name}[{index}]", LISTS[name]) for index, each in enumerate(found)]


def entry(raw: Any, where: str, known: Iterable[str]) -> dict[str, Any]:
    """One entry of a list.

    :raises SpecError: a field has another type.
    """
    if not isinstance(raw, dict):
        raise SpecError(f"health document: {where} must be a mapping")
    made = {**dict.fromkeys(known), **raw}
    for field, value in made.items():
        if field in ARRAYS:
            made[field] = [str(each) for each in value] if isinstance(value, list) else []
        elif field == "served":
            made[field] = [entry(each, f"{where}.served", SERVED) for each in value] if isinstance(value, list) else []
        elif field == "severity":
            if value not in WORST_FIRST:
                raise SpecError(f"health document: {where}: severity '{value}' is unknown")
        elif field in MOMENTS and value is not None:
            made[field] = iso(parse_moment(value))
        elif (
            field in NUMBERS and value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)))
        ):
            raise SpecError(f"health document: {where}: {field} must be a number")
        elif field in known and field not in NUMBERS and isinstance(value, (dict, list)):
            raise SpecError(f"health document: {where}: {field} must be a text")
    return made


def as_of(document: Mapping[str, Any], moment: dt.datetime) -> dict[str, Any]:
    """The same document as it were if it had been made at ``moment``: days left and ages are counted from there."""
    counted = {
        "certificates": [{**each, "days_left": days(each["not_after"], moment)} for each in document["certificates"]],
        "authorities": [{**each, "days_left": days(each["not_after"], moment)} for each in document["authorities"]],
        "rings": [{**each, "age_days": negated(days(each["created"], moment))} for each in document["rings"]],
    }
    return {**document, **counted, "generated": iso(moment)}


def days(text: str | None, moment: dt.datetime) -> float | None:
    """Days from ``moment`` until then, with one decimal."""
    return None if text is None else round((parse_moment(text) - moment).total_seconds() / SECONDS_A_DAY, 1)


def threshold_days(document: Mapping[str, Any]) -> float | None:
    """How many days before its end a certificate counts as expiring; None where that is not one length of time for all."""
    try:
        seconds = parse_renew_before(document["threshold"]).seconds
    except SpecError:
        return None
    return None if seconds is None else seconds / SECONDS_A_DAY


def negated(number: float | None) -> float | None:
    """The number with the other sign; 0.0 has none."""
    return None if number is None else 0.0 - number


def plain(value: Any) -> Any:
    """The value in JSON's own types, Ansible's tags and laziness gone; texts printable."""
    # Most values are of JSON's own types, and isinstance() of an abstract class takes long.
    kind = type(value)
    if kind is str:
        return printable(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if kind is dict or isinstance(value, Mapping):
        return {printable(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return printable(value)


def printable(value: Any) -> str:
    """One line that plays no tricks: control and direction characters are shown as escapes, what nobody reads is cut."""
    text = str(value)
    text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else escaped(each) for each in text)


def escaped(character: str) -> str:
    r"""A line break → ``\n``, ESC → ``\x1b``; a space that is not the usual one → the usual one."""
    return " " if character.isspace() and ord(character) > 0x7F else character.encode("unicode_escape").decode("ascii")


@dataclass(frozen=True)
class Sorted:
    """Which findings are about which certificate, by its place in the document; the rest is about something else."""

    of_certificates: dict[int, list[dict[str, Any]]]
    others: list[dict[str, Any]]


def sort_findings(document: Mapping[str, Any]) -> Sorted:
    """Each finding goes to the one certificate that it names, if there is one."""
    by_mark: dict[Any, list[int]] = {}
    for index, certificate in enumerate(document["certificates"]):
        for mark in marks_of(certificate):
            by_mark.setdefault((certificate["host"], mark), []).append(index)
    found = Sorted({index: [] for index in range(len(document["certificates"]))}, [])
    for finding in document["findings"]:
        marks = [finding[each] for each in MARKS] if finding["kind"] in ("certificate", "file") else []
        candidates = {index for mark in marks for index in by_mark.get((finding["host"], mark), ())}
        named = [(fits(finding, document["certificates"][index]), index) for index in candidates]
        best = max(named, key=lambda pair: (pair[0], -pair[1]), default=(0, -1))
        (found.of_certificates[best[1]] if best[0] else found.others).append(finding)
    return found


# What a finding may name a certificate by.
MARKS = ("subject", "path", "fingerprint_sha256", "endpoint")


def marks_of(certificate: Mapping[str, Any]) -> set[str]:
    """What findings may name it by."""
    marks = {certificate["name"], certificate["path"], certificate["fingerprint_sha256"]}
    return (marks | {one["endpoint"] for one in certificate["served"]}) - {None}


def fits(finding: Mapping[str, Any], certificate: Mapping[str, Any]) -> int:
    """How surely a finding is about a certificate of the same host; 0: it is not."""
    endpoints = {one["endpoint"] for one in certificate["served"]}
    same_path = finding["path"] is not None and finding["path"] == certificate["path"]
    same_print = finding["fingerprint_sha256"] is not None and (
        finding["fingerprint_sha256"] == certificate["fingerprint_sha256"]
    )
    subject = finding["subject"]
    named = subject is not None and subject == certificate["name"]
    told = subject is not None and (subject == certificate["path"] or subject in endpoints)
    served = finding["endpoint"] is not None and finding["endpoint"] in endpoints
    return 16 * named + 8 * same_path + 4 * same_print + 2 * told + served


def title_of(certificate: Mapping[str, Any]) -> str:
    """What people call a certificate: its name, else its common name, first DNS name, path or endpoint."""
    endpoints = [one["endpoint"] for one in certificate["served"]]
    names = [certificate["name"], certificate["common_name"], *certificate["dns_names"], certificate["subject"]]
    return str(next((each for each in [*names, certificate["path"], *endpoints] if each), "unnamed"))


def served_text(certificate: Mapping[str, Any]) -> str | None:
    """What its endpoints show: ``yes``, what is wrong, or None where nobody looked."""
    words = [
        one["error"] or ("yes" if one["fingerprint_sha256"] == certificate["fingerprint_sha256"] else "another")
        for one in certificate["served"]
    ]
    return ", ".join(dict.fromkeys(str(word) for word in words)) or None


def at_least(severity: str, limit: str) -> bool:
    """Whether ``severity`` is as bad as ``limit``, or worse."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(limit)
