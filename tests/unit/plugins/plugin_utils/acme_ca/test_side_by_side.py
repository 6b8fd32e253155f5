# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in several threads: what is theirs overlaps, what is the calling thread's is done there, and what comes in turn does."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.side_by_side import HomeThread, Turns, rounds

PATIENCE = 60


def test_work_overlaps_and_its_results_are_in_order() -> None:
    together = threading.Barrier(3)

    def work(number: int, item: str) -> str:
        # Nobody gets on unless three are here at the same time.
        together.wait(PATIENCE)
        return f"{number}{item}"

    assert HomeThread().work(work, list("abcdef"), 3) == ["0a", "1b", "2c", "3d", "4e", "5f"]


def test_no_more_at_a_time_than_is_said() -> None:
    lock, here, most = threading.Lock(), [0], [0]
    pause = threading.Event()

    def work(_number: int, _item: int) -> None:
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        pause.wait(0.01)
        with lock:
            here[0] -= 1

    HomeThread().work(work, range(20), 2)
    assert most[0] <= 2


def test_what_only_the_calling_thread_may_do_is_done_there_and_its_errors_are_raised_where_it_was_asked_for() -> None:
    home, me, caught = HomeThread(), threading.get_ident(), []

    def refuse() -> None:
        raise ValueError(str(threading.get_ident()))

    def work(number: int, _item: str) -> int:
        assert threading.get_ident() != me
        if number == 1:
            try:
                home.do(refuse)
            except ValueError as error:
                caught.append(str(error))
        return home.do(threading.get_ident)

    assert home.work(work, ["a", "b", "c"], 3) == [me, me, me]
    assert caught == [str(me)]


def test_turns_are_taken_in_order_whoever_is_fast() -> None:
    turns, told = Turns(4), []

    def work(number: int, _item: int) -> None:
        if number == 2:
            # It needs no turn, and lets nobody overtake those before it.
            turns.pass_on(number)
            return
        turns.await_turn(number)
        told.append(number)
        turns.pass_on(number)

    HomeThread().work(work, range(4), 4)
    assert told == [0, 1, 3]


def test_nobody_waits_for_ever_for_a_turn() -> None:
    """Of two runs for one host, each may have begun with what the other one waits for."""
    Turns(2, longest=0.01).await_turn(1)


def test_an_interrupted_caller_leaves_nobody_waiting() -> None:
    home = HomeThread()
    seen: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    def work(number: int, _item: int) -> None:
        if number == 0:
            home.do(interrupt)
        try:
            home.do(lambda: None)
        except RuntimeError as error:
            seen.append(str(error))

    with pytest.raises(KeyboardInterrupt):
        home.work(work, range(2), 2)
    assert threading.active_count() < 10
    with pytest.raises(RuntimeError, match="nobody is there"):
        home.do(lambda: None)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], []),
        (["a", "b", "c"], [[0, 1, 2]]),
        (["a", "a", "a"], [[0], [1], [2]]),
        # The last waits for the second, which waits for the first.
        (["a", "ab", "c", "b"], [[0, 2], [1], [3]]),
    ],
)
def test_what_shares_a_place_is_in_a_later_round(items: list[str], expected: list[list[int]]) -> None:
    assert list(rounds(items, set)) == expected
