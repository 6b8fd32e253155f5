# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError, StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import RingProof
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore, StoredRing
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE, make_store
from ansible_collections.fleet.tls.tests.unit.support.processes import in_processes, killed_at

NOW = 1_800_000_000


def rings(path: Path, pool: str = "web", passphrase: str | None = PASSPHRASE) -> RingStore:
    return RingStore(make_store(path, passphrase), pool)


def known(path: Path) -> StoredRing:
    found = rings(path).known()
    assert found is not None
    return found


def rotate(path: Path, generation: int) -> int:
    store = rings(path)
    with store.exclusive(generation) as found:
        return store.rotate(found, (), NOW).generation


def test_made_once_and_moved_by_steps(tmp_path: Path) -> None:
    assert rings(tmp_path / "store").known() is None
    assert not (tmp_path / "store").exists()
    store = rings(tmp_path)
    first = store.create(NOW)
    assert (first.record.generation, first.record.made_at) == (1, NOW)
    assert store.create(NOW + 1) == first
    old = store.ring(first)
    assert rotate(tmp_path, 1) == 2
    new = store.ring(known(tmp_path))
    assert new.keys[:2] == old.keys[1:] and new.ids == known(tmp_path).record.keys


def test_the_file_has_no_key_and_is_for_nobody_else(tmp_path: Path) -> None:
    store = rings(tmp_path)
    ring = store.ring(store.create(NOW))
    path = tmp_path / "tickets" / "web.json"
    assert path.stat().st_mode & 0o777 == 0o600
    for key in ring.keys:
        for form in (key[16:], key[16:].hex().encode()):
            assert form not in path.read_bytes()


def test_all_keys_at_once(tmp_path: Path) -> None:
    store = rings(tmp_path)
    old = store.ring(store.create(NOW))
    with store.exclusive() as found:
        record = store.replace(found, (), 11, NOW)
    # Newer than what any host has shown.
    assert record.generation == 12
    assert not set(store.ring(known(tmp_path)).keys) & set(old.keys)


def test_the_public_part_needs_no_passphrase(tmp_path: Path) -> None:
    rings(tmp_path).create(NOW)
    blind = rings(tmp_path, passphrase=None)
    record = blind.note(lambda each: each.with_proof("web1", NOW), 1)
    assert record.proven == {"web1": RingProof(1, NOW)}
    assert known(tmp_path).record == record
    with pytest.raises(PassphraseError):
        blind.ring(known(tmp_path))
    with pytest.raises(PassphraseError, match="wrong passphrase"):
        rings(tmp_path, passphrase="another passphrase").ring(known(tmp_path))


def test_noting_what_is_known_writes_nothing(tmp_path: Path) -> None:
    store = rings(tmp_path)
    store.create(NOW)
    store.note(lambda each: each.with_proof("web1", NOW), 1)
    before = (tmp_path / "tickets/web.json").stat()
    store.note(lambda each: each.with_proof("web1", NOW + 9), 1)
    assert (tmp_path / "tickets/web.json").stat().st_ino == before.st_ino


def test_of_two_steps_at_once_one_wins(tmp_path: Path) -> None:
    rings(tmp_path).create(NOW)

    def attempt() -> str:
        try:
            return f"generation {rotate(tmp_path, 1)}"
        except StoreConflict as error:
            return error.message

    said = sorted(in_processes([attempt] * 4))
    assert said[-1] == "generation 2"
    assert said[:-1] == ["another run has brought the ring of 'web' from generation 1 to 2 meanwhile"] * 3
    assert known(tmp_path).record.generation == 2


def test_many_hosts_note_their_proofs_at_once(tmp_path: Path) -> None:
    rings(tmp_path).create(NOW)

    def note(host: str) -> None:
        rings(tmp_path).note(lambda each: each.with_proof(host, NOW), 1)

    in_processes([partial(note, f"web{number}") for number in range(6)])
    assert len(known(tmp_path).record.proven) == 6


def test_killed_at_any_moment_there_is_the_old_ring_or_the_new_one(tmp_path: Path) -> None:
    event, generation = 1, 1
    rings(tmp_path).create(NOW)
    while killed_at(partial(rotate, tmp_path, generation), event):
        found = known(tmp_path)
        assert rings(tmp_path).ring(found).ids == found.record.keys
        assert found.record.generation in (generation, generation + 1)
        event, generation = event + 1, found.record.generation
    assert event > 3 and known(tmp_path).record.generation == generation + 1


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b"[]",
        b'{"version": 1',
        b'{"generation": 1, "keys": [], "made_at": 1, "proven": {}, "left_behind": {}}',
    ],
)
def test_a_damaged_entry(damage: bytes, tmp_path: Path) -> None:
    rings(tmp_path).create(NOW)
    (tmp_path / "tickets/web.json").write_bytes(damage)
    with pytest.raises(StoreError, match="is damaged"):
        rings(tmp_path).known()


@pytest.mark.parametrize("field, value", [("generation", 2), ("keys", [["00" * 16, "00" * 32]] * 3)])
def test_a_record_that_is_not_of_its_keys(field: str, value: object, tmp_path: Path) -> None:
    """Whoever can write the store but does not know the passphrase cannot pass old keys off as new ones."""
    rings(tmp_path).create(NOW)
    path = tmp_path / "tickets/web.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(StoreError):
        rings(tmp_path).ring(known(tmp_path))


def test_another_pools_keys_do_not_pass(tmp_path: Path) -> None:
    rings(tmp_path).create(NOW)
    rings(tmp_path, "mail").create(NOW)
    (tmp_path / "tickets/web.json").write_bytes((tmp_path / "tickets/mail.json").read_bytes())
    with pytest.raises(StoreError, match="generation 1 of the session ticket keys of 'web' in .* is damaged"):
        rings(tmp_path).ring(known(tmp_path))


def test_without_a_ring(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no ring of 'web'"):
        rotate(tmp_path, 1)
