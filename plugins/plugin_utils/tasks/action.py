# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions of this collection have in common: options, and errors in people's words.

Nothing here prints; a worker process must not write to the terminal.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.loader import filter_loader

from ansible_collections.fleet.tls.plugins.plugin_utils.base.clocks import opinion_of, skew_between
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.whoami import present
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import parse_clock
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.steps import HostSteps
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import require_cryptography
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.run_notes import note_clock, noted_clocks
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.user_variables import warn_of_unread

STORE_OPTIONS: dict[str, Any] = {
    # Raw mappings: the providers check their own options, and name the one that is wrong.
    "store": {"type": "dict", "required": True},
    "issuers": {"type": "dict", "required": True},
}
# No "path": that type would expand ~ and variables here, and this path is the host's.
# A user's own presets, wherever a service can be named.
PRESETS_OPTION: dict[str, Any] = {"service_presets": {"type": "dict", "default": {}}}
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
CLOCKS_OPTION: dict[str, Any] = {"ignore_clocks": {"type": "bool", "default": False}}
AWAIT_CLOCKS_OPTION: dict[str, Any] = {**CLOCKS_OPTION, "await_clocks": {"type": "bool", "default": False}}
# Raw: parse_maintenance() says what is wrong with them.
MAINTENANCE_OPTIONS: dict[str, Any] = {
    "windows": {"type": "raw", "default": []},
    "freeze": {"type": "raw", "default": False},
}
PROVE_TIMEOUT_OPTION: dict[str, Any] = {"prove_timeout": {"type": "str", "default": "15s"}}

# Who needs one filter of a collection loads all of them. This file is read in the process that forks the workers, so none of them has to; in
# tests without Ansible's own import machinery there are none.
with contextlib.suppress(AnsibleError, KeyError):
    filter_loader.get("fleet.tls.names_list")


class TlsAction(HostSteps):
    """An action of this collection: ``ARGUMENTS`` and :meth:`act` are all it has to bring."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {}
    # Of a task that fleet.tls.due_parts asks what it would do: whether the run is in check mode. None: this is the task itself.
    asked_in_check_mode: bool | None = None
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Validate, act, and turn our errors into Ansible's; unreachable hosts pass through as such."""
        super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(argument_spec=self.ARGUMENTS)
        variables = task_vars or {}
        present.works_for(variables)
        warn_of_unread(variables, self.host(variables))
        try:
            require_cryptography()
            return self.with_interpreter(self.act(options, variables))
        except TlsError as error:
            # "from None": the traceback of an inner error could carry what it was working on.
            raise AnsibleActionFail(
                f"{self.host(variables)}: {error}", result={"error": error.as_dict(), **getattr(error, "result", {})}
            ) from None

    def foreseen(self, variables: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
        """What the task would come to. It is in check mode by itself; what it has seen it may note, unless all of the run is in check mode.

        :param check_mode: whether it is.
        :raises AnsibleError: as :meth:`run`, and TlsError.
        """
        self.asked_in_check_mode = check_mode
        _result, options = self.validate_argument_spec(argument_spec=self.ARGUMENTS)
        return self.act(options, variables)

    @property
    def is_asked(self) -> bool:
        """Whether it is only asked what it would do: then it leaves out nothing of which a run would say something."""
        return self.asked_in_check_mode is not None

    @property
    def may_note(self) -> bool:
        """Whether what was seen may be noted in the store."""
        return not (self._task.check_mode if self.asked_in_check_mode is None else self.asked_in_check_mode)

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """The task itself.

        :raises TlsError: it cannot be done.
        """
        raise TypeError(f"{type(self).__name__} does not say what it does")

    def step(
        self,
        step: str,
        request: Mapping[str, Any],
        variables: dict[str, Any],
        secrets: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """As :meth:`HostSteps.step`; a clock that comes with the answer is noted for the other hosts' tasks."""
        asked = self.now().timestamp()
        answer = super().step(step, request, variables, secrets)
        clock = parse_clock(answer)
        if clock is not None:
            note_clock(self.host(variables), skew_between(asked, clock, self.now().timestamp()))
        return answer

    @staticmethod
    def refuse_wrong_clock(*, ignore: bool) -> list[str]:
        """To be called before anything with a date is made or handed out; what deserves a look, in words.

        :raises ControllerClockError: most hosts that this run has heard say that the controller's clock is wrong.
        """
        if ignore:
            return []
        opinion = opinion_of(noted_clocks())
        opinion.refuse()
        return opinion.warnings

    @staticmethod
    def host(variables: Mapping[str, Any]) -> str:
        """The inventory's name of the host."""
        return str(variables.get("inventory_hostname", "localhost"))

    @staticmethod
    def now() -> dt.datetime:
        """The controller's clock."""
        return dt.datetime.now(dt.timezone.utc)
