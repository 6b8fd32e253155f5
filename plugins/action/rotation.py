# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.rotation``: a rotation begun, proven on a host, taken to its next stage, or shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import preload
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import MISSHAPEN
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.flow import Flow, chosen_issuer, trusted_files
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.stages import as_result
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_host
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import parse_presets
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import (
    DIRECTORY_OPTION,
    ENDPOINTS_OPTION,
    STORE_OPTIONS,
    TlsAction,
)

preload("store", "directory")
preload("issuer", "ca")

# What tasks of ours have registered on a host, the latest first: it may say why the host has proven nothing.
REGISTERED = (
    "fleet_tls_proof", "fleet_tls_clients", "fleet_tls_haproxy", "fleet_tls_apache", "fleet_tls_nginx", "fleet_tls_trust", "fleet_tls_result",
)  # fmt: skip


class ActionModule(TlsAction):
    """Options in, one step of a rotation, result out."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **STORE_OPTIONS,
        **DIRECTORY_OPTION,
        "state": {"type": "str", "choices": ["begun", "proven", "advanced", "shown"], "default": "shown"},
        "rotation": {"type": "str", "choices": ["ca", "keys"], "default": "ca"},
        "issuer": {"type": "str"},
        "names": {"type": "list", "elements": "str", "default": []},
        "leave_behind": {"type": "list", "elements": "str", "default": []},
        "take_over": {"type": "bool", "default": False},
        "certificates": {"type": "list", "elements": "dict", "default": []},
        "service_presets": {"type": "dict", "default": {}},
        "clients": {"type": "list", "elements": "dict", "default": []},
        "bundles": {"type": "list", "elements": "dict", "default": []},
        "system": {"type": "bool", "default": False},
        "trust_issuers": {"type": "list", "elements": "str"},
        **ENDPOINTS_OPTION,
    }
    # The controller's part of it needs no host; the proof opens the connection with its step.
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        store = load_store(options["store"])
        issuers = load_issuers(options["issuers"], store)
        issuer = chosen_issuer(issuers, options.get("issuer")) if options["rotation"] == "ca" else None
        hosts = concerned(variables, issuer.name if issuer else None, self.host(variables))
        flow = Flow(
            store=store,
            kind=options["rotation"],
            issuer=issuer,
            inventory=hosts,
            now=self.now(),
            check=bool(self._task.check_mode),
            take_over=options["take_over"],
        )
        before = flow.present()
        if options["state"] == "begun":
            after = flow.begin(options["names"], options["leave_behind"])
        elif options["state"] == "advanced":
            after = flow.advance(options["leave_behind"], reasons(variables, hosts))
        elif options["state"] == "proven" and before and not before.is_done:
            return self.prove(flow, options, variables)
        else:
            after = before
        if after is None:
            return {"changed": False, "stage": "none", "next": "prepare" if issuer else "rekey", "held_back_by": []}
        changed = before is None or (before.stage, before.begun_at) != (after.stage, after.begun_at)
        result = {"changed": changed and not flow.check, **as_result(after, hosts)}
        if flow.notes:
            result["warnings"] = flow.notes
        return result

    def prove(self, flow: Flow, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """One host's proof of the present stage: one round trip."""
        lifetimes = {name: each.lifetime for name, each in load_issuers(options["issuers"], flow.store).items()}
        spec = parse_host(options["certificates"], lifetimes, parse_presets(options["service_presets"]))
        files = trusted_files(options, flow.issuer.name if flow.issuer else None)
        settings = Settings(directory=parse_directory(options["directory"], "directory"), check_mode=True)
        system = options["system"] and bool(files.issuer)
        request, secrets = flow.proof_request(spec, settings, files, options["endpoints"], system=system)
        answer = self.step("prove", request, variables, secrets)
        try:
            problems = flow.problems(spec, answer)
        except MISSHAPEN as error:
            raise HostError(f"the host's answer does not have the agreed form ({type(error).__name__})") from error
        rotation = flow.record_proof(self.host(variables), problems)
        result = {"changed": False, "problems": problems, **as_result(rotation, flow.inventory)}
        if problems and not flow.check:
            error = HostError(
                f"it has not proven the stage '{rotation.stage}': {'; '.join(problems)}",
                code="unproven",
                remedy="see what its server or client says, and run again",
            )
            error.result = result  # type: ignore[attr-defined]
            raise error
        return result


def concerned(variables: Mapping[str, Any], issuer: str | None, host: str) -> tuple[str, ...]:
    """The hosts of the whole inventory, whatever the play is limited to, that know the issuer (or, without one, want certificates)."""
    everybody, known = variables.get("groups", {}).get("all", [host]), variables.get("hostvars", {host: variables})
    what, wanted = ("tls_issuers", issuer) if issuer else ("tls_certificates", None)
    found = []
    for each in everybody:
        values = known[each].get(what) if each in known else None
        if values and (wanted is None or wanted in values):
            found.append(str(each))
    return tuple(found)


def reasons(variables: Mapping[str, Any], hosts: tuple[str, ...]) -> dict[str, str]:
    """Why hosts have proven nothing, as far as the tasks of this run tell."""
    known, playing = variables.get("hostvars", {}), variables.get("ansible_play_hosts_all", ())
    found = {}
    for host in hosts:
        values = known[host] if host in known else {}
        for name in REGISTERED:
            result = values.get(name)
            if isinstance(result, Mapping) and (result.get("unreachable") or result.get("failed")):
                word = "unreachable" if result.get("unreachable") else "failed"
                found[host] = f"{word}: {str(result.get('msg', '')).strip()[:300]}"
                break
        else:
            if host not in playing:
                found[host] = "not in this run"
    return found
