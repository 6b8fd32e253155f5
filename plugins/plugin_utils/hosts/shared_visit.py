# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that share one visit to their host: each runs until it asks the host something, all are asked at once, and each goes on.

Each has a thread of its own, and all but one of them stand still at any moment: templating is not made for two at a time. Pure.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Question(NamedTuple):
    """What a task asks its host: a step of docs/host-protocol.md without secrets."""

    step: str
    request: Mapping[str, Any]


class SecondQuestion(BaseException):
    """A task that asks again has more to do than to look. No Exception: no task takes it for an error of its own."""


class SharedTask:
    """One of them.

    :param work: does the task; it is given the function that asks the host. What it returns is ``result``, what it raises ``error``.
    """

    def __init__(self, work: Callable[[Callable[[Question], Any]], Any]) -> None:
        self.question: Question | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self._work = work
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stopped: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._answered = False
        # Ansible keeps what it knows of the running task in context variables.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)
        self._thread.start()
        self._stopped.get()

    def answer(self, outcome: Any) -> None:
        """Let it go on with what the host said, to its end.

        :param outcome: or the error that it meets instead of an answer.
        """
        self.question = None
        self._answers.put(outcome)
        self._stopped.get()

    def _run(self) -> None:
        try:
            self.result = self._work(self._ask)
        except BaseException as error:  # pylint: disable=broad-exception-caught
            self.error = error
        self._stopped.put(None)

    def _ask(self, question: Question) -> Any:
        if self._answered:
            raise SecondQuestion(question.step)
        self._answered = True
        self.question = question
        self._stopped.put(None)
        outcome = self._answers.get()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
