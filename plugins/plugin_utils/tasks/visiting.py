# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An action that has other actions of this collection look at its host, in one visit for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleTaskError
from ansible.playbook.task import Task

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.shared_visit import Question, SecondQuestion, SharedTask
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction


class VisitingAction(TlsAction):
    """Asks what others want to know of the host; each of them is a :class:`SharedTask` that runs an action of :meth:`other`."""

    def other(
        self, kind: type[TlsAction], task: Task, templar: Any, ask: Callable[[Question], Any] | None = None
    ) -> TlsAction:
        """Another action, at the same host.

        :param task: with its options.
        :param ask: asks the host for it; None: it asks by itself.
        """
        action = kind(task, self._connection, self._play_context, self._loader, templar, self._shared_loader_obj)
        if ask is None:
            return action

        def result_of(step: str, request: Any, _variables: Any, secrets: Any, _limit: float) -> Mapping[str, Any]:
            if secrets:
                # They travel with a step of their own.
                raise SecondQuestion(step)
            return ask(Question(step, request))  # type: ignore[no-any-return]

        action.result_of = result_of  # type: ignore[assignment]
        return action

    def answers(self, step: str, tasks: Sequence[SharedTask], variables: dict[str, Any]) -> list[Any]:
        """What the host says to the questions of these tasks, in one visit: a step's result each, or the error that stands for it.

        :param step: one of several steps, see docs/host-protocol.md.
        :raises AnsibleConnectionFailure: the host cannot be reached.
        :raises HostError: the visit failed as a whole; AnsibleError as well.
        """
        requests = [each.question._asdict() for each in tasks if each.question]
        outcomes = self.step(step, {"requests": requests}, variables).get("outcomes")
        if not isinstance(outcomes, list) or len(outcomes) != len(tasks):
            raise HostError("the host did not answer everything")
        return [each if isinstance(each, Mapping) else HostError("that is not an answer") for each in outcomes]


def failed_result(error: BaseException) -> dict[str, Any]:
    """What Ansible registers of a task that raised this, without a traceback: ``failed`` or ``unreachable``, and ``msg``."""
    if isinstance(error, AnsibleActionFail):
        return {"changed": False, **error.result, "failed": True, "msg": error.message}
    told = AnsibleTaskError()
    told.__cause__ = error
    kind = "unreachable" if isinstance(error, AnsibleConnectionFailure) else "failed"
    return {"changed": False, kind: True, "msg": told.message}
