# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store under several processes, some of which get SIGKILL."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance
from ansible_collections.fleet.tls.tests.unit.support.pki import make_store
from ansible_collections.fleet.tls.tests.unit.support.processes import killed_after, killed_at

ROW = Issuance("request-0001", "i", "h", "c", "s", "f", "k", ("n",), 1, 2, 3, "r", "x" * 5000)


@pytest.mark.parametrize("present", [False, True])
def test_a_put_that_is_killed_anywhere_leaves_the_old_or_the_new(tmp_path: Path, present: bool) -> None:
    seen = set()
    for number in range(1, 60):
        store = make_store(tmp_path / f"store-{number}")
        version = store.put("ca/a", b"old", expect=None) if present else None
        killed = killed_at(lambda: store.put("ca/a", b"new", expect=version), number)  # noqa: B023
        entry = store.get("ca/a")
        value = entry.value if entry else None
        assert value in (b"new", b"old" if present else None)
        seen.add(value)
        store.put("ca/a", b"next", expect=entry.version if entry else None)
        assert not list((tmp_path / f"store-{number}").rglob(".new-*"))
        if not killed:
            break
    else:
        pytest.fail("it does not end")
    assert number > 5 and seen == {b"new", b"old" if present else None}


def test_a_recording_that_is_killed_anywhere_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    def record() -> None:
        while True:
            with make_store(tmp_path / "store").ledger() as ledger:
                for _each in range(3):
                    ledger.add(ROW)

    for number in range(15):
        assert killed_after(record, 0.002 + 0.004 * number)
        assert len(list(make_store(tmp_path / "store").issuances())) % 3 == 0
    # A busy machine may have come to nothing in so little time.
    for seconds in (1.0, 5.0, 20.0):
        if list(make_store(tmp_path / "store").issuances()):
            return
        assert killed_after(record, seconds)
    assert list(make_store(tmp_path / "store").issuances())
