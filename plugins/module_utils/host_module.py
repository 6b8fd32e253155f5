# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the internal modules have in common: a step's name and its request in, its answer out."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.system.time_limit import STANDARD_OUTPUT, TimeIsUp, time_limit

# (request, secrets) → whether anything was changed, and the answer.
Step = Callable[[dict[str, Any], dict[str, str]], tuple[bool, dict[str, Any]]]
# What stands in a text for bytes that are not UTF-8 (PEP 383). No text with one of these can be sent or printed.
SURROGATE = re.compile("[\ud800-\udfff]")


def answer_of(
    steps: Mapping[str, Step],
    step: str,
    request: dict[str, Any],
    secrets: dict[str, str],
    seconds: float | None = None,
) -> dict[str, Any]:
    """Run a step: ``{"changed": bool, "answer": {...}}``; requests and answers are those of docs/host-protocol.md.

    :param seconds: that it may take; None: as long as it takes.
    """
    try:
        with time_limit(seconds, lambda why: last_words(step, why)):
            return outcome_of(steps, step, request, secrets)
    except TimeIsUp as end:
        return {"changed": False, "answer": {"error": too_slow(step, str(end)).as_answer()}}


def outcome_of(
    steps: Mapping[str, Step], step: str, request: dict[str, Any], secrets: dict[str, str]
) -> dict[str, Any]:
    """As :func:`answer_of`, in the time that somebody else counts."""
    try:
        changed, answer = steps[step](request, secrets)
    except StepError as error:
        changed, answer = False, {"error": error.as_answer()}
    except OSError as error:
        changed, answer = False, {"error": from_os_error(error, f"step {step}").as_answer()}
    return {"changed": changed, "answer": sendable(answer)}


def several_steps(steps: Mapping[str, Step], request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The step ``several``: steps without secrets, one after the other; the error of one is its own answer. See docs/host-protocol.md."""
    outcomes = [outcome_of(steps, each["step"], each["request"], {}) for each in request["requests"]]
    return any(each["changed"] for each in outcomes), {"outcomes": outcomes}


def sendable(value: Any) -> Any:
    r"""An answer whose texts are all UTF-8: each byte of a file's name that is not becomes an escape, such as ``\xe4``.

    One such name would cost the host its whole answer: Ansible refuses it.
    """
    if isinstance(value, str):
        return SURROGATE.sub(lambda found: f"\\x{ord(found.group()) & 0xFF:02x}", value)
    if isinstance(value, dict):
        return {sendable(key): sendable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [sendable(each) for each in value]
    return value


def too_slow(step: str, why: str) -> StepError:
    """The error of a step whose time was over."""
    return StepError(
        "too_slow",
        f"step '{step}' was ended: {why}",
        "see what it waits for on the host; the next run puts right what is unfinished",
    )


def last_words(step: str, why: str) -> None:
    """The answer of a step that does not even end when it is told to."""
    answer = {"changed": False, "answer": {"error": too_slow(step, why).as_answer()}}
    with contextlib.suppress(OSError):
        os.write(STANDARD_OUTPUT, json.dumps(answer).encode() + b"\n")


def run_module(steps: Mapping[str, Step]) -> None:
    """Be an Ansible module: run the step that the arguments name."""
    # Here, because a step that comes through a pipe (host_boot.py) does without it.
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.fleet.tls.plugins.module_utils.leftovers import remove_leftovers

    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "required": True, "choices": list(steps)},
            "request": {"type": "dict", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "seconds": {"type": "float"},
        },
        supports_check_mode=True,
        # Keeps requests, which may hold whole configuration files, out of the host's system log.
        no_log=True,
    )
    remove_leftovers(module.tmpdir, time.time())
    given = module.params
    result = answer_of(steps, given["step"], given["request"], dict(given["secrets"]), given["seconds"])
    # Without this the whole request would travel back.
    module.exit_json(**result, invocation={})
