# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A step ends in time, and not long after its controller is gone: else it would keep the host's lock for a run that is no more.

A timer ticks in the main thread, so nothing that a step waits for has to know of it. When the time is up, :class:`TimeIsUp` is raised
wherever the step is, and it goes back as after any other failure. What does not come to an end then is ended as if it were killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from typing import Any, Callable

TICK = 2.0
# Seconds for the way back; and for a step to come to its end when nobody waits for it any more. Shorter than the next run waits for the lock.
GRACE = 30.0
STANDARD_OUTPUT = 1


class TimeIsUp(BaseException):
    """A step's time is over; the text says why. No Exception: what takes errors of one certificate must not take this."""


class Watch:
    """What the timer's ticks look at.

    :param seconds: that the step has.
    :param last_words: is called before the process is ended, where it does not end by itself.
    """

    def __init__(self, seconds: float, last_words: Callable[[str], None]) -> None:
        self.seconds = seconds
        self.end = time.monotonic() + seconds
        self.last_words = last_words
        self.gone_since: float | None = None
        self.raised: tuple[float, str] | None = None

    def tick(self, *_signal: Any) -> None:
        """:raises TimeIsUp: once."""
        now = time.monotonic()
        if self.raised is not None:
            if now > self.raised[0] + GRACE:
                self.last_words(self.raised[1])
                os._exit(0)
            return
        why = self.over(now)
        if why:
            self.raised = (now, why)
            raise TimeIsUp(why)

    def over(self, now: float) -> str | None:
        """Why the time is up; None: it is not."""
        if now > self.end:
            return f"it did not end within {self.seconds:g} s"
        if self.gone_since is None and nobody_listens():
            self.gone_since = now
        if self.gone_since is not None and now > self.gone_since + GRACE:
            return "nobody waits for its answer any more"
        return None


def nobody_listens() -> bool:
    """Whether the other end of the standard output is closed: the connection is gone, or the run was killed."""
    poll = select.poll()
    poll.register(STANDARD_OUTPUT, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _descriptor, events in poll.poll(0))


@contextlib.contextmanager
def time_limit(seconds: float | None, last_words: Callable[[str], None]) -> Iterator[None]:
    """Everything in the context ends in time; None: no limit. Only a main thread can have one.

    :param last_words: see :class:`Watch`.
    :raises TimeIsUp: it did not.
    """
    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, Watch(seconds, last_words).tick)
    signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
