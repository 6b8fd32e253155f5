# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DamagedEntry, StoreConflict
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store, load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return load_store({"path": str(tmp_path / "store")})


def of_numbers(raw: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(each) for each in raw["numbers"])


def numbers(store: Store, **options: Any) -> JsonEntry[tuple[int, ...]]:
    return JsonEntry(store, "some/numbers.json", of_numbers, lambda value: {"numbers": list(value)}, **options)


def test_a_value_comes_back_as_it_was(store: Store) -> None:
    entry = numbers(store)
    assert entry.load() is None and entry.read() is None and entry.usable() is None
    version = entry.put((1, 2), expect=None)
    assert entry.load() == ((1, 2), version) and entry.read() == entry.usable() == (1, 2)
    kept = store.get("some/numbers.json")
    assert kept and json.loads(kept.value) == {"version": 1, "numbers": [1, 2]}


def test_who_is_slower_does_not_write(store: Store) -> None:
    entry = numbers(store)
    first = entry.put((1,), expect=None)
    entry.put((2,), expect=first)
    with pytest.raises(StoreConflict):
        entry.put((3,), expect=first)
    assert entry.read() == (2,)


def test_what_is_as_it_was_is_not_written_again(store: Store) -> None:
    entry = numbers(store)
    entry.replace((1,))
    before = entry.load()
    entry.replace((1,))
    assert entry.load() == before
    entry.replace((2,))
    assert entry.read() == (2,)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"7", b"[]", b"{}", b'{"numbers": 7}', b'{"numbers": ["x"]}', b'{"numbers": null}', b"[" * 100_000,
     b'{"version": 2, "numbers": []}'],
)  # fmt: skip
def test_damage(content: bytes, store: Store) -> None:
    store.put("some/numbers.json", content, expect=None)
    entry = numbers(store, remedy="begin anew")
    with pytest.raises(DamagedEntry) as caught:
        entry.read()
    assert caught.value.code == "store"
    assert str(caught.value) == f"'some/numbers.json' in {store.describe()} is damaged. Begin anew."
    assert entry.usable() is None
    entry.replace((1,))
    assert entry.read() == (1,)
