# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook run as its own family of processes, so that a test can end all of it in one moment, as a power cut does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

from tools.playbook import ansible_environment, playbook_command

MARK = "FLEET_TLS_TEST_FAMILY"


class Family:
    """A run that was started and not waited for.

    Workers of ansible-playbook are leaders of sessions of their own, so no process group holds them all: they are known by a mark in
    their environment, which every process they start inherits.
    """

    def __init__(self, playbook: Path, inventory: Path) -> None:
        self.mark = f"{MARK}={uuid.uuid4()}"
        name, _equals, value = self.mark.partition("=")
        command = playbook_command(playbook, inventory)
        self.process = subprocess.Popen(
            command,
            env=ansible_environment(extra={name: value}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def members(self) -> list[int]:
        """The process ids of all of the family that live."""
        found = []
        for each in os.listdir("/proc"):
            if each.isdigit():
                with contextlib.suppress(OSError):
                    if self.mark.encode() in Path("/proc", each, "environ").read_bytes().split(b"\0"):
                        found.append(int(each))
        return found

    def kill(self) -> None:
        """End all of them with SIGKILL; returns when none is left."""
        self.process.send_signal(signal.SIGKILL)
        while members := self.members():
            for each in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            time.sleep(0.001)
        self.process.communicate(timeout=30)

    def kill_controller_only(self) -> None:
        """End ansible-playbook itself; what it had started on the hosts runs on to its end, as it does behind a lost connection."""
        self.process.send_signal(signal.SIGKILL)
        end = time.monotonic() + 60
        while self.members() and time.monotonic() < end:
            time.sleep(0.02)
        assert not self.members()
        self.process.communicate(timeout=30)
