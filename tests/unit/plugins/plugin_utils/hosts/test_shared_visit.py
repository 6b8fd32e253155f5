# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that share a visit run one at a time, and each gets its own answer."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.shared_visit import Question, SecondQuestion, SharedTask

Ask = Callable[[Question], Any]
CURRENT: contextvars.ContextVar[str] = contextvars.ContextVar("CURRENT")


def test_each_asks_waits_and_goes_on_with_its_own_answer() -> None:
    order: list[str] = []

    def work(name: str) -> Callable[[Ask], str]:
        def run(ask: Ask) -> str:
            order.append(f"{name} asks")
            said = ask(Question("look", {"name": name}))
            order.append(f"{name} heard {said}")
            return f"{name}: {said}"

        return run

    tasks = [SharedTask(work(name)) for name in ("a", "b")]
    assert [each.question for each in tasks] == [Question("look", {"name": name}) for name in ("a", "b")]
    for each, said in zip(tasks, ("yes", "no")):
        each.answer(said)
    assert [(each.result, each.error, each.question) for each in tasks] == [
        ("a: yes", None, None),
        ("b: no", None, None),
    ]
    assert order == ["a asks", "b asks", "a heard yes", "b heard no"]


def test_no_two_run_at_the_same_time() -> None:
    running, most = threading.Semaphore(1), []

    def run(ask: Ask) -> None:
        for _part in range(2):
            most.append(running.acquire(blocking=False))
            running.release()
            if _part == 0:
                ask(Question("look", {}))

    tasks = [SharedTask(run) for _each in range(20)]
    for each in tasks:
        each.answer({})
    assert all(most) and len(most) == 40


def test_what_asks_twice_ends_there_whatever_it_catches() -> None:
    def run(ask: Ask) -> None:
        for _time in range(2):
            try:
                ask(Question("look", {}))
            except Exception:
                return

    task = SharedTask(run)
    task.answer({})
    assert isinstance(task.error, SecondQuestion)


def test_an_error_is_met_where_an_answer_was_expected() -> None:
    def run(ask: Ask) -> str:
        try:
            ask(Question("look", {}))
        except OSError as error:
            return str(error)
        return "no error"

    task = SharedTask(run)
    task.answer(OSError("away"))
    assert task.result == "away"


def test_one_that_fails_or_has_nothing_to_ask_has_no_question() -> None:
    def fails(_ask: Ask) -> None:
        raise ValueError("wrong")

    failed, done = SharedTask(fails), SharedTask(lambda _ask: 7)
    assert (failed.question, str(failed.error)) == (None, "wrong")
    assert (done.question, done.result, done.error) == (None, 7, None)


def test_context_variables_are_those_of_who_began_it() -> None:
    CURRENT.set("mine")
    assert SharedTask(lambda _ask: CURRENT.get()).result == "mine"
