# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks of several threads of one process. With a real server: tests/bao."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreBusy
from ansible_collections.fleet.tls.plugins.sub_plugins.store.openbao import OpenBaoStore


class Lease:
    """A lock of another thread, which is lost, or which that thread gives back just when it is looked at."""

    def __init__(self, leases: list[Any], *, lost: bool = False, given_back: bool = False) -> None:
        self.leases, self.lost, self.given_back, self.checked = leases, lost, given_back, 0
        leases.append(self)

    def check(self) -> None:
        self.checked += 1
        if self.given_back:
            self.leases.remove(self)
        if self.lost or self.given_back:
            raise StoreBusy("lost")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> OpenBaoStore:
    monkeypatch.setattr(OpenBaoStore, "refuse_closed", lambda _self: None)
    made = OpenBaoStore.__new__(OpenBaoStore)
    made.leases = []
    return made


def test_a_lock_that_another_thread_gives_back_is_not_lost_and_hides_no_other(store: OpenBaoStore) -> None:
    Lease(store.leases, given_back=True)
    mine = Lease(store.leases)
    store.check_right()
    assert mine.checked == 1


def test_who_lost_a_lock_must_not_write(store: OpenBaoStore) -> None:
    Lease(store.leases, given_back=True)
    Lease(store.leases, lost=True)
    with pytest.raises(StoreBusy):
        store.check_right()
