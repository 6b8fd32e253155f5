# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a step may take, so that a host that hangs fails alone. Far more than a healthy one needs: it ends what would never end."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

# Seconds. Whatever is asked: the way there, the lock that another run holds, handshakes, a search for files.
BASE = 900.0
# A key and its CSR on a small machine.
EACH_CERTIFICATE = 60.0
# Its validation, its reload and a question whether it runs, five minutes each, forward and back.
EACH_SERVICE = 1800.0
# Handshakes go on side by side; so few at once even where descriptors are short.
AT_ONCE = 8
# That the host gets to go back, say so and come home, before it is given up.
MARGIN = 60.0
# After that, said again: Python drops what is raised while it cleans an object away, and the host would be waited for without end.
AGAIN = 10.0
# Steps that consist of others.
OF_SEVERAL = ("several", "inspect")
# The code of the error, here and in module_utils/host_module.py.
TOO_SLOW = "too_slow"


class StepTooSlow(BaseException):
    """The controller has waited long enough. No Exception: connection plugins take those for their own."""


def seconds_for(step: str, request: Mapping[str, Any]) -> float:
    """The time limit of one step (docs/host-protocol.md), from what it was asked for."""
    if step in OF_SEVERAL:
        # One that hangs takes the time of all. So much more than healthy ones need is enough for several, too.
        return max(seconds_for(each["step"], each["request"]) for each in request["requests"])
    if step == "prove":
        request = {**request["look"], **request}
    certificates, clients = request.get("certificates") or (), request.get("clients") or ()
    services = [*(request.get("services") or ()), *(request.get("servers") or ())]
    services += [service for client in clients for service in client.get("services") or ()]
    proofs = 2 * float(request.get("prove_timeout") or 0) * max(1, len(services), len(certificates), len(clients))
    return (
        BASE
        + float(request.get("patience") or 0)
        + proofs
        + EACH_CERTIFICATE * len(certificates)
        + EACH_SERVICE * len(services)
        + scan_seconds(request)
    )


def scan_seconds(request: Mapping[str, Any]) -> float:
    """The part of it that endpoints may take which do not answer."""
    asked = [each for each in request.get("endpoints") or () if isinstance(each, Mapping)]
    once = sum(float(each.get("timeout") or request.get("timeout") or 0) for each in asked)
    rounds = (1 + int(request.get("retries") or 0)) * (3 + len(request.get("resume_at") or ()))
    return once * rounds / AT_ONCE * max(1, len(request.get("canaries") or ()))


@contextlib.contextmanager
def waiting_at_most(seconds: float) -> Iterator[None]:
    """The controller's own patience with a host, for what the host cannot end itself. A task's shorter ``timeout`` comes first.

    :raises StepTooSlow: the time is over.
    """
    left, _interval = signal.getitimer(signal.ITIMER_REAL)
    if threading.current_thread() is not threading.main_thread() or 0 < left <= seconds:
        yield
        return

    def late(*_signal: Any) -> None:
        raise StepTooSlow(f"the host gave no answer within {seconds:g} s")

    begin = time.monotonic()
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, min(AGAIN, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - begin)))
