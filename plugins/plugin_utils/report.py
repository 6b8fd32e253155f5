# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of every certificate of an inventory as rows, a verdict each, and as a table for the terminal. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.durations import RenewBefore
from ansible_collections.fleet.tls.plugins.plugin_utils.expiry import validity_of

# Verdicts with which a service is down, or will be before somebody has looked at it. "due" is none: the next deploy settles it.
BAD = frozenset({"unreachable", "failed", "missing", "damaged", "expired", "not served", "untrusted", "expiring"})
DAMAGE = ("damaged", "key_missing", "key_mismatch", "chain_broken")

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
NUMBERS = frozenset({"days_left"})
WIDEST_CELL = 60


def rows(looks: Mapping[str, Any], threshold: RenewBefore, now: dt.datetime) -> list[dict[str, Any]]:
    """One row a certificate, and one for each host that has none to show because something went wrong.

    :param looks: host → what ``fleet.tls.certificates`` returned there in check mode, failed and unreachable ones included.
    :param threshold: less time left than this is ``expiring``.
    :returns: ``host``, ``certificate``, ``issuer``, ``days_left``, ``not_after``, ``disk`` and ``served`` (the first eight
        digits of fingerprints), ``verdict`` (one of ``BAD``, or ``due``, or ``ok``), ``why`` (text or None), ``ok`` (bool), and
        ``text``: certificate, verdict and reason in one line.
    """
    return [row for host, look in looks.items() for row in host_rows(host, look, threshold, now)]


def host_rows(host: str, look: Any, threshold: RenewBefore, now: dt.datetime) -> list[dict[str, Any]]:
    """The rows of one host."""
    look = look if isinstance(look, Mapping) else {}
    if look.get("skipped"):
        return []  # it has no certificates, so nobody looked
    entries = look.get("certificates")
    if look.get("unreachable"):
        return [host_row(host, "unreachable", look.get("msg"))]
    if not isinstance(entries, (list, tuple)):
        return [host_row(host, "failed", look.get("msg") or "it was not looked at")]
    judged = [certificate_row(host, entry, threshold, now) for entry in entries]
    if look.get("failed") and not any(row["verdict"] == "failed" for row in judged):
        judged.append(host_row(host, "failed", look.get("msg")))
    return judged


def host_row(host: str, verdict: str, why: Any) -> dict[str, Any]:
    """A row for a host as a whole."""
    return judged_row({"host": host}, verdict, why)


def certificate_row(host: str, entry: Mapping[str, Any], threshold: RenewBefore, now: dt.datetime) -> dict[str, Any]:
    """The row of one certificate."""
    facts = {
        "host": host,
        "certificate": entry.get("name"),
        "issuer": issuer_of(entry),
        "days_left": entry.get("days_left"),
        "not_after": entry.get("not_after"),
        "disk": short(entry.get("fingerprint_sha256")),
        "served": ", ".join(dict.fromkeys(short(one.get("fingerprint")) or "error" for one in counting(entry))) or None,
    }
    return judged_row(facts, *verdict_of(entry, threshold, now))


def issuer_of(entry: Mapping[str, Any]) -> str | None:
    """Who it is from, and in whose place where that was not the first choice."""
    issuer, instead_of = entry.get("issuer"), entry.get("fallback_for")
    return f"{issuer} (for {instead_of})" if issuer and instead_of else issuer


def judged_row(facts: Mapping[str, Any], verdict: str, why: Any) -> dict[str, Any]:
    """A whole row; facts that are not known are None."""
    row = {**dict.fromkeys(COLUMNS), **facts, "verdict": verdict, "why": why, "ok": verdict not in BAD}
    return {**row, "text": ": ".join(str(part) for part in (row["certificate"], verdict, why) if part)}


def verdict_of(entry: Mapping[str, Any], threshold: RenewBefore, now: dt.datetime) -> tuple[str, str | None]:
    """Verdict and reason of one certificate; the worst there is to say comes first."""
    reasons = {reason["code"]: reason["detail"] for reason in entry.get("reasons") or ()}
    if entry.get("error"):
        return "failed", entry["error"].get("message")
    for code in DAMAGE:
        if code in reasons:
            return "damaged", reasons[code]
    if not entry.get("not_after"):
        return "missing", reasons.get("missing")
    validity = validity_of(entry)
    if validity.expired(now):
        return "expired", None
    astray = [f"{one.get('endpoint')}: {one.get('error') or 'another certificate, was a reload forgotten?'}"
              for one in counting(entry) if one.get("fingerprint") != entry.get("fingerprint_sha256")]  # fmt: skip
    if astray:
        return "not served", "; ".join(astray)
    if "chain_untrusted" in reasons:
        return "untrusted", reasons["chain_untrusted"]
    if validity.expiring(threshold, now):
        return "expiring", None
    waiting = [*reasons, *(repair["code"] for repair in entry.get("repairs") or ())]
    return ("due", ", ".join(dict.fromkeys(waiting))) if waiting else ("ok", None)


def counting(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The endpoints that have to serve a certificate.

    One that only came with a service's preset counts when it shows this certificate, or an older one of the same name: it may
    belong to somebody else.
    """
    return [one for one in entry.get("served") or () if one.get("explicit") or one.get("ours")]


def short(fingerprint: Any) -> str | None:
    """Enough of a fingerprint to compare two with the eye."""
    return str(fingerprint)[:8] if fingerprint else None


def table(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Rows as aligned lines, a heading first. A column that is missing in a row is shown as ``-``."""
    lines = [list(COLUMNS.values()), *([cell(row, column) for column in COLUMNS] for row in entries)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(COLUMNS))]
    return [aligned(line, widths) for line in lines]


def aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """One line; numbers to the right."""
    cells = [
        text.rjust(width) if column in NUMBERS else text.ljust(width)
        for text, width, column in zip(line, widths, COLUMNS)
    ]
    return "  ".join(cells).rstrip()


def cell(row: Mapping[str, Any], column: str) -> str:
    """One cell; the verdict's with its reason."""
    value = row.get(column)
    if value is None or value == "":
        return "-"
    if column in NUMBERS:
        return f"{float(value):.1f}"
    text = printable(value)
    why = row.get("why")
    return f"{text}: {printable(why)}" if column == "verdict" and why else text


def printable(value: Any) -> str:
    """One line that cannot play tricks on a terminal: some of it was said by hosts and servers."""
    text = "".join(character if character.isprintable() else " " for character in str(value))
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 1]}…"
