# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the results of a scan go: into the task's result, or one by one into a file, when there are too many to have them all at once."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError

# Of a scan whose results are in a file, so many endpoints with problems are in the task's result too.
MOST_SHOWN = 200
# Seconds without a word at first, and between two.
PATIENCE = 5.0


class Results:
    """All results, in the order of the endpoints."""

    def __init__(self, total: int) -> None:
        self._entries: list[dict[str, Any]] = [{} for _each in range(total)]
        self._counts = dict.fromkeys(("endpoints", "reachable", "unreachable", "trusted", "with_problems"), 0)

    def keep(self, place: int, entry: dict[str, Any]) -> None:
        """Take one."""
        self.count(entry)
        self._entries[place] = entry

    def count(self, entry: Mapping[str, Any]) -> None:
        """Only count it."""
        self._counts["endpoints"] += 1
        self._counts["reachable" if entry["reachable"] else "unreachable"] += 1
        self._counts["trusted"] += entry["trusted"] is True
        self._counts["with_problems"] += has_problems(entry)

    def close(self) -> None:
        """All are there."""

    def abandon(self) -> None:
        """They will not come."""

    def result(self) -> dict[str, Any]:
        """What the task returns."""
        return {"endpoints": self._entries, "counts": dict(self._counts)}


class ResultsFile(Results):
    """Results that go into a file, one JSON text a line, as they come; of those with problems a few are kept besides.

    The file is there as a whole or not at all, and readable for its owner alone.

    :raises SpecError: it cannot be written.
    """

    def __init__(self, path: str) -> None:
        super().__init__(0)
        self._path = path
        self._left_out = 0
        folder = os.path.dirname(path) or "."
        try:
            if os.path.isdir(path):
                raise IsADirectoryError(21, os.strerror(21))
            descriptor, self._temporary = tempfile.mkstemp(prefix=".new-", dir=folder)
        except OSError as error:
            raise SpecError(
                f"results_file: {path} cannot be written: {error.strerror}",
                remedy="give a path in a directory that is there, on the controller",
            ) from None
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")

    def keep(self, place: int, entry: dict[str, Any]) -> None:
        """Write one."""
        self.count(entry)
        self._file.write(json.dumps(entry, separators=(",", ":")) + "\n")
        if has_problems(entry):
            if len(self._entries) < MOST_SHOWN:
                self._entries.append(entry)
            else:
                self._left_out += 1

    def close(self) -> None:
        """Put the file in its place."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temporary, self._path)

    def abandon(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)

    def result(self) -> dict[str, Any]:
        """What the task returns."""
        return {**super().result(), "results_file": self._path, "endpoints_left_out": self._left_out}


class Announcer:
    """Tells how far a scan is, when it takes long."""

    def __init__(self, say: Callable[[str], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._next = clock() + PATIENCE

    def __call__(self, done: int, total: int) -> None:
        """So many of so many are done."""
        if self._clock() >= self._next and done < total:
            self._next = self._clock() + PATIENCE
            self._say(f"fleet.tls.endpoint_info: {done} of {total} endpoints")


def has_problems(entry: Mapping[str, Any]) -> bool:
    """Whether somebody has to look at it."""
    return bool(entry["problems"] or entry["error"] or not entry["reachable"])
