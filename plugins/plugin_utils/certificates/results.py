# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of ``fleet.tls.certificates``: what a run found and did, and its diff. No secret is known here."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.ocsp import names_responder
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import duration_text
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Progress
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import ApplyOutcome
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    describe,
    iso,
    issuer_text,
    seconds,
    to_der,
    usages_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec

LEAF_FIELDS = (
    "subject", "common_name", "dns_names", "ip_addresses", "uris", "email_addresses", "usages", "key_algorithm", "signature_algorithm",
    "not_before", "not_after", "days_left", "serial", "fingerprint_sha256",
)  # fmt: skip


def task_result(run: HostRun, diff_wanted: bool) -> dict[str, Any]:
    """The whole result; ``failed`` is left to the caller, see :func:`failure`."""
    entries = [certificate_result(each, run) for each in run.progress.values()]
    result: dict[str, Any] = {
        "changed": any(entry["changed"] for entry in entries),
        "certificates": entries,
        "services": {name: dict(outcome) for name, outcome in run.services.items() if isinstance(outcome, Mapping)},
        "unproven": [entry["name"] for entry in entries if entry["installed"] and not entry["settled"]],
        "clocks_undecided": run.clocks_undecided,
        "unanswered": [name for name, each in run.progress.items() if each.unanswered],
    }
    if run.facts:
        facts = dataclasses.replace(
            run.facts, ocsp=tuple(each.spec.name for each in run.progress.values() if staples(each))
        )
        result["ansible_facts"] = facts.as_facts()
    warnings = run.warnings()
    if warnings:
        result["warnings"] = warnings
    if diff_wanted:
        result["diff"] = [diff(each, run) for each, entry in zip(run.progress.values(), entries) if entry["changed"]]
    return result


def certificate_result(each: Progress, run: HostRun) -> dict[str, Any]:
    """One certificate, as documented under RETURN."""
    applied = each.applied or ApplyOutcome()
    installed_new = bool(each.chain and applied.installed and not applied.rolled_back)
    live_new = is_live(each)
    leaf = each.chain[0] if live_new else each.found.leaf
    issue_planned = each.verdict.due and not each.deferred
    planned = run.settings.check_mode and (issue_planned or bool(each.verdict.repairs)) and not each.error
    issuer = each.issuer if live_new else each.found.manifest.get("issuer")
    served = each.applied.proof if each.applied else each.found.served
    settled = not each.applied.unproven if each.applied else bool(each.found.manifest.get("settled"))
    return {
        "name": each.spec.name,
        "changed": bool(planned or applied.changed),
        "action": action_word(each, run.settings.check_mode, installed_new),
        "due": each.verdict.due,
        "reasons": [reason.as_result() for reason in each.verdict.reasons],
        "repairs": [reason.as_result() for reason in each.verdict.repairs],
        "kept_files": dict(each.found.kept_files) if planned or (applied.changed and not applied.rolled_back) else {},
        "deferred": each.deferred,
        "deferred_until": iso(each.wait.until) if each.wait and each.wait.until else None,
        **issuer_result(each, issuer),
        "pool": each.pool,
        "adopted": each.adopts if live_new else each.found.manifest.get("adopted") is True,
        "generation": each.applied.generation if each.applied else each.found.generation,
        "path": f"{run.settings.directory}/live/{each.spec.name}",
        "installed": leaf is not None,
        "settled": settled and leaf is not None,
        "rolled_back": applied.rolled_back,
        "served": [asdict(one) for one in served],
        "error": each.error.as_dict() if each.error else None,
        **leaf_result(leaf, run.now),
        "client_auth_ends": leaf is not None
        and "client_auth" in usages_of(leaf)
        and gives_none_for_clients(run, issuer),
        "issuer_subject": issuer_text(leaf) if leaf else None,
        "renew_after": iso(renewal_of(each.spec, leaf)) if leaf else None,
    }


def gives_none_for_clients(run: HostRun, issuer: Any) -> bool:
    """Whether the issuer, where it is known, issues no certificates for clients any more."""
    known = run.issuers.get(issuer)
    return known is not None and not known.for_clients


def is_live(each: Progress) -> bool:
    """Whether the new pair is in use. Another run at the same time may have been the one that installed what both were
    given for the same request."""
    if not each.chain or not each.applied or each.applied.rolled_back:
        return False
    return each.applied.installed or not each.error


def staples(each: Progress) -> bool:
    """Whether the leaf in use names an OCSP responder, so that a server can staple its answer."""
    leaf = each.chain[0] if is_live(each) else each.found.leaf
    return leaf is not None and names_responder(to_der(leaf))


def issuer_result(each: Progress, issuer: Any) -> dict[str, Any]:
    """Who it is from, whose place that one took, and who was asked in vain this time."""
    first = each.spec.issuers[0]
    return {
        "issuer": issuer,
        "fallback_for": first if issuer in each.spec.issuers and issuer != first else None,
        "failed_issuers": [{"issuer": attempt.issuer, **attempt.error.as_dict()} for attempt in each.attempts],
    }


def action_word(each: Progress, check_mode: bool, installed_new: bool) -> str:
    """``issue``, ``adopt``, ``repair`` or ``none``: what was done, or in check mode what would be done."""
    if installed_new or (check_mode and each.verdict.due and not each.deferred):
        return "adopt" if each.adopts else "issue"
    repaired = each.applied and each.applied.changed and not each.applied.rolled_back
    return "repair" if repaired or (check_mode and each.verdict.repairs) else "none"


def leaf_result(leaf: x509.Certificate | None, now: dt.datetime) -> dict[str, Any]:
    """The leaf's own fields, all None where there is none."""
    described = describe(leaf, now) if leaf else {}
    return {field: described.get(field) for field in LEAF_FIELDS}


def renewal_of(spec: CertificateSpec, leaf: x509.Certificate) -> dt.datetime:
    """When ``renew_before`` makes it due; its issuer may want that sooner or later."""
    moment = spec.renew_before.due_at(seconds(leaf.not_valid_before_utc), seconds(leaf.not_valid_after_utc))
    return dt.datetime.fromtimestamp(moment, dt.timezone.utc)


def diff(each: Progress, run: HostRun) -> dict[str, str]:
    """Before and after of one certificate, in lines that people compare."""
    path = f"{run.settings.directory}/live/{each.spec.name}"
    before = lines(each.found.leaf, each.found.manifest.get("issuer"), each.found.generation, run.now)
    applied = each.applied or ApplyOutcome()
    if each.chain and applied.installed and not applied.rolled_back:
        after = lines(each.chain[0], each.issuer, applied.generation, run.now)
    elif run.settings.check_mode and each.verdict.due and not each.deferred:
        after = planned_lines(each, run)
    else:
        after = list(before)
    why = [*each.verdict.reasons, *each.verdict.repairs]
    after += [f"because: {reason}" for reason in why]
    after += [
        f"kept: what lies at {file}, not of fleet.tls, as {place}" for file, place in each.found.kept_files.items()
    ]
    return {
        "before_header": path,
        "after_header": path,
        "before": text(before),
        "after": text(after),
    }


def lines(leaf: x509.Certificate | None, issuer: Any, generation: Any, now: dt.datetime) -> list[str]:
    """A certificate in lines; none for none."""
    if leaf is None:
        return []
    known = describe(leaf, now)
    names = [*known["dns_names"], *known["ip_addresses"], *known["uris"], *known["email_addresses"]]
    return [
        f"names: {', '.join(names)}",
        f"usages: {', '.join(known['usages'])}",
        f"key_algorithm: {known['key_algorithm']}",
        f"issuer: {issuer}",
        f"not_before: {known['not_before']}",
        f"not_after: {known['not_after']}",
        f"serial: {known['serial']}",
        f"fingerprint_sha256: {known['fingerprint_sha256']}",
        f"generation: {generation}",
    ]


def planned_lines(each: Progress, run: HostRun) -> list[str]:
    """What would be issued; dates, serial and fingerprint are not known before it is."""
    spec = each.spec
    if each.adopts:
        return lines(each.chain[0], each.issuer, 1, run.now)
    lifetime = spec.duration or run.issuers[spec.issuers[0]].lifetime
    return [
        f"names: {', '.join(value for _kind, value in spec.names.sans())}",
        f"usages: {', '.join(spec.usages)}",
        f"key_algorithm: {spec.private_key.algorithm}",
        f"issuer: {spec.issuers[0]}",
        *([f"lifetime: {duration_text(lifetime)}"] if lifetime else []),
        f"generation: {(each.found.generation or 0) + 1}",
    ]


def text(content: Sequence[str]) -> str:
    """Lines as a text that ends with a newline; nothing stays nothing."""
    return "".join(f"{line}\n" for line in content)


def failure(run: HostRun) -> TlsError | None:
    """All that went wrong on this host as one error, None when nothing did. What each certificate has kept is said."""
    failed = [each for each in run.progress.values() if each.error]
    if not failed:
        return None
    parts = [f"{each.error.about(each.spec.name)}".rstrip(" .") + kept(each, run) for each in failed if each.error]
    codes = {each.error.code for each in failed if each.error}
    return HostError("; ".join(parts), code=codes.pop() if len(codes) == 1 else "several")


def kept(each: Progress, run: HostRun) -> str:
    """What is in place after a failure."""
    applied = each.applied or ApplyOutcome()
    leaf = each.found.leaf
    if applied.installed and not applied.rolled_back:
        return f". Generation {applied.generation} stays installed"
    if leaf is None or each.found.problems or leaf.not_valid_after_utc <= run.now:
        return ""
    return f". Kept: generation {each.found.generation}, valid until {iso(leaf.not_valid_after_utc)}"
