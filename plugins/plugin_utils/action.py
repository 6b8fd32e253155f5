# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions of this collection have in common: options, the way to a host, errors in people's words.

Nothing here prints; a worker process must not write to the terminal.
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.executor.interpreter_discovery import discover_interpreter
from ansible.plugins.action import ActionBase

from ansible_collections.fleet.tls.plugins.plugin_utils.crypto import require_cryptography
from ansible_collections.fleet.tls.plugins.plugin_utils.errors import HostError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.found import host_error
from ansible_collections.fleet.tls.plugins.plugin_utils.parcel import Parcel, parcel, parse_answer

# Which internal module has a step. A module is sent to the host whole, with all that it imports, so those steps are together that are used
# together: most runs look, and do nothing else.
MODULES = {
    "fleet.tls.host_look": ("look", "facts"),
    "fleet.tls.host_apply": ("apply", "challenge"),
    "fleet.tls.host_configure": ("trust", "configure", "tickets", "client"),
    "fleet.tls.host_prove": ("handshake", "trace", "prove"),
    "fleet.tls.host_files": ("files",),
}
# The fact in which Ansible keeps the interpreter that it found.
DISCOVERED = "discovered_interpreter_python"
MODULE_OF = {step: module for module, steps in MODULES.items() for step in steps}
STORE_OPTIONS: dict[str, Any] = {
    # Raw mappings: the providers check their own options, and name the one that is wrong.
    "store": {"type": "dict", "required": True},
    "issuers": {"type": "dict", "required": True},
}
# No "path": that type would expand ~ and variables here, and this path is the host's.
DIRECTORY_OPTION: dict[str, Any] = {"directory": {"type": "str", "default": "/etc/fleet-tls"}}
# Servers that verify their clients, besides those of the certificates' services.
ENDPOINTS_OPTION: dict[str, Any] = {
    "endpoints": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "host": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "required": True},
            "server_name": {"type": "str"},
            # As tls_sites have it; which one is served is seen.
            "certificate": {"type": "str"},
        },
    }
}
PROVE_TIMEOUT_OPTION: dict[str, Any] = {"prove_timeout": {"type": "float", "default": 15.0}}


class TlsAction(ActionBase):
    """An action of this collection: ``ARGUMENTS`` and :meth:`act` are all it has to bring."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {}
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Validate, act, and turn our errors into Ansible's; unreachable hosts pass through as such."""
        super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(argument_spec=self.ARGUMENTS)
        variables = task_vars or {}
        try:
            require_cryptography()
            return self.with_interpreter(self.act(options, variables))
        except TlsError as error:
            # "from None": the traceback of an inner error could carry what it was working on.
            raise AnsibleActionFail(
                f"{self.host(variables)}: {error}", result={"error": error.as_dict(), **getattr(error, "result", {})}
            ) from None

    def with_interpreter(self, result: dict[str, Any]) -> dict[str, Any]:
        """The task's result, with the interpreter as a fact where this task discovered it: later tasks need not."""
        if not self._discovered_interpreter_key:
            return result
        facts = {self._discovered_interpreter_key: self._discovered_interpreter}
        return {**result, "ansible_facts": {**result.get("ansible_facts", {}), **facts}}

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """The task itself.

        :raises TlsError: it cannot be done.
        """
        raise TypeError(f"{type(self).__name__} does not say what it does")

    @staticmethod
    def host(variables: Mapping[str, Any]) -> str:
        """The inventory's name of the host."""
        return str(variables.get("inventory_hostname", "localhost"))

    @staticmethod
    def now() -> dt.datetime:
        """The controller's clock."""
        return dt.datetime.now(dt.timezone.utc)

    def step(
        self,
        step: str,
        request: Mapping[str, Any],
        variables: dict[str, Any],
        secrets: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One round trip: the host's answer to one step of docs/host-protocol.md.

        :param secrets: certificate name → private key PEM; they travel as a no_log argument, or on an input.
        :raises HostError: the step as a whole failed. Unreachable hosts raise Ansible's own error.
        """
        module = MODULE_OF[step]
        interpreter = self.known_interpreter(variables)
        if interpreter:
            result = self.through_pipe(interpreter, parcel(module.rpartition(".")[2], step, request, secrets or {}))
        else:
            arguments: dict[str, Any] = {"step": step, "request": dict(request)}
            if secrets:
                arguments["secrets"] = dict(secrets)
            result = self._execute_module(module_name=module, module_args=arguments, task_vars=variables)
        answer = result.get("answer")
        if result.get("failed") or not isinstance(answer, Mapping):
            text = str(result.get("msg") or "the host gave no answer").strip()
            # A crash is told in one or the other, depending on the release of ansible-core.
            detail = str(result.get("module_stderr") or result.get("exception") or "").strip()
            raise HostError(
                f"step '{step}' failed: {text}" + (f" ({detail[-500:]})" if detail else ""),
                remedy="run with -vvv to see what Python on the host says",
            )
        if answer.get("error"):
            raise host_error(answer["error"])
        return {**answer, "changed": bool(result.get("changed"))}

    def known_interpreter(self, variables: dict[str, Any]) -> str | None:
        """The host's Python, where a step can go straight into its input; None: it has to go as a module, packed by Ansible.

        That is so where pipelining is off or impossible, and where the connection has an interpreter of its own.
        """
        if getattr(self._connection, "_remote_is_local", False) or not self._is_pipelining_enabled("new"):
            return None
        delegate = self._task.delegate_to
        known = variables["ansible_delegated_vars"][delegate] if delegate else variables
        wanted = C.config.get_config_value("INTERPRETER_PYTHON", variables=known)
        interpreter = self._templar.template(wanted)
        if not isinstance(interpreter, str) or not interpreter.strip() or interpreter.startswith("auto"):
            facts = known.setdefault("ansible_facts", {})
            if DISCOVERED not in facts:
                if delegate:
                    return None
                self._discovered_interpreter_key = DISCOVERED
                self._discovered_interpreter = facts[DISCOVERED] = discover_interpreter(
                    self, "python", str(interpreter or "auto"), known
                )
            interpreter = facts[DISCOVERED]
        return str(interpreter).strip()

    def through_pipe(self, interpreter: str, sent: Parcel) -> Mapping[str, Any]:
        """Start Python on the host with a step on its input; the result has the form of a module's.

        Become, ``environment`` and whatever else a connection brings is done by Ansible, as for any module.
        """
        command = f"{self._compute_environment_string()} {interpreter} -c {shlex.quote(sent.program)}".strip()
        done = self._low_level_execute_command(command, in_data=sent.input)
        result = parse_answer(done["stdout"])
        if done["rc"] == 0 and result:
            return result
        return {"failed": True, "module_stderr": done["stderr"] or done["stdout"]}
