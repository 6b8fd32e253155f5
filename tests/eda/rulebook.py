# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ansible-rulebook, run as a user would, ended by its own process group."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import java, paths
from tools.playbook import ansible_environment

# A JVM and an ansible-playbook have to start, on a machine that may be busy.
PATIENCE = 300


def wait(until: Callable[[], bool]) -> None:
    """Poll.

    :raises AssertionError: it does not come true.
    """
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, f"not so in {PATIENCE} s"
        time.sleep(0.2)


@dataclass(frozen=True)
class Running:
    """An ansible-rulebook that was started, and what it said so far."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        """Everything on its terminal."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def await_words(self, words: str, times: int = 1) -> None:
        """Wait until it has said so.

        :raises AssertionError: it did not, or it ended.
        """

        def so() -> bool:
            assert self.process.poll() is None, f"ansible-rulebook ended with {self.process.returncode}\n{self.said}"
            return self.said.count(words) >= times

        try:
            wait(so)
        except AssertionError as error:
            raise AssertionError(f"{error}: {words}\n{self.said}") from None


@contextlib.contextmanager
def running(folder: Path, rulebook: str, variables: Mapping[str, Any], *options: str) -> Iterator[Running]:
    """``ansible-rulebook --rulebook RULEBOOK`` with variables; its own files are in ``folder``."""
    folder.mkdir()
    settings = folder / "variables.yml"
    settings.write_text(json.dumps(variables))
    log = folder / "terminal.log"
    program = str(paths.venv("eda") / "bin" / "ansible-rulebook")
    env = ansible_environment("eda", {"JAVA_HOME": java.find_home() or "", "TMPDIR": str(folder)})
    with log.open("wb") as terminal:
        process = subprocess.Popen(
            [program, "--rulebook", rulebook, "--vars", str(settings), *options],
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.STDOUT,
            # Its playbooks are processes of the same group.
            start_new_session=True,
        )
    try:
        yield Running(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
