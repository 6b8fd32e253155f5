# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a run did as JSON lines into the file named by FLEET_TLS_RESULTS; read back by tools/playbook.py."""

from __future__ import annotations

import gc
import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: fleet_tls_results
type: aggregate
short_description: Task results and host statistics as JSON lines, for the tests of fleet.tls
description:
  - Appends one JSON object a task result to the file named by the environment variable E(FLEET_TLS_RESULTS), and the statistics last.
"""


class CallbackModule(CallbackBase):
    """One line a result, flushed at once, so that a killed run leaves what it had."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "fleet_tls_results"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        # A run lives for seconds, and each of its forks would look through all that was there before it.
        gc.freeze()
        gc.disable()

    def _write(self, record: dict[str, t.Any]) -> None:
        with open(os.environ["FLEET_TLS_RESULTS"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps(record, default=str) + "\n")

    def _result(self, result: t.Any, status: str) -> None:
        task = result._task  # pylint: disable=protected-access
        self._write(
            {
                "host": result._host.get_name(),  # pylint: disable=protected-access
                "task": task.get_name(),
                "action": str(task.action),
                "status": status,
                "result": result._result,  # pylint: disable=protected-access
            }
        )

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._result(result, "ok")

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._result(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._result(result, "skipped")

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._result(result, "unreachable")

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._write({"stats": {host: stats.summarize(host) for host in sorted(stats.processed)}})
