# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the health document: what can be wrong, and how bad each is. Pure; docs/health-document.md has them for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of

SCHEMA = "fleet.tls/health/1"

OK, NOTICE, WARNING, CRITICAL = "ok", "notice", "warning", "critical"
# From the best to the worst.
SEVERITIES = (OK, NOTICE, WARNING, CRITICAL)

ORIGINS = ("managed", "disk", "wire")
KINDS = ("certificate", "host", "authority", "crl", "ring", "schedule", "file")
AUTHORITY_KINDS = ("root", "issuing", "crl")
NEXT_RUNS = ("nothing", "renew", "issue", "repair")

# From which severity on a check ends with an error; see tls_check_fail_on.
FAIL_ON = {"critical": (CRITICAL,), "warning": (WARNING, CRITICAL), "never": ()}


class Code(NamedTuple):
    """A code's severity, and what it means as a heading."""

    severity: str
    title: str


# Within a severity, the worse one stands first: it names the state of a certificate that has several.
CODES = {
    "unreachable": Code(CRITICAL, "The host cannot be reached"),
    "failed": Code(CRITICAL, "It could not be looked at"),
    "missing": Code(CRITICAL, "The certificate is not there"),
    "damaged": Code(CRITICAL, "The pair of key and certificate is damaged"),
    "expired": Code(CRITICAL, "The certificate has expired"),
    "revoked": Code(CRITICAL, "The certificate is revoked and still in use"),
    "key_exposed": Code(CRITICAL, "The private key can be read by others"),
    "not_yet_valid": Code(CRITICAL, "The certificate is not valid yet"),
    "not_served": Code(CRITICAL, "What is served is not what is on disk"),
    "not_permitted": Code(CRITICAL, "No rule of the issuer permits the certificate"),
    "site_clash": Code(CRITICAL, "A site clashes with the server's other configuration"),
    "untrusted": Code(CRITICAL, "The certificate does not lead to a trusted CA"),
    "refused": Code(CRITICAL, "Clients refuse the certificate"),
    "no_trust_store": Code(CRITICAL, "The controller trusts no public CA"),
    "name_mismatch": Code(CRITICAL, "The certificate is for other names"),
    "ca_expired": Code(CRITICAL, "The CA has expired"),
    "crl_expired": Code(CRITICAL, "The revocation list is missing or has expired"),
    "ledger_lost": Code(CRITICAL, "The ledger of what was issued is gone"),
    "endpoint_down": Code(WARNING, "The endpoint shows no certificate"),
    "expiring": Code(WARNING, "The certificate expires soon"),
    "chain_incomplete": Code(WARNING, "An intermediate certificate is missing"),
    "weak": Code(WARNING, "Key, signature or protocol is weak"),
    "ca_expiring": Code(WARNING, "The CA expires soon"),
    "crl_expiring": Code(WARNING, "The revocation list expires soon"),
    "signature_wanted": Code(WARNING, "The CSR of a CA waits to be signed"),
    "ring_old": Code(WARNING, "The session ticket keys are old"),
    "schedule_too_rare": Code(WARNING, "Runs are too far apart for the certificate's lifetime"),
    "chain_order": Code(NOTICE, "The certificates of a chain are not in order"),
    "unproven": Code(NOTICE, "No endpoint was ever seen to serve the certificate"),
    "cannot_judge_here": Code(NOTICE, "The OpenSSL that asked is too old to tell"),
    "pq_key_agreement_missing": Code(NOTICE, "Keys are agreed on without post-quantum cryptography"),
    "quantum_vulnerable": Code(NOTICE, "The key can be broken by a quantum computer"),
    "client_auth_ends": Code(NOTICE, "The next renewal will no longer be for clients"),
    "deferred": Code(NOTICE, "The renewal waits for a maintenance window"),
    "due": Code(NOTICE, "The next run settles it"),
    "weak_passphrase": Code(NOTICE, "The store's passphrase is easy to guess"),
    "left_over": Code(NOTICE, "It is no longer in the inventory"),
    "unmanaged": Code(NOTICE, "Nobody manages this certificate"),
}
RANKS = {code: rank for rank, code in enumerate(CODES)}


def severity_of(code: str) -> str:
    """How bad a code is."""
    return CODES[code].severity


def worst_code(codes: Iterable[str]) -> str:
    """The worst of codes; ``ok`` where there is none."""
    return min(codes, key=RANKS.__getitem__, default=OK)


def worst_severity(severities: Iterable[str]) -> str:
    """The worst of severities; ``ok`` where there is none."""
    return max(severities, key=SEVERITIES.index, default=OK)


def failing(fail_on: str) -> tuple[str, ...]:
    """The severities that make a check fail.

    :raises SpecError: an unknown word.
    """
    return FAIL_ON[one_of(fail_on, FAIL_ON, "tls_check_fail_on")]


def failing_texts(document: Mapping[str, Any], host: str | None, severities: Iterable[str]) -> list[str]:
    """What makes a check fail for a host, in one line each; ``host`` None: for nobody in particular."""
    return texts_of((each for each in document["findings"] if each["host"] == host), severities)


def failed_hosts(document: Mapping[str, Any], fail_on: Mapping[str, Any]) -> dict[str, list[str]]:
    """The hosts that a check fails, and for what, in one line each. What belongs to no host fails the first one.

    :param fail_on: host → from which severity on it fails; one for which that is no severity fails for that.
    """
    findings: dict[str | None, list[Mapping[str, Any]]] = {}
    for each in document["findings"]:
        findings.setdefault(each["host"], []).append(each)
    of_nobody = findings.get(None, [])
    failed = {}
    for host, word in fail_on.items():
        try:
            failed[host] = texts_of([*findings.get(host, ()), *of_nobody], failing(str(word)))
        except SpecError as error:
            failed[host] = [str(error)]
        of_nobody = []
    return {host: texts for host, texts in failed.items() if texts}


def texts_of(findings: Iterable[Mapping[str, Any]], severities: Iterable[str]) -> list[str]:
    """Those of findings that are as bad as that, in one line each."""
    chosen = tuple(severities)
    return [f"{each['subject']}: {each['code']}: {each['message']}" for each in findings if each["severity"] in chosen]
