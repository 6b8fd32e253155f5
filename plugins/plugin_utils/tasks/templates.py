# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates rendered on the controller, as ``ansible.builtin.template`` renders them, without a task for each."""

from __future__ import annotations

import contextlib
import os.path
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar, trust_as_template

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError

# Like ansible.builtin.template, and unlike Jinja: a line that holds a block tag alone leaves no empty line behind.
OVERRIDES = {"trim_blocks": True, "lstrip_blocks": False}
# Jinja makes its lexer at the first template with such options, and Ansible loads its filters and tests at the first that has any. This file is
# read in the process that forks the workers, so none of them has to.
with contextlib.suppress(AnsibleError):
    Templar(DataLoader()).template(trust_as_template("{{ [1] | select('defined') | length }}"), overrides=OVERRIDES)


def render_template(action: ActionBase, name: str, variables: Mapping[str, Any], extra: Mapping[str, Any]) -> str:
    """The text of the template ``name``, looked up in the role's, play's or playbook's ``templates``.

    :param variables: the task's.
    :param extra: more variables, for this template alone; they win.
    :raises SpecError: there is no such template. What Jinja finds wrong is Ansible's own error, with file and line.
    """
    try:
        path = action._find_needle("templates", name)
    except AnsibleError as error:
        raise SpecError(
            f"there is no template '{name}'", remedy="put it into the role's templates directory"
        ) from error
    text = trust_as_template(action._loader.get_text_file_contents(path))
    roots = [*variables.get("ansible_search_path", []), action._loader.get_basedir(), os.path.dirname(path)]
    templar = templar_for(action, tuple(folder for root in roots for folder in (os.path.join(root, "templates"), root)))
    templar.available_variables = {"ansible_managed": "Ansible managed", **variables, **extra}
    return str(templar.template(text, escape_backslashes=False, overrides=OVERRIDES) or "")


def templar_for(action: ActionBase, folders: tuple[str, ...]) -> Any:
    """A templar that includes and imports templates from there. All of an action's share one: what they import is compiled once."""
    known = action.__dict__.setdefault("_fleet_tls_templars", {})
    if folders not in known:
        known[folders] = action._templar.copy_with_new_env(searchpath=list(folders))
    return known[folders]
