# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one whole ansible process, say how long it took, and whether it did what it was to do."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.hosts import WrongResult

RECAP = re.compile(r"^(\S+)\s+: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+) ", re.MULTILINE)
PONG = re.compile(r"^(\S+) \| SUCCESS =>", re.MULTILINE)


@dataclass(frozen=True)
class Finished:
    """A process that ended: wall time in seconds, and for each host that did not fail how much it changed.

    :param cpu: seconds of processor time of it and all its processes, those on other machines aside.
    :param largest: bytes that the largest of them had in memory.
    """

    seconds: float
    changed: dict[str, int]
    cpu: float
    largest: int


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Finished:
    """Run and time a command.

    :raises WrongResult: it failed, on the whole or for one host; the text has its own words.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.monotonic()
        # Not subprocess.run(): it does not tell what the process cost.
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        ) as process:
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        output.seek(0)
        errors.seek(0)
        told, complaints = output.read(), errors.read()
    words = "{0}\n{1}\n{2}".format(" ".join(command), told[-6000:], complaints[-2000:])
    if process.returncode != 0:
        raise WrongResult(f"exit status {process.returncode} of {words}")
    recap = RECAP.findall(told)
    if any(unreachable != "0" or failed != "0" for _host, _changed, unreachable, failed in recap):
        raise WrongResult("a host failed: " + words)
    changed = {host: int(count) for host, count, _unreachable, _failed in recap}
    changed = changed or dict.fromkeys(PONG.findall(told), 0)
    return Finished(seconds, changed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def check_unchanged(finished: Finished, hosts: Collection[str]) -> None:
    """:raises WrongResult: a host is missing, or was changed by a run that had nothing to do."""
    wrong = {host: finished.changed.get(host, "missing") for host in hosts if finished.changed.get(host) != 0}
    if wrong:
        raise WrongResult(f"nothing was to do, but these hosts were changed or left out: {wrong}")


def check_changed(finished: Finished, hosts: Collection[str]) -> None:
    """:raises WrongResult: a host was left as it was, though its certificates were to be issued."""
    wrong = [host for host in hosts if not finished.changed.get(host)]
    if wrong:
        raise WrongResult("certificates were to be issued, but nothing was changed on {0}".format(", ".join(wrong)))
