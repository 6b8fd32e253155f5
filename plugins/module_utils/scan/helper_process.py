# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another process that sees to half of a large scan: one process keeps one processor busy, and no more."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
from collections.abc import Sequence
from typing import Any, Callable

# Below, starting it costs more than it saves.
WORTH = 1000
_HEADER = 4


class Helper:
    """The process, seen from the one that has it work.

    :ivar descriptor: readable when it has something to say.
    :ivar outstanding: places whose results have not come yet, each with its job.
    """

    def __init__(self, jobs: Sequence[tuple[int, Any]], pid: int, descriptor: int) -> None:
        self.descriptor = descriptor
        self.outstanding = dict(jobs)
        self._pid = pid
        self._heard = bytearray()

    def read(self) -> list[tuple[int, Any]] | None:
        """Results that have come, each with its place; None: there will be no more."""
        try:
            data = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return []
        if not data:
            return None
        self._heard += data
        found = []
        start = 0
        while len(self._heard) >= start + _HEADER:
            end = start + _HEADER + int.from_bytes(self._heard[start : start + _HEADER], "big")
            if len(self._heard) < end:
                break
            # What our own process wrote, through a pipe that nobody else has.
            place, seen = pickle.loads(self._heard[start + _HEADER : end])
            del self.outstanding[place]
            found.append((place, seen))
            start = end
        del self._heard[:start]
        return found

    def close(self) -> None:
        """End it, whatever it does."""
        os.close(self.descriptor)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def start_helper(
    jobs: Sequence[tuple[int, Any]],
    handshakes: int,
    work: Callable[[Sequence[tuple[int, Any]], Callable[[int, Any], None]], None],
) -> Helper | None:
    """Have a process of its own do some jobs; None where there is nothing to win, or it cannot be.

    :param handshakes: how many there are to be made by both processes.
    :param work: does them, and reports each with its place and what was seen.
    """
    # What other threads hold at this moment, nobody would ever let go of over there.
    if handshakes < WORTH or not jobs or processors() < 2 or threading.active_count() > 1:
        return None
    reading, writing = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        return None
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            work(jobs, lambda place, seen: _tell(writing, (place, seen)))
            status = 0
        finally:
            # Nothing of what the other process has begun is ended here.
            os._exit(status)
    os.close(writing)
    os.set_blocking(reading, False)
    return Helper(jobs, pid, reading)


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _tell(descriptor: int, said: Any) -> None:
    data = pickle.dumps(said)
    data = len(data).to_bytes(_HEADER, "big") + data
    while data:
        data = data[os.write(descriptor, data) :]
