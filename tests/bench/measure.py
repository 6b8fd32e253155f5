# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one whole ansible process, say how long it took, and whether it did what it was to do."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.hosts import WrongResult

RECAP = re.compile(r"^(\S+)\s+: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+) ", re.MULTILINE)
PONG = re.compile(r"^(\S+) \| SUCCESS =>", re.MULTILINE)


@dataclass(frozen=True)
class Finished:
    """A process that ended: wall time in seconds, and for each host that did not fail how much it changed."""

    seconds: float
    changed: dict[str, int]


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Finished:
    """Run and time a command.

    :raises WrongResult: it failed, on the whole or for one host; the text has its own words.
    """
    start = time.monotonic()
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - start
    words = "{0}\n{1}\n{2}".format(" ".join(command), done.stdout[-6000:], done.stderr[-2000:])
    if done.returncode != 0:
        raise WrongResult(f"exit status {done.returncode} of {words}")
    recap = RECAP.findall(done.stdout)
    if any(unreachable != "0" or failed != "0" for _host, _changed, unreachable, failed in recap):
        raise WrongResult("a host failed: " + words)
    changed = {host: int(count) for host, count, _unreachable, _failed in recap}
    return Finished(seconds, changed or dict.fromkeys(PONG.findall(done.stdout), 0))


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
