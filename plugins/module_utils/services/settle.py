# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's services do with a change: validate, reload, prove, and the way back when one of them fails."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
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
from ansible_collections.fleet.tls.plugins.module_utils.services.change import HostChange, carry_out, taken_again
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service, is_running


@dataclass
class Settled:
    """What became of the services: name → ``{"state", "error"}``."""

    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    served: list[EndpointReport] = field(default_factory=list)
    error: StepError | None = None
    rolled_back: bool = False


def settle(
    services: Sequence[Service],
    targets: Sequence[ProofTarget],
    timeout: float,
    rollback: Callable[[], Sequence[str]] | None = None,
    roll_back_unproven: bool = True,
    further: Callable[[float], StepError | None] | None = None,
) -> Settled:
    """Let services take what was changed: validate all, reload each once, prove every target.

    :param timeout: seconds until the targets have to serve what they are to.
    :param rollback: puts everything back as it was and returns, for people, what it could not; None: there is nothing to
        go back to, so nothing is undone.
    :param roll_back_unproven: whether a target that does not come to serve is a reason to go back. It is none where the
        old state did not work either.
    :param further: what else has to be shown when all targets serve, within the seconds it is given; returns the error where it is not.
    """
    result = Settled()
    running = []
    for service in services:
        if is_running(service):
            running.append(service)
        result.states[service.name] = {"state": "unchanged" if service in running else "not_running", "error": None}
    reloaded: list[Service] = []

    def take() -> None:
        for service in running:
            attempt(result, service, daemons.validate)
        for service in running:
            # First, because one whose reload failed has to be reloaded on the way back as well.
            reloaded.append(service)
            attempt(result, service, daemons.reload)
            if service.reload or service.control:
                result.states[service.name]["state"] = "reloaded"

    def retake(problem: StepError) -> list[str]:
        return [note for service in running for note in bring_back(service, problem, reloaded=service in reloaded)]

    outcome = carry_out(
        HostChange(
            take=take,
            prove=lambda: prove_alive(result, reloaded, targets, timeout) or (further(timeout) if further else None),
            undo=rollback,
            retake=retake,
            prove_old=lambda _problem: not_served_again(targets, timeout),
            undo_unproven=roll_back_unproven,
        )
    )
    result.error, result.rolled_back = outcome.error, outcome.undone
    return result


def validate_early(services: Sequence[Service]) -> None:
    """Let those services that may take a file as soon as it is changed find fault with their configuration before.

    :raises StepError: validate_failed, port_taken.
    """
    validate_running(service for service in services if service.eager)


def validate_running(services: Iterable[Service]) -> None:
    """Let those services that run find fault with their configuration; none is reloaded. Errors as :func:`validate_early`."""
    for service in services:
        if is_running(service):
            attempt(Settled(), service, daemons.validate)


def prove_alive(
    result: Settled, services: Sequence[Service], targets: Sequence[ProofTarget], timeout: float
) -> StepError | None:
    """The error for targets that do not serve in time; what they serve goes into ``result``.

    :raises StepError: service_down, at once: a service has gone down with the reload.
    """
    begin = time.monotonic()
    result.served = prove(targets, min(BRIEFLY, timeout))
    waiting = lacking(targets, result.served)
    asked = [service for service in services if service.check]
    if asked and (waiting or not targets):
        # It may be on its way down still.
        time.sleep(max(0.0, BRIEFLY - (time.monotonic() - begin)))
    for service in asked:
        if not is_running(service):
            attempt(result, service, daemons.tell_why_down)
    if waiting:
        left = dict(zip(waiting, prove(waiting, timeout - BRIEFLY)))
        result.served = [left.get(target, each) for target, each in zip(targets, result.served)]
    unproven = lacking(targets, result.served)
    return not_served(result, targets, unproven, timeout) if unproven else None


def attempt(result: Settled, service: Service, work: Callable[[Service], None]) -> None:
    """Let a service do something; a failure becomes its state, and is told of it."""
    try:
        work(service)
    except StepError as error:
        result.states[service.name] = {"state": "failed", "error": error.as_answer()}
        error.message = f"service '{service.name}': {error.message}"
        raise


def not_served(
    result: Settled, targets: Sequence[ProofTarget], unproven: Sequence[ProofTarget], timeout: float
) -> StepError:
    """The error for targets that do not serve what they are to."""
    said = []
    for target, served in zip(targets, result.served):
        if target in unproven:
            seen = served.error or f"it serves another certificate ({(served.fingerprint or '')[:16]})"
            said.append(f"{target.address} (SNI {target.server_name or 'none'}): {seen}")
    stopped = [name for name, state in result.states.items() if state["state"] == "not_running"]
    also = f"; not running: {', '.join(stopped)}" if stopped else ""
    return StepError(
        "not_served",
        f"not served after {timeout:g} s at {'; '.join(said)}{also}",
        "check that the service runs and uses this certificate for that address and name",
    )


def bring_back(service: Service, problem: StepError, *, reloaded: bool) -> list[str]:
    """Let one service take the old state; what went wrong, for people.

    :param reloaded: it has, or may have, taken the new one.
    """
    notes = taken_again([lambda: daemons.validate(service)], problem)
    # One that runs is better left alone then; one that went down has nothing to lose.
    if reloaded and not (notes and is_running(service)):
        notes += taken_again([lambda: daemons.bring_back(service)], problem)
    return notes


def not_served_again(targets: Sequence[ProofTarget], timeout: float) -> list[str]:
    """The targets that do not serve what they served before the change, for people."""
    old = [
        each._replace(expected=each.before, required=True, before=None) for each in targets if each.before is not None
    ]
    return [
        f"{target.address} does not serve the old certificate again: {served.error or 'another one'}"
        for target, served in zip(old, prove(old, timeout))
        if served.fingerprint != target.expected
    ]
