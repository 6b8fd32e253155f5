# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the parts when the visit that they share fails. Whole runs: tests/local/test_due_parts.py."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.action.due_parts import ActionModule
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.limits import TOO_SLOW
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.shared_visit import Question, SharedTask


def visited(error: Exception) -> SharedTask:
    """A part's task, after a visit that failed."""

    class Failing(ActionModule):
        def __init__(self) -> None:
            """Nothing of a task is needed."""

        def step(self, *_arguments: Any, **_named: Any) -> dict[str, Any]:
            raise error

    task = SharedTask(lambda ask: ask(Question("look", {})))
    Failing().visit([task], {})
    return task


def test_an_error_is_what_each_part_gets_for_an_answer() -> None:
    error = HostError("no sound")
    assert visited(error).error is error


def test_who_is_too_slow_is_not_asked_by_each_part_again() -> None:
    with pytest.raises(HostError, match="an hour"):
        visited(HostError("it took an hour", code=TOO_SLOW))
