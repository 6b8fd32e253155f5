# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.report``: the health document written in the forms its readers want, and handed to a program of the user's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_timeout
from ansible_collections.fleet.tls.plugins.plugin_utils.base.programs import run_program
from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import worst_severity
from ansible_collections.fleet.tls.plugins.plugin_utils.report.document import WORST_FIRST, at_least, parse_document
from ansible_collections.fleet.tls.plugins.plugin_utils.report.files import ReportError, compare, places, write
from ansible_collections.fleet.tls.plugins.plugin_utils.report.json_form import render as render_json
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction

# A program that takes longer would keep the run from its end.
LONGEST_NOTIFY = 3600


class ActionModule(TlsAction):
    """Options in, files on the controller, result out; no host is needed."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "health": {"type": "dict", "required": True},
        "directory": {"type": "str", "required": True},
        "formats": {"type": "list", "elements": "str", "default": ["html", "json"]},
        "files": {"type": "dict", "default": {}},
        "mode": {"type": "raw", "default": "0640"},
        "notify_command": {"type": "list", "elements": "str", "default": []},
        "notify_severity": {"type": "str", "choices": list(WORST_FIRST), "default": "warning"},
        "notify_timeout": {"type": "str", "default": "30s"},
    }
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        document = parse_document(options["health"])
        wanted = places(options["directory"], options["formats"], options["files"], options["mode"])
        reports = [compare(place, document) for place in wanted]
        if not self._task.check_mode:
            for report in reports:
                write(report)
        worst = worst_severity(each["severity"] for each in document["findings"])
        result: dict[str, Any] = {
            "changed": any(report.changed for report in reports),
            "files": {report.place.form: report.place.path for report in reports},
            "worst": worst,
            "notified": self.notify(options, document) if at_least(worst, options["notify_severity"]) else False,
        }
        if self._task.diff:
            result["diff"] = [report.diff() for report in reports if report.changed]
        return result

    def notify(self, options: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
        """Hand the document to the user's program; whether that was done.

        :raises TlsError: the program cannot be started, takes too long, or fails.
        """
        command = [str(each) for each in options["notify_command"]]
        if not command or self._task.check_mode:
            return False
        limit = parse_timeout(options["notify_timeout"], "notify_timeout", LONGEST_NOTIFY)
        # A webhook's address is its secret.
        secrets = [each for each in command[1:] if not each.startswith("-")]
        ended = run_program(command, render_json(document).encode(), os.environ, limit, secrets)
        if ended.code != 0:
            words = f": {ended.words}" if ended.words else ""
            raise ReportError(
                f"'{os.path.basename(command[0])}' ended with {ended.code}{words}",
                remedy="the reports are written; see what tls_report_notify_command does with JSON on standard input",
            )
        return True
