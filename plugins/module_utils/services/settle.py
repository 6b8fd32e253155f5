# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's services do with a change: validate, reload, prove, and the way back when one of them fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import (
    BRIEFLY,
    EndpointReport,
    ProofTarget,
    lacking,
    prove,
)
from ansible_collections.fleet.tls.plugins.module_utils.services import daemons
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service, is_running


@dataclass
class Settled:
    """What became of the services: name → ``{"state", "error"}``; ``unproven``: required targets that do not serve."""

    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    served: list[EndpointReport] = field(default_factory=list)
    unproven: list[ProofTarget] = field(default_factory=list)
    error: StepError | None = None
    rolled_back: bool = False


def settle(
    services: Sequence[Service],
    targets: Sequence[ProofTarget],
    timeout: float,
    rollback: Callable[[], Sequence[str]] | None = None,
    roll_back_unproven: bool = True,
) -> Settled:
    """Let services take what was changed: validate all, reload each once, prove every target.

    :param timeout: seconds until the targets have to serve what they are to.
    :param rollback: puts everything back as it was and returns, for people, what it could not; None: there is nothing to
        go back to, so nothing is undone.
    :param roll_back_unproven: whether a target that does not come to serve is a reason to go back. It is none where the
        old state did not work either.
    """
    result = Settled()
    running = []
    for service in services:
        if is_running(service):
            running.append(service)
        result.states[service.name] = {"state": "unchanged" if service in running else "not_running", "error": None}
    reloaded: list[Service] = []
    try:
        for service in running:
            attempt(result, service, daemons.validate)
        for service in running:
            # First, because one whose reload failed has to be reloaded on the way back as well.
            reloaded.append(service)
            attempt(result, service, daemons.reload)
            result.states[service.name]["state"] = "reloaded"
    except StepError as error:
        result.error = error
        if rollback:
            go_back(result, services=reloaded, tried=running, targets=targets, rollback=rollback, timeout=timeout)
        return result
    result.served = prove_alive(result, reloaded, targets, timeout)
    result.unproven = lacking(targets, result.served)
    if result.unproven and not result.error:
        result.error = not_served(result, targets, timeout)
        rollback = rollback if roll_back_unproven else None
    if result.error and rollback:
        go_back(result, services=reloaded, tried=running, targets=targets, rollback=rollback, timeout=timeout)
    return result


def validate_early(services: Sequence[Service]) -> None:
    """Let those services that may take a file as soon as it is changed find fault with their configuration before.

    :raises StepError: validate_failed, port_taken.
    """
    for service in services:
        if service.eager and is_running(service):
            attempt(Settled(), service, daemons.validate)


def prove_alive(
    result: Settled, services: Sequence[Service], targets: Sequence[ProofTarget], timeout: float
) -> list[EndpointReport]:
    """:func:`prove`, which stops at once, with ``result.error``, when a service has gone down with the reload."""
    begin = time.monotonic()
    served = prove(targets, min(BRIEFLY, timeout))
    waiting = lacking(targets, served)
    asked = [service for service in services if service.check]
    if asked and (waiting or not targets):
        # It may be on its way down still.
        time.sleep(max(0.0, BRIEFLY - (time.monotonic() - begin)))
    for service in asked:
        if not is_running(service):
            try:
                attempt(result, service, daemons.tell_why_down)
            except StepError as error:
                result.error = error
                return served
    if not waiting:
        return served
    left = dict(zip(waiting, prove(waiting, timeout - BRIEFLY)))
    return [left.get(target, each) for target, each in zip(targets, served)]


def attempt(result: Settled, service: Service, work: Callable[[Service], None]) -> None:
    """Let a service do something; a failure becomes its state, and is told of it."""
    try:
        work(service)
    except StepError as error:
        result.states[service.name] = {"state": "failed", "error": error.as_answer()}
        error.message = "service '{0}': {1}".format(service.name, error.message)
        raise


def not_served(result: Settled, targets: Sequence[ProofTarget], timeout: float) -> StepError:
    """The error for targets that do not serve what they are to."""
    said = []
    for target, served in zip(targets, result.served):
        if target in result.unproven:
            seen = served.error or "it serves another certificate ({0})".format((served.fingerprint or "")[:16])
            said.append("{0} (SNI {1}): {2}".format(target.address, target.server_name or "none", seen))
    stopped = [name for name, state in result.states.items() if state["state"] == "not_running"]
    also = "; not running: {0}".format(", ".join(stopped)) if stopped else ""
    return StepError(
        "not_served",
        "not served after {0:g} s at {1}{2}".format(timeout, "; ".join(said), also),
        "check that the service runs and uses this certificate for that address and name",
    )


def bring_back(result: Settled, service: Service, *, reloaded: bool) -> list[str]:
    """Let one service take the old state; what went wrong, for people.

    :param reloaded: it has, or may have, taken the new one.
    """
    steps: list[Callable[[Service], None]] = [daemons.validate, daemons.bring_back]
    notes = []
    for step in steps if reloaded else steps[:1]:
        try:
            step(service)
        except StepError as error:
            known = result.error is not None and error.message in result.error.message
            notes.append(
                "it was failing already before this change"
                if known
                else "with the old state: {0}".format(error.message)
            )
            # One that runs is better left alone then; one that went down has nothing to lose.
            if step is daemons.validate and reloaded and is_running(service):
                break
    return notes


def go_back(
    result: Settled,
    *,
    services: Sequence[Service],
    tried: Sequence[Service],
    targets: Sequence[ProofTarget],
    rollback: Callable[[], Sequence[str]],
    timeout: float,
) -> None:
    """Put the old state back, let the services take it, and see that what was served before is served again."""
    notes = list(rollback())
    result.rolled_back = True
    for service in tried:
        notes += bring_back(result, service, reloaded=service in services)
    old = [
        each._replace(expected=each.before, required=True, before=None) for each in targets if each.before is not None
    ]
    for target, served in zip(old, prove(old, timeout)):
        if served.fingerprint != target.expected:
            notes.append(
                "{0} does not serve the old certificate again: {1}".format(
                    target.address, served.error or "another one"
                )
            )
    if result.error and notes:
        result.error.message = "{0}; {1}".format(result.error.message, "; ".join(dict.fromkeys(notes)))
