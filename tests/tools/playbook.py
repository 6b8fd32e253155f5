# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-playbook as a user would, and give back what it did as values."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import paths, warm

# The environment variable with the name of controller().
CONTROLLER_VARIABLE = "FLEET_TLS_CONTROLLER"


@dataclass(frozen=True)
class PlaybookResult:
    """How a run ended.

    stats: host -> ok, changed, failures, unreachable, skipped, rescued, ignored.
    task_results: one dict a host and task with host, task, action, status (ok, failed, ignored, skipped, unreachable) and result.
    """

    rc: int
    stdout: str
    stderr: str
    stats: dict[str, dict[str, int]] = field(default_factory=dict)
    task_results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """Changed tasks of all hosts."""
        return sum(each["changed"] for each in self.stats.values())

    def results(
        self, *, host: str | None = None, task: str | None = None, action: str | None = None
    ) -> list[dict[str, Any]]:
        """The bare results of those tasks whose host, name or action are as asked."""
        wanted = {"host": host, "task": task, "action": action}
        return [
            each["result"]
            for each in self.task_results
            if all(value is None or each[key] == value for key, value in wanted.items())
        ]

    def check(self) -> PlaybookResult:
        """Itself when the run succeeded, else an AssertionError with the run's own words."""
        if self.rc != 0:
            raise AssertionError("ansible-playbook ended with {0}\n{1}\n{2}".format(self.rc, self.stdout, self.stderr))
        return self


def controller() -> str:
    """The virtual environment whose ansible-playbook is meant where a test names none: that of the suite (tools/suites.py)."""
    return os.environ.get(CONTROLLER_VARIABLE) or "main"


def ansible_environment(venv: str | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment, less its own Ansible settings, with the tests' configuration and programs."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    # A locale without UTF-8 makes Ansible refuse to start; C.UTF-8 is everywhere.
    env.update(
        ANSIBLE_CONFIG=str(paths.ANSIBLE_CFG),
        PATH=paths.tool_path(venv or controller()),
        LC_ALL="C.UTF-8",
        ANSIBLE_NOCOLOR="1",
    )
    env.pop("PYTHONPATH", None)
    # Code is compiled once for all runs, as on any other machine.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**env, **(extra or {})}


def playbook_command(
    playbook: str | Path,
    inventory: str | Path,
    extra_vars: Mapping[str, Any] | None = None,
    args: Sequence[str] = (),
    venv: str | None = None,
) -> list[str]:
    """The command line; for tests that start ansible-playbook themselves."""
    program = paths.venv(venv or controller()) / "bin" / "ansible-playbook"
    options = ["--extra-vars", json.dumps(extra_vars)] if extra_vars else []
    return [str(program), "-i", str(inventory), *options, *args, str(playbook)]


def start_playbook(
    command: Sequence[str], environment: Mapping[str, str], *, cold: bool = False, **options: Any
) -> subprocess.Popen[Any]:
    """Start a command of :func:`playbook_command`, and do not wait for it.

    Runs of the suite's own controller are forked from a process that has imported ansible-core (tools/warm.py).

    :param cold: start it from nothing: for settings of its own, which Ansible may read while it is imported, and for tests that look at
        a start, at command lines or at environments.
    :param options: of ``subprocess.Popen``.
    """
    cold = cold or Path(command[0]).parents[1] != paths.venv(controller()) or not warm.is_possible()
    return (subprocess.Popen if cold else warm.Popen)(command, env=environment, **options)


def run_playbook(
    playbook: str | Path,
    inventory: str | Path,
    extra_vars: Mapping[str, Any] | None = None,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    timeout: float = 1200,
    *,
    venv: str | None = None,
    cwd: str | Path | None = None,
    cold: bool = False,
) -> PlaybookResult:
    """Run a playbook (a path, or a collection's fleet.tls.name) and wait; subprocess.TimeoutExpired when it takes too long.

    :param env: more of the environment. With that, or with ``cold``, it is started from nothing (:func:`start_playbook`).
    """
    with tempfile.TemporaryDirectory(prefix="fleet-tls-run-") as folder:
        record = Path(folder) / "results.jsonl"
        settings = {
            "ANSIBLE_CALLBACKS_ENABLED": "fleet_tls_results",
            "FLEET_TLS_RESULTS": str(record),
            # Else a run without hosts, because its inventory is not there, is a success.
            "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
        }
        environment = ansible_environment(venv, {**settings, **(env or {})})
        with start_playbook(
            playbook_command(playbook, inventory, extra_vars, args, venv),
            environment,
            cold=cold or bool(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        records = (
            [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()] if record.exists() else []
        )
    stats: dict[str, dict[str, int]] = next((each["stats"] for each in records if "stats" in each), {})
    return PlaybookResult(process.returncode, stdout, stderr, stats, [each for each in records if "host" in each])
