# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token that does not answer is waited for so long; a queue before it is no fault of the token's."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.keys.patience import Pause, TooSlow, within


@contextlib.contextmanager
def queue(seconds: float) -> Iterator[None]:
    time.sleep(seconds)
    yield


def test_a_turn_that_is_waited_for_does_not_count() -> None:
    pause = Pause()

    def work() -> str:
        with pause(queue(2.5)):
            return "done"

    assert within(2, work, pause) == "done"


def test_what_hangs_in_its_turn_or_without_one_is_given_up() -> None:
    ended, pause = threading.Event(), Pause()

    def work() -> None:
        with pause(contextlib.nullcontext()):
            ended.wait(300)

    try:
        with pytest.raises(TooSlow):
            within(0.2, work, pause)
        with pytest.raises(TooSlow):
            within(0.2, lambda: ended.wait(300))
    finally:
        ended.set()


def test_an_error_is_the_callers() -> None:
    pause = Pause()

    def work() -> None:
        with pause(contextlib.nullcontext()):
            raise KeyError("no such key")

    with pytest.raises(KeyError, match="no such key"):
        within(60, work, pause)
