# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another passphrase for a store, with other runs beside it, and with SIGKILL at each point."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError, StoreBusy, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import nobody_changes_it
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key, seal, unseal
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care import reseal
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.entries import one_care
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.reseal import change_passphrase
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore
from ansible_collections.fleet.tls.tests.unit.support.disks import needs_root, remount, small_disk
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, PASSPHRASE, make_issuer, make_store, snapshot
from ansible_collections.fleet.tls.tests.unit.support.processes import killed_at

__all__ = ["small_disk"]
NEW = "7fQ0x2mVd8KpLw4sYt6Z"
KEY = generate_key("ecdsa-p256")
REGISTRATION = "acme/public/acme-dns/0123.json"


def filled(path: Path) -> Store:
    """A store with one of everything that is sealed."""
    make_issuer(path).prepare(NOW)
    store = make_store(path)
    put_key(store, "keys/web1/www.key", KEY, expect=None)
    RingStore(store, "web").create(1)
    password = seal(store, b"the password", REGISTRATION)
    store.put(REGISTRATION, json.dumps({"version": 1, "password": password}).encode(), expect=None)
    return store


def opens(path: Path, passphrase: str) -> dict[str, str]:
    """What each sealed thing says to this passphrase: ``""``, or the error."""
    store = make_store(path, passphrase)

    def ring() -> None:
        rings = RingStore(store, "web")
        known = rings.known()
        assert known is not None
        rings.ring(known)

    def registration() -> None:
        entry = store.get(REGISTRATION)
        assert entry is not None
        assert unseal(store, json.loads(entry.value)["password"], REGISTRATION) == b"the password"

    def key() -> None:
        assert key_id(get_key(store, "keys/web1/www.key").public_key()) == key_id(KEY.public_key())

    works = {
        "key": key, "ring": ring, "registration": registration,
        "root": lambda: make_issuer(path, passphrase=passphrase).authority("root-1"),
        "issuing": lambda: make_issuer(path, passphrase=passphrase).authority("issuing-1"),
    }  # fmt: skip
    return {name: failure(work) for name, work in works.items()}


def failure(work: Any) -> str:
    try:
        work()
    except StoreError as error:
        return str(error)
    return ""


def test_everything_is_sealed_anew(tmp_path: Path) -> None:
    store = filled(tmp_path)
    before = snapshot(tmp_path)
    answer = change_passphrase(store, NEW)
    assert answer.changed and answer.entries == (
        REGISTRATION, "ca/internal/issuing-1.key", "ca/internal/root-1.key", "keys/web1/www.key", "tickets/web.json",
    )  # fmt: skip
    assert set(opens(tmp_path, NEW).values()) == {""}
    assert all("wrong passphrase" in each for each in opens(tmp_path, PASSPHRASE).values())
    after = snapshot(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {*answer.entries, "passphrase.json"}
    assert "next" not in json.loads(after["passphrase.json"])


def test_again_changes_nothing(tmp_path: Path) -> None:
    change_passphrase(filled(tmp_path), NEW)
    before = snapshot(tmp_path)
    # With the old one still in the inventory, and with the new one.
    assert not change_passphrase(make_store(tmp_path), NEW).changed
    assert not change_passphrase(make_store(tmp_path, NEW), NEW).changed
    assert snapshot(tmp_path) == before


def test_check_mode_opens_all_and_writes_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path)
    before = snapshot(tmp_path, without=())
    answer = change_passphrase(store, NEW, check_mode=True)
    assert answer.changed and len(answer.entries) == 5
    assert snapshot(tmp_path, without=()) == before


@pytest.mark.parametrize(
    ("present", "new", "words"),
    [
        (PASSPHRASE, None, "tls_store_new_passphrase is missing"),
        (PASSPHRASE, "Kx9!pQ", "is shorter than 12 characters"),
        (PASSPHRASE, "passwordpassword", "is easy to guess"),
        (PASSPHRASE, "7fQ0x2mVd8\nKpLw4sYt6Z", "has more than one line"),
        ("another passphrase", NEW, "wrong passphrase"),
        (None, NEW, "needs its passphrase"),
    ],
)
def test_refused_before_anything_is_touched(present: str | None, new: str | None, words: str, tmp_path: Path) -> None:
    filled(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(PassphraseError, match=words) as caught:
        change_passphrase(make_store(tmp_path, present), new)
    assert caught.value.remedy and (new is None or new not in str(caught.value))
    assert snapshot(tmp_path) == before


def test_a_store_with_nothing_sealed(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError, match="is sealed yet"):
        change_passphrase(make_store(tmp_path / "store"), NEW)


@pytest.mark.parametrize(
    "damage", [b"", b"garbage", b'{"ring": {"sealed": "x", "n": 2, "r": 8, "p": 1, "salt": "", "nonce": ""}}']
)
def test_what_does_not_open_is_named_and_stops_it(damage: bytes, tmp_path: Path) -> None:
    filled(tmp_path)
    name = "tickets/web.json" if b"ring" in damage else "ca/internal/root-1.key"
    (tmp_path / name).write_bytes(damage)
    before = snapshot(tmp_path)
    with pytest.raises(StoreError, match=f"{name} in the store .* cannot be opened, so nothing was changed"):
        change_passphrase(make_store(tmp_path), NEW)
    assert snapshot(tmp_path) == before


def test_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.fleet.tls.plugins.plugin_utils.store_care.entries.PATIENCE", 0.1)
    store = filled(tmp_path)
    with one_care(make_store(tmp_path)), pytest.raises(StoreBusy):
        change_passphrase(store, NEW)


def test_killed_anywhere_it_is_finished_by_the_next(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    halfway = 0
    for number in range(1, 200):
        path = tmp_path / str(number)
        shutil.copytree(tmp_path / "store", path)
        killed = killed_at(lambda: change_passphrase(make_store(path), NEW), number)  # noqa: B023
        # Nothing is lost: each thing opens under one of the two, and says why it does not under the other.
        old, new = opens(path, PASSPHRASE), opens(path, NEW)
        assert all((old[name] == "") != (new[name] == "") for name in old)
        begun = "next" in json.loads((path / "passphrase.json").read_text())
        if begun:
            halfway += len(set(new.values())) > 1
            assert all("is being changed" in each for each in (*old.values(), *new.values()) if each)
            for passphrase in (PASSPHRASE, NEW):
                with pytest.raises(PassphraseError, match="is being changed"):
                    put_key(make_store(path, passphrase), "keys/web2/www.key", KEY, expect=None)
            with pytest.raises(PassphraseError, match="to another one than tls_store_new_passphrase"):
                change_passphrase(make_store(path), NEW + "x")
            with pytest.raises(PassphraseError, match="not all of it is under the new one yet"):
                change_passphrase(make_store(path, NEW), NEW)
        change_passphrase(make_store(path), NEW)
        assert set(opens(path, NEW).values()) == {""}
        assert not list(path.rglob(".new-*"))
        if not killed:
            break
    else:
        pytest.fail("it does not end")
    assert halfway > 5


def test_a_run_that_had_sealed_before_it_began_makes_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = filled(tmp_path), make_store(tmp_path)

    def slow(private_key: Any, passphrase: bytes) -> bytes:
        change_passphrase(store, NEW)
        return b"sealed under the old one"

    monkeypatch.setattr(f"{put_key.__module__}.sealed_pem", slow)
    with pytest.raises(PassphraseError, match="is being changed"):
        put_key(other, "keys/web2/www.key", KEY, expect=None)
    assert other.get("keys/web2/www.key") is None
    assert set(opens(tmp_path, NEW).values()) == {""}


def test_what_others_write_meanwhile_is_sealed_anew_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, ring = filled(tmp_path), RingStore(make_store(tmp_path), "web")
    known = ring.known()
    assert known is not None
    begin = reseal.begin

    def rotated(each: Store, *rest: Any) -> None:
        # The entry that was there is put over by whoever had it before: no lock is needed for that.
        ring.rotate(known, (), 2)
        begin(each, *rest)

    monkeypatch.setattr(reseal, "begin", rotated)
    change_passphrase(store, NEW)
    assert set(opens(tmp_path, NEW).values()) == {""}
    after = RingStore(make_store(tmp_path, NEW), "web").known()
    assert after is not None and after.record.generation == 2


def test_nobody_begins_while_an_entry_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    store = make_store(tmp_path)
    with nobody_changes_it(make_store(tmp_path)):
        lock = store.lock
        monkeypatch.setattr(store, "lock", lambda name, wait=0.1: lock(name, wait=0.1))
        with pytest.raises(StoreBusy, match="the lock 'passphrase'"):
            change_passphrase(store, NEW)
    assert set(opens(tmp_path, PASSPHRASE).values()) == {""}


@needs_root
def test_a_disk_that_is_full_or_read_only_loses_nothing(small_disk: Path) -> None:
    store = filled(small_disk)
    remount(small_disk, "ro")
    with pytest.raises(StoreError, match="(?i)read-only") as caught:
        change_passphrase(store, NEW)
    assert caught.value.remedy and set(opens(small_disk, PASSPHRASE).values()) == {""}
    remount(small_disk, "rw")
    with (small_disk / "others").open("wb", buffering=0) as others, contextlib.suppress(OSError):
        while True:
            others.write(b"x" * 1024)
    with pytest.raises(StoreError, match="No space left"):
        change_passphrase(store, NEW)
    assert set(opens(small_disk, PASSPHRASE).values()) == {""}
    (small_disk / "others").unlink()
    change_passphrase(store, NEW)
    assert set(opens(small_disk, NEW).values()) == {""}
