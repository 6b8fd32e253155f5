# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a server on trial has come up. What else a trial is needs a host of its own: tests/fleet."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ansible_collections.fleet.tls.plugins.module_utils.services.trial import AWAIT

# As HAProxy does where its configuration says "daemon".
BACKGROUND = '(sleep 0.3; echo 1 >"$1") & exit 0'


def awaited(folder: Path, server: str) -> subprocess.CompletedProcess[str]:
    """What is said of a server, which is a shell script."""
    script = "words=$1 pid_file=$2; shift 2" + AWAIT
    pid_file = str(folder / "pid")
    command = ["sh", "-c", script, "sh", str(folder / "words"), pid_file, "sh", "-c", server, "sh", pid_file]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_server_that_goes_to_the_background_has_its_time(tmp_path: Path) -> None:
    done = awaited(tmp_path, BACKGROUND)
    assert (done.returncode, done.stderr) == (0, "") and "local_address" in done.stdout


def test_one_that_does_not_come_up_is_told_in_its_words(tmp_path: Path) -> None:
    done = awaited(tmp_path, "echo 'no such thing' >&2; exit 1")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "no such thing\n")
