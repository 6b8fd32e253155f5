# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients of all kinds of servers: a process each. Standard library only."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection

from storm.clients import Clients
from storm.notes import Report
from storm.plan import Plan


def run(plan: Plan, pipe: Connection) -> None:
    """The process; what rotates keys and certificates goes before it."""
    os.nice(10)
    Clients(plan).serve(pipe)


class Crowd:
    """The processes of all kinds, from outside."""

    def __init__(self, plans: list[Plan]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes: dict[str, Connection] = {}
        self.processes = []
        for plan in plans:
            mine, its = context.Pipe()
            process = context.Process(target=run, args=(plan, its), daemon=True)
            process.start()
            self.pipes[plan.kind] = mine
            self.processes.append(process)

    def tell(self, *words: object) -> None:
        """Everybody."""
        for pipe in self.pipes.values():
            pipe.send(words)

    def reports(self) -> list[Report]:
        """Of all kinds, so far."""
        self.tell("report")
        return [pipe.recv() for pipe in self.pipes.values()]

    def end(self) -> None:
        """Until all threads have ended."""
        self.tell("end")
        for process in self.processes:
            process.join(90)
            if process.is_alive():
                process.kill()
