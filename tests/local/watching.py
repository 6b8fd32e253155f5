# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs show of themselves while they go on: command lines, environments, and files with private keys."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from local.family import parent_of, process_ids


@dataclass
class Watch:
    """What was seen while runs went on. Command lines and environments are kept as they are: which bytes are secret is known later."""

    folder: Path
    processes: set[bytes] = field(default_factory=set)
    open_files: set[str] = field(default_factory=set)
    keys: dict[bytes, str] = field(default_factory=dict)
    rounds: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def watch_processes(self) -> None:
        """All command lines and environments of what these tests start, over and over."""
        mine, strangers = {os.getpid()}, set[int]()
        while not self.over.is_set():
            for each in process_ids():
                if each in strangers:
                    continue
                if each not in mine and parent_of(each) not in mine:
                    strangers.add(each)
                    continue
                mine.add(each)
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.processes.add(Path("/proc", str(each), name).read_bytes())
            self.rounds += 1

    def watch_files(self) -> None:
        """All files below the folder, over and over."""
        while not self.over.is_set():
            self.look_at_files()
            time.sleep(0.005)

    def look_at_files(self) -> None:
        """Keep every private key that is seen, and the name of every file with one that others can read."""
        for folder, _folders, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(OSError):
                    self.look_at_file(os.path.join(folder, name))

    def look_at_file(self, path: str) -> None:
        """One file."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            content = stream.read()
            if b"PRIVATE KEY" not in content:
                return
            # After reading: a mode that was narrowed before the content came has been right all along.
            mode = os.fstat(stream.fileno()).st_mode
            if "-tmp/" in path:
                # Ansible's own temporary files: it is their directory, 0700, that keeps others out.
                mode &= os.stat(os.path.dirname(path)).st_mode | 0o7700
            if mode & 0o077:
                self.open_files.add(path)
            if path.endswith("privkey.pem"):
                self.keys[content] = path


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[Watch]:
    """Two threads that look, as long as the block lasts."""
    watch = Watch(folder)
    threads = [threading.Thread(target=work, daemon=True) for work in (watch.watch_processes, watch.watch_files)]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        watch.over.set()
        for thread in threads:
            thread.join(timeout=300)
        watch.look_at_files()


# Before it becomes openssl: a process that lives for a millisecond is seldom seen from outside.
OPENSSL = """#!/bin/sh
cat /proc/$$/cmdline /proc/$$/environ > "{seen}/$$"
exec {openssl} "$@"
"""


def told(folder: Path) -> str:
    """A PATH with an ``openssl`` that leaves command line and environment of each of its processes in ``folder``."""
    program = folder / "bin" / "openssl"
    program.parent.mkdir()
    (folder / "seen").mkdir()
    program.write_text(OPENSSL.format(seen=folder / "seen", openssl=shutil.which("openssl")))
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def found_in(text: bytes, secrets: dict[bytes, str]) -> list[str]:
    """Whose secrets are in a text."""
    return sorted({where for secret, where in secrets.items() if secret in text})
