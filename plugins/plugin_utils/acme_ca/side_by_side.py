# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several pieces of work at the same time, most of which wait for somebody else's answer; what only one thread may do, that one does."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def rounds(items: Sequence[Item], places: Callable[[Item], Iterable[str]]) -> Iterator[list[int]]:
    """The numbers of the items in rounds: of those that share a place, each is in a later round than the one before it."""
    left = list(range(len(items)))
    while left:
        now: list[int] = []
        later: list[int] = []
        taken: set[str] = set()
        for number in left:
            mine = set(places(items[number]))
            (later if mine & taken else now).append(number)
            taken |= mine
        yield now
        left = later


# Seconds that one waits for those before it.
LONGEST_WAIT = 60.0


class Turns:
    """What all of them do once, in their order if nobody is slow.

    :param longest: seconds after which one no longer waits. What is before it may wait for another process, which may wait for this one.
    """

    def __init__(self, count: int, longest: float = LONGEST_WAIT) -> None:
        self.over = [threading.Event() for _each in range(count)]
        self.longest = longest

    def await_turn(self, number: int) -> None:
        """Returns when all before this one have had their turn, or take too long."""
        end = time.monotonic() + self.longest
        for each in self.over[:number]:
            each.wait(max(0.0, end - time.monotonic()))

    def pass_on(self, number: int) -> None:
        """This one has had it, or needs none."""
        self.over[number].set()


class HomeThread:
    """Lets other threads have something done by the thread that calls :meth:`work`, one thing after the other.

    A connection to a host is for one thread, and a zone that is read, changed and written is for one at a time.
    """

    def __init__(self) -> None:
        self.wanted: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self.closing = threading.Lock()
        self.closed = False

    def do(self, what: Callable[[], Result]) -> Result:
        """Have it done; for other threads. Raises what it raises."""
        answer: Future[Result] = Future()
        with self.closing:
            if self.closed:
                raise RuntimeError("nobody is there any more to do it")
            self.wanted.put((answer, what))
        return answer.result()

    def work(self, function: Callable[[int, Item], Result], items: Sequence[Item], width: int) -> list[Result]:
        """``function`` of each item and its number, so many at a time; the results in the order of the items.

        Raises what one of them raises, when all have come to their end.
        """
        with ThreadPoolExecutor(width) as pool:
            try:
                ends = [pool.submit(function, number, each) for number, each in enumerate(items)]
                for each in ends:
                    each.add_done_callback(lambda _end: self.wanted.put(None))
                left = len(ends)
                while left:
                    found = self.wanted.get()
                    left -= found is None
                    if found:
                        carry_out(*found)
            finally:
                # Where this thread is interrupted, nobody waits for it in vain.
                self.close()
                pool.shutdown(wait=False, cancel_futures=True)
        return [each.result() for each in ends]

    def close(self) -> None:
        """Nothing more is done for others."""
        with self.closing:
            self.closed = True
            while not self.wanted.empty():
                found = self.wanted.get()
                if found:
                    found[0].set_exception(RuntimeError("nobody is there any more to do it"))


def carry_out(answer: Future[Any], what: Callable[[], Any]) -> None:
    """Do it, for whoever waits for the answer."""
    try:
        result = what()
    except BaseException as error:
        # It is raised where it was asked for. What interrupts this thread is raised here too.
        answer.set_exception(error)
        if not isinstance(error, Exception):
            raise
    else:
        answer.set_result(result)
