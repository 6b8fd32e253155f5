# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.drill``: a copy of what a host wants for a drill, the drill's folder on the controller, and what the drill has shown."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ansible import constants

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of, parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import load_provider
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import CanRollOver
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation import drill_folder
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.drill import Measured, Stand, throw_away_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import DIRECTORY_OPTION, TlsAction

# Playbook → what is measured of it besides the first issue, and the stage that a first host goes through alone.
STAGES = {"rotate_ca": ("prepare", "activate", "retire"), "replace_compromised": ("replace", "prove")}
BATCHED = "activate"


class ActionModule(TlsAction):
    """The host is not asked."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **DIRECTORY_OPTION,
        "state": {"type": "str", "choices": ["copied", "timed", "judged", "removed"], "required": True},
        "playbook": {"type": "str", "default": "rotate_ca"},
        "issuers": {"type": "dict", "default": {}},
        "issuer": {"type": "str"},
        "certificates": {"type": "list", "elements": "raw", "default": []},
        "clients": {"type": "list", "elements": "raw", "default": []},
        "bundles": {"type": "list", "elements": "raw", "default": []},
        "services": {"type": "list", "elements": "raw", "default": []},
        "reload": {"type": "bool", "default": False},
        "moments": {"type": "dict", "default": {}},
        "rotation": {"type": "dict", "default": {}},
        "hosts": {"type": "list", "elements": "str", "default": []},
        "came_through": {"type": "list", "elements": "str", "default": []},
        "inventory": {"type": "dict", "default": {}},
        "failures": {"type": "dict", "default": {}},
    }
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        playbook = one_of(options["playbook"], STAGES, "tls_drill")
        run_folder = Path(str(constants.DEFAULT_LOCAL_TMP))
        if options["state"] == "removed":
            drill_folder.remove(run_folder)
            return {"changed": False}
        if options["state"] == "timed":
            return {"changed": False, "at": self.now().timestamp()}
        if options["state"] == "judged":
            return self.judged(playbook, options)
        return {**self.copied(playbook, options), **drill_folder.make(run_folder)}

    def copied(self, playbook: str, options: dict[str, Any]) -> dict[str, Any]:
        """What the host wants, for the drill."""
        stand = Stand(parse_directory(options["directory"], "directory"), options["reload"])
        return {
            "changed": False,
            "folder": stand.folder,
            "directory": stand.state,
            "issuers": throw_away_issuers(options["issuers"]),
            "issuer": chosen(options["issuers"], options["issuer"]) if playbook == "rotate_ca" else None,
            "certificates": stand.certificates(options["certificates"]),
            "clients": stand.clients(options["clients"]),
            "bundles": stand.bundles(options["bundles"]),
            "services": stand.services(options["services"]),
        }

    def judged(self, playbook: str, options: dict[str, Any]) -> dict[str, Any]:
        """What the drill has shown, as values and for people."""
        hosts, through = options["hosts"], set(options["came_through"])
        behind = set(options["rotation"].get("left_behind", {}))
        failed = {
            host: str(options["failures"].get(host) or "see above")
            for host in hosts
            if host not in through or host in behind or options["failures"].get(host)
        }
        measured = Measured(
            seconds=taken(options["moments"], options["rotation"].get("stage_seconds", {}), self.now().timestamp()),
            hosts=hosts,
            known=max(len(options["inventory"]), len(hosts)),
            failed=failed,
            not_reloaded=not options["reload"],
        )
        check = bool(self._task.check_mode)
        guess = None if check else measured.estimate(STAGES[playbook], BATCHED)
        return {
            "changed": False,
            "failed_hosts": failed,
            "seconds": {} if check else dict(measured.seconds),
            "estimate": {"from": guess[0], "to": guess[1]} if guess else None,
            "text": measured.lines(f"fleet.tls.{playbook}", STAGES[playbook], BATCHED, check=check),
        }


def chosen(issuers: dict[str, Any], name: str | None) -> str:
    """Whose CA the drill replaces, as ``fleet.tls.rotate_ca`` would.

    :raises SpecError: there is no such one, or none is named and there are several.
    """
    able = [str(each) for each, options in issuers.items() if rolls_over(options)]
    if name is not None:
        return one_of(name, able, "tls_rotate_issuer")
    if len(able) != 1:
        raise SpecError(
            f"which CA is to be replaced? Those that can be: {', '.join(able) or 'none'}",
            remedy="name it: -e tls_rotate_issuer=NAME",
        )
    return able[0]


def rolls_over(options: Any) -> bool:
    """Whether an issuer of these options has a CA that can be replaced."""
    provider = load_provider("issuer", options.get("type") or "") if isinstance(options, Mapping) else None
    return inspect.isclass(provider) and issubclass(provider, CanRollOver)


def taken(moments: dict[str, Any], stages: dict[str, Any], now: float) -> dict[str, float]:
    """Stage → seconds, in their order.

    :param moments: ``begun``, ``deployed``, and ``replaced`` where keys were replaced, in seconds since the epoch.
    :param stages: those of a CA's rotation, which notes them itself.
    """
    known = {name: float(moment) for name, moment in moments.items() if moment}
    if "begun" not in known or "deployed" not in known:
        return {}
    seconds = {
        "first issue": known["deployed"] - known["begun"],
        **{name: float(each) for name, each in stages.items()},
    }
    if "replaced" in known:
        seconds |= {"replace": known["replaced"] - known["deployed"], "prove": now - known["replaced"]}
    return seconds
