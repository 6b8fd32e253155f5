# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.session_ticket_keys``: a pool's ring of session ticket keys on a host, taken by its servers and proven."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration, parse_timeout
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import preload
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import parse_presets
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import (
    DIRECTORY_OPTION,
    PRESETS_OPTION,
    PROVE_TIMEOUT_OPTION,
    STORE_OPTIONS,
    TlsAction,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.host_answers import parse_servers
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.host_run import TicketRun, TicketSettings
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import parse_pool_name
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore

preload("store", "directory")


class ActionModule(TlsAction):
    """Options in, one flow, result out."""

    STEPS = ("tickets",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "store": STORE_OPTIONS["store"],
        **DIRECTORY_OPTION,
        **PRESETS_OPTION,
        **PROVE_TIMEOUT_OPTION,
        "pool": {"type": "str", "required": True},
        "servers": {"type": "list", "elements": "raw", "required": True},
        "location": {"type": "str", "choices": ["memory", "disk"], "default": "memory"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "session_timeout": {"type": "str", "default": "24h"},
        "defer_proof": {"type": "bool", "default": False},
        "keeps_configuration": {"type": "bool", "default": False},
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        pool, servers = (
            parse_pool_name(options["pool"]),
            parse_servers(options["servers"], parse_presets(options["service_presets"])),
        )
        settings = TicketSettings(
            directory=parse_directory(options["directory"], "directory"),
            memory=options["location"] == "memory",
            owner=options["owner"],
            group=options["group"],
            lifetime=parse_duration(options["session_timeout"], "session_timeout"),
            defer_proof=options["defer_proof"],
            keeps_configuration=options["keeps_configuration"],
            prove_timeout=parse_timeout(options["prove_timeout"], "prove_timeout"),
            check_mode=bool(self._task.check_mode),
            notes=self.may_note,
        )
        run = TicketRun(
            host=self.host(variables),
            rings=RingStore(load_store(options["store"]), pool),
            servers=servers,
            settings=settings,
            look=lambda request: self.step("tickets", request, variables),
            install=lambda request, secrets: self.step("tickets", request, variables, secrets),
            now=int(self.now().timestamp()),
        )
        result = run.result()
        if not self._task.diff:
            result.pop("diff", None)
        return result
