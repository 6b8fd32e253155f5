# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the internal modules have in common: a step's name and its request in, its answer out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error

# (request, secrets) → whether anything was changed, and the answer.
Step = Callable[[dict[str, Any], dict[str, str]], tuple[bool, dict[str, Any]]]


def run_module(steps: Mapping[str, Step]) -> None:
    """Run the step that the arguments name; requests and answers are those of docs/host-protocol.md."""
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
    step = module.params["step"]
    try:
        changed, answer = steps[step](module.params["request"], dict(module.params["secrets"]))
    except StepError as error:
        changed, answer = False, {"error": error.as_answer()}
    except OSError as error:
        changed, answer = False, {"error": from_os_error(error, "step {0}".format(step)).as_answer()}
    # Without this the whole request would travel back.
    module.exit_json(changed=changed, answer=answer, invocation={})
