# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.store``: the store is looked after. Runs on the controller alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import parse_head
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store, load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.backup import Copied, back_up, restore
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.move import move
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.reseal import change_passphrase
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.verify import Verified, verify
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import STORE_OPTIONS, TlsAction

ACTIONS = ("passphrase", "backup", "verify", "restore", "move")
MOST_TOLD = 10


class ActionModule(TlsAction):
    """Options in, one of five things done, result out."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "store": STORE_OPTIONS["store"],
        "issuers": {"type": "dict", "default": {}},
        "action": {"type": "str", "choices": list(ACTIONS), "required": True},
        "new_passphrase": {"type": "str", "no_log": True},
        "backup": {"type": "path"},
        "target": {"type": "dict"},
        "head": {"type": "str"},
        "seen": {"type": "dict", "default": {}},
    }
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        store, check_mode = load_store(options["store"]), bool(self._task.check_mode)
        work = options["action"]
        if work == "verify":
            return self.verified(store, options)
        if work == "passphrase":
            resealed = change_passphrase(store, options["new_passphrase"], check_mode=check_mode)
            return self.told(
                resealed.changed,
                (f"{each}: sealed anew" for each in resealed.entries),
                {"resealed": list(resealed.entries)},
            )
        if work == "backup":
            return self.copied(back_up(store, given(options, "backup"), self.now(), check_mode=check_mode), "a backup")
        if work == "restore":
            return self.copied(restore(store, given(options, "backup"), check_mode=check_mode), store.describe())
        target = load_store(given(options, "target"))
        return self.copied(move(store, target, check_mode=check_mode), target.describe())

    def verified(self, store: Store, options: dict[str, Any]) -> dict[str, Any]:
        """What was looked at.

        :raises StoreError: something is wrong.
        """
        issuers = load_issuers(options["issuers"], store)
        internal = {name for name, issuer in issuers.items() if issuer.ca_in_store}
        expected = parse_head(options["head"]) if options["head"] else None
        found = verify(store, options["seen"], internal, expected, self.now())
        result = verified_result(found)
        if found.findings:
            texts = [each.message for each in found.findings[:MOST_TOLD]]
            more = [f"and {len(found.findings) - MOST_TOLD} more"] if len(found.findings) > MOST_TOLD else []
            error = StoreError("; ".join([*texts, *more]), remedy=found.findings[0].remedy)
            error.result = result  # type: ignore[attr-defined]
            raise error
        return result

    def copied(self, what: Copied, where: str) -> dict[str, Any]:
        """The result of what ended with another copy of the store."""
        lines = [f"{where}: {what.entries} entries, the ledger to {what.head or 'its beginning'}"]
        return self.told(what.changed, lines, {"path": what.path, "entries": what.entries, "head": what.head})

    def told(self, changed: bool, lines: Iterable[str], result: dict[str, Any]) -> dict[str, Any]:
        """A result with its diff."""
        diff = (
            {"diff": {"before": "", "after": "".join(f"{each}\n" for each in lines)}}
            if changed and self._task.diff
            else {}
        )
        return {"changed": changed, **result, **diff}


def verified_result(found: Verified) -> dict[str, Any]:
    """As documented under RETURN."""
    result: dict[str, Any] = {
        "changed": False,
        "findings": [asdict(each) for each in found.findings],
        "entries": found.entries,
        "opened": found.opened,
        "certificates": found.rows,
        "unattributed": found.unattributed,
        "head": str(found.head),
        "unseen": list(found.unseen),
    }
    warnings = []
    if not found.opened:
        warnings.append("nothing that is sealed was opened: set tls_store.passphrase for that")
    if found.unseen:
        warnings.append(
            f"not looked at, so nobody knows whether the ledger knows what they have: {', '.join(found.unseen)}"
        )
    return {**result, "warnings": warnings} if warnings else result


def given(options: dict[str, Any], name: str) -> Any:
    """An option that this action needs.

    :raises SpecError: it is missing.
    """
    if not options[name]:
        raise SpecError(
            f"tls_store_{name} is missing",
            remedy=f"tls_store_action={options['action']} needs it, see docs/stores/care.md",
        )
    return options[name]
