# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One suite of ./dev test while it runs: its commands, what they say, and where its time goes. Standard library only."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import paths, times, venvs
from tools.playbook import ansible_environment


class Skipped(Exception):
    """The suite cannot run here; the text says why in one line."""


class Failed(Exception):
    """The suite ran and did not pass; the text is its last word."""


@dataclass(frozen=True)
class Step:
    """A part of a suite: its name in the table, seconds on the clock, and processor seconds of its processes."""

    name: str
    seconds: float
    cpu: float = 0.0


class Run:
    """A suite under way. All that its commands say goes to ``log`` at once, so it can be followed there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: list[Step] = []
        self.tests: list[times.Test] = []
        self.notes: list[str] = []  # what the table has to say beside the times
        self.log = paths.DEV / "test" / (name + ".log")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")

    @property
    def cpu(self) -> float:
        """Processor seconds so far; those of containers are not among them, which podman starts apart."""
        return sum(step.cpu for step in self.steps)

    def run(
        self,
        command: list[str],
        *,
        name: str | None = None,
        cwd: Path = paths.ROOT,
        env: dict[str, str] | None = None,
    ) -> None:
        """Run a command and keep what it says; Failed when it ends with anything but 0.

        :param name: the step's name; the program's when left out.
        """
        name = name or Path(command[0]).name
        start = time.monotonic()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env or environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            # Unlike wait(), tells what the process and its children have used.
            unused, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.steps.append(Step(name, time.monotonic() - start, usage.ru_utime + usage.ru_stime))
        if process.returncode != 0:
            raise Failed(f"{Path(command[0]).name} ended with {process.returncode}")

    def venv(self, name: str) -> None:
        """Make a virtual environment ready; the time that takes is a step."""
        with self.timed("venv " + name):
            venvs.ensure(name)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """What happens within is a step, unless it is over at once."""
        start = time.monotonic()
        try:
            yield
        finally:
            if time.monotonic() - start > 1:
                self.steps.append(Step(name, time.monotonic() - start))


def environment(venv: str = "main", **extra: str) -> dict[str, str]:
    """What every suite runs with."""
    shown = {"NO_COLOR": "1", "COLUMNS": "160", "PYTHONDONTWRITEBYTECODE": "1", "FLEET_TLS_ROOT": str(paths.ROOT)}
    env = {**ansible_environment(venv), **shown, **extra}
    env["PATH"] = venvs.without_shims(env["PATH"])
    return env


def tool_environment(**extra: str) -> dict[str, str]:
    """For tools that look at the copy of the collection; what they keep in a user's home they keep below .dev/."""
    paths.HOME.mkdir(parents=True, exist_ok=True)
    return environment(ANSIBLE_COLLECTIONS_PATH=str(paths.COPY_TREE), HOME=str(paths.HOME), **extra)


def program(name: str, venv: str = "main") -> str:
    """A program of a virtual environment."""
    return str(paths.venv(venv) / "bin" / name)


def pytest_command(folders: Sequence[str], *options: str, venv: str = "main", cache: str = "") -> list[str]:
    """pytest as a command line.

    :param cache: a folder of its own below .dev/pytest_cache, where several may run at once.
    """
    where = "cache_dir={0}".format(paths.DEV / "pytest_cache" / cache)
    return [program("python", venv), "-m", "pytest", "-o", where, *options, *folders]


def pytest(run: Run, folders: Sequence[str], *options: str, venv: str, env: dict[str, str]) -> None:
    """pytest on folders of the checkout; nothing collected is not a pass."""
    record = run.log.with_suffix(".jsonl")
    record.unlink(missing_ok=True)
    command = pytest_command(folders, *options, venv=venv, cache=run.name)
    try:
        run.run(command, name="pytest", env={**env, times.VARIABLE: str(record)})
    finally:
        run.tests += times.read(record)
