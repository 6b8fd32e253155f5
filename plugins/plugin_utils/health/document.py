# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health document: all that is known of an inventory's TLS, judged. Pure; its form is in docs/health-document.md.

What was seen comes as the results of tasks, failed ones included; nothing is looked up here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import (
    CRITICAL,
    NOTICE,
    SCHEMA,
    WARNING,
    severity_of,
    worst_severity,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.health.join import join
from ansible_collections.fleet.tls.plugins.plugin_utils.health.judge import judge
from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import (
    CertificateEntry,
    Context,
    Finding,
    HostInput,
    first_text,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.health.permits import permit_rows
from ansible_collections.fleet.tls.plugins.plugin_utils.health.post_quantum import post_quantum
from ansible_collections.fleet.tls.plugins.plugin_utils.health.store import judge_store
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, iso


def health(
    seen: Sequence[HostInput], store: Mapping[str, Any], context: Context, *, threshold: str, ring_age: int
) -> dict[str, Any]:
    """The document.

    :param store: what ``fleet.tls.store_info`` returned; empty: there is no store.
    :param threshold: as it was given; :param ring_age: seconds after which session ticket keys are old.
    """
    entries: list[CertificateEntry] = []
    others: list[Finding] = []
    joined = [(each, *joined_host(each, context)) for each in seen]
    context = with_intermediates(context, [entry for _each, mine, _found in joined for entry in mine])
    for each, mine, found in joined:
        for entry in mine:
            judge_entry(entry, context)
        entries += mine
        others += [*host_findings(each, mine), *found]
    others += without_trust_store(entries, context)
    others += post_quantum(seen, entries, context)
    authorities, rings, known = judge_store(store, context, ring_age)
    findings = sorted(
        [*others, *known, *(each for entry in entries for each in entry.findings)], key=lambda each: each.order
    )
    severities = Counter(severity_of(each.code) for each in findings)
    counts = Counter(entry.host for entry in entries)
    codes: dict[str | None, set[str]] = {}
    for each_finding in findings:
        codes.setdefault(each_finding.host, set()).add(each_finding.code)
    return {
        "schema": SCHEMA,
        "generated": iso(context.now),
        "threshold": threshold,
        "summary": {
            "hosts": len(seen),
            "certificates": len(entries),
            "findings": len(findings),
            "worst": worst_severity(severities),
            "severities": {each: severities[each] for each in (CRITICAL, WARNING, NOTICE)},
            "codes": dict(sorted(Counter(each.code for each in findings).items())),
        },
        "hosts": [host_row(each, counts[each.host], codes.get(each.host, ())) for each in seen],
        "certificates": [entry.as_document() for entry in entries],
        "authorities": authorities,
        "rings": rings,
        "permits": permit_rows(seen),
        "findings": [each.as_document() for each in findings],
    }


def without_trust_store(entries: Iterable[CertificateEntry], context: Context) -> list[Finding]:
    """One finding for a controller without a trust store, where that decided whom to trust.

    Where it knows no other CA either, it stands in the place of all those that say that a served certificate is not trusted.
    """
    decided = [] if context.trust_store else [each for each in entries if any(map(is_untrusted_sight, each.findings))]
    if not decided:
        return []
    for each in () if context.anchors else decided:
        each.findings = [finding for finding in each.findings if not is_untrusted_sight(finding)]
    message = (
        "the controller's system has no store of trusted CAs, so"
        f" whether {len(decided)} of the certificates that are served are of a public CA cannot be told"
    )
    remedy = "install ca-certificates on the controller, or give the CAs in tls_trust_anchors"
    return [Finding("no_trust_store", "authority", "trust store of the controller", message, remedy)]


def is_untrusted_sight(finding: Finding) -> bool:
    """Whether it says that what an endpoint serves leads to no anchor."""
    return finding.code == "untrusted" and finding.endpoint is not None


def joined_host(seen: HostInput, context: Context) -> tuple[list[CertificateEntry], list[Finding]]:
    """:func:`join`; a certificate of others that nobody foresaw costs its host's part, not the document."""
    try:
        return join(seen, context)
    except Exception as error:
        return [], [failure(seen.host, {"msg": f"what was seen there cannot be understood: {error!r}"})]


def judge_entry(entry: CertificateEntry, context: Context) -> None:
    """:func:`judge`, with the same care."""
    try:
        judge(entry, context)
    except Exception as error:
        entry.findings.append(failure(entry.host, {"msg": f"a certificate there cannot be judged: {error!r}"}))


def with_intermediates(context: Context, entries: Iterable[CertificateEntry]) -> Context:
    """The same, with the CA certificates that other endpoints send: what one leaves out another may have."""
    sent = [upper for entry in entries for sight in entry.sights for upper in sight.chain[1:]]
    known: dict[str, x509.Certificate] = {fingerprint(each): each for each in (*context.intermediates, *sent)}
    return replace(context, intermediates=tuple(known.values()))


def reachable(seen: HostInput) -> bool:
    """Whether the host answered."""
    return not any(part.get("unreachable") for part in (seen.look, seen.files, *seen.probes))


def host_findings(seen: HostInput, entries: Iterable[CertificateEntry]) -> list[Finding]:
    """What is wrong with a host as a whole."""
    parts = (seen.look, seen.files, *seen.probes)
    if not reachable(seen):
        words = first_text((part.get("msg") for part in parts if part.get("unreachable")), "it does not answer")
        remedy = "see why it does not answer, then run fleet.tls.check again"
        return [Finding("unreachable", "host", seen.host, f"cannot be reached: {words}", remedy, seen.host)]
    found = []
    if not seen.look:
        found.append(failure(seen.host, {"msg": "it was not looked at"}))
    for part in parts:
        # Where one certificate's failure made the task fail, that is said with the certificate.
        if part.get("failed") and not (part is seen.look and any(entry.look.get("error") for entry in entries)):
            found.append(failure(seen.host, part))
    # A host on which nothing can be looked at has said so.
    return found or ([failure(seen.host, seen.left_over)] if seen.left_over.get("failed") else [])


def failure(host: str, part: Mapping[str, Any]) -> Finding:
    """A task that failed."""
    error = part.get("error")
    known = error if isinstance(error, Mapping) else {}
    message = first_text([known.get("message"), part.get("msg")], "it could not be looked at")
    code = str(known.get("code")) if known.get("code") in ("site_clash", "not_permitted") else "failed"
    return Finding(code, "host", host, message, first_text([known.get("remedy")], "run with -vvv to see more"), host)


def host_row(seen: HostInput, certificates: int, codes: Iterable[str]) -> dict[str, Any]:
    """One of ``hosts``."""
    return {
        "host": seen.host,
        "reachable": reachable(seen),
        "certificates": certificates,
        "severity": worst_severity(map(severity_of, codes)),
    }
