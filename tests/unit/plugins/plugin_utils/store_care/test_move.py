# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store moved, and moved back; with SIGKILL at each point. Between kinds of stores: tests/bao."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care import move as moving
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.move import move
from ansible_collections.fleet.tls.tests.unit.plugins.plugin_utils.store_care.test_backup import (
    entries_of,
    filled,
    small,
)
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, make_issuer, make_request, make_store, snapshot
from ansible_collections.fleet.tls.tests.unit.support.processes import in_processes, killed_at
from ansible_collections.fleet.tls.tests.unit.support.store_contract import ROW, add, records_of, row, value_of


def same(one: Path, two: Path) -> bool:
    """Whether two stores have the same entries and the same ledger."""
    return entries_of(one) == entries_of(two) and records_of(make_store(one)) == records_of(make_store(two))


def test_there_and_back(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    filled(old)
    before = snapshot(old)
    answer = move(make_store(old), make_store(new))
    assert answer.changed and answer.entries == 9 and same(old, new)
    assert {name: value for name, value in snapshot(old).items() if name != "closed.json"} == before
    with pytest.raises(StoreError, match=f"is closed: it was moved to the store {new}"):
        make_issuer(old).issue([make_request()], NOW)
    # Again: nothing to do. Then the new one is used, and moved back to where the old one lies still.
    assert not move(make_store(old), make_store(new)).changed
    make_issuer(new).issue([make_request(request_id="request-0009", host="web2")], NOW)
    assert not same(old, new)
    assert move(make_store(new), make_store(old)).changed
    assert same(old, new)
    make_issuer(old).issue([make_request(request_id="request-0010")], NOW)
    with pytest.raises(StoreError, match=f"is closed: it was moved to the store {old}"):
        make_store(new).get("passphrase.json")


def test_what_was_retired_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    """The place that is moved back to still has it from before."""
    old, new = tmp_path / "old", tmp_path / "new"
    filled(old)
    move(make_store(old), make_store(new))
    retired = next(name for name in make_store(new).names() if name.endswith(".key"))
    assert make_store(new).discard(retired)
    move(make_store(new), make_store(old))
    assert retired not in make_store(old).names() and same(old, new)


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "old")
    before = snapshot(tmp_path)
    assert move(make_store(tmp_path / "old"), make_store(tmp_path / "new"), check_mode=True).entries == 9
    assert snapshot(tmp_path) == before and not (tmp_path / "new").exists()


def test_killed_anywhere_it_is_finished_by_the_next(tmp_path: Path) -> None:
    half = 0
    for number in range(1, 400):
        old, new = tmp_path / f"old-{number}", tmp_path / f"new-{number}"
        small(old)
        killed = killed_at(lambda: move(make_store(old), make_store(new)), number)  # noqa: B023
        usable = [path for path in (old, new) if path.exists() and make_store(path).closed() is None]
        # Never two that a run could use: what is new and not closed is all there.
        if new in usable and (new / "closed.json").exists():
            assert usable == [new] and same(old, new)
        half += old not in usable and new not in usable
        move(make_store(old), make_store(new))
        assert same(old, new)
        assert make_store(new).closed() is None and "it was moved to" in str(make_store(old).closed())
        if not killed:
            break
    else:
        pytest.fail("it does not end")
    assert half > 5


def test_what_a_run_wrote_is_never_left_behind(tmp_path: Path) -> None:
    """It writes until it is told that the store is closed; all that it was told is written has moved."""
    old, new = tmp_path / "old", tmp_path / "new"
    small(old)

    def write() -> tuple[int, str]:
        store, version, number = make_store(old), None, 0
        while True:
            try:
                version = store.put("number", str(number + 1).encode(), expect=version)
                number += 1
                add(store, row(request_id=f"r{number}", fingerprint=f"r{number}"))
            except StoreError as error:
                return number, str(error)

    def leave() -> None:
        while value_of(make_store(old), "number") is None:
            time.sleep(0.01)
        move(make_store(old), make_store(new))

    (number, words), _moved = in_processes([write, leave])
    assert "is closed: it is being moved to" in words or "is closed: it was moved to" in words
    assert value_of(make_store(new), "number") == str(number).encode()
    assert len(records_of(make_store(new))) - 2 in (number - 1, number)


def test_what_fails_leaves_the_old_one_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    filled(old)

    def full(*_arguments: object) -> None:
        raise StoreError("No space left")

    with monkeypatch.context() as patch:
        patch.setattr(moving, "fill", full)
        with pytest.raises(StoreError, match="No space left"):
            move(make_store(old), make_store(new))
    assert make_store(old).closed() is None
    make_issuer(old).issue([make_request(request_id="request-0009", host="web2")], NOW)
    with pytest.raises(StoreError, match="is closed: it is being filled from"):
        make_store(new).get("a")
    move(make_store(old), make_store(new))
    assert same(old, new)


def test_refused_before_anything_is_touched(tmp_path: Path) -> None:
    old, other = tmp_path / "old", tmp_path / "other"
    filled(old)
    add(make_store(other), row(request_id="another"))
    before = snapshot(tmp_path)
    with pytest.raises(SpecError, match="tls_store_target is the store itself"):
        move(make_store(old), make_store(old))
    with pytest.raises(SpecError, match="tls_store_target lies in the store"):
        move(make_store(old), make_store(old / "new"))
    with pytest.raises(SpecError, match="tls_store lies in the store"):
        move(make_store(old), make_store(tmp_path))
    with pytest.raises(StoreError, match="tls_store_target: .* is not empty"):
        move(make_store(old), make_store(other))
    with pytest.raises(StoreError, match="is empty"):
        move(make_store(tmp_path / "none"), make_store(tmp_path / "new"))
    move(make_store(other), make_store(tmp_path / "new"))
    with pytest.raises(StoreError, match="is closed: it was moved to"):
        move(make_store(other), make_store(tmp_path / "newer"))
    with pytest.raises(StoreError, match="tls_store_target: .* is closed"):
        move(make_store(old), make_store(other))
    after = snapshot(tmp_path)
    assert {name: after[name] for name in before if name.startswith("old/")} == {
        name: value for name, value in before.items() if name.startswith("old/")
    }


def test_a_ledger_that_went_another_way_is_not_mixed(tmp_path: Path) -> None:
    """Somebody opened the old one by hand and used it."""
    old, new = tmp_path / "old", tmp_path / "new"
    filled(old)
    move(make_store(old), make_store(new))
    left = make_store(old)
    left.uses_closed = True
    add(left, row(request_id="by-hand", fingerprint="by-hand"))
    add(make_store(new), row(request_id="as-it-should", fingerprint=ROW.fingerprint + "9"))
    with pytest.raises(StoreError, match="has another ledger"):
        move(make_store(new), make_store(old))
    assert make_store(new).closed() is None
