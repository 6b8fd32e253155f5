# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store moved from a directory to OpenBao and back, and looked after there; with SIGKILL at many moments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao import lock as openbao_lock
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import breaks, parse_head
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care import entries, move
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.backup import back_up, restore
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.copies import content_of
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.reseal import change_passphrase
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.verify import verify
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.store.openbao import OpenBaoStore
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, PASSPHRASE, make_request, make_store
from ansible_collections.fleet.tls.tests.unit.support.processes import FORK, REQUEST_EVENTS, killed_at
from ansible_collections.fleet.tls.tests.unit.support.store_contract import ROW, add, records_of, revoke, row, value_of
from bao.server import Cluster, until

OpenStore = Callable[..., OpenBaoStore]
NEW = "7fQ0x2mVd8KpLw4sYt6Z"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of a run that was killed is free soon, and whoever wants it waits for that."""
    monkeypatch.setattr(openbao_lock, "LEASE", 3.0)
    monkeypatch.setattr(openbao_lock, "GRACE", 1.0)
    monkeypatch.setattr(entries, "PATIENCE", 60.0)


def filled(store: Store) -> None:
    """With a CA, two certificates and a revocation."""
    CaIssuer("internal", {}, store).issue([make_request()], NOW)
    add(store, ROW)
    revoke(store, ROW.serial)


def content(store: Store) -> tuple[dict[str, bytes], list[Any]]:
    """All of it that a copy has."""
    with store.snapshot() as snapshot:
        return content_of(snapshot.entries), list(snapshot.records())


def moved(here: Path, there: Callable[[], Store]) -> None:
    """Move the store of a directory, opened anew as each run does."""
    move.move(make_store(here), there())


def signs(store: Store, request_id: str) -> None:
    """Have its CA sign something."""
    (answer,) = CaIssuer("internal", {}, store).issue([make_request(request_id=request_id)], NOW)
    assert answer.chain  # type: ignore[union-attr]


def test_there_and_back(open_store: OpenStore, tmp_path: Path) -> None:
    here, there = make_store(tmp_path), open_store(timeout="1s")
    filled(here)
    before = content(here)
    assert move.move(here, there).changed
    assert content(there) == before
    with pytest.raises(StoreError, match="is closed: it was moved to the store secret/"):
        signs(make_store(tmp_path), "request-0002")
    signs(open_store(), "request-0003")
    assert verify(open_store(), {}, {"internal"}, before[1][-1].head, NOW).findings == ()
    assert move.move(open_store(timeout="1s"), make_store(tmp_path)).changed
    assert len(content(make_store(tmp_path))[1]) == len(before[1]) + 1
    signs(make_store(tmp_path), "request-0004")
    with pytest.raises(StoreError, match=f"is closed: it was moved to the store {tmp_path}"):
        signs(open_store(), "request-0005")
    assert verify(make_store(tmp_path), {}, {"internal"}, None, NOW).findings == ()


def test_killed_at_many_moments_it_is_moved_by_the_next(open_store: OpenStore, tmp_path: Path) -> None:
    for number in (1, 5, 12, 20, 28, 36, 46, 56):
        here, path = tmp_path / str(number), f"{open_store().root}/{number}"
        filled(make_store(here))
        before = content(make_store(here))
        work = partial(moved, here, partial(open_store, path=path, timeout="1s"))
        assert killed_at(work, number, REQUEST_EVENTS)
        work()
        assert content(open_store(path=path)) == before
        signs(open_store(path=path), "request-0009")


def test_another_passphrase_killed_at_many_moments(open_store: OpenStore) -> None:
    filled(open_store())
    present, following = PASSPHRASE, NEW
    for number in (2, 10, 20, 30, 42, 54):
        store = open_store(passphrase=present)
        assert killed_at(partial(change_passphrase, store, following), number, REQUEST_EVENTS)
        change_passphrase(open_store(passphrase=present), following)
        assert get_key(open_store(passphrase=following), "ca/internal/root-1.key")
        with pytest.raises(PassphraseError, match="wrong passphrase"):
            get_key(open_store(passphrase=present), "ca/internal/root-1.key")
        present, following = following, present


def test_a_backup_of_one_moment_and_back_into_an_empty_place(open_store: OpenStore, tmp_path: Path) -> None:
    def write() -> None:
        store, number = open_store(), 0
        while True:
            number += 1
            entry = store.get("number")
            store.put("number", str(number).encode(), expect=entry.version if entry else None)
            add(store, row(request_id=f"r{number}", serial=str(number), fingerprint=f"f{number}"))

    filled(open_store())
    writer = FORK.Process(target=write)
    writer.start()
    seen = []
    try:
        until(lambda: value_of(open_store(), "number"), "nothing is written")
        for _each in range(4):
            backup = back_up(open_store(), str(tmp_path / "backups"), NOW)
            copy = make_store(Path(backup.path))
            records = [each for each in records_of(copy) if each.who]
            number = int(value_of(copy, "number") or 0)
            assert list(breaks(records_of(copy))) == [] and number - (len(records) - 3) in (0, 1)
            seen.append(number)
    finally:
        writer.kill()
        writer.join()
    assert seen == sorted(set(seen)) and seen[-1] < int(value_of(open_store(), "number") or 0) + 1
    # The head that it gave is in the ledger that went on.
    assert verify(open_store(), {}, (), parse_head(backup.head), NOW).findings == ()
    empty = f"{open_store().root}/restored"
    restore(open_store(path=empty), backup.path)
    assert content(open_store(path=empty)) == content(copy)
    with pytest.raises(StoreError, match="is not empty"):
        restore(open_store(), backup.path)


def test_what_has_no_record_is_copied_too(open_store: OpenStore, tmp_path: Path, cluster: Cluster) -> None:
    """Rows of an earlier release, which kept no chain."""
    filled(open_store())
    kv = cluster.root.secrets.kv.v2
    for number in (1, 2, 3):
        kv.delete_metadata_and_all_versions(
            f"{open_store().root}/ledger/chain/000000/{number:09}", mount_point="secret"
        )
    found = verify(open_store(), {}, {"internal"}, None, NOW)
    assert (found.findings, found.rows, found.unattributed, str(found.head)) == ((), 2, 3, "")
    add(open_store(), row(request_id="request-0009", fingerprint="f9"))
    move.move(open_store(timeout="1s"), make_store(tmp_path))
    assert (
        len(list(make_store(tmp_path).issuances())) == 3
        and len(list(make_store(tmp_path).revocations("internal"))) == 1
    )
    assert [each.who is None for each in records_of(make_store(tmp_path))] == [False, True, True, True]
