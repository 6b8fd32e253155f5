# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations in the store: one record a subject, changed under a lock, driven by one run at a time.

In the store: ``rotations/ca-internal.json``, ``rotations/keys.json``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import RotationError
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.stages import Rotation, Runner
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry


class Record:
    """The record of the rotation ``name`` (``ca-internal``, ``keys``)."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self.entry = JsonEntry(store, f"rotations/{name}.json", Rotation.from_json, asdict)

    def read(self) -> Rotation | None:
        """What is recorded; None: there was never one.

        :raises StoreError: it is damaged, or cannot be read.
        """
        return self.entry.read()

    def change(self, work: Callable[[Rotation | None], Rotation]) -> Rotation:
        """Let ``work`` make the record anew, nobody else coming in between.

        :raises TlsError: what ``work`` raises; the record is as it was then.
        """
        with self.store.lock(self.entry.key):
            after = work(self.entry.read())
            self.entry.replace(after)
            return after


# Ansible loads an action in the playbook's process and forks a worker for every task and host from it. A worker that outlives a
# playbook that was killed gets another parent, so that has to be asked for early.
_LOADED_BY, _PARENT = os.getpid(), os.getppid()


def this_run() -> Runner:
    """The run that this process works for."""
    playbook = _PARENT if os.getpid() == _LOADED_BY else _LOADED_BY
    return Runner(machine(), playbook, started(playbook) or "")


def machine() -> str:
    """This machine, as far as processes go: containers that share a host name do not share those."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


def started(process: int) -> str | None:
    """What tells a process from a later one of the same number; None: it does not run. ``""``: it runs, and no more is known."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The name, in parentheses, may hold anything (proc(5)); the state is the first field after it, the start time the 20th.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else f"{boot} {fields[19]}"
    except (OSError, IndexError):
        pass
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return None if os.path.isdir("/proc/self") else ""


def is_alive(runner: Runner) -> bool | None:
    """Whether a run goes on; None: it is on another machine, so nobody here can tell."""
    return started(runner.process) == runner.started if runner.machine == machine() else None


def take(rotation: Rotation, me: Runner, now: int, *, take_over: bool = False) -> Rotation:
    """The same rotation, driven by this run.

    :raises RotationError: another run drives it.
    """
    refuse_second(rotation, me, now, take_over=take_over)
    return rotation.taken_by(me, now)


def refuse_second(rotation: Rotation, me: Runner, now: int, *, take_over: bool = False) -> None:
    """:raises RotationError: another run drives it."""
    other = rotation.runner
    if take_over or other is None or not rotation.lasts_elsewhere(me, is_alive(other), now):
        return
    raise RotationError(
        f"another run drives the {rotation.title}: process {other.process} on {other.machine.split(' ')[0]},"
        f" last heard of {now - rotation.seen} s ago; it is at '{rotation.stage}'",
        remedy="let it end; where it was killed on another machine, run again with -e tls_take_over=true",
    )
