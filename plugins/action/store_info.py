# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.store_info``: what the store knows in public. Runs on the controller alone."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.health.store_facts import store_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import STORE_OPTIONS, TlsAction


class ActionModule(TlsAction):
    """Load, read, tell."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **STORE_OPTIONS,
        "pools": {"type": "list", "elements": "str", "default": []},
    }
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        store = load_store(options["store"])
        issuers = load_issuers(options["issuers"], store)
        return {"changed": False, **store_facts(store, issuers, options["pools"], self.now())}
