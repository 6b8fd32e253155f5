# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions run as a worker of ansible-playbook runs them, their options read from YAML and templated as a task's are."""

from __future__ import annotations

import textwrap
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret, VaultSecretsContext
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader
from ansible.template import Templar, trust_as_template

VAULT_SECRETS = [("default", VaultSecret(b"the vault's own password"))]


def run_action(
    action: type[ActionBase],
    options: str,
    variables: dict[str, Any] | None = None,
    *,
    check_mode: bool = False,
    diff: bool = False,
    task_uuid: str | None = None,
) -> dict[str, Any]:
    """The result of an action.

    :param options: YAML, with templates over ``variables``.
    :param task_uuid: of a task that several hosts run.
    :raises AnsibleActionFail: it failed.
    """
    loader = DataLoader()
    if VaultSecretsContext.current(optional=True) is None:
        VaultSecretsContext.initialize(VaultSecretsContext(secrets=VAULT_SECRETS))
    known = {"inventory_hostname": "web1", **(variables or {})}
    templar = Templar(loader, variables=known)
    task = Task()
    task.action = "fleet.tls.test"
    task.args = templar.template(loader.load(trust_as_template(textwrap.dedent(options))))
    task.check_mode, task.diff, task.async_val = check_mode, diff, 0
    task._uuid = task_uuid or task._uuid
    context = PlayContext()
    connection = connection_loader.get("ansible.builtin.local", context)
    made = action(
        task=task,
        connection=connection,
        play_context=context,
        loader=loader,
        templar=templar,
        shared_loader_obj=None,
    )
    return made.run(task_vars=known)


def vaulted(text: str) -> str:
    """A text as ``ansible-vault encrypt_string`` writes it into YAML, from the second line on indented."""
    return "!vault |\n" + textwrap.indent(VaultLib(VAULT_SECRETS).encrypt(text).decode(), " " * 20)
