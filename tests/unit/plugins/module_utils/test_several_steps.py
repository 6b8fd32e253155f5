# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several steps in one: each has its own answer, and the error of one costs no other."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.host_module import answer_of, several_steps


def fine(request: dict[str, Any], secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    assert secrets == {}
    return bool(request.get("changes")), {"said": request["say"]}


def refused(_request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    raise StepError("busy", "another run is at work", "wait for it")


def unreadable(_request: dict[str, Any], _secrets: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    raise OSError(13, "Permission denied")


STEPS = {"fine": fine, "refused": refused, "unreadable": unreadable}


def ask(*questions: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    request = {"requests": [{"step": step, "request": each} for step, each in questions]}
    return answer_of({"several": lambda request, _secrets: several_steps(STEPS, request)}, "several", request, {})


def test_each_has_its_own_answer_in_the_order_of_the_questions() -> None:
    told = ask(("fine", {"say": 1}), ("refused", {}), ("unreadable", {}), ("fine", {"say": 2}))
    first, busy, denied, last = told["answer"]["outcomes"]
    assert (first, last) == ({"changed": False, "answer": {"said": 1}}, {"changed": False, "answer": {"said": 2}})
    assert (busy["answer"]["error"]["code"], denied["answer"]["error"]["code"]) == ("busy", "not_permitted")
    assert not told["changed"]


def test_one_that_changes_something_is_told() -> None:
    assert ask(("fine", {"say": 1}), ("fine", {"say": 2, "changes": True}))["changed"]
