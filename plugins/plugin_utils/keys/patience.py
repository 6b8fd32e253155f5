# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that may hang, such as a token that does not answer: it is waited for so long and no longer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class TooSlow(Exception):
    """It was not done in time, and goes on in its thread, which ends with the process."""


def within(limit: float, work: Callable[[], T]) -> T:
    """What ``work`` returns, or raises.

    :param limit: seconds.
    :raises TooSlow: it takes longer.
    """
    results: list[Any] = []

    def run() -> None:
        try:
            results.append((True, work()))
        except BaseException as error:
            results.append((False, error))

    thread = threading.Thread(target=run, daemon=True, name="fleet-tls-key")
    thread.start()
    thread.join(limit)
    if not results:
        raise TooSlow
    done, value = results[0]
    if done:
        return value  # type: ignore[no-any-return]
    raise value
