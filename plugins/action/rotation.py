# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.rotation``: a rotation begun, proven on a host, taken to its next stage, or shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import preload
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import MISSHAPEN
from ansible_collections.fleet.tls.plugins.plugin_utils.base.windows import parse_maintenance
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.flow import Flow, chosen_issuer, trusted_files
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.stages import as_result, position
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_host
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import parse_presets
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import (
    CLOCKS_OPTION,
    DIRECTORY_OPTION,
    ENDPOINTS_OPTION,
    MAINTENANCE_OPTIONS,
    STORE_OPTIONS,
    TlsAction,
)

preload("store", "directory")
preload("issuer", "ca")


class ActionModule(TlsAction):
    """Options in, one step of a rotation, result out."""

    STEPS = ("prove",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **STORE_OPTIONS,
        **DIRECTORY_OPTION,
        "state": {"type": "str", "choices": ["begun", "proven", "advanced", "shown"], "default": "shown"},
        "rotation": {"type": "str", "choices": ["ca", "keys"], "default": "ca"},
        "issuer": {"type": "str"},
        "names": {"type": "list", "elements": "str", "default": []},
        "inventory": {"type": "dict"},
        "failures": {"type": "dict"},
        "leave_behind": {"type": "list", "elements": "str", "default": []},
        "take_over": {"type": "bool", "default": False},
        **MAINTENANCE_OPTIONS,
        "certificates": {"type": "list", "elements": "dict", "default": []},
        "service_presets": {"type": "dict", "default": {}},
        "clients": {"type": "list", "elements": "dict", "default": []},
        "bundles": {"type": "list", "elements": "dict", "default": []},
        "system": {"type": "bool", "default": False},
        "trust_issuers": {"type": "list", "elements": "str"},
        **ENDPOINTS_OPTION,
        **CLOCKS_OPTION,
    }
    # The controller's part of it needs no host; the proof opens the connection with its step.
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        store = load_store(options["store"])
        issuers = load_issuers(options["issuers"], store)
        issuer = chosen_issuer(issuers, options.get("issuer")) if options["rotation"] == "ca" else None
        known = options["inventory"]
        if known is None and options["state"] in ("begun", "advanced"):
            raise SpecError(
                f"inventory: the state '{options['state']}' needs it",
                remedy="give what the filter fleet.tls.gathered makes of groups['all'], see the module's documentation",
            )
        flow = Flow(
            store=store,
            kind=options["rotation"],
            issuer=issuer,
            inventory=concerned(known or {}, issuer.name if issuer else None),
            now=self.now(),
            check=bool(self._task.check_mode),
            take_over=options["take_over"],
            maintenance=parse_maintenance(options["windows"], options["freeze"]),
            hosts=tuple(known or ()),
            certificates=() if issuer else tuple(name for names in (known or {}).values() for name in names),
        )
        before = flow.present()
        if issuer and options["state"] in ("begun", "advanced"):
            # A root would be made, or taken over by one, that nobody could use yet.
            flow.notes += self.refuse_wrong_clock(ignore=options["ignore_clocks"])
        if options["state"] == "begun":
            after = flow.begin(options["names"], options["leave_behind"])
        elif options["state"] == "advanced":
            after = flow.advance(options["leave_behind"], reasons(options["failures"], flow.inventory))
        elif options["state"] == "proven" and before and not before.is_done:
            return self.prove(flow, options, variables)
        else:
            after = before
        deferred = {"deferred": str(flow.waits) if flow.waits else None}
        if after is None:
            first = "prepare" if issuer else "rekey"
            return {"changed": False, "stage": "none", "next": first, "held_back_by": [], **deferred}
        changed = before is None or (before.stage, before.begun_at) != (after.stage, after.begun_at)
        result = {"changed": changed and not flow.check, **as_result(after, flow.inventory), **deferred}
        if flow.notes:
            result["warnings"] = flow.notes
        return result

    def prove(self, flow: Flow, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """One host's proof of the present stage: one round trip."""
        lifetimes = {name: each.lifetime for name, each in load_issuers(options["issuers"], flow.store).items()}
        spec = parse_host(options["certificates"], lifetimes, parse_presets(options["service_presets"]))
        files = trusted_files(options, flow.issuer.name if flow.issuer else None)
        settings = Settings(directory=parse_directory(options["directory"], "directory"), check_mode=True, notes=False)
        system = options["system"] and bool(files.issuer)
        request, secrets = flow.proof_request(spec, settings, files, options["endpoints"], system=system)
        answer = self.step("prove", request, variables, secrets)
        try:
            problems = flow.problems(spec, answer)
        except MISSHAPEN as error:
            raise HostError(f"the host's answer does not have the agreed form ({type(error).__name__})") from error
        rotation = flow.record_proof(self.host(variables), problems)
        # No word of other hosts: a list of all of them for each of them is what made large inventories slow.
        result = {"changed": False, "problems": problems, **position(rotation)}
        if problems and not flow.check:
            error = HostError(
                f"it has not proven the stage '{rotation.stage}': {'; '.join(problems)}",
                code="unproven",
                remedy="see what its server or client says, and run again",
            )
            error.result = result  # type: ignore[attr-defined]
            raise error
        return result


def concerned(inventory: Mapping[str, Any], issuer: str | None) -> tuple[str, ...]:
    """The hosts that know the issuer or, without one, want certificates.

    :param inventory: host → the names of its issuers or, without ``issuer``, of its certificates.
    """
    return tuple(str(host) for host, names in inventory.items() if (issuer in names if issuer else names))


def reasons(failures: Mapping[str, Any] | None, hosts: Iterable[str]) -> dict[str, str]:
    """Why hosts have proven nothing, as far as it is known.

    :param failures: host of this run → why it failed, in words; None: not known.
    """
    if failures is None:
        return {}
    words = {host: str(failures.get(host, "not in this run")) for host in hosts}
    return {host: each for host, each in words.items() if each}
