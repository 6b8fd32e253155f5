# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's services do with a change: validate, reload, prove, and the way back when one of them fails."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Callable

from ansible_collections.fleet.tls.plugins.module_utils import daemons
from ansible_collections.fleet.tls.plugins.module_utils.daemons import Service, is_running
from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError

# An endpoint that does not have to serve the certificate is given this long: a reload takes effect within a fraction of it.
BRIEFLY = 0.5
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25


@dataclass(frozen=True)
class Target:
    """An endpoint and what it is to serve.

    :param expected: SHA-256 (hex) of the leaf (DER) it is to present.
    :param required: whether it fails the step when it does not.
    :param before: the fingerprint it presented before anything was changed, None: none.
    :param starttls: the protocol in which TLS has to be asked for first, None: it begins at once.
    :param service: whose endpoint it is.
    """

    host: str
    port: int
    server_name: str | None
    certificate: str
    expected: str
    required: bool = True
    explicit: bool = True
    before: str | None = None
    starttls: str | None = None
    service: str = ""

    @property
    def address(self) -> str:
        """``host:port``, IPv6 in brackets."""
        return "[{0}]:{1}".format(self.host, self.port) if ":" in self.host else "{0}:{1}".format(self.host, self.port)


@dataclass(frozen=True)
class Served:
    """What an endpoint presented; ``ours``: live, older or None, as far as the caller could tell."""

    endpoint: str
    server_name: str | None
    certificate: str
    fingerprint: str | None
    error: str | None
    explicit: bool
    ours: str | None = None

    def as_answer(self) -> dict[str, Any]:
        """JSON-ready, see docs/host-protocol.md."""
        return asdict(self)


@dataclass
class Settled:
    """What became of the services: name → ``{"state", "error"}``; ``unproven``: required targets that do not serve."""

    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    served: list[Served] = field(default_factory=list)
    unproven: list[Target] = field(default_factory=list)
    error: StepError | None = None
    rolled_back: bool = False


def look_at(targets: Sequence[Target], timeout: float = 2.0) -> list[Served]:
    """One handshake with each target, several at once.

    :param timeout: seconds for one.
    """
    return in_parallel(lambda target: handshake_with(target, timeout), targets)


def prove(targets: Sequence[Target], timeout: float) -> list[Served]:
    """Handshakes until each target serves what it is to serve, or its time is up.

    :param timeout: seconds for required targets; the others are tried briefly.
    """
    return in_parallel(lambda target: wait_for(target, timeout if target.required else min(BRIEFLY, timeout)), targets)


def in_parallel(work: Callable[[Target], Served], targets: Sequence[Target]) -> list[Served]:
    """The results in the order of the targets."""
    if len(targets) < 2:
        return [work(target) for target in targets]
    # Before there are threads: under Python 3.9 one of them can meet the module half imported by another.
    from ansible_collections.fleet.tls.plugins.module_utils import handshake  # noqa: F401

    with ThreadPoolExecutor(max_workers=min(8, len(targets))) as pool:
        return list(pool.map(work, targets))


def wait_for(target: Target, timeout: float) -> Served:
    """Poll one target with growing pauses: reloads return before the new workers serve."""
    end = time.monotonic() + timeout
    pause = FIRST_PAUSE
    while True:
        served = handshake_with(target, max(0.2, end - time.monotonic()))
        if served.fingerprint == target.expected or time.monotonic() + pause > end:
            return served
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def handshake_with(target: Target, timeout: float) -> Served:
    """What a target presents now."""
    # Late, because a run with no endpoints should not pay for ssl.
    from ansible_collections.fleet.tls.plugins.module_utils.handshake import HandshakeError, served_leaf

    fingerprint, problem = None, None
    try:
        leaf = served_leaf(target.host, target.port, target.server_name, timeout, target.starttls)
        fingerprint = hashlib.sha256(leaf).hexdigest()
    except HandshakeError as error:
        problem = str(error)
    ours = "live" if fingerprint == target.expected else None
    return Served(target.address, target.server_name, target.certificate, fingerprint, problem, target.explicit, ours)


def settle(
    services: Sequence[Service],
    targets: Sequence[Target],
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


def lacking(targets: Sequence[Target], served: Sequence[Served]) -> list[Target]:
    """The required targets that do not serve what they are to."""
    return [target for target, each in zip(targets, served) if target.required and each.fingerprint != target.expected]


def prove_alive(
    result: Settled, services: Sequence[Service], targets: Sequence[Target], timeout: float
) -> list[Served]:
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


def not_served(result: Settled, targets: Sequence[Target], timeout: float) -> StepError:
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
    targets: Sequence[Target],
    rollback: Callable[[], Sequence[str]],
    timeout: float,
) -> None:
    """Put the old state back, let the services take it, and see that what was served before is served again."""
    notes = list(rollback())
    result.rolled_back = True
    for service in tried:
        notes += bring_back(result, service, reloaded=service in services)
    old = [
        replace(each, expected=each.before, required=True, before=None) for each in targets if each.before is not None
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
