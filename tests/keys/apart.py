# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in forks of this process, as Ansible does it: a PKCS#11 module that one of them loads is nobody else's."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SECONDS = 300
FORKS = multiprocessing.get_context("fork")


def apart(environment: Mapping[str, str], work: Callable[[], Any]) -> Any:
    """What ``work`` returns in a fork; what it raises there is raised here, as an AssertionError with its text."""
    return all_apart(environment, [work])[0]


def all_apart(environment: Mapping[str, str], works: Sequence[Callable[[], Any]]) -> list[Any]:
    """The same of several that begin at once."""
    started = FORKS.Barrier(len(works))
    pairs = [start(environment, work, started) for work in works]
    results = []
    for process, answers in pairs:
        assert answers.poll(SECONDS), "a fork does not come to its end"
        results.append(answers.recv())
        process.join(SECONDS)
        # A token that hangs may hold its thread.
        process.kill()
    for done, value in results:
        assert done, value
    return [value for _done, value in results]


def start(environment: Mapping[str, str], work: Callable[[], Any], started: Any) -> tuple[Any, Any]:
    """A fork, and where its answer comes from."""
    receiver, sender = FORKS.Pipe(duplex=False)

    def run() -> None:
        os.environ.update(environment)
        started.wait(SECONDS)
        try:
            sender.send((True, work()))
        except BaseException:
            sender.send((False, traceback.format_exc()))

    process = FORKS.Process(target=run)
    process.start()
    return process, receiver
