# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the internal modules have in common: a step's name and its request in, its answer out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error

# (request, secrets) → whether anything was changed, and the answer.
Step = Callable[[dict[str, Any], dict[str, str]], tuple[bool, dict[str, Any]]]


def answer_of(steps: Mapping[str, Step], step: str, request: dict[str, Any], secrets: dict[str, str]) -> dict[str, Any]:
    """Run a step: ``{"changed": bool, "answer": {...}}``; requests and answers are those of docs/host-protocol.md."""
    try:
        changed, answer = steps[step](request, secrets)
    except StepError as error:
        changed, answer = False, {"error": error.as_answer()}
    except OSError as error:
        changed, answer = False, {"error": from_os_error(error, "step {0}".format(step)).as_answer()}
    return {"changed": changed, "answer": answer}


def run_module(steps: Mapping[str, Step]) -> None:
    """Be an Ansible module: run the step that the arguments name."""
    # Here, because a step that comes through a pipe (host_boot.py) does without it.
    from ansible.module_utils.basic import AnsibleModule

    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "required": True, "choices": list(steps)},
            "request": {"type": "dict", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
        # Keeps requests, which may hold whole configuration files, out of the host's system log.
        no_log=True,
    )
    result = answer_of(steps, module.params["step"], module.params["request"], dict(module.params["secrets"]))
    # Without this the whole request would travel back.
    module.exit_json(**result, invocation={})
