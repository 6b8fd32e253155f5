# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.revoke``: certificates chosen, revoked, and a host's proof that its servers know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import MISSHAPEN
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import describe_crl
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import parse_found
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanRollOver, KeepsCrls
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, key_id
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.revoking import (
    choose,
    newest_revocation,
    parse_meant,
    proof_problems,
    proving_canaries,
    replaced,
    revoke_rows,
    revoked_already,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.strangers import as_ledger_has_them
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.flow import parse_proofs
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.proof import proof_request
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_host, parse_pool
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import parse_presets
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store, load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import (
    CLOCKS_OPTION,
    DIRECTORY_OPTION,
    ENDPOINTS_OPTION,
    STORE_OPTIONS,
    TlsAction,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.run_notes import noted_lists
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.client_trust import parse_held


class ActionModule(TlsAction):
    """Options in, one of three things done, result out."""

    STEPS = ("prove",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **STORE_OPTIONS,
        **DIRECTORY_OPTION,
        "state": {"type": "str", "choices": ["revoked", "chosen", "proven"], "default": "revoked"},
        "which": {"type": "list", "elements": "str", "default": []},
        "names": {"type": "list", "elements": "str", "default": []},
        "hosts": {"type": "list", "elements": "str", "default": []},
        "issuer": {"type": "str"},
        "same_key": {"type": "bool", "default": False},
        "certificates_of": {"type": "dict", "default": {}},
        "reason": {"type": "str", "default": "unspecified"},
        "certificates": {"type": "list", "elements": "dict", "default": []},
        "service_presets": {"type": "dict", "default": {}},
        **ENDPOINTS_OPTION,
        **CLOCKS_OPTION,
    }
    # Only the proof has to do with a host, and opens the connection with its step.
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        store = load_store(options["store"])
        issuers = load_issuers(options["issuers"], store)
        which, strangers = as_ledger_has_them(store, issuers, options["which"], options.get("issuer"), self.now())
        told = options["state"] == "revoked" and not self._task.check_mode
        if told and strangers:
            self.refuse_wrong_clock(ignore=options["ignore_clocks"])
            with store.ledger() as ledger:
                for row in strangers:
                    ledger.add(row)
        meant = parse_meant(
            which,
            options["names"],
            options["hosts"],
            options.get("issuer"),
            same_key=options["same_key"],
            also=pool_pairs(store, options["certificates_of"]),
        )
        rows = choose(store, meant, self.now(), () if told else strangers)
        if options["state"] == "proven":
            return self.prove(options, variables, store, issuers, {row.fingerprint for row in rows})
        due = [row for row in rows if row.fingerprint not in revoked_already(store, issuers)]
        result: dict[str, Any] = {
            "changed": options["state"] == "revoked" and bool(due),
            "certificates": replaced(rows, store.issuances()),
            "key_ids": sorted({row.key_id for row in rows}),
        }
        if options["state"] == "chosen" or self._task.check_mode:
            return {**result, "revoked_at": newest_revocation(store, issuers, rows)}
        warnings = self.refuse_wrong_clock(ignore=options["ignore_clocks"])
        outcome = revoke_rows(issuers, store, due, options["reason"], self.now(), parse_held(noted_lists()))
        concerned = [issuers[name] for name in dict.fromkeys(row.issuer for row in outcome.revoked)]
        result["revoked_at"] = newest_revocation(store, issuers, rows)
        result["crls"] = [
            describe_crl(crl) for each in concerned if isinstance(each, KeepsCrls) for crl in each.crls(self.now())
        ]
        warnings += outcome.warnings
        if warnings:
            result["warnings"] = warnings
        if outcome.failed:
            error = IssuerError("not revoked: " + "; ".join(outcome.failed), remedy="revoke it where it was issued")
            error.result = result  # type: ignore[attr-defined]
            raise error
        return result

    def prove(
        self,
        options: dict[str, Any],
        variables: dict[str, Any],
        store: Store,
        issuers: dict[str, Issuer],
        prints: set[str],
    ) -> dict[str, Any]:
        """One round trip: no server of the host takes a revoked client, and none of the certificates is served or installed."""
        lifetimes = {name: each.lifetime for name, each in issuers.items()}
        spec = parse_host(options["certificates"], lifetimes, parse_presets(options["service_presets"]))
        settings = Settings(directory=parse_directory(options["directory"], "directory"), check_mode=True, notes=False)
        keys = {row.key_id for row in store.issuances() if row.fingerprint in prints}
        problems: list[str] = []
        for name in dict.fromkeys(row.issuer for row in store.issuances() if row.fingerprint in prints):
            issuer = issuers[name]
            canaries = proving_canaries(issuer, store, self.now()) if isinstance(issuer, CanRollOver) else {}
            request = proof_request(
                spec,
                settings,
                self.now(),
                stage="revoked",
                canaries=canaries,
                bundles=(),
                system=False,
                endpoints=options["endpoints"],
            )
            answer = self.step("prove", request, variables, {each: canary.key for each, canary in canaries.items()})
            try:
                proofs = parse_proofs(answer)
                problems += proof_problems(proofs)
                served = [(proof["subject"], proof["fingerprint"]) for proof in proofs]
                for certificate in spec.certificates:
                    found = parse_found(answer["certificates"].get(certificate.name), certificate.name)
                    if options["same_key"] and found.leaf and key_id(found.leaf.public_key()) in keys:
                        problems.append(f"certificate '{certificate.name}' still has a key that must no longer be used")
                    served += [(each.endpoint, each.fingerprint) for each in found.served]
                if options["same_key"]:
                    problems += [f"{where} serves a revoked certificate" for where, seen in served if seen in prints]
            except MISSHAPEN as error:
                raise HostError(f"the host's answer does not have the agreed form ({type(error).__name__})") from error
        problems = list(dict.fromkeys(problems))
        if problems and not self._task.check_mode:
            raise HostError("; ".join(problems), code="unproven", remedy="see what its server says, and run again")
        return {"changed": False, "problems": problems}


def pool_pairs(store: Store, wanted: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(host, fingerprint) of the present pairs of hosts' pools. What a host itself shows counts for nothing: it may be another's.

    :param wanted: host → its certificates, as the inventory has them; only what says which pool they are of is read.
    :raises SpecError: not a list of certificates.
    """
    found = set()
    for host, certificates in wanted.items():
        for entry in certificates if isinstance(certificates, (list, tuple)) else ():
            pool = parse_pool(
                str(entry.get("name")),
                Fields(entry, tuple(entry) if isinstance(entry, Mapping) else (), "certificates"),
            )
            current = Pool(store, pool).load().current if pool else None
            if current:
                found.add((str(host), fingerprint(current.leaf)))
    return found
