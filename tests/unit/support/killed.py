# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in a child process that is killed just before one of its changes to the file system. Also for Python 3.9."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Callable

CHANGES = frozenset(
    "open os.rename os.symlink os.link os.remove os.rmdir os.mkdir os.chmod os.chown os.truncate subprocess.Popen".split()
)


def run_killed(work: Callable[[], object], before: int, folder: Path) -> bool:
    """Do ``work`` in a child that is killed just before its change number ``before``; whether it came to its end first.

    :param folder: files that are opened elsewhere do not count.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            # In a directory that is open, a file that is being made has a hidden name.
            if event not in CHANGES or (event == "open" and not str(arguments[0]).startswith((str(folder), "."))):
                return
            count += 1
            if count == before:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            work()
        finally:
            os._exit(0)
    _pid, status = os.waitpid(child, 0)
    return os.WIFEXITED(status)
