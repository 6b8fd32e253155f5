# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of a role of this collection, with its options as the role would give them, for who wants to know what it would do.

The roles' own files are read, so that nothing of them stands twice. That happens once, in the process that forks the workers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleValueOmittedError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task

from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.values import Values

ROLES = Path(__file__).resolve().parents[3] / "roles"


class TaskOfRole(Task):
    """A task that was read without its play; it finds the role's templates all the same."""

    def get_search_path(self) -> list[str]:
        """The role's directory, above that of the file with the task."""
        return [str(Path(self.get_path()).parents[1])]


@dataclass(frozen=True)
class RoleTask:
    """A role's one task with an action of this collection.

    :param task: as Ansible has parsed it; its options are templates.
    :param defaults, role_vars: of the role, below and above the host's own variables.
    """

    role: str
    task: Task
    defaults: Mapping[str, Any]
    role_vars: Mapping[str, Any]

    def variables(self, host: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """What the role's templates see, but for the role's own variables.

        :param host: the host's variables.
        :param given: what the role is included with.
        """
        folder = str(ROLES / self.role)
        path = [folder, *host.get("ansible_search_path", ())]
        return {**self.defaults, **host, "role_path": folder, "ansible_search_path": path, **given}

    def options(self, values: Values) -> dict[str, Any]:
        """The task's options with values.

        :param values: of :meth:`variables`; the role's own are added.
        :raises AnsibleError: one of the templates fails.
        """
        # One after the other, as each is used by those after it: a template in a template is compiled wherever it is met.
        values.variables.update(self.role_vars)
        for name, template in self.role_vars.items():
            with contextlib.suppress(AnsibleValueOmittedError):
                values.variables[name] = values.of(template)
        return dict(values.of(self.task.args))


@cache
def role_task(role: str, action: str, file: str = "main") -> RoleTask:
    """The task with ``action`` in a file of a role's tasks.

    :param action: its full name.
    """
    loader = DataLoader()
    folder = ROLES / role
    tasks = read(loader, folder / "tasks" / f"{file}.yml")
    (found,) = (each for each in tasks if action in each)
    task = TaskOfRole()
    task.load_data(found, loader=loader)
    return RoleTask(
        role,
        task,
        read(loader, folder / "defaults" / "main.yml") or {},
        read(loader, folder / "vars" / "main.yml") or {},
    )


def read(loader: DataLoader, path: Path) -> Any:
    """A YAML file; None: there is none."""
    # "unsafe" saves a deep copy, which takes longer than the reading, of what is used once.
    return loader.load_from_file(str(path), unsafe=True, trusted_as_template=True) if path.exists() else None


@cache
def specified(role: str) -> Mapping[str, Any]:
    """What a role says of its variables, without the words for people."""
    # Without what Ansible notes of each text (its file and line): of no use here, and copied at every use.
    found = yaml_load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    return {name: without_words(spec) for name, spec in found["argument_specs"]["main"]["options"].items()}


def without_words(spec: Mapping[str, Any]) -> dict[str, Any]:
    """One option's specification, as far as it is checked."""
    kept = {name: value for name, value in spec.items() if name not in ("description", "version_added")}
    if "options" in kept:
        kept["options"] = {name: without_words(each) for name, each in kept["options"].items()}
    return kept


def wrong_variables(roles: Iterable[str], host: Container[str], values: Values) -> list[str]:
    """What the roles' specifications find wrong with variables that a host has, as in ansible.builtin.validate_argument_spec.

    A variable that is not there and has to be, or that cannot be told, is missed by the task itself.

    :param host: names of the host's own variables.
    :param values: of these and others; those that are read are noted there.
    """
    options = {name: spec for role in roles for name, spec in specified(role).items() if name in host}
    known = {}
    for name in options:
        with contextlib.suppress(AnsibleError):
            known[name] = values.named(name)
    return list(ArgumentSpecValidator(options).validate(known).error_messages)
