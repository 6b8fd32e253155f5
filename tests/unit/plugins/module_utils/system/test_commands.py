# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of a host: found, run, bounded, and their words when something fails."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.system import commands


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def failure(*command: str, what: str = "validate") -> StepError:
    with pytest.raises(StepError) as caught:
        commands.run(command, what)
    assert caught.value.code == what + "_failed"
    return caught.value


def test_run_and_its_words(tmp_path: Path) -> None:
    commands.run(sh("exit 0"), "validate")
    error = failure(*sh("echo out; echo err >&2; exit 3"))
    assert error.message.endswith("ended with 3: out\nerr") and error.remedy
    assert failure(*sh("exit 3")).message.endswith("(it said nothing)")
    assert "ended with -9" in failure(*sh("kill -9 $$")).message
    assert "there is no program 'no-such-program'" in failure("no-such-program", "-x").message
    script = tmp_path / "script"
    script.write_text("not a program")
    script.chmod(0o755)
    assert "Exec format error" in failure(str(script)).message


def test_what_a_command_says_is_bounded() -> None:
    error = failure(*sh("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo 'the last word'; exit 1"))
    assert error.message.endswith("the last word") and len(error.message) < commands.WORDS_KEPT + 300
    assert failure(*sh("printf '\\377\\376 odd'; exit 1")).message.endswith("odd")


def test_a_command_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "COMMAND_SECONDS", 0.2)
    error = failure("sleep", "60", what="reload")
    assert error.message == "'sleep 60' did not end within 0.2 s" and error.remedy


def test_a_daemon_that_it_starts_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(commands, "COMMAND_SECONDS", 60.0)
    start = time.monotonic()
    commands.run(sh(f"sleep 300 & echo $! > {tmp_path}/pid"), "start")
    took = time.monotonic() - start
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert took < 50


def test_a_command_gets_no_input_and_finds_root_s_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    reading, writing = os.pipe()
    os.write(writing, b"what Ansible sends to the module")
    os.close(writing)
    before = os.dup(0)
    os.dup2(reading, 0)
    try:
        commands.run(sh('test "$(cat)" = "" && case "$PATH" in *:/usr/sbin:*) exit 0;; esac; exit 1'), "check")
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reading)
    commands.run(sh('test "$LC_ALL" = C'), "check")
