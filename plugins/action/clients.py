# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.clients``: what a host's mTLS clients trust, and the proof that their servers accept them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_timeout
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import host_error
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import (
    Selection,
    absent_texts,
    bundle_text,
    expired_text,
    refuse_empty,
    select,
    trusted_by,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import parse_presets
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import (
    DIRECTORY_OPTION,
    PRESETS_OPTION,
    PROVE_TIMEOUT_OPTION,
    TlsAction,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.clients import (
    ClientSpec,
    certificate_usages,
    parse_clients,
)


class ActionModule(TlsAction):
    """Choose what they trust here, install and prove it there."""

    STEPS = ("client",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **DIRECTORY_OPTION,
        **PRESETS_OPTION,
        **PROVE_TIMEOUT_OPTION,
        "store": {"type": "dict"},
        "issuers": {"type": "dict", "default": {}},
        "clients": {"type": "list", "elements": "raw", "required": True},
        "certificates": {"type": "list", "elements": "dict"},
    }

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.warnings: list[str] = []

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        known = None if options.get("certificates") is None else certificate_usages(options["certificates"])
        clients = parse_clients(options["clients"], known, parse_presets(options["service_presets"]))
        issuers = load_issuers(options["issuers"], load_store(options.get("store"))) if options["issuers"] else {}
        directory = parse_directory(options["directory"], "directory")
        chosen = {client.name: self.trusted(client, issuers) for client in clients}
        result: dict[str, Any] = {"changed": False, "clients": {}}
        if self.warnings:
            result["warnings"] = list(dict.fromkeys(self.warnings))
        if not clients:
            return result
        if any(each and not each.anchors for each in chosen.values()):
            return {**result, "changed": True}
        texts = {name: bundle_text(each.anchors) if each else None for name, each in chosen.items()}
        answer = self.step(
            "client",
            {
                "directory": directory,
                "now": seconds(self.now()),
                "prove_timeout": parse_timeout(options["prove_timeout"], "prove_timeout"),
                "clients": [client.as_request(texts[client.name]) for client in clients],
                "check": bool(self._task.check_mode),
            },
            variables,
        )
        return self.concluded(result, answer)

    def trusted(self, client: ClientSpec, issuers: Mapping[str, Issuer]) -> Selection | None:
        """What a client is to trust; None: what its system does.

        :raises TlsError: as :func:`anchors.trusted_by`, :func:`anchors.select` and :func:`anchors.refuse_empty`.
        """
        if client.bundle is None:
            return None
        sources = trusted_by(issuers, client.bundle.issuers, client.bundle.anchors, "bundle: issuers")
        selection = select(sources, self.now())
        self.warnings += [expired_text(anchor) for anchor in selection.expired]
        if not self._task.check_mode or self.is_asked:
            self.warnings += absent_texts(issuers, sources, self.now())
        # On a fresh controller, check mode: the CA would have been made by now, and its root would be installed.
        if not (self._task.check_mode and sources and not selection.expired):
            refuse_empty(selection, [f"client '{client.name}'"])
        return selection

    def concluded(self, result: dict[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
        """The task's result.

        :raises HostError: a client failed; the result goes with it.
        """
        outcomes = answer.get("clients")
        if not isinstance(outcomes, Mapping) or not all(isinstance(each, Mapping) for each in outcomes.values()):
            raise HostError("the host's answer tells nothing of its clients")
        diff: list[Any] = []
        errors: dict[str, HostError] = {}
        for name, outcome in outcomes.items():
            result["clients"][name] = {key: value for key, value in outcome.items() if key != "diff"}
            diff += outcome.get("diff") or []
            if outcome.get("error"):
                errors[name] = host_error(outcome["error"])
        result["changed"] = bool(answer["changed"])
        if self._task.diff:
            result["diff"] = diff
        if errors:
            told = "; ".join(f"client '{name}': {error.message}" for name, error in errors.items())
            first = next(iter(errors.values()))
            failed = HostError(told, code=first.code, remedy=first.remedy)
            failed.result = result  # type: ignore[attr-defined]
            raise failed
        return result
