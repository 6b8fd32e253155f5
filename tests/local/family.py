# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook run as its own family of processes, so that a test can end all of it in one moment, as a power cut does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tools.playbook import ansible_environment, playbook_command, start_playbook


class Family:
    """A run that was started and not waited for.

    Workers of ansible-playbook lead sessions of their own, so no process group holds them all: they are found by their parents.
    """

    def __init__(self, playbook: str | Path, inventory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.process = start_playbook(
            playbook_command(playbook, inventory),
            ansible_environment(extra=settings),
            cold=bool(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """End all of them with SIGKILL; returns when none is left."""
        stopped: set[int] = set()
        # One that is stopped starts no more children: when a round finds no new one, these are all.
        while new := {self.process.pid, *descendants(self.process.pid)} - stopped:
            for each in new:
                send(each, signal.SIGSTOP)
            stopped |= new
        for each in stopped:
            send(each, signal.SIGKILL)
        self.process.communicate(timeout=300)
        await_end(stopped)

    def kill_controller_only(self) -> None:
        """End ansible-playbook itself; what it had started on the hosts runs on to its end, as it does behind a lost connection."""
        started = descendants(self.process.pid)
        send(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=300)
        await_end(started)


def descendants(pid: int) -> set[int]:
    """The process ids of all children, their children and so on."""
    children: dict[int, list[int]] = {}
    for each in process_ids():
        children.setdefault(parent_of(each), []).append(each)
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found.update(mine)
        waiting.extend(mine)
    return found


def process_ids() -> list[int]:
    """Of all processes, in ascending order."""
    return sorted(int(each) for each in os.listdir("/proc") if each.isdigit())


def state_of(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the third (state) on; of a process that is gone: that it is, and no parent."""
    try:
        # The second field, the only one that may hold blanks, ends with the last parenthesis.
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def parent_of(pid: int) -> int:
    """The process id of its parent; 0 when it is gone."""
    return int(state_of(pid)[1])


def send(pid: int, number: signal.Signals) -> None:
    """A signal to one that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def await_end(pids: set[int], wait: float = 60.0) -> None:
    """Until none of them runs any more.

    :param wait: seconds.
    :raises AssertionError: they do after that time.
    """
    end = time.monotonic() + wait
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.002)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only its exit status, which some container's init never reads."""
    return state_of(pid)[0] not in ("Z", "X")
