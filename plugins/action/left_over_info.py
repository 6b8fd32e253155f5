# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.left_over_info``: what of this collection a host has that the inventory names no more."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.left_over import Inventory, left_over
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.results import parse_answer
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.wishes import HostWishes
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import DIRECTORY_OPTION, TlsAction


class ActionModule(TlsAction):
    """Ask and compare."""

    STEPS = ("retire",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **DIRECTORY_OPTION,
        "certificates": {"type": "list", "elements": "raw", "default": []},
        "clients": {"type": "list", "elements": "raw", "default": []},
        "bundles": {"type": "list", "elements": "raw", "default": []},
        "sites": {"type": "list", "elements": "raw"},
        "session_ticket_pool": {"type": "str"},
        "session_tickets": {"type": "bool", "default": True},
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        request = HostWishes().request(parse_directory(options["directory"], "directory"), 0, check=True)
        answer = parse_answer(self.step("retire", request, variables))
        inventory = Inventory(
            options["certificates"],
            options["clients"],
            options["bundles"],
            sites=options["sites"] is not None,
            pool=options["session_ticket_pool"],
            pool_is_absent=not options["session_tickets"],
        )
        found = left_over(answer.there, inventory)
        return {"changed": False, "left_over": [each.as_result() for each in found]}
