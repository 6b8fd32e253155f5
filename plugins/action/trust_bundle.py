# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.trust_bundle``: the issuers' anchors in a host's system trust store and in bundle files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory, parse_mode, parse_path
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import (
    Selection,
    absent_texts,
    expired_text,
    refuse_empty,
    select,
    trusted_by,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.absent import STATES, present
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import parse_bare_services, parse_presets
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import DIRECTORY_OPTION, PRESETS_OPTION, TlsAction


class ActionModule(TlsAction):
    """Choose the anchors here, install them there."""

    STEPS = ("trust",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **DIRECTORY_OPTION,
        **PRESETS_OPTION,
        "store": {"type": "dict"},
        "issuers": {"type": "dict", "default": {}},
        "from_issuers": {"type": "list", "elements": "str"},
        "anchors": {"type": "raw", "default": {}},
        "system": {"type": "bool"},
        "bundles": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "path": {"type": "str", "required": True},
                "owner": {"type": "str"},
                "group": {"type": "str"},
                "mode": {"type": "raw", "default": "0644"},
                "state": {"type": "str", "choices": list(STATES), "default": "present"},
            },
        },
        "services": {"type": "list", "elements": "raw", "default": []},
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        issuers = load_issuers(options["issuers"], load_store(options.get("store"))) if options["issuers"] else {}
        chosen_issuers = options.get("from_issuers")
        names = to_install(issuers) if chosen_issuers is None else chosen_issuers
        sources = trusted_by(issuers, names, options["anchors"], "from_issuers")
        chosen = select(sources, self.now())
        bundles = [parse_bundle(each) for each in present(options["bundles"], "bundles")]
        services = parse_bare_services(options["services"], parse_presets(options["service_presets"]))
        result: dict[str, Any] = {"changed": False, **self.described(chosen), "system_store": None}
        result.update(changed_paths=[], kept_files={}, services={})
        absent = [] if self._task.check_mode and not self.is_asked else absent_texts(issuers, sources, self.now())
        if absent:
            result["warnings"] = [*result.get("warnings", ()), *absent]
        system = options.get("system")
        # Where all issuers are public ones, every system trusts them by itself.
        wanted_there = bool(system and sources)
        if not bundles and not wanted_there and (system is None or not may_trust_ours(variables)):
            return result
        if self._task.check_mode and sources and not chosen.anchors and not chosen.expired:
            # On a fresh controller the CA would have been made by now, and its root would be installed.
            return {**result, "changed": True}
        if bundles or wanted_there:
            refuse_empty(chosen, list(sources))
        answer = self.step(
            "trust",
            {
                "directory": parse_directory(options["directory"], "directory"),
                "anchors": [anchor.as_request() for anchor in chosen.anchors],
                "system": system,
                "bundles": bundles,
                "services": [service.as_request() for service in services],
                "check": bool(self._task.check_mode),
            },
            variables,
        )
        result.update(changed=answer["changed"], system_store=answer["family"])
        result.update({key: answer[key] for key in ("changed_paths", "kept_files", "services")})
        if self._task.diff:
            result["diff"] = answer["diff"]
        return result

    def described(self, chosen: Selection) -> dict[str, Any]:
        """What is chosen and what was left out, for people."""
        result: dict[str, Any] = {
            name: [anchor.as_result(self.now()) for anchor in anchors]
            for name, anchors in (("anchors", chosen.anchors), ("expired", chosen.expired))
        }
        if chosen.expired:
            result["warnings"] = [expired_text(anchor) for anchor in chosen.expired]
        return result


def may_trust_ours(variables: Mapping[str, Any]) -> bool:
    """Whether the host's system may trust an anchor that we put there: a look of this run says no, or nobody looked."""
    known = variables.get("ansible_facts", {}).get("fleet_tls_host", {})
    return bool(known.get("trusts_ours", True))


def to_install(issuers: Mapping[str, Issuer]) -> list[str]:
    """Names of the issuers whose anchors a host has to be given: every system has those of public CAs."""
    return [name for name, issuer in issuers.items() if issuer.anchors() or not issuer.trust()]


def parse_bundle(raw: dict[str, Any]) -> dict[str, Any]:
    """One of ``bundles`` in the form the host gets.

    :raises SpecError: a relative path, or what is no mode.
    """
    return {
        "path": parse_path(raw["path"], "bundles: path"),
        "owner": raw["owner"],
        "group": raw["group"],
        "mode": parse_mode(raw["mode"], secret=False),
    }
