# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an action reaches its host: one step of docs/host-protocol.md a round trip, through a pipe or as a module.

Become, ``environment`` and whatever else a connection brings is done by Ansible in either way.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from ansible import constants as C
from ansible.errors import AnsibleError, AnsibleValueOmittedError
from ansible.plugins.action import ActionBase

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import printable, shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import host_error
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.limits import (
    MARGIN,
    OF_SEVERAL,
    TOO_SLOW,
    StepTooSlow,
    seconds_for,
    waiting_at_most,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.parcel import Parcel, pack, parcel, parse_answer
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.with_mitogen import OWN_PROCESS, is_mitogen, unlogged

T = TypeVar("T")

# Characters: of an error, the end of a traceback, which has its cause; of what is shown at -vvv.
MOST_SAID = 500
MOST_SHOWN = 100_000
AUTO = "auto"
# Which internal module has a step. A module is sent to the host whole, with all that it imports, so those steps are together that are used
# together: most runs look, and do nothing else.
MODULES = {
    "fleet.tls.host_look": ("look", "facts"),
    "fleet.tls.host_apply": ("apply", "challenge"),
    "fleet.tls.host_configure": ("trust", "configure", "tickets", "client", "retire"),
    "fleet.tls.host_prove": ("handshake", "trace", "prove"),
    "fleet.tls.host_files": ("files",),
    "fleet.tls.host_several": ("several",),
    "fleet.tls.host_inspect": ("inspect",),
}
# The fact in which Ansible keeps the interpreter that it found.
DISCOVERED = "discovered_interpreter_python"
MODULE_OF = {step: module for module, steps in MODULES.items() for step in steps}


class HostSteps(ActionBase):
    """An action that asks its host, and works with the answers.

    ``STEPS``: those that it asks for. What a host gets of them is packed where the action is loaded, in the process that forks the
    workers: each of those would do it again for its one host, and that costs more time than the host's answer.
    """

    STEPS: ClassVar[tuple[str, ...]] = ()
    # Whether Ansible's way through a pipe was not as it is known here: then no other step of this task tries it.
    pipe_is_unknown = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for step in cls.STEPS:
            pack(MODULE_OF[step].rpartition(".")[2])

    def step(
        self,
        step: str,
        request: Mapping[str, Any],
        variables: dict[str, Any],
        secrets: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One round trip: the host's answer to one step of docs/host-protocol.md.

        :param secrets: certificate name → private key PEM; they travel on Python's input, or as a no_log argument.
        :raises HostError: the step as a whole failed. Unreachable hosts raise Ansible's own error.
        """
        limit = seconds_for(step, request)
        try:
            with waiting_at_most(limit + MARGIN):
                result = self.result_of(step, request, variables, secrets or {}, limit)
        except StepTooSlow as error:
            raise HostError(
                f"step '{step}': {error}",
                code=TOO_SLOW,
                remedy="see what keeps the host; the next run puts right what is unfinished there",
            ) from None
        answer = result.get("answer")
        if result.get("failed") or not isinstance(answer, Mapping):
            unsaid = "it ended with an error" if result.get("exception") else "the host gave no answer"
            text = shortened(result.get("msg") or unsaid).strip()
            # A crash is told in one or the other, depending on the release of ansible-core.
            said = str(result.get("module_stderr") or result.get("exception") or "").strip()
            detail = printable(said[-MOST_SAID:]).strip()
            raise HostError(
                f"step '{step}' failed: {text}" + (f" ({detail})" if detail else ""),
                remedy="run with -vvv to see what Python on the host says",
            )
        if answer.get("error"):
            raise host_error(answer["error"])
        return {**answer, "changed": bool(result.get("changed"))}

    def result_of(
        self,
        step: str,
        request: Mapping[str, Any],
        variables: dict[str, Any],
        secrets: Mapping[str, str],
        limit: float,
    ) -> Mapping[str, Any]:
        """What Python on the host came to, in the form of a module's result; ``limit``: seconds that it may take."""
        result = None if self.pipe_is_unknown else self.piped(step, request, variables, secrets, limit)
        if result is not None:
            return result
        arguments: dict[str, Any] = {"step": step, "request": dict(request), "seconds": limit}
        if secrets:
            arguments["secrets"] = dict(secrets)
        known = {**variables, **OWN_PROCESS} if is_mitogen(self._connection) else variables
        return self._execute_module(module_name=MODULE_OF[step], module_args=arguments, task_vars=known)  # type: ignore[no-any-return]

    def piped(
        self,
        step: str,
        request: Mapping[str, Any],
        variables: dict[str, Any],
        secrets: Mapping[str, str],
        limit: float,
    ) -> Mapping[str, Any] | None:
        """As :meth:`result_of`, through a pipe; None: the step has to go as a module.

        How Ansible leads a pipe to a host is its own affair, which may be another one with its next release or a plugin that changes it.
        Modules it promises. So whatever is not as expected sends the step as a module, even if the host may have done it by then:
        a step that was done is found done. What changes a certificate comes after a look, which has met the surprise before.
        """
        try:
            interpreter = self.known_interpreter(variables, secret=holds_secrets(step, request, secrets))
            if not interpreter:
                return None
            module = MODULE_OF[step].rpartition(".")[2]
            result = self.through_pipe(interpreter, parcel(module, step, request, secrets, seconds=limit))
            return None if wants_terminal(result) and not self.takes_input() else result
        except Exception as error:  # pylint: disable=broad-exception-caught
            if not is_surprise(error):
                raise
            self.pipe_is_unknown = True
            # Not its own words: they might be about what was sent.
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.show(f"step '{step}' goes as a module: {type(error).__name__} in {place.filename}:{place.lineno}")
            return None

    def known_interpreter(self, variables: dict[str, Any], *, secret: bool) -> str | None:
        """The host's Python, where a step can go straight into its input; None: it has to go as a module, packed by Ansible.

        That is so where pipelining is off or impossible, and where the connection has an interpreter of its own.

        :param secret: whether it must not be written to the host's disk: then it is enough that pipelining would be possible.
        """
        if getattr(self._connection, "_remote_is_local", False):
            return None
        if not self.takes_input() and not (secret and self.could_pipe()):
            return None
        delegate = self._task.delegate_to
        known = variables["ansible_delegated_vars"][delegate] if delegate else variables
        interpreter = self.wanted_interpreter(known)
        if interpreter.startswith("auto"):
            facts = known.setdefault("ansible_facts", {})
            if DISCOVERED not in facts:
                if delegate:
                    return None
                facts[DISCOVERED] = self.discovered(interpreter, known)
            interpreter = str(facts[DISCOVERED])
        return interpreter

    def discovered(self, mode: str, variables: dict[str, Any]) -> str:
        """The interpreter that Ansible finds.

        :param mode: how it is to look: "auto" and the like.
        """
        # Here, because it is not for plugins: if it is gone, the step goes as a module.
        from ansible.executor.interpreter_discovery import discover_interpreter

        found = as_known(str, discover_interpreter(self, "python", mode, variables))
        self._discovered_interpreter_key = DISCOVERED
        self._discovered_interpreter = found  # type: ignore[assignment]
        return found

    def takes_input(self) -> bool:
        """Whether the connection gives a command its input: pipelining is on, or Mitogen is the connection."""
        return is_mitogen(self._connection) or bool(self._connection.is_pipelining_enabled())

    def could_pipe(self) -> bool:
        """Whether the connection takes an input, though pipelining is off: it is by default, for hosts whose sudo wants a terminal."""
        become = self._connection.become
        return bool(self._connection.has_pipelining and (become is None or become.pipelining))

    def wanted_interpreter(self, variables: Mapping[str, Any]) -> str:
        """What variables or the configuration say: a path, or "auto" and the like."""
        wanted = C.config.get_config_value("INTERPRETER_PYTHON", variables=variables)
        try:
            return str(self._templar.template(wanted) or "").strip() or AUTO
        except AnsibleValueOmittedError:
            return AUTO

    def through_pipe(self, interpreter: str, sent: Parcel) -> Mapping[str, Any]:
        """Start Python on the host with a step on its input; the result has the form of a module's.

        :raises TypeError: what Ansible says of it has not the form that is known here; and whatever else a change of it may lead to.
        """
        # Quoted as a whole, as Ansible has it with modules: what was discovered is a host's own word.
        command = as_known(str, self._connection._shell.join([interpreter, "-c", sent.program]))
        environment = as_known(str, self._compute_environment_string())
        data = unlogged(sent.input) if is_mitogen(self._connection) else sent.input
        done = self._low_level_execute_command(f"{environment} {command}".strip(), in_data=data)
        status, output, errors = as_known(int, done["rc"]), as_known(str, done["stdout"]), as_known(str, done["stderr"])
        result = parse_answer(output)
        if result and result.get("failed"):
            self.show(str(result.get("exception")))
            return result
        if result and status == 0:
            return result
        self.show(output)
        self.show(errors)
        if status == 0:
            # A Python that was given the step answers, or fails.
            raise TypeError("the step did not reach the host's Python")
        return {"failed": True, "module_stderr": errors or output}

    def show(self, text: str) -> None:
        """What a host said, for those who asked for it with -vvv."""
        if not self._task.no_log and self._display.verbosity >= 3:
            for line in text[-MOST_SHOWN:].splitlines():
                self._display.vvv(printable(line), host=self._play_context.remote_addr)

    def with_interpreter(self, result: dict[str, Any]) -> dict[str, Any]:
        """The task's result, with the interpreter as a fact where this task discovered it: later tasks need not.

        Not where one host's facts become those of all.
        """
        key = getattr(self, "_discovered_interpreter_key", None)
        if not key or self._task.run_once:
            return result
        facts = {key: self._discovered_interpreter}
        return {**result, "ansible_facts": {**result.get("ansible_facts", {}), **facts}}


def as_known(kind: type[T], value: Any) -> T:
    """What Ansible gave, if it is of the kind that it was when this was written.

    :raises TypeError: it is not.
    """
    if not isinstance(value, kind):
        raise TypeError(f"Ansible gave {type(value).__name__} in place of {kind.__name__}")
    return value


def is_surprise(error: Exception) -> bool:
    """Whether an error says that Ansible is not as it is known here. Its own errors are about hosts and settings, but for its assertions."""
    return isinstance(error, AssertionError) or not isinstance(error, (AnsibleError, TlsError))


def holds_secrets(step: str, request: Any, secrets: Mapping[str, str]) -> bool:
    """Whether a step tells its host something that a module, which is a file as long as it runs, should not."""
    parts = request.get("requests") or () if step in OF_SEVERAL else ()
    return (
        bool(secrets)
        or step == "configure"
        or any(holds_secrets(each["step"], each["request"], {}) for each in parts)
        or names_passphrase(request)
    )


def names_passphrase(value: Any) -> bool:
    """Whether there is a passphrase anywhere in a request."""
    if isinstance(value, Mapping):
        return bool(value.get("passphrase")) or any(names_passphrase(each) for each in value.values())
    return isinstance(value, (list, tuple)) and any(names_passphrase(each) for each in value)


def wants_terminal(result: Mapping[str, Any]) -> bool:
    """Whether sudo refused to run anything at all (``requiretty``), so that the step has to go as a module."""
    return bool(result.get("failed")) and "must have a tty" in str(result.get("module_stderr"))
