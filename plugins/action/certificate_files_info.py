# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.certificate_files_info``: every certificate in the files of a host, in one round trip."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.health.certificate_files import (
    parse_search,
    printable,
    read_files,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import DIRECTORY_OPTION, TlsAction


class ActionModule(TlsAction):
    """Options in, one round trip, result out."""

    STEPS = ("files",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        **DIRECTORY_OPTION,
        # Not "path": that would expand "~" here, and these are the host's.
        "paths": {"type": "list", "elements": "str"},
        "exclude": {"type": "list", "elements": "str"},
        "trust_stores": {"type": "bool", "default": False},
        "passphrases": {"type": "list", "elements": "str", "default": [], "no_log": True},
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        search = parse_search(
            options["paths"],
            options["exclude"],
            options["passphrases"],
            trust_stores=options["trust_stores"],
            directory=parse_directory(options["directory"], "directory"),
        )
        answer = self.step("files", search.as_request(), variables, search.secrets())
        result: dict[str, Any] = {"changed": False, "files": read_files(answer, self.now()), "complete": True}
        if answer.get("truncated"):
            result.update(
                complete=False, warnings=[f"the search ended early: {printable(answer['truncated'])}; name fewer paths"]
            )
        return result
