# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document as a calendar (RFC 5545): an event at each end of validity, with an alarm before it. Pure.

An event's UID is made from the certificate's fingerprint, so a calendar that reads the file again updates its events; a certificate that is on
several hosts has one event.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import threshold_days, title_of

LONGEST_LINE = 75
DAYS_BEFORE = 14
DOMAIN = "fleet-tls.invalid"


def render(document: Mapping[str, Any]) -> str:
    """Lines end with CR LF; none is longer than 75 octets."""
    stamp, alarm = compact(document["generated"]), alarm_days(document)
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//fleet.tls//health//EN",
        "CALSCALE:GREGORIAN",
        "X-WR-CALNAME:TLS certificates",
        *(line for each in events(document) for line in event_lines(each, stamp, alarm)),
        "END:VCALENDAR",
    ]
    return "".join(f"{folded}\r\n" for line in lines for folded in fold(line))


def events(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """``uid``, ``start``, ``summary``, ``description`` and ``severity`` of each event, the earliest first."""
    places: dict[str, list[Mapping[str, Any]]] = {}
    for certificate in document["certificates"]:
        if certificate["not_after"]:
            identity = certificate["fingerprint_sha256"] or digest(certificate["host"], title_of(certificate))
            places.setdefault(identity, []).append(certificate)
    found = [certificate_event(identity, same) for identity, same in places.items()]
    for authority in document["authorities"]:
        # A revocation list is signed anew by any run, so its end is news only when something is wrong with it.
        if authority["not_after"] and (authority["kind"] != "crl" or authority["severity"] != "ok"):
            found.append(authority_event(authority))
    return sorted(found, key=lambda each: (each["start"], each["uid"]))


def certificate_event(identity: str, same: list[Mapping[str, Any]]) -> dict[str, str]:
    """The event of one certificate, which may be in several places."""
    first = same[0]
    hosts = list(dict.fromkeys(str(each["host"]) for each in same))
    shown = ", ".join(hosts[:3]) + (f" and {len(hosts) - 3} more" if len(hosts) > 3 else "")
    facts = {
        "Names": ", ".join([*first["dns_names"], *first["ip_addresses"]]),
        "Hosts": ", ".join(hosts),
        "Issuer": first["issuer"] or first["issuer_subject"],
        "Serial number": first["serial"],
        "SHA-256": first["fingerprint_sha256"],
        "Next deploy": first["next_run"],
        "State": first["state"],
    }
    return {
        "uid": f"{identity}@{DOMAIN}".lower(),
        "start": first["not_after"],
        "summary": f"{title_of(first)} expires ({shown})",
        "description": "\n".join(f"{name}: {value}" for name, value in facts.items() if value),
        "severity": str(first["severity"]),
    }


def authority_event(authority: Mapping[str, Any]) -> dict[str, str]:
    """The event of a CA or of its revocation list; the next one of the same name takes its place."""
    what = {"crl": "Revocation list", "root": "Root CA", "issuing": "Issuing CA"}.get(authority["kind"], "Authority")
    return {
        "uid": f"{digest(authority['issuer'], authority['kind'], authority['subject'])}@{DOMAIN}",
        "start": authority["not_after"],
        "summary": f"{what} {authority['subject']} expires",
        "description": f"Issuer: {authority['issuer']}\nState: {authority['state']}",
        "severity": str(authority["severity"]),
    }


def event_lines(event: Mapping[str, str], stamp: str, alarm: int) -> list[str]:
    """The unfolded lines of one event."""
    return [
        "BEGIN:VEVENT",
        f"UID:{event['uid']}",
        f"DTSTAMP:{stamp}",
        f"DTSTART:{compact(event['start'])}",
        f"SUMMARY:{value(event['summary'])}",
        f"DESCRIPTION:{value(event['description'])}",
        f"CATEGORIES:{value(event['severity'])}",
        "TRANSP:TRANSPARENT",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        f"DESCRIPTION:{value(event['summary'])}",
        f"TRIGGER:-P{alarm}D",
        "END:VALARM",
        "END:VEVENT",
    ]


def alarm_days(document: Mapping[str, Any]) -> int:
    """As many whole days as the threshold, at least one; two weeks where that is not the same for all certificates."""
    days = threshold_days(document)
    return DAYS_BEFORE if days is None else max(1, math.ceil(days))


def compact(moment: str) -> str:
    """``2026-11-24T17:00:00Z`` → ``20261124T170000Z``."""
    return moment.replace("-", "").replace(":", "")


def value(text: str) -> str:
    """TEXT as the format wants it."""
    for plain, escaped in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        text = text.replace(plain, escaped)
    return text


def fold(line: str) -> Iterable[str]:
    """The line in pieces of at most 75 octets, no character split; all but the first begin with a blank."""
    if line.isascii():
        # Characters are octets then. The first piece has all 75, the others a blank and 74.
        yield line[:LONGEST_LINE]
        for begin in range(LONGEST_LINE, len(line), LONGEST_LINE - 1):
            yield f" {line[begin : begin + LONGEST_LINE - 1]}"
        return
    piece = ""
    for character in line:
        if len((piece + character).encode()) > LONGEST_LINE:
            yield piece
            piece = " "
        piece += character
    yield piece


def digest(*parts: Any) -> str:
    """An identity for what has no fingerprint."""
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()
