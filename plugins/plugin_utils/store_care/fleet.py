# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the ledger agrees with what hosts have and serve. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.verify_entries import Finding

LOST = (
    "restore the newest backup of the store; a ledger that is older than the fleet cannot revoke what it does not know"
)
REVOKED = "run fleet.tls.replace_compromised, or fleet.tls.deploy with tls_force"


def fleet_findings(
    seen: Mapping[str, Any], store: Store, internal: Collection[str]
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """What hosts have that the ledger says something else of; and the hosts that said nothing.

    :param seen, internal: as in :func:`verify.verify`. What a host says of itself is taken as nothing more than that.
    """
    issued: dict[str, str] = {row.fingerprint: row.issuer for row in store.issuances()}
    revoked = {each.issuance.fingerprint for issuer in set(issued.values()) for each in store.revocations(issuer)}
    findings: list[Finding] = []
    unseen = []
    for host, result in seen.items():
        certificates = result.get("certificates") if isinstance(result, Mapping) else None
        if isinstance(certificates, (list, tuple)):
            for each in certificates:
                findings += certificate_findings(host, each, issued, revoked, internal)
        elif not (isinstance(result, Mapping) and result.get("skipped")):
            unseen.append(host)
    return tuple(findings), tuple(unseen)


def certificate_findings(
    host: str, look: Any, issued: Mapping[str, str], revoked: Collection[str], internal: Collection[str]
) -> Iterator[Finding]:
    """One certificate of a host: the one that it has, and those that its endpoints showed."""
    if not isinstance(look, Mapping):
        return
    name, live = str(look.get("name")), look.get("fingerprint_sha256")
    # What was taken over, by an issuer whose CA was too, was issued elsewhere.
    known = live in issued or look.get("adopted")
    if look.get("installed") and live and look.get("issuer") in internal and not known:
        text = f"{host} has a certificate '{name}' of '{look['issuer']}', {live}, that the ledger does not know"
        yield Finding("not_in_ledger", host, text, LOST)
    shown = {
        one.get("fingerprint"): one.get("endpoint") for one in look.get("served") or () if isinstance(one, Mapping)
    }
    for mark, where in {live: "on disk", **shown}.items():
        if mark in revoked:
            text = f"{host} has a certificate '{name}', {mark}, that the ledger says was revoked ({where})"
            yield Finding("revoked_served", host, text, REVOKED)
