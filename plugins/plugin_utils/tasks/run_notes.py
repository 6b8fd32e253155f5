# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks of one run of ansible-playbook tell each other, though each host's runs in a process of its own.

Notes are files in the directory that Ansible makes for one run, and removes with it; nobody else may read there. No secret is noted.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ansible import constants as C


class RunNote:
    """One note, a JSON object, which the first that wants it writes, and the others read.

    :param words: what it is about; different words, different notes.
    """

    def __init__(self, *words: str) -> None:
        name = hashlib.sha256(json.dumps(words).encode()).hexdigest()
        self.path = directory() / f"fleet-tls-{name}.json"

    @contextlib.contextmanager
    def held(self) -> Iterator[dict[str, Any] | None]:
        """What it says, None: nothing yet. Whoever comes meanwhile waits."""
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield json.loads(self.path.read_bytes()) if self.path.exists() else None

    def write(self, content: dict[str, Any]) -> None:
        """To be done while it is held. Whole or not at all: others read it, though this process may be ended."""
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(content))
        new.replace(self.path)


def note_clock(host: str, skew: float) -> None:
    """By how many seconds a host's clock is ahead of the controller's."""
    line = json.dumps([host, skew]) + "\n"
    # One write(2) of a short line: lines of several processes do not mix.
    descriptor = os.open(clocks_path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def noted_clocks() -> dict[str, float]:
    """Host → the skew that was noted last in this run."""
    with contextlib.suppress(FileNotFoundError):
        return dict(json.loads(line) for line in clocks_path().read_text().splitlines())
    return {}


def clocks_path() -> Path:
    """Where they are noted."""
    return directory() / "fleet-tls-clocks"


def note_lists(pem: Iterable[str]) -> None:
    """Revocation lists (PEM) that hosts have and that may be newer than the store's, for whoever signs the next ones."""
    note = RunNote("lists")
    with note.held() as known:
        note.write({"pem": list(dict.fromkeys([*(known or {}).get("pem", ()), *pem]))})


def noted_lists() -> tuple[str, ...]:
    """All that were noted in this run."""
    with RunNote("lists").held() as known:
        return tuple((known or {}).get("pem", ()))


def directory() -> Path:
    """The run's own directory."""
    return Path(C.DEFAULT_LOCAL_TMP)  # type: ignore[attr-defined]
