# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.certificates``: every certificate of a host issued, installed, proven and kept fresh."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_timeout
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory, parse_force
from ansible_collections.fleet.tls.plugins.plugin_utils.base.playbook_run import THIS_RUN
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import preload
from ansible_collections.fleet.tls.plugins.plugin_utils.base.windows import parse_maintenance
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure, task_result
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.superseded import parse_rekey
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import kept_up
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import (
    HostSpec,
    parse_host,
    refuse_own_directory,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import parse_presets
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import (
    AWAIT_CLOCKS_OPTION,
    DIRECTORY_OPTION,
    MAINTENANCE_OPTIONS,
    PROVE_TIMEOUT_OPTION,
    STORE_OPTIONS,
    TlsAction,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.run_notes import noted_clocks

# What nearly everybody uses; see preload().
preload("store", "directory")
preload("issuer", "ca")


class ActionModule(TlsAction):
    """Options in, one flow, result out."""

    STEPS = ("look", "apply", "challenge")
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **STORE_OPTIONS,
        **DIRECTORY_OPTION,
        **PROVE_TIMEOUT_OPTION,
        **AWAIT_CLOCKS_OPTION,
        "certificates": {"type": "list", "elements": "dict", "required": True},
        "ledger_lost": {"type": "bool", "default": False},
        "force": {"type": "raw", "default": False},
        "rekey": {"type": "dict", "default": {}},
        **MAINTENANCE_OPTIONS,
        "defer_proof": {"type": "bool", "default": False},
        "adopt_only": {"type": "bool", "default": False},
        "facts": {"type": "bool", "default": False},
        "service_presets": {"type": "dict", "default": {}},
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        store = load_store(options["store"])
        store.accepts_lost_ledger = options["ledger_lost"]
        issuers = load_issuers(options["issuers"], store)
        lifetimes = {name: issuer.lifetime for name, issuer in issuers.items()}
        spec = parse_host(options["certificates"], lifetimes, parse_presets(options["service_presets"]))
        refuse_impossible(spec, issuers, variables.get("group_names") or ())
        directory = parse_directory(options["directory"], "directory")
        refuse_own_directory(spec, directory)
        settings = Settings(
            directory=directory,
            force=parse_force(options["force"]),
            rekey=parse_rekey(options["rekey"]),
            maintenance=parse_maintenance(options["windows"], options["freeze"]),
            defer_proof=options["defer_proof"],
            prove_timeout=parse_timeout(options["prove_timeout"], "prove_timeout"),
            check_mode=bool(self._task.check_mode),
            ignore_clocks=options["ignore_clocks"],
            await_clocks=options["await_clocks"],
            notes=self.may_note,
            foretells=not self.is_asked,
            adopt_only=options["adopt_only"],
            run=THIS_RUN.name,
            run_started=THIS_RUN.started,
        )
        run = HostRun(
            host=self.host(variables),
            spec=spec,
            issuers=issuers,
            settings=settings,
            look=lambda request: self.step("look", request, variables),
            apply=lambda request, secrets: self.step("apply", request, variables, secrets),
            challenge=lambda request: self.step("challenge", request, variables),
            clocks=noted_clocks,
            now=self.now(),
        )()
        result = task_result(run, bool(self._task.diff))
        if not options["facts"]:
            result.pop("ansible_facts", None)
        warned = kept_up(store, issuers.values(), check_mode=not self.may_note)
        if warned:
            result["warnings"] = [*result.get("warnings", ()), *warned]
        error = failure(run)
        if error:
            error.result = result  # type: ignore[attr-defined]
            raise error
        return result


def refuse_impossible(spec: HostSpec, issuers: Mapping[str, Issuer], groups: Collection[str]) -> None:
    """:raises SpecError: a certificate is asked of an issuer that can never issue it, or may not give it to a host of these groups."""
    for certificate in spec.certificates:
        for name in certificate.issuers:
            try:
                issuers[name].refuse(certificate, groups)
            except SpecError as error:
                raise error.about(certificate.name) from None
