# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.session_ticket_rotation``: whether the rings of pools may move a step, and the step's keys. On the controller alone."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import preload
from ansible_collections.fleet.tls.plugins.plugin_utils.base.windows import parse_maintenance
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import (
    MAINTENANCE_OPTIONS,
    STORE_OPTIONS,
    TlsAction,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.rotation import TicketRotation, parse_hosts

preload("store", "directory")


class ActionModule(TlsAction):
    """Every pool for itself: one that is held back holds no other."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "store": STORE_OPTIONS["store"],
        "looks": {"type": "dict", "required": True},
        "pools": {"type": "dict", "required": True},
        "leave_behind": {"type": "list", "elements": "str", "default": []},
        "replace": {"type": "bool", "default": False},
        "replace_older_than": {"type": "int"},
        **MAINTENANCE_OPTIONS,
    }
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        rotation = TicketRotation(
            store=load_store(options["store"]),
            leave_behind=tuple(options["leave_behind"]),
            replace=options["replace"],
            replace_older_than=options["replace_older_than"],
            maintenance=parse_maintenance(options["windows"], options["freeze"]),
            check_mode=bool(self._task.check_mode),
            now=int(self.now().timestamp()),
        )
        return rotation.result(parse_hosts(options["looks"], options["pools"]), diff=bool(self._task.diff))
