# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, StoreBusy, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.store import sqlite_file
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import breaks
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Revocation
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sqlite_ledger import COLUMNS, PUT_ROW, columns_of
from ansible_collections.fleet.tls.plugins.sub_plugins.store.directory import DirectoryStore
from ansible_collections.fleet.tls.tests.unit.support.disks import needs_root, remount, small_disk
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE, make_store
from ansible_collections.fleet.tls.tests.unit.support.store_contract import (
    ODD_KEYS,
    ROW,
    OpenStore,
    StoreContract,
    add,
    records_of,
    revoke,
    row,
    value_of,
)

__all__ = ["small_disk"]


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    return lambda **changes: DirectoryStore({"path": str(tmp_path / "store"), "passphrase": PASSPHRASE, **changes})


class TestDirectory(StoreContract):
    """The contract."""


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(root: Path) -> dict[str, str]:
    """Everything below ``root`` with its mode."""
    return {str(path.relative_to(root)): f"{stat.S_IMODE(path.stat().st_mode):04o}" for path in sorted(root.rglob("*"))}


def test_the_same_value_has_the_same_version(tmp_path: Path) -> None:
    version = make_store(tmp_path).put("a", b"one", expect=None)
    assert make_store(tmp_path).put("a", b"one", expect=version) == version


def test_modes_whatever_the_umask(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    with umask(0o000):
        store.put("ca/internal/root-1.key", b"x", expect=None)
        add(store, ROW)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert modes(tmp_path / "store") == {
        "ca": "0700", "ca/internal": "0700", "ca/internal/root-1.key": "0600", "ledger.sqlite3": "0600",
        "locks": "0700", "locks/entries.lock": "0600", ".gitignore": "0600",
    }  # fmt: skip


def test_no_repository_takes_it_in(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    (tmp_path / "store").mkdir(mode=0o700)
    (tmp_path / "store/ledger.sqlite3").touch()  # of an earlier release
    make_store(tmp_path / "store").put("ca/internal/root-1.key", b"x", expect=None)
    (tmp_path / "inventory.yml").touch()
    git("add", ".")
    assert git("ls-files").split() == ["inventory.yml"]
    (tmp_path / "store/.gitignore").write_text("chosen\n")
    make_store(tmp_path / "store").put("ca/internal/root-2.key", b"x", expect=None)
    assert (tmp_path / "store/.gitignore").read_text() == "chosen\n"


def test_a_store_that_others_can_read_is_closed(tmp_path: Path) -> None:
    make_store(tmp_path / "store").put("ca/a", b"x", expect=None)
    (tmp_path / "store").chmod(0o755)
    make_store(tmp_path / "store").put("ca/b", b"x", expect=None)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


def test_a_directory_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    (tmp_path / "home/hosts.yml").write_text("all:")
    with pytest.raises(StoreError, match="holds other things than a store") as caught:
        make_store(tmp_path / "home").put("a", b"x", expect=None)
    assert caught.value.remedy
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["hosts.yml"]
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o755
    with pytest.raises(StoreError, match="is no directory"):
        make_store(tmp_path / "home/hosts.yml").put("a", b"x", expect=None)
    (tmp_path / "empty").mkdir(mode=0o755)
    make_store(tmp_path / "empty").put("a", b"x", expect=None)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_keys_that_could_lead_elsewhere(key: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a valid store key"):
        make_store(tmp_path / "store").put(key, b"x", expect=None)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"x"]


def test_reading_makes_nothing(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    assert store.get("a") is None and list(store.issuances()) == []
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("path", [None, "", "tls-store", "./x", "../x", "~nobody-of-that-name/x"])
def test_paths_that_are_refused(path: str | None) -> None:
    with pytest.raises(SpecError, match="store: path") as caught:
        DirectoryStore({"path": path})
    assert caught.value.remedy


def test_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert DirectoryStore({"path": "~/x/../tls"}).root == tmp_path / "tls"


def test_a_ledger_of_before_revocation(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    add(store, ROW)
    with contextlib.closing(store.file.connect()) as connection:
        connection.execute("DROP TABLE revocation")
    assert list(store.revocations("internal")) == []
    with store.ledger() as ledger:
        assert ledger.find("internal", "request-0001", "ef") == ROW
        ledger.revoke("ab", "superseded", 10)
    assert list(store.revocations("internal")) == [Revocation(ROW, "superseded", 10)]


def test_a_ledger_of_before_the_chain_goes_on(tmp_path: Path) -> None:
    """Written by an earlier release, then by this one, then by the earlier one again, and so on."""
    newer = row(request_id="request-0002", fingerprint="f2", issued_at=4)
    for number in range(3):
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)) as earlier:
            earlier.execute(f"CREATE TABLE IF NOT EXISTS issuance (id INTEGER PRIMARY KEY, {', '.join(COLUMNS)})")
            earlier.execute(
                "CREATE TABLE IF NOT EXISTS revocation (id INTEGER PRIMARY KEY, fingerprint UNIQUE, reason, revoked_at)"
            )
            earlier.execute(PUT_ROW, columns_of(replace(ROW, fingerprint=f"old-{number}")))
            earlier.execute(
                "INSERT INTO revocation (fingerprint, reason, revoked_at) VALUES (?, ?, ?)",
                (f"old-{number}", "superseded", 9),
            )
        # Whoever only looks changes nothing, and sees all of it.
        before = (tmp_path / "ledger.sqlite3").read_bytes()
        assert len(records_of(make_store(tmp_path))) == number * 3 + 2
        assert (tmp_path / "ledger.sqlite3").read_bytes() == before
        add(make_store(tmp_path), newer)
    records = records_of(make_store(tmp_path))
    assert [each.kind for each in records] == ["issued", "revoked", "issued"] * 3
    assert [each.who is None for each in records] == [True, True, False] * 3
    assert list(breaks(records)) == []
    assert (
        len(list(make_store(tmp_path).issuances())) == 6
        and len(list(make_store(tmp_path).revocations("internal"))) == 3
    )


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE issuance SET host = 'evil' WHERE id = 2", ["the row of record 2 was changed (evil, www, serial s2)"]),
        ("DELETE FROM issuance WHERE id = 3", ["the row of record 3 was removed"]),
        ("DELETE FROM record WHERE number = 2", ["the records 2 to 2 are missing"]),
        ("UPDATE record SET user = 'evil' WHERE number = 2", ["record 2 was changed, or put in between"]),
        ("UPDATE record SET recorded_at = 1 WHERE number = 4", ["record 4 was changed, or put in between"]),
        ("DELETE FROM revocation", ["the row of record 5 was removed"]),
        ("UPDATE revocation SET revoked_at = 99", ["the row of record 5 was changed (web1, www, serial s1)"]),
        (
            "UPDATE issuance SET names = 'x' WHERE id = 1; UPDATE issuance SET names = '[]' WHERE id = 4",
            ["the row of record 1 was removed", "the row of record 4 was changed (web1, www, serial s4)"],
        ),
        (
            "UPDATE record SET number = 99 WHERE number = 2; UPDATE record SET number = 2 WHERE number = 3;"
            " UPDATE record SET number = 3 WHERE number = 99",
            ["record 2 was changed, or put in between", "record 3 was changed, or put in between",
             "record 4 was changed, or put in between"],
        ),
    ],
)  # fmt: skip
def test_a_ledger_that_was_tampered_with(damage: str, words: list[str], tmp_path: Path) -> None:
    store = make_store(tmp_path)
    add(store, *(row(request_id=f"r{n}", serial=f"s{n}", fingerprint=f"f{n}", issued_at=n) for n in range(1, 5)))
    revoke(store, "f1")
    assert list(breaks(records_of(store))) == []
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as connection:
        connection.executescript(damage)
    found = list(breaks(records_of(make_store(tmp_path))))
    assert found[: len(words)] == words and len(found) <= len(words) + 1


def test_a_second_thread_takes_nobodys_lock_away(tmp_path: Path) -> None:
    """POSIX locks are a process's: whoever closes the file drops those of all its threads, and another process writes in between."""
    store = make_store(tmp_path)
    add(store, ROW)
    program = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute('BEGIN IMMEDIATE')"
    )
    begun = threading.Event()

    def other() -> None:
        begun.set()
        add(store, row(request_id="request-0002", serial="s2", fingerprint="f2"))

    def look() -> None:
        begun.set()
        list(store.issuances())

    with store.ledger() as ledger:
        ledger.add(row(request_id="request-0003", serial="s3", fingerprint="f3"))
        threads = [threading.Thread(target=each) for each in (other, look)]
        for each in threads:
            begun.clear()
            each.start()
            assert begun.wait(60)
            each.join(0.5)
        command = [sys.executable, "-c", program, str(tmp_path / "ledger.sqlite3")]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "database is locked" in found.stderr
    for each in threads:
        each.join(60)
    assert {each.serial for each in store.issuances()} == {ROW.serial, "s2", "s3"}


def test_a_damaged_row_of_an_earlier_release_stops_nobody(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    add(store, ROW, row(request_id="request-0002", serial="s2", fingerprint="f2"))
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as connection:
        connection.executescript("DELETE FROM record; UPDATE issuance SET names = 'x' WHERE id = 1")
    add(store, row(request_id="request-0003", serial="s3", fingerprint="f3"))
    assert [each.what.serial for each in records_of(store) if isinstance(each.what, Issuance)] == ["s2", "s3"]


def test_a_snapshot_of_a_store_that_nobody_made(tmp_path: Path) -> None:
    with make_store(tmp_path / "store").snapshot() as snapshot:
        assert dict(snapshot.entries) == {} and list(snapshot.records()) == []
    assert not (tmp_path / "store").exists()


def test_nobody_writes_while_a_snapshot_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.2)
    store, other = make_store(tmp_path), make_store(tmp_path)
    version = store.put("a", b"x", expect=None)
    add(store, ROW)
    lock = other.lock
    monkeypatch.setattr(other, "lock", lambda name: lock(name, wait=0.1))
    with store.file.still(), store.entries_read({}):
        with pytest.raises(StoreBusy):
            other.put("a", b"y", expect=version)
        with pytest.raises(StoreBusy):
            add(other, ROW)
        assert value_of(other, "a") == b"x" and list(other.issuances()) == [ROW]
    other.put("a", b"y", expect=version)
    add(other, ROW)


def test_a_session_that_fails_records_nothing(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    add(store, ROW)
    with pytest.raises(RuntimeError), store.ledger() as ledger:
        ledger.add(row(serial="lost"))
        ledger.revoke("ab", "superseded", 10)
        raise RuntimeError
    assert [each.serial for each in store.issuances()] == ["ab"] and not list(store.revocations("internal"))


def test_a_reader_keeps_no_writer_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.2)
    store = make_store(tmp_path)
    add(store, ROW, ROW)
    rows = store.issuances()
    next(rows)
    add(store, ROW)
    assert len(list(rows)) == 1 and len(list(store.issuances())) == 3


def test_a_ledger_is_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "PAGE", 2)
    store = make_store(tmp_path)
    rows = [replace(ROW, issued_at=number, issuer="b" if number == 3 else ROW.issuer) for number in range(1, 6)]
    add(store, *rows)
    assert list(store.issuances()) == rows and list(store.issuances(since=4)) == rows[3:]
    assert list(store.issuances(issuer="b")) == [rows[2]] and list(store.issuances(since=9)) == []


def test_a_ledger_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.2)
    store = make_store(tmp_path)
    with store.ledger(), pytest.raises(StoreBusy, match="the ledger is in use") as caught:
        add(make_store(tmp_path), ROW)
    assert caught.value.remedy


def test_a_ledger_that_was_never_finished_is_empty(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").touch()
    store = make_store(tmp_path)
    assert list(store.issuances()) == []
    add(store, ROW)
    assert list(store.issuances()) == [ROW]


@pytest.mark.parametrize("content", [b"garbage " * 200, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_ledger(content: bytes, tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.put("a", b"x", expect=None)
    (tmp_path / "ledger.sqlite3").write_bytes(content)
    for work in (lambda: list(store.issuances()), lambda: add(store, ROW)):
        with pytest.raises(StoreError, match="the ledger") as caught:
            work()  # type: ignore[no-untyped-call]
        assert str(tmp_path) in caught.value.message and caught.value.remedy
    assert (tmp_path / "ledger.sqlite3").read_bytes() == content


def test_what_was_written_half_is_removed(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.put("ca/a", b"x", expect=None)
    (tmp_path / "ca/.new-abc").write_bytes(b"half")
    store.put("ca/b", b"y", expect=None)
    assert sorted(path.name for path in (tmp_path / "ca").iterdir()) == ["a", "b"]


def test_sqlite_syncs_and_leaves_no_readable_journal(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    with umask(0o000), store.ledger() as ledger:
        ledger.add(ROW)
        assert {mode for name, mode in modes(tmp_path).items() if name.startswith("ledger")} == {"0600"}
    with contextlib.closing(store.file.connect()) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert isinstance(connection, sqlite3.Connection)


@needs_root
def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    store = make_store(small_disk)
    version = store.put("a", b"old", expect=None)
    add(store, ROW)
    with pytest.raises(StoreError, match="cannot write 'a': No space left") as caught:
        store.put("a", b"x" * 200_000, expect=version)
    assert caught.value.remedy
    with pytest.raises(StoreError, match="the ledger cannot be used"):
        add(store, row(chain="x" * 200_000))
    assert store.get("a").value == b"old"  # type: ignore[union-attr]
    assert list(store.issuances()) == [ROW]
    assert not list(small_disk.rglob(".new-*"))


@needs_root
def test_a_read_only_disk(small_disk: Path) -> None:
    store = make_store(small_disk)
    store.put("a", b"old", expect=None)
    add(store, ROW)
    remount(small_disk, "ro")
    assert store.get("a").value == b"old"  # type: ignore[union-attr]
    assert list(store.issuances()) == [ROW] == [each.what for each in records_of(store)]
    for work in (lambda: store.put("b", b"x", expect=None), lambda: add(store, ROW)):
        with pytest.raises(StoreError, match="(?i)read-only") as caught:
            work()
        assert caught.value.remedy
