# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.ca``: the internal CA made ahead of the first certificate, and shown. Runs on the controller alone."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.clocks import FEWEST, ClockOpinion, opinion_of
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.base.playbook_run import THIS_RUN
from ansible_collections.fleet.tls.plugins.plugin_utils.base.windows import Wait, parse_maintenance
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import (
    CanPrepare,
    HasAccount,
    KeepsCrls,
    kept_up,
    waiting,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.handed_out import handed_out
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.upkeep import Upkeep, shown
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import (
    AWAIT_CLOCKS_OPTION,
    MAINTENANCE_OPTIONS,
    STORE_OPTIONS,
    TlsAction,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.run_notes import RunNote, noted_clocks, noted_lists
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.client_trust import parse_held


class ActionModule(TlsAction):
    """Prepare every chosen issuer, then say what it is made of. One that is sick costs the others nothing."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **STORE_OPTIONS,
        "issuer": {"type": "str"},
        **AWAIT_CLOCKS_OPTION,
        "once": {"type": "bool", "default": False},
        "account": {"type": "str", "choices": ["kept", "new_key", "new"], "default": "kept"},
        **MAINTENANCE_OPTIONS,
    }
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        if not options["once"]:
            return self.keep(options, variables)
        # Hosts may have other stores and issuers than the first one, so that it takes more than run_once. A digest of options with secrets
        # is no more than the name of a file that only this run can see.
        wanted = [json.dumps(options[each], sort_keys=True, default=str) for each in ("store", "issuers")]
        batch = variables.get("ansible_play_batch") or ()
        note = RunNote(
            "ca", THIS_RUN.name, str(self._task._uuid), str(options.get("issuer")), *wanted, *map(str, batch)
        )
        with note.held() as known:
            if known is not None:
                return known
            result: dict[str, Any] = {}
            try:
                result = self.keep(options, variables)
                return result
            except TlsError as error:
                result = getattr(error, "result", {})
                raise
            finally:
                note.write(for_others(result, self.host(variables)))

    def keep(self, options: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        """What there is to do, done and told."""
        store = load_store(options["store"])
        issuers = load_issuers(options["issuers"], store)
        if options.get("issuer"):
            name = one_of(options["issuer"], issuers, "issuer")
            issuers = {name: issuers[name]}
        renewed, waits = self.renewed_account(issuers, options)
        upkeeps = [Upkeep(issuer) for issuer in issuers.values()]
        for each in upkeeps:
            each.find(self.now())
        any_due = any(each.unprepared or each.crls_due for each in upkeeps) and not self._task.check_mode
        clocks_wanted = any_due and options["await_clocks"] and not options["ignore_clocks"] and unheard(variables)
        clocks = opinion_of({} if options["ignore_clocks"] else noted_clocks())
        for each in upkeeps if not clocks_wanted else ():
            self.upkeep(each, clocks)
        made = {each.issuer.name: "; ".join(each.done) for each in upkeeps if each.done}
        prepared = {name: "; ".join(filter(None, (renewed.get(name), made.get(name)))) for name in {**renewed, **made}}
        errors = [error for each in upkeeps for error in each.errors]
        try:
            kept = kept_up(store, issuers.values(), check_mode=not self.may_note)
        except TlsError as error:
            kept, errors = (), [*errors, error]
        result: dict[str, Any] = {
            "changed": bool(prepared),
            "clocks_wanted": clocks_wanted,
            "prepared": prepared,
            "deferred": str(waits) if waits else None,
            "issuers": {
                each.issuer.name: known
                for each in upkeeps
                if (known := each.tried(partial(shown, each.issuer, self.now())))
            },
        }
        result["handed_out"] = handed_out(result["issuers"])
        thumbprints = [each["thumbprints"] for each in result["issuers"].values()]
        result["acme_thumbprints"] = sorted({each for mine in thumbprints for each in mine})
        warnings = [text for each in upkeeps for text in each.taken_over]
        warnings += [*kept, *(clocks.warnings if any_due and not clocks_wanted else ())]
        warnings += [text for each in upkeeps for text in each.tried(partial(waiting, [each.issuer], self.now())) or ()]
        if warnings:
            result["warnings"] = warnings
        if self._task.diff and prepared:
            result["diff"] = [
                {"before": "", "after": f"{text}\n", "after_header": name} for name, text in prepared.items()
            ]
        failure = as_one([*errors, *(error for each in upkeeps for error in each.errors)])
        if failure:
            failure.result = result  # type: ignore[attr-defined]
            raise failure
        return result

    def renewed_account(
        self, issuers: Mapping[str, Issuer], options: Mapping[str, Any]
    ) -> tuple[dict[str, str], Wait | None]:
        """What was done about the chosen issuer's account (in check mode: would be), in words; and how long it waits instead.

        :raises SpecError: no issuer is chosen, or it has no account; :raises TlsError: its CA or the store does not let it.
        """
        maintenance = parse_maintenance(options["windows"], options["freeze"])
        account, chosen = options["account"], options.get("issuer")
        if account == "kept":
            return {}, None
        issuer = issuers[chosen] if chosen else None
        if chosen is None or not isinstance(issuer, HasAccount):
            able = ", ".join(name for name, each in issuers.items() if isinstance(each, HasAccount)) or "none"
            raise SpecError(
                f"account: {account} needs an issuer that has an account", remedy=f"name it in issuer: {able}"
            )
        # Another account is a repair. A change that has begun is finished: until then nothing can be ordered.
        can_wait = account == "new_key" and not issuer.account_key_begun()
        waits = maintenance.wait(self.now()) if can_wait else None
        if waits:
            return {}, waits
        if self._task.check_mode:
            what = "gets a new key" if account == "new_key" else "gives way to another one, with another key"
            return {chosen: f"the account of '{chosen}' {what}"}, None
        return {chosen: issuer.renew_account_key() if account == "new_key" else issuer.renew_account()}, None

    def upkeep(self, each: Upkeep, clocks: ClockOpinion) -> None:
        """Make what an issuer lacks. One that cannot be prepared has its CRLs signed all the same: servers refuse clients without them."""
        issuer = each.issuer
        if isinstance(issuer, CanPrepare) and each.unprepared:
            self.make(each, each.unprepared, issuer.prepare, clocks)
        if isinstance(issuer, KeepsCrls):
            # Also where none is due: what they list is noted, so that no host has to look it up.
            self.make(each, each.crls_due, partial(list_revoked, each), clocks)

    def make(self, each: Upkeep, due: str | None, work: Callable[[dt.datetime], Any], clocks: ClockOpinion) -> None:
        """Do ``work``, which makes what is ``due``, and note what came of it."""
        known = len(each.errors)
        if due:
            each.tried(clocks.refuse)
        # What is not due is only noted.
        may = self.may_note and not due if self.is_asked else not self._task.check_mode
        if may and len(each.errors) == known:
            each.tried(partial(work, self.now()))
        each.done += [due] if due and len(each.errors) == known else []


def list_revoked(each: Upkeep, now: dt.datetime) -> None:
    """Its CRLs signed anew where that is due, with what newer ones list that hosts have shown in this run.

    Where one cannot be merged, its CA's key cannot be used, so that nothing else is signed with it; the other CAs go on.
    """
    if not isinstance(each.issuer, KeepsCrls):
        return
    seen = parse_held(noted_lists()) if each.crls_due else ()
    if seen:
        each.taken_over += each.tried(partial(each.issuer.take_over_crls, seen, now)) or ()
    each.issuer.crls(now)


def as_one(errors: Sequence[TlsError]) -> TlsError | None:
    """Errors of several issuers told in one; None: there is none."""
    different = list({str(error): error for error in errors}.values())
    if len(different) < 2:
        return different[0] if different else None
    return IssuerError("; ".join(str(error).rstrip(".") for error in different))


def unheard(variables: Mapping[str, Any]) -> bool:
    """Whether hosts of the batch could say something of the controller's clock, and have not been asked."""
    batch, known = variables.get("ansible_play_batch") or (), noted_clocks()
    return len(batch) >= FEWEST > len(known) and any(host not in known for host in batch)


def for_others(result: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The result for hosts that had nothing to do any more: what they may need of it, and no long lists."""
    issuers = result.get("issuers", {})
    return {
        "changed": False,
        "kept_by": host,
        "clocks_wanted": result.get("clocks_wanted", False),
        "prepared": {},
        "deferred": result.get("deferred"),
        "issuers": {name: {**known, "crls": []} for name, known in issuers.items()},
        "handed_out": result.get("handed_out", {}),
        "acme_thumbprints": list(result.get("acme_thumbprints", ())),
    }
