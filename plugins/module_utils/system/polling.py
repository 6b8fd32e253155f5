# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask again until it shows: servers answer with the old state for a moment after a reload."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

Answer = TypeVar("Answer")

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25
GROWTH = 1.5


def ask_until(
    ask: Callable[[float], Answer],
    shows: Callable[[Answer], bool],
    timeout: float,
    *,
    first: float = FIRST_PAUSE,
    longest: float = LONGEST_PAUSE,
) -> Answer:
    """The first answer that shows what is waited for, or the last one before the time is up. It is asked once at least.

    :param ask: gets the seconds that are left, none below 0.
    :param timeout: seconds.
    :param first, longest: pauses between two questions, which grow from one to the other.
    """
    end = time.monotonic() + timeout
    pause = first
    while True:
        answer = ask(max(0.0, end - time.monotonic()))
        if shows(answer) or time.monotonic() + pause > end:
            return answer
        time.sleep(pause)
        pause = min(pause * GROWTH, longest)
