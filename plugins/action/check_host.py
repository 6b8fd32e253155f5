# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.check_host``: everything that ``fleet.tls.check`` looks at on a host, in one visit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleValueOmittedError

from ansible_collections.fleet.tls.plugins.action import (
    certificate_files_info,
    certificates,
    endpoint_info,
    left_over_info,
    service_config,
    store_info,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.health.looks import (
    CERTIFICATES,
    ENDPOINTS,
    FILES,
    LEFT_OVER,
    LOOKS,
    SITE_CLASHES,
    SITE_LIST,
    SITES,
    STORE,
    Wish,
    asks_host,
    changed_wishes,
    is_away,
    one_result,
    speaks_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.limits import TOO_SLOW
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.shared_visit import SecondQuestion, SharedTask
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.permit import permitted
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.values import Values
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.visiting import VisitingAction, failed_result

# Look → who takes it, and its name. Where the sites are is known without a task.
ACTIONS: dict[str, tuple[type[TlsAction], str]] = {
    CERTIFICATES: (certificates.ActionModule, "fleet.tls.certificates"),
    FILES: (certificate_files_info.ActionModule, "fleet.tls.certificate_files_info"),
    SITE_CLASHES: (service_config.ActionModule, "fleet.tls.service_config"),
    LEFT_OVER: (left_over_info.ActionModule, "fleet.tls.left_over_info"),
    SITES: (endpoint_info.ActionModule, "fleet.tls.endpoint_info"),
    ENDPOINTS: (endpoint_info.ActionModule, "fleet.tls.endpoint_info"),
    STORE: (store_info.ActionModule, "fleet.tls.store_info"),
}
# What the host could get; that is known without a task, too.
PERMITS = "permits"
# The playbook's variable: look → when it is taken, and with which options. What later ones have of the look at the sites.
WISHES, WHERE_SITES_ARE = "fleet_tls_check_looks", "fleet_tls_check_sites"
HOST_FACTS = "fleet_tls_host"


class ActionModule(VisitingAction):
    """Each look is a task in check mode, and all of them share one visit. None fails the host: the health document has what failed."""

    STEPS = ("inspect",)
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "keeper": {"type": "str", "default": ""},
        # Judged with the document, so that a wrong word costs the host its exit status only.
        "fail_on": {"type": "str", "default": "warning"},
        "reports": {"type": "bool", "default": False},
    }

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(variables.get(WISHES), Mapping):
            raise SpecError(f"there is no {WISHES}", remedy="this task is for fleet.tls.check, which has it")
        wishes, sites = self.wishes(variables)
        results = self.together(wishes, variables)
        if CERTIFICATES not in results:
            results[CERTIFICATES] = self.alone(CERTIFICATES, wishes[CERTIFICATES], variables)
        known, told = variables.get("ansible_facts", {}), results[CERTIFICATES].get("ansible_facts", {})
        if told and told.get(HOST_FACTS) != known.get(HOST_FACTS) and speaks_of(HOST_FACTS, variables):
            # Nobody knew before what the host is.
            variables = {**variables, "ansible_facts": {**known, **told}}
            before, (wishes, sites) = wishes, self.wishes(variables)
            for name in changed_wishes(before, wishes):
                results.pop(name, None)
        for name in LOOKS:
            waits = asks_host(name, wishes[name]) and hangs(results[CERTIFICATES])
            if name not in results and not is_away(results) and not waits:
                results[name] = self.alone(name, wishes[name], variables)
        result = {**one_result(results, sites), "permits": self.permits(variables)}
        if options["keeper"] == self.host(variables):
            wish = wish_of(STORE, variables[WISHES].get(STORE, {}), self.values(variables))
            result["store"] = self.alone(STORE, wish, variables)
        return {**result, "fail_on": options["fail_on"], "reports": options["reports"]}

    def permits(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """What the rules of its issuers let the host have; one without issuers, or whose issuers cannot be told, has none here."""
        look = wish_of(PERMITS, variables[WISHES].get(PERMITS, {}), self.values(variables))
        return permitted((look.options or {}).get("issuers"), variables.get("group_names") or ())

    def values(self, variables: Mapping[str, Any]) -> Values:
        """Of templates that see these variables."""
        seen = dict(variables)
        return Values(self._templar.copy_with_new_env(available_variables=seen), seen)

    def wishes(self, variables: Mapping[str, Any]) -> tuple[dict[str, Wish], Any]:
        """Each look as the host's variables want it; the endpoints of ``tls_sites``."""
        values = self.values({**variables, WHERE_SITES_ARE: []})
        wishes = {
            name: wish_of(name, variables[WISHES].get(name, {}), values) for name in (CERTIFICATES, FILES, LEFT_OVER)
        }
        sites = wish_of(SITE_LIST, variables[WISHES].get(SITE_LIST, {}), values)
        values.variables[WHERE_SITES_ARE] = (sites.options or {}).get(WHERE_SITES_ARE, [])
        wishes[SITE_LIST] = Wish(refused=sites.refused)
        for name in (SITE_CLASHES, SITES, ENDPOINTS):
            wishes[name] = wish_of(name, variables[WISHES].get(name, {}), values)
        return wishes, values.variables[WHERE_SITES_ARE]

    def together(self, wishes: Mapping[str, Wish], variables: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The results of the looks that share a visit. Those that need one of their own are not there."""
        tasks = {
            name: SharedTask(partial(self.result_of_look, name, wish.options, variables))
            for name, wish in wishes.items()
            if wish.options is not None and asks_host(name, wish)
        }
        asked = [each for each in tasks.values() if each.question]
        whole = True
        if asked:
            outcomes: list[Any]
            try:
                outcomes = self.answers("inspect", asked, variables)
            except AnsibleConnectionFailure as error:
                outcomes = [error] * len(asked)
            except (AnsibleError, TlsError) as error:
                # One look that crashes or hangs ends all of them. By itself it ends only itself.
                outcomes, whole = [error] * len(asked), False
            for each, outcome in zip(asked, outcomes):
                each.answer(outcome)
        return {
            name: result_of_task(task)
            for name, task in tasks.items()
            if not isinstance(task.error, SecondQuestion) and (whole or task not in asked)
        }

    def alone(self, name: str, wish: Wish, variables: dict[str, Any]) -> dict[str, Any]:
        """The result of a look that shares no visit, or is not taken."""
        if wish.options is None:
            return dict(wish.untaken)
        try:
            return self.result_of_look(name, wish.options, variables)
        except Exception as error:  # pylint: disable=broad-exception-caught
            return failed_result(error)

    def result_of_look(
        self, name: str, options: Mapping[str, Any], variables: dict[str, Any], ask: Any = None
    ) -> dict[str, Any]:
        """What a look's own task would return.

        :param ask: asks the host; None: the look does that by itself.
        :raises AnsibleError: what that task would fail with.
        """
        task = self._task.copy()
        task.args = dict(options)
        task.check_mode, task.diff = True, False
        return self.other(ACTIONS[name][0], task, self._templar, ask).run(task_vars=variables)


def wish_of(name: str, look: Mapping[str, Any], values: Values) -> Wish:
    """One look, as the playbook has it in templates."""
    try:
        if not is_wanted(values.of(look.get("when", False))):
            return Wish()
        return Wish(options_of(look["options"], values))
    except AnsibleError as error:
        if name in ACTIONS:
            # As Ansible says it of a task.
            error = caused(f"Finalization of task args for {ACTIONS[name][1]!r} failed.", error)
        return Wish(refused=failed_result(error))


def is_wanted(when: Any) -> bool:
    """Whether there is anything to look at.

    :param when: a truth value, or a list.
    :raises AnsibleError: neither.
    """
    if isinstance(when, bool):
        return when
    try:
        return len(when) > 0
    except TypeError as error:
        raise AnsibleError(str(error)) from error


def options_of(templates: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """A task's options; those that are to be left out are.

    :raises AnsibleError: one cannot be told; it says which.
    """
    options = {}
    for name, template in templates.items():
        try:
            options[name] = values.of(template)
        except AnsibleValueOmittedError:
            continue
        except AnsibleError as error:
            raise caused(f"Error while resolving value for {name!r}.", error) from error
    return options


def caused(message: str, cause: Exception) -> AnsibleError:
    """An error with what led to it, whose words Ansible puts behind its own."""
    error = AnsibleError(message)
    error.__cause__ = cause
    return error


def result_of_task(task: SharedTask) -> dict[str, Any]:
    """Its result, now that it has ended."""
    return dict(task.result) if task.error is None else failed_result(task.error)


def hangs(look: Mapping[str, Any]) -> bool:
    """Whether the host took all the time that a look has, so that it is asked nothing more: each other one would wait as long again.

    :param look: the result of that at the certificates.
    """
    error = look.get("error")
    return isinstance(error, Mapping) and error.get("code") == TOO_SLOW
