# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.deployed``: a deployment has done on a host what there was to do, or begins with it. Noted in the store; the host is not asked."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import LastLook, note_look
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.looks_made import finished
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction


class ActionModule(TlsAction):
    """Note it, or forget what was noted; in check mode nothing."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "store": {"type": "dict", "required": True},
        "look": {"type": "dict"},
        "certificates": {"type": "dict", "default": {}},
        "handed_out": {"type": "dict", "default": {}},
    }
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        look = None
        if options["look"]:
            result = options["certificates"] if "certificates" in options["certificates"] else {}
            look = finished(LastLook.from_json(options["look"]), result, options["handed_out"])
        if not self._task.check_mode:
            note_look(load_store(options["store"]), self.host(variables), look)
        return {"changed": False}
