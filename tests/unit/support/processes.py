# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes as Ansible makes them (forks of one controller), some of which get killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

FORK = multiprocessing.get_context("fork")
SECONDS = 200.0
# What changes files and locks, of the audit events in the Python manual; "open" where it is for writing.
FILE_EVENTS = frozenset({"open", "os.mkdir", "os.rename", "os.remove", "fcntl.flock", "sqlite3.connect"})
# Something goes to an HTTP server: the head of a request, or its body.
REQUEST_EVENTS = frozenset({"http.client.send"})
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def in_processes(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all of them at once, each in a process of its own; what each returned, in their order.

    :raises AssertionError: one of them raised; its traceback is told.
    """
    pipes = [FORK.Pipe(duplex=False) for _work in works]
    start = FORK.Event()
    processes = [
        FORK.Process(target=_report, args=(work, start, sender)) for work, (_receiver, sender) in zip(works, pipes)
    ]
    for process in processes:
        process.start()
    start.set()
    answers = []
    for process, (receiver, sender) in zip(processes, pipes):
        sender.close()
        assert receiver.poll(SECONDS), "a process does not end"
        answers.append(receiver.recv())
        process.join(SECONDS)
    for good, answer in answers:
        assert good, answer
    return [answer for _good, answer in answers]


def _report(work: Callable[[], Any], start: Any, sender: Any) -> None:
    start.wait()
    try:
        sender.send((True, work()))
    except BaseException:
        sender.send((False, traceback.format_exc()))


def killed_at(work: Callable[[], Any], event_number: int, events: frozenset[str] = FILE_EVENTS) -> bool:
    """Do ``work`` in a process that kills itself (SIGKILL) just before its n-th such event; False: it ended before that.

    :raises AssertionError: it failed in another way.
    """
    process = FORK.Process(target=_with_trap, args=(work, event_number, events))
    process.start()
    return _was_killed(process)


def killed_after(work: Callable[[], Any], seconds: float) -> bool:
    """Do ``work`` in a process that gets SIGKILL after a while; False: it ended before that."""
    process = FORK.Process(target=work)
    process.start()
    time.sleep(seconds)
    process.kill()
    return _was_killed(process)


def _was_killed(process: Any) -> bool:
    process.join(SECONDS)
    assert process.exitcode in (0, -signal.SIGKILL), f"the process ended with {process.exitcode}"
    return process.exitcode != 0


def _with_trap(work: Callable[[], Any], event_number: int, events: frozenset[str]) -> None:
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in events and (event != "open" or int(arguments[2]) & WRITING):
            count += 1
            if count == event_number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    work()
