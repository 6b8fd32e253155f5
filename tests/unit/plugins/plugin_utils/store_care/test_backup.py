# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups while runs go on, and put in place; with SIGKILL at each point."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import breaks
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import CLOSED_ENTRY
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.backup import UNFINISHED, back_up, restore
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.copies import MANIFEST, NOT_COPIED
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, make_issuer, make_request, make_store, snapshot
from ansible_collections.fleet.tls.tests.unit.support.processes import FORK, killed_at
from ansible_collections.fleet.tls.tests.unit.support.store_contract import ROW, add, records_of, revoke, row, value_of


def filled(path: Path) -> None:
    """A store with a CA, a certificate and a revocation."""
    issuer = make_issuer(path)
    issuer.issue([make_request()], NOW)
    add(make_store(path), ROW)
    revoke(make_store(path), ROW.serial)


def small(path: Path) -> None:
    """A store of little: there are fewer points to be killed at."""
    for key in ("ca/internal/ca.json", "passphrase.json"):
        make_store(path).put(key, b"{}", expect=None)
    add(make_store(path), ROW)
    revoke(make_store(path), ROW.serial)


def entries_of(path: Path) -> dict[str, bytes]:
    """The entries of a store, as files, less what a copy does not have."""
    files = snapshot(path, without=("locks", ".gitignore", "ledger.sqlite3", "ledger.sqlite3-journal"))
    return {key: value for key, value in files.items() if key not in NOT_COPIED and ".new-" not in key}


def test_there_and_back(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    answer = back_up(make_store(tmp_path / "store"), str(tmp_path / "backups"), NOW)
    assert answer.path == str(tmp_path / "backups/20261123T100000Z") and answer.entries == 9
    (record,) = records_of(make_store(tmp_path / "store"))[-1:]
    assert answer.head == str(record.head)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "backups").rglob("*") if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "backups").rglob("*") if path.is_file()} == {
        0o600
    }
    put = restore(make_store(tmp_path / "new"), answer.path)
    assert (put.entries, put.head) == (answer.entries, answer.head)
    for copy in (Path(answer.path), tmp_path / "new"):
        assert entries_of(copy) == entries_of(tmp_path / "store")
        assert records_of(make_store(copy)) == records_of(make_store(tmp_path / "store"))
    # It goes on where it was: the CA signs, the chain goes on.
    assert make_issuer(tmp_path / "new").issue([make_request(request_id="request-0009")], NOW)
    assert list(breaks(records_of(make_store(tmp_path / "new")))) == []


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    before = snapshot(tmp_path, without=())
    assert back_up(make_store(tmp_path / "store"), str(tmp_path / "backups"), NOW, check_mode=True).changed
    assert snapshot(tmp_path, without=("entries.lock",)) == {
        name: value for name, value in before.items() if "entries.lock" not in name
    }
    path = back_up(make_store(tmp_path / "store"), str(tmp_path / "backups"), NOW).path
    assert restore(make_store(tmp_path / "new"), path, check_mode=True).changed
    assert not (tmp_path / "new").exists()


def test_two_of_one_second(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    paths = {back_up(make_store(tmp_path / "store"), str(tmp_path / "backups"), NOW).path for _each in range(3)}
    assert {Path(path).name for path in paths} == {f"20261123T100000Z{number}" for number in ("", "-2", "-3")}


def test_a_backup_shows_one_moment_while_runs_go_on(tmp_path: Path) -> None:
    def write() -> None:
        store, version, number = make_store(tmp_path / "store"), None, 0
        while True:
            number += 1
            version = store.put("a", str(number).encode(), expect=version)
            add(store, row(request_id=f"r{number}", serial=str(number), fingerprint=f"f{number}"))
            store.put(f"keys/web1/{number}", b"x", expect=None)

    writer = FORK.Process(target=write)
    writer.start()
    try:
        numbers = []
        while len(numbers) < 8 or len(set(numbers)) < 4:
            path = Path(back_up(make_store(tmp_path / "store"), str(tmp_path / "backups"), NOW).path)
            copy = make_store(path)
            records = records_of(copy)
            number = int(value_of(copy, "a") or 0)
            assert list(breaks(records)) == []
            assert number - len(records) in (0, 1)
            assert len([key for key in copy.names() if key.startswith("keys/")]) in (len(records) - 1, len(records))
            numbers.append(number)
            shutil.rmtree(path)
    finally:
        writer.kill()
        writer.join()


def test_a_backup_that_is_killed_anywhere_is_there_or_not(tmp_path: Path) -> None:
    small(tmp_path / "store")
    seen = set()
    for number in range(1, 300):
        folder = tmp_path / "backups"
        killed = killed_at(lambda: back_up(make_store(tmp_path / "store"), str(folder), NOW), number)  # noqa: B023
        whole = [path for path in folder.glob("*") if not path.name.startswith(UNFINISHED)]
        for path in whole:
            restore(make_store(tmp_path / "new"), str(path))
            shutil.rmtree(tmp_path / "new")
        seen.add(len(whole))
        assert list((tmp_path / "store").rglob("backup.json")) == []
        assert back_up(make_store(tmp_path / "store"), str(folder), NOW).path
        assert not list(folder.glob(f"{UNFINISHED}*"))
        shutil.rmtree(folder)
        if not killed:
            break
    else:
        pytest.fail("it does not end")
    assert number > 15 and seen == {0, 1}


def test_a_restore_that_is_killed_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    small(tmp_path / "store")
    path = back_up(make_store(tmp_path / "store"), str(tmp_path / "backups"), NOW).path
    half = 0
    for number in range(1, 300):
        target = tmp_path / str(number)
        killed = killed_at(lambda: restore(make_store(target), path), number)  # noqa: B023
        if (target / CLOSED_ENTRY).exists() and make_store(target).closed():
            half += 1
            # No run makes a CA of its own in what is half there.
            with pytest.raises(StoreError, match="is closed: the backup .* is being put into it"):
                make_issuer(target).prepare(NOW)
        if killed and not (make_store(target).closed() is None and entries_of_or_none(target)):
            restore(make_store(target), path)
        assert entries_of(target) == entries_of(tmp_path / "store")
        assert records_of(make_store(target)) == records_of(make_store(tmp_path / "store"))
        assert make_store(target).closed() is None
        if not killed:
            break
    else:
        pytest.fail("it does not end")
    assert half > 5


def entries_of_or_none(path: Path) -> dict[str, bytes]:
    """As :func:`entries_of`, of what may not be there."""
    return entries_of(path) if path.exists() else {}


def test_what_holds_something_is_not_replaced(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    path = back_up(make_store(tmp_path / "store"), str(tmp_path / "backups"), NOW).path
    before = snapshot(tmp_path / "store")
    add(make_store(tmp_path / "rows"), ROW)
    for taken in ("store", "rows"):
        with pytest.raises(StoreError, match="is not empty") as caught:
            restore(make_store(tmp_path / taken), path)
        assert caught.value.remedy
    assert snapshot(tmp_path / "store") == before


@pytest.mark.parametrize("damage", ["changed", "missing", "more", "row", "cut", "manifest", "database"])
def test_a_backup_that_is_not_whole_is_refused(damage: str, tmp_path: Path) -> None:
    filled(tmp_path / "store")
    backup = Path(back_up(make_store(tmp_path / "store"), str(tmp_path / "backups"), NOW).path)
    with contextlib.closing(sqlite3.connect(backup / "ledger.sqlite3")) as ledger:
        if damage == "row":
            ledger.executescript("UPDATE issuance SET host = 'evil'")
        if damage == "cut":
            ledger.executescript("DELETE FROM record WHERE number = 3; DELETE FROM revocation")
    if damage == "changed":
        (backup / "ca/internal/ca.json").write_bytes(b"{}")
    if damage == "missing":
        (backup / "ca/internal/root-1.key").unlink()
    if damage == "more":
        (backup / "ca/internal/root-9.key").write_bytes(b"x")
    if damage == "manifest":
        (backup / MANIFEST).write_bytes(b"{}")
    if damage == "database":
        (backup / "ledger.sqlite3").write_bytes(b"garbage " * 1000)
    with pytest.raises(StoreError) as caught:
        restore(make_store(tmp_path / "new"), str(backup))
    assert caught.value.remedy and not (tmp_path / "new").exists()


def test_a_broken_ledger_is_backed_up_as_it_is(tmp_path: Path) -> None:
    """It is all there is; verify says what is wrong with it."""
    filled(tmp_path / "store")
    with contextlib.closing(sqlite3.connect(tmp_path / "store/ledger.sqlite3")) as ledger:
        ledger.executescript("DELETE FROM issuance WHERE id = 1; UPDATE issuance SET host = 'evil'")
    path = back_up(make_store(tmp_path / "store"), str(tmp_path / "backups"), NOW).path
    restore(make_store(tmp_path / "new"), path)
    broken = list(breaks(records_of(make_store(tmp_path / "store"))))
    assert len(broken) == 2 and list(breaks(records_of(make_store(tmp_path / "new")))) == broken


@pytest.mark.parametrize("path", ["relative", "", None, "/nowhere\n"])
def test_paths(path: str | None, tmp_path: Path) -> None:
    filled(tmp_path)
    for work in (lambda: back_up(make_store(tmp_path), path, NOW), lambda: restore(make_store(tmp_path), path)):
        with pytest.raises(SpecError, match="tls_store_backup") as caught:
            work()
        assert caught.value.remedy


def test_a_backup_in_the_store_itself(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    (tmp_path / "link").symlink_to(tmp_path / "store")
    for path in ("store", "store/backups", "link/backups"):
        with pytest.raises(SpecError, match="tls_store_backup lies in the store") as caught:
            back_up(make_store(tmp_path / "store"), str(tmp_path / path), NOW)
        assert caught.value.remedy


def test_what_another_store_has_begun_beside_it_stays(tmp_path: Path) -> None:
    small(tmp_path / "store")
    small(tmp_path / "other")
    folder = tmp_path / "backups"
    assert killed_at(lambda: back_up(make_store(tmp_path / "other"), str(folder), NOW), 30)
    (begun,) = folder.iterdir()
    back_up(make_store(tmp_path / "store"), str(folder), NOW)
    assert begun.exists()
    back_up(make_store(tmp_path / "other"), str(folder), NOW)
    assert not begun.exists()


def test_no_backup_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no backup in") as caught:
        restore(make_store(tmp_path / "store"), str(tmp_path))
    assert caught.value.remedy
    (tmp_path / "file").touch()
    filled(tmp_path / "store")
    with pytest.raises(StoreError, match="a backup cannot be written to") as full:
        back_up(make_store(tmp_path / "store"), str(tmp_path / "file"), NOW)
    assert full.value.remedy
