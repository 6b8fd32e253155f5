# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.retire``: what is wanted no more taken away from a host, and from the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_timeout
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import preload
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import note_look
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.entries import HostEntries, StoreOutcome
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.results import RetireAnswer, parse_answer
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.wishes import (
    AbsentCertificate,
    HostWishes,
    mappings,
    parse_wishes,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.absent import present
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_pool
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import parse_presets
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import (
    CLOCKS_OPTION,
    DIRECTORY_OPTION,
    ENDPOINTS_OPTION,
    PRESETS_OPTION,
    PROVE_TIMEOUT_OPTION,
    TlsAction,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.run_notes import noted_lists
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import POOL_NAME, parse_pool_name
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.client_trust import parse_held

preload("store", "directory")


class ActionModule(TlsAction):
    """First the host, then the store."""

    STEPS = ("retire",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **DIRECTORY_OPTION,
        **PRESETS_OPTION,
        **PROVE_TIMEOUT_OPTION,
        **ENDPOINTS_OPTION,
        **CLOCKS_OPTION,
        "store": {"type": "dict"},
        "issuers": {"type": "dict", "default": {}},
        "certificates": {"type": "list", "elements": "raw", "default": []},
        "certificates_of": {"type": "dict", "default": {}},
        "clients": {"type": "list", "elements": "raw", "default": []},
        "bundles": {"type": "list", "elements": "raw", "default": []},
        "sites": {"type": "list", "elements": "raw", "default": []},
        "session_ticket_pool": {"type": "str"},
        "session_tickets": {"type": "bool", "default": False},
        "services": {"type": "list", "elements": "raw", "default": []},
        "whole_host": {"type": "bool", "default": False},
        "revoke": {"type": "str"},
        "unreachable": {"type": "bool", "default": False},
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        wishes = wishes_of(options)
        # What is wrong with the store's options is said before anything is touched.
        entries = self.entries(options, variables) if options["store"] else None
        answer, stored = RetireAnswer(), entries.outcome if entries else StoreOutcome()
        warnings: list[str] = []
        if options["revoke"] or any(each.revoke for each in wishes.certificates):
            warnings += self.refuse_wrong_clock(ignore=options["ignore_clocks"])
        if not wishes.is_empty and not options["unreachable"]:
            directory = parse_directory(options["directory"], "directory")
            timeout = parse_timeout(options["prove_timeout"], "prove_timeout")
            request = wishes.request(directory, timeout, check=bool(self._task.check_mode))
            answer = parse_answer(self.step("retire", request, variables))
        error: TlsError | None = answer.error()
        if entries and not wishes.is_empty:
            try:
                self.clear_up(entries, wishes, answer, options["revoke"])
            except TlsError as trouble:
                # What was done by then is done.
                error = error or trouble
        if stored.failed:
            told = IssuerError("not revoked: " + "; ".join(stored.failed), remedy="revoke it where it was issued")
            error = error or told
        result = self.result(answer, stored, [*warnings, *stored.warnings])
        if error is not None:
            error.result = result  # type: ignore[attr-defined]
            raise error
        return result

    def entries(self, options: Mapping[str, Any], variables: Mapping[str, Any]) -> HostEntries:
        """What the store has of the host."""
        store, host = load_store(options["store"]), self.host(variables)
        return HostEntries(
            store,
            load_issuers(options["issuers"], store),
            host,
            self.now(),
            wanted_pools=wanted_pools(options, host),
            check=bool(self._task.check_mode),
            seen=parse_held(noted_lists()),
        )

    def clear_up(self, entries: HostEntries, wishes: HostWishes, answer: RetireAnswer, reason: str | None) -> None:
        """Revoke and remove what the host has given up.

        :param reason: to revoke all of a whole host with; None: only what says so itself.
        :raises TlsError: the store or an issuer does not let it; the next run goes on from there.
        """
        staying = answer.failed("certificate")
        certificates = {each.name: each for each in wishes.certificates}
        if wishes.whole:
            for name in (*answer.there["certificates"], *entries.names_in_ledger()):
                certificates.setdefault(name, AbsentCertificate(name, revoke=reason))
        entries.retire(each for name, each in certificates.items() if name not in staying)
        if wishes.whole and answer.error():
            # It is a host of ours still.
            return
        pools = [*wishes.pools, *(answer.there["pools"] if wishes.whole else ())]
        kept = answer.failed("pool")
        entries.leave_rings(pool for pool in dict.fromkeys(pools) if POOL_NAME.fullmatch(pool) and pool not in kept)
        if wishes.whole:
            entries.forget()
            if not self._task.check_mode:
                note_look(entries.store, entries.host, None)

    def result(self, answer: RetireAnswer, stored: StoreOutcome, warnings: Iterable[str]) -> dict[str, Any]:
        """The task's result."""
        found: dict[str, Any] = {
            "changed": answer.changed or stored.changed,
            "there": {kind: list(names) for kind, names in answer.there.items()},
            "retired": [each.as_result() for each in answer.items],
            "services": dict(answer.services),
            "store_entries": stored.entries,
            "revoked": stored.revoked,
        }
        if warnings:
            found["warnings"] = list(dict.fromkeys(warnings))
        if self._task.diff:
            found["diff"] = [*answer.diff, *store_diff(stored)]
        return found


def wishes_of(options: Mapping[str, Any]) -> HostWishes:
    """What is to go.

    :raises SpecError: as :func:`parse_wishes`; what only a whole host can have, without it.
    """
    whole = bool(options["whole_host"])
    for field in ("revoke", "unreachable"):
        if options[field] and not whole:
            raise SpecError(
                f"{field} is for a whole host", remedy="write revoke in the certificate's entry, or whole_host: true"
            )
    pool = options["session_ticket_pool"]
    if pool is not None and options["session_tickets"] and not whole:
        raise SpecError(
            "the session ticket keys are to go, and the servers are to use them",
            remedy="write tls_session_tickets: false, or leave tls_session_ticket_state out; nothing was changed",
        )
    return parse_wishes(
        options["certificates"],
        options["clients"],
        options["bundles"],
        options["sites"],
        options["services"],
        options["endpoints"],
        None if pool is None else parse_pool_name(pool),
        parse_presets(options["service_presets"]),
        (options["revoke"] or True) if whole else False,
    )


def wanted_pools(options: Mapping[str, Any], host: str) -> set[str]:
    """The pools of certificates that stay, on this host or on others."""
    own = {} if options["whole_host"] else {host: options["certificates"]}
    others = {name: entries for name, entries in options["certificates_of"].items() if name != host}
    return {pool for entries in (*own.values(), *others.values()) for pool in pools_of(entries)}


def pools_of(raw: Any) -> Iterable[str]:
    """Those of one host's certificates; what is wrong with them is said where they are deployed."""
    for entry in mappings(present(raw, "certificates") if isinstance(raw, (list, tuple)) else ()):
        if entry.get("scope") == "pool":
            pool = parse_pool(str(entry.get("name")), Fields(entry, tuple(entry)))
            yield from () if pool is None else (pool,)


def store_diff(stored: StoreOutcome) -> list[dict[str, str]]:
    """In Ansible's form: what the store gives up, and what is revoked."""
    lines = {"store": stored.entries, "revoked": [f"serial {each}" for each in stored.revoked]}
    return [
        {"before_header": header, "after_header": header, "before": "", "after": "".join(f"{each}\n" for each in texts)}
        for header, texts in lines.items()
        if texts
    ]
