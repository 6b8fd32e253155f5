# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.host_facts``: what the roles for servers have to know of a host, for those that run without fleet.tls.certificates."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.facts import parse_host_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import DIRECTORY_OPTION, TlsAction


class ActionModule(TlsAction):
    """Ask and tell."""

    STEPS = ("facts",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {**DIRECTORY_OPTION}

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer = self.step("facts", {"directory": parse_directory(options["directory"], "directory")}, variables)
        return {"changed": False, "ansible_facts": parse_host_facts(answer.get("host")).as_facts()}
