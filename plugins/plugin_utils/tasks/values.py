# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of templates, as Ansible has them, without compiling what needs no compiler.

To compile a template costs as much as all that a task does with its value, and each worker compiles for itself. Most options of the roles are
no more than the name of a variable.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleUndefinedVariable, AnsibleValueOmittedError

# A variable and nothing else, maybe with what stands for it where it is not there; a text with variables in it.
VARIABLE = re.compile(r"\{\{ (\w+)(?: \| default\((omit|none|false|true|\{\}|\[\])\))? \}\}")
TEXT = re.compile(r"(?:[^{}\n]|\{\{ \w+ \}\})+")
NAME = re.compile(r"\{\{ (\w+) \}\}")
INSTEAD: dict[str, Any] = {"none": None, "false": False, "true": True, "{}": {}, "[]": []}


class Values:
    """Of templates that see the same variables.

    :param templar: Ansible's, which sees them.
    :param variables: by their names, templates or values.
    """

    def __init__(self, templar: Any, variables: dict[str, Any]) -> None:
        self.templar, self.variables = templar, variables
        self.known: dict[str, Any] = {}

    def of(self, template: Any) -> Any:
        """The value of a template, or of what has templates in it.

        :raises AnsibleValueOmittedError: it is to be left out.
        :raises AnsibleError: it fails.
        """
        if isinstance(template, str):
            return self.of_text(template)
        if isinstance(template, (Mapping, list)):
            return self.of_container(template)
        return template

    def of_container(self, templates: Any) -> Any:
        """The same of a mapping or list; what is to be left out is."""
        if isinstance(templates, list):
            found = []
            for each in templates:
                with contextlib.suppress(AnsibleValueOmittedError):
                    found.append(self.of(each))
            return found
        values = {}
        for name, each in templates.items():
            with contextlib.suppress(AnsibleValueOmittedError):
                values[name] = self.of(each)
        return values

    def of_text(self, template: str) -> Any:
        """The same of a text."""
        variable = VARIABLE.fullmatch(template)
        if variable and variable[1] in self.variables:
            with contextlib.suppress(AnsibleUndefinedVariable):
                return self.named(variable[1])
        elif variable and variable[2]:
            if variable[2] == "omit":
                raise AnsibleValueOmittedError()
            return copy.copy(INSTEAD[variable[2]])
        elif "{{" in template and TEXT.fullmatch(template):
            names = dict.fromkeys(NAME.findall(template))
            if all(name in self.variables and isinstance(self.named(name), str) for name in names):
                return NAME.sub(lambda found: str(self.named(found[1])), template)
        return self.templar.template(template)

    def named(self, name: str) -> Any:
        """The value of a variable, which is noted."""
        if name not in self.known:
            self.known[name] = self.variables[name] = self.templar.template(self.variables[name])
        return self.known[name]
