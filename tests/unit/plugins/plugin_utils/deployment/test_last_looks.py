# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of hosts: in few entries, by many processes at once, and no damage counts for more than its own host."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import (
    ENTRIES,
    LONGEST,
    SOON,
    KnownPair,
    LastLook,
    known_looks,
    note_look,
    place,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.tests.unit.support.looks import note_looks

LOOK = LastLook(5, "w", {"internal": "t"}, {"internal": "l"}, {"www": KnownPair("aa", 1, 9, "pool")})
PLAIN = LastLook(6, "v", {}, None, {"www": KnownPair("bb", 1, 9)})


def test_notes_come_back_and_are_forgotten(tmp_path: Path) -> None:
    store = load_store({"path": str(tmp_path / "store")})
    assert known_looks(store) == {}
    note_look(store, "a", None)
    assert not (tmp_path / "store").exists()
    note_look(store, "a", LOOK)
    note_look(store, "../b:é", PLAIN)
    assert known_looks(store) == {"a": LOOK, "../b:é": PLAIN}
    later = dataclasses.replace(LOOK, at=5 + SOON)
    note_look(store, "a", later)
    note_look(store, "../b:é", None)
    assert known_looks(store) == {"a": later}


def test_a_host_that_is_gone_does_not_stay_for_ever(tmp_path: Path) -> None:
    store = load_store({"path": str(tmp_path / "store")})
    gone, old, mine = [name for number in range(1000) if place(name := f"h{number}") == 2][:3]
    note_looks(store, dict.fromkeys((gone, old), LOOK) | {mine: PLAIN})
    later = dataclasses.replace(LOOK, at=LOOK.at + LONGEST)
    note_look(store, mine, later)
    assert known_looks(store) == {gone: LOOK, old: LOOK, mine: later}
    note_look(store, old, later)
    latest = dataclasses.replace(later, at=later.at + SOON)
    note_look(store, mine, latest)
    assert known_looks(store) == {old: later, mine: latest}


def test_runs_that_follow_each_other_write_nothing_where_nothing_is_new(tmp_path: Path) -> None:
    store = load_store({"path": str(tmp_path / "store")})
    note_look(store, "a", LOOK)
    note_look(store, "a", dataclasses.replace(LOOK, at=4 + SOON))
    assert known_looks(store)["a"] == LOOK
    changed = dataclasses.replace(LOOK, at=6, wishes="x")
    note_look(store, "a", changed)
    assert known_looks(store)["a"] == changed
    # A clock that was ahead has been set.
    note_look(store, "a", dataclasses.replace(changed, at=5))
    assert known_looks(store)["a"].at == 5


def test_hosts_of_one_entry_at_the_same_moment(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    names = [name for number in range(2000) if place(name := f"h{number}") == 3][:24]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: note_look(load_store({"path": path}), name, LOOK), names))
    assert known_looks(load_store({"path": path})) == dict.fromkeys(names, LOOK)


def test_a_damaged_note_is_no_note(tmp_path: Path) -> None:
    store = load_store({"path": str(tmp_path)})
    names = [name for number in range(500) if place(name := f"h{number}") == 1][:3]
    note_looks(store, {**dict.fromkeys(names, LOOK), "other": PLAIN})
    entry = tmp_path / "looks" / "01.json"
    content = json.loads(entry.read_text())
    content["hosts"][names[0]]["certificates"] = 3
    content["hosts"][names[1]]["at"] = "soon"
    entry.write_text(json.dumps(content))
    assert known_looks(store) == {names[2]: LOOK, "other": PLAIN}
    entry.write_text("[]")
    assert known_looks(store) == {"other": PLAIN}
    note_look(store, names[0], PLAIN)
    assert known_looks(store) == {names[0]: PLAIN, "other": PLAIN}


def test_a_store_that_cannot_be_written_costs_a_run_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    note_look(load_store({"path": str(tmp_path / "file")}), "a", LOOK)


def test_ten_thousand_hosts_are_in_few_entries(tmp_path: Path) -> None:
    store = load_store({"path": str(tmp_path)})
    note_looks(store, {f"h{number}": PLAIN for number in range(10000)})
    sizes = [path.stat().st_size for path in (tmp_path / "looks").iterdir()]
    # OpenBao takes up to a megabyte.
    assert len(sizes) == ENTRIES and max(sizes) < 200_000
    assert len(known_looks(store)) == 10000
