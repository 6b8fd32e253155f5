# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that may hang, such as a token that does not answer: it is waited for so long and no longer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

T = TypeVar("T")


class TooSlow(Exception):
    """It was not done in time, and goes on in its thread, which ends with the process."""


class Pause:
    """Times that do not count, such as those in which others are waited for."""

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.lasts = False

    @contextlib.contextmanager
    def __call__(self, others: AbstractContextManager[Any]) -> Iterator[None]:
        """Enter ``others``, however long that takes; from then on time counts, from the beginning."""
        self.lasts = True
        try:
            with others:
                self.since, self.lasts = time.monotonic(), False
                yield
        finally:
            if self.lasts:
                self.since, self.lasts = time.monotonic(), False

    def left(self, limit: float) -> float:
        """Seconds of the limit that are left."""
        return limit if self.lasts else self.since + limit - time.monotonic()


def within(limit: float, work: Callable[[], T], pause: Pause | None = None) -> T:
    """What ``work`` returns, or raises.

    :param limit: seconds.
    :param pause: what of it does not count.
    :raises TooSlow: it takes longer.
    """
    pause = pause or Pause()
    results: list[Any] = []

    def run() -> None:
        try:
            results.append((True, work()))
        except BaseException as error:
            results.append((False, error))

    thread = threading.Thread(target=run, daemon=True, name="fleet-tls-key")
    thread.start()
    while not results:
        left = pause.left(limit)
        if left <= 0:
            raise TooSlow
        thread.join(left)
    done, value = results[0]
    if done:
        return value  # type: ignore[no-any-return]
    raise value
