# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a certificate of a host, on disk and on the wire. Pure; docs/health-document.md has the codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.health.join import DAMAGE
from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import (
    CertificateEntry,
    Context,
    Observation,
    first_text,
    mappings,
    span_text,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.health.post_quantum import cannot_show
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.expiry import parse_moment
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.host_names import speaks_for
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.weakness import weaknesses
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import names_of

# So many runs have to fall between the moment a certificate is due and its end: the first may fail, and somebody has to notice.
RUNS_NEEDED = 3
WEAK_PROTOCOLS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.0", "TLSv1.1")
# What is said of a leaf before anybody looks at its chain.
SAID_OF_LEAF = ("expired", "not_yet_valid", "name_mismatch")
# What a look says → the finding that has said it already.
SAID = {
    "missing": ("missing",), "expired": ("expired",), "expiring": ("expired", "expiring"), "not_served": ("not_served", "endpoint_down"),
    "chain_untrusted": ("untrusted",), "drift": ("key_exposed",), **dict.fromkeys(DAMAGE, ("damaged", "missing")),
}  # fmt: skip


def judge(entry: CertificateEntry, context: Context) -> None:
    """Add every finding about one certificate."""
    if entry.origin == "managed":
        judge_look(entry)
    if entry.facts.get("not_after"):
        judge_leaf(entry, context)
    if entry.origin == "wire" and (entry.facts.get("error") or not entry.facts.get("not_after")):
        entry.found("failed", "the certificate that is served cannot be read", "see what the server has been given")
    for sight in entry.sights:
        judge_sight(entry, sight, context)
    if entry.origin == "managed":
        judge_schedule(entry, context)
        judge_usages(entry)
        judge_unproven(entry)
        judge_due(entry)
    elif not entry.has("left_over"):
        entry.found("unmanaged", "nobody manages this certificate", unmanaged_remedy(entry))


def unmanaged_remedy(entry: CertificateEntry) -> str:
    """What to do about a certificate that nobody looks after."""
    take_over = f"fleet.tls.adopt -l {entry.host} finds out whether its pair can be taken over as it is"
    if entry.origin == "wire":
        return f"let tls_certificates manage it: {take_over}"
    return f"let tls_certificates manage it: {take_over}; or remove {entry.path}, or name it in tls_check_exclude"


def judge_look(entry: CertificateEntry) -> None:
    """What the host's own look says of a managed one."""
    look, deploy = entry.look, f"run fleet.tls.deploy -l {entry.host}"
    reasons = {str(reason.get("code")): str(reason.get("detail")) for reason in mappings(look.get("reasons"))}
    error = look.get("error")
    if isinstance(error, Mapping):
        entry.found(
            "failed", first_text([error.get("message")], "it failed"), first_text([error.get("remedy")], deploy)
        )
    damage = next((code for code in DAMAGE if code in reasons), None)
    if damage:
        entry.found("damaged", reasons[damage], deploy)
    elif not look.get("not_after") and not error and "adopted" not in reasons:
        entry.found("missing", "the certificate is not there", deploy)
    if "chain_untrusted" in reasons:
        entry.found("untrusted", reasons["chain_untrusted"], deploy)


def judge_leaf(entry: CertificateEntry, context: Context) -> None:
    """Its dates, its strength, whether it is revoked."""
    begin, end = parse_moment(entry.facts["not_before"]), parse_moment(entry.facts["not_after"])
    left = (end - context.now).total_seconds()
    if entry.origin == "managed":
        renew = f"run fleet.tls.deploy -l {entry.host}"
    else:
        renew = "replace it, or let tls_certificates manage it"
    if left <= 0:
        entry.found("expired", f"expired on {entry.facts['not_after']}, {span_text(left)} ago", renew)
    elif begin > context.now:
        message = f"is not valid before {entry.facts['not_before']}"
        entry.found("not_yet_valid", message, "set the clocks right, or replace it")
    elif context.expiring(begin, end) and not entry.look.get("deferred_until"):
        entry.found("expiring", f"expires on {entry.facts['not_after']}, in {span_text(left)}", renew)
    revocation = context.revoked.get(entry.fingerprint or "")
    if revocation:
        message = f"was revoked on {revocation.get('revoked_at')} ({revocation.get('reason')}), and is still in use"
        entry.found("revoked", message, renew if entry.origin != "managed" else f"{renew} -e tls_force={entry.name}")
    weak = weaknesses(str(entry.facts.get("key_algorithm")), str(entry.facts.get("signature_algorithm")))
    if weak:
        remedy = "use a key of RSA 2048, ECDSA P-256 or better, and a signature with SHA-256 or better"
        entry.found("weak", " and ".join(weak), remedy)


def judge_sight(entry: CertificateEntry, sight: Observation, context: Context) -> None:
    """What one endpoint shows."""
    if cannot_show(entry, sight):
        message = f"{sight.endpoint} was asked by OpenSSL {sight.openssl}, which does not know its kind of key"
        remedy = "ask from a machine with OpenSSL 3.5 or newer: its own host with tls_check_origin: host"
        once(entry, "cannot_judge_here", message, remedy, sight)
        return
    if sight.fingerprint is None:
        if entry.has("missing"):
            return  # so there is nothing that it could show
        message = f"{sight.endpoint} shows no certificate: {sight.error}"
        remedy = "see whether its server runs and can be reached from where it was asked"
        once(entry, "endpoint_down", message, remedy, sight)
        return
    if sight.protocol in WEAK_PROTOCOLS:
        message = f"{sight.endpoint} agrees on {sight.protocol}"
        entry.found("weak", message, "let the server speak TLS 1.2 and 1.3 only", endpoint=sight.endpoint)
    if entry.fingerprint and sight.fingerprint != entry.fingerprint:
        message = f"{sight.endpoint} serves another certificate than the one on disk: was a reload forgotten?"
        remedy = f"run fleet.tls.deploy -l {entry.host}" if entry.origin == "managed" else "reload its server"
        once(entry, "not_served", message, remedy, sight)
        return
    if not sight.chain:
        return
    name = sight.server_name
    if name and not speaks_for(names_of(sight.chain[0]), name):
        names = ", ".join(sorted(entry.names)) or "none"
        message = f"{sight.endpoint} is asked for {name}, and its certificate is for {names}"
        entry.found(
            "name_mismatch", message, "add the name to the certificate, or serve the right one", endpoint=sight.endpoint
        )
    judge_chain(entry, sight, context)


def once(entry: CertificateEntry, code: str, message: str, remedy: str, sight: Observation) -> None:
    """Add a finding that several endpoints may show, and that is one."""
    if not entry.has(code):
        entry.found(code, message, remedy, endpoint=sight.endpoint)


def judge_chain(entry: CertificateEntry, sight: Observation, context: Context) -> None:
    """Whether clients take what is sent: one that knows the anchors only has nothing else."""
    verdict = context.verdict(sight.chain)
    for problem in verdict.leaf:
        if problem.code not in SAID_OF_LEAF and not problem.soft:
            once(
                entry, "refused", f"{sight.endpoint}: {problem}", "serve a certificate that is made for servers", sight
            )
    for problem in verdict.chain:
        if problem.soft:
            remedy = "let its CA be replaced by one with a key of RSA 2048, ECDSA P-256 or better"
            once(entry, "weak", f"{sight.endpoint}: {problem}", remedy, sight)
    hard = [problem for problem in verdict.chain if not problem.soft]
    if not hard:
        for notice in verdict.notices:
            once(entry, "chain_order", f"{sight.endpoint}: {notice}", "let the server send fullchain.pem", sight)
    elif not entry.has("untrusted"):
        judge_refused(entry, sight, context, "; ".join(map(str, hard)))


def judge_refused(entry: CertificateEntry, sight: Observation, context: Context, problem: str) -> None:
    """What is amiss with a chain that clients refuse: one of the known CAs is missing in it, or more than that."""
    if context.completed(sight.chain):
        message = f"{sight.endpoint} leaves out an intermediate certificate: clients that do not know it refuse"
        once(entry, "chain_incomplete", message, "let the server send fullchain.pem", sight)
        return
    remedy = "serve a certificate of a CA in tls_issuers or tls_trust_anchors"
    once(entry, "untrusted", f"{sight.endpoint}: {problem}", remedy, sight)


def judge_schedule(entry: CertificateEntry, context: Context) -> None:
    """Whether enough runs fall between the moment it becomes due and its end."""
    if not entry.look.get("renew_after") or entry.has("expired", "damaged"):
        return
    end = parse_moment(entry.look["not_after"])
    window = (end - parse_moment(entry.look["renew_after"])).total_seconds()
    if context.interval * RUNS_NEEDED <= window:
        return
    needed = int(window / RUNS_NEEDED)
    text = f"{needed // 3600} h" if needed >= 3600 else f"{max(1, needed // 60)} min"
    message = (
        f"is due {span_text(window)} before its end, which leaves no {RUNS_NEEDED} runs that are"
        f" {span_text(context.interval)} apart: a run is needed every {text}"
    )
    remedy = "run fleet.tls.deploy that often and set tls_check_interval, or give it a longer renew_before or lifetime"
    entry.found("schedule_too_rare", message, remedy, kind="schedule")


def judge_usages(entry: CertificateEntry) -> None:
    """Whether its next renewal is no certificate for clients any more."""
    if entry.look.get("client_auth_ends"):
        message = (
            f"is for clients too (client_auth), and '{entry.issuer}', a public CA, issues no such certificate any more"
        )
        remedy = (
            "if the host shows it to servers as a client, give it a second certificate from an internal CA for that"
        )
        entry.found("client_auth_ends", message, remedy)


def judge_unproven(entry: CertificateEntry) -> None:
    """Whether a service is there whose renewals nothing proves: it was never seen to serve the certificate where its preset looks."""
    services: dict[str, list[Mapping[str, Any]]] = {}
    for one in mappings(entry.look.get("served")):
        services.setdefault(str(one.get("service") or ""), []).append(one)
    for service, ones in services.items():
        if entry.has("missing", "damaged") or any(one.get("explicit") or one.get("ours") for one in ones):
            continue
        places = ", ".join(str(one.get("endpoint")) for one in ones)
        message = f"service '{service}' was never seen to serve it at {places}: no renewal is proven there"
        remedy = f"say where it serves it, with the endpoints of the service '{service}'"
        entry.found("unproven", message, remedy, endpoint=str(ones[0].get("endpoint")))


def judge_due(entry: CertificateEntry) -> None:
    """What the next run settles, unless it was said already."""
    if entry.look.get("deferred_until") and not entry.look.get("error"):
        remedy = f"nothing needs to be done; to renew it now: fleet.tls.deploy -e tls_force={entry.name}"
        entry.found("deferred", f"is due, and {entry.look.get('deferred')}", remedy)
    if entry.look.get("deferred") or entry.look.get("error"):
        return
    waiting = {
        str(each.get("code")): str(each.get("detail"))
        for part in ("reasons", "repairs")
        for each in mappings(entry.look.get(part))
    }
    new = [code for code in waiting if not entry.has(*SAID.get(code, ()))]
    if new and not entry.has("missing", "damaged"):
        message = "; ".join(dict.fromkeys(waiting[code] for code in new))
        entry.found("due", message, f"the next fleet.tls.deploy settles it ({', '.join(new)})")
