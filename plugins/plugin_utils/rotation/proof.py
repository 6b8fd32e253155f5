# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has a host proven a stage? What it is asked, and what its answer says. Pure.

Who takes a client or a server of the old CA has to take one of the new, before anything is issued from that; in the end nobody takes
one of the old. And what a host serves has to be what was issued for it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CanaryPair, CaRollover
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.host_requests import look_request
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.superseded import Rekey, old_key
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.verdicts import CLOCK_TOLERANCE
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import PairReport, parse_clock
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import HostSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance

# Seconds for one handshake, and for all of them to become what is expected: the old workers of a server still answer for a moment.
TIMEOUT, PATIENCE = 5.0, 10.0
ACCEPTED, REFUSED, ABSENT = "accepted", "refused", "absent"


def proof_request(
    spec: HostSpec,
    settings: Settings,
    now: dt.datetime,
    *,
    stage: str,
    canaries: Mapping[str, CanaryPair],
    bundles: Sequence[str],
    system: bool,
    endpoints: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Step ``prove``; the canaries' keys travel apart."""
    return {
        "look": look_request(spec.certificates, spec.services, settings, now, "never"),
        "canaries": [
            {
                "name": name,
                "server_name": canary.server_name,
                "chain": canary.chain,
                "expected": expected(stage, name),
            }
            for name, canary in canaries.items()
        ],
        "bundles": list(bundles),
        "system": system,
        "endpoints": [dict(each) for each in endpoints],
        "timeout": TIMEOUT,
        "patience": PATIENCE,
    }


def expected(stage: str, canary: str) -> str:
    """What has to become of a canary."""
    return REFUSED if (stage, canary) in (("retire", "old"), ("revoked", "revoked")) else ACCEPTED


def trust_problems(stage: str, proofs: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the canaries have against a stage, in words.

    :param proofs: of the host's answer.
    """
    found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for proof in proofs:
        found.setdefault((str(proof["kind"]), str(proof["subject"])), {})[str(proof["canary"])] = proof
    problems = []
    for (kind, subject), answers in found.items():
        old, new = (answers.get(each, {}).get("outcome") for each in ("old", "new"))
        if ABSENT in (old, new):
            why = next(each.get("error") for each in answers.values() if each.get("outcome") == ABSENT)
            problems.append(f"{subject} does not answer ({why})")
            continue
        # A server may verify clients of other CAs only: who refuses the old one as well has nothing to do with this CA.
        concerned = kind == "bundle" or old == ACCEPTED
        if stage == "retire":
            if old == ACCEPTED:
                problems.append(f"{subject} still trusts the old CA")
            concerned = kind == "bundle"
        if concerned and new == REFUSED:
            why = answers["new"].get("error") or "no reason given"
            problems.append(f"{subject} does not trust the new CA ({why})")
        if stage == "prepare" and kind == "bundle" and old == REFUSED:
            problems.append(f"{subject} does not trust the old CA any more")
    return problems


def ca_problems(
    stage: str,
    issuer: str,
    rollover: CaRollover,
    founds: Mapping[str, PairReport],
    issuances: Iterable[Issuance],
    proofs: Iterable[Mapping[str, Any]] = (),
) -> list[str]:
    """What the certificates of a host have against a stage of a CA's rotation, in words.

    :param founds: what the host has, by the names of the certificates.
    :param proofs: what its endpoints serve besides.
    :raises RotationError: the store is older than what the host shows.
    """
    problems: list[str] = []
    mine = {name: found for name, found in founds.items() if found.leaf and found.manifest.get("issuer") == issuer}
    for name, found in mine.items():
        rollover.refuse_later(found.chain)
        if stage != "prepare" and not rollover.is_current(found.chain):
            problems.append(f"certificate '{name}' is still from the old CA")
    if stage == "prepare":
        return problems
    strangers = {
        served.fingerprint: served.endpoint
        for found in founds.values()
        for served in found.served
        if served.fingerprint and served.ours != "live"
    }
    strangers.update({proof["fingerprint"]: proof["subject"] for proof in proofs if proof.get("fingerprint")})
    rows = {row.fingerprint: row for row in issuances if row.issuer == issuer and row.fingerprint in strangers}
    for seen, row in rows.items():
        if not rollover.is_current(parse_pem_chain(row.chain)):
            problems.append(f"{strangers[seen]} still serves a certificate of the old CA ('{row.certificate}')")
    return problems


def key_problems(rekey: Rekey, founds: Mapping[str, PairReport], issuances: Sequence[Issuance]) -> list[str]:
    """What the keys of a host have against a rotation of keys, in words."""
    return [
        f"certificate '{name}': {text}"
        for name, found in founds.items()
        if found.leaf and rekey.concerns(name) and (text := old_key(found.leaf, rekey, issuances))
    ]


def state_problems(founds: Mapping[str, PairReport]) -> list[str]:
    """What is wrong with the certificates of a host whatever the rotation: none there, damaged, not the one that is served."""
    problems = []
    for name, found in founds.items():
        if found.leaf is None:
            problems.append(f"certificate '{name}' is not there")
        problems += [f"certificate '{name}': {problem.detail}" for problem in found.problems]
        for served in found.served:
            if served.ours == "older" or (served.explicit and served.ours != "live"):
                problems.append(
                    f"{served.endpoint} does not serve certificate '{name}' ({served.error or 'another one'})"
                )
    return problems


def clock_problems(answer: Mapping[str, Any], now: float) -> list[str]:
    """A clock too far off to tell whether a certificate is valid."""
    clock = parse_clock(answer)
    if clock is None or abs(clock - now) <= CLOCK_TOLERANCE:
        return []
    return [f"its clock is {(clock - now) / 3600:+.1f} h off the controller's"]
