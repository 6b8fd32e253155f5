# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every store has to do, as tests: a test class of a store derives from :class:`StoreContract` and gives ``open_store``."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    PassphraseError,
    StoreBusy,
    StoreConflict,
    StoreError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.whoami import Who, present
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Record, breaks
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import CLOSED_ENTRY, Issuance, Revocation, Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, make_request, make_spec
from ansible_collections.fleet.tls.tests.unit.support.processes import FORK, in_processes, killed_after

OpenStore = Callable[..., Store]
ROW = Issuance(
    request_id="request-0001", issuer="internal", host="web1", certificate="www", serial="ab", fingerprint="cd",
    key_id="ef", names=("a.example", "192.0.2.1"), not_before=1, not_after=2, issued_at=3, reason="missing", chain="PEM",
)  # fmt: skip
ODD_KEYS = (
    "", "/etc/passwd", "../a", "a/../../b", "a/..", "..", ".", ".hidden", "a/.hidden", "a//b", "a/", "a\0b", "a\n", "a b", "ä",
)  # fmt: skip


def row(**changes: Any) -> Issuance:
    """A row that differs from ROW."""
    return dataclasses.replace(ROW, **changes)


def add(store: Store, *rows: Issuance) -> None:
    """Record them in one session."""
    with store.ledger() as ledger:
        for each in rows:
            ledger.add(each)


def value_of(store: Store, key: str) -> bytes | None:
    """The bytes under a key."""
    entry = store.get(key)
    return entry.value if entry else None


def records_of(store: Store) -> list[Record]:
    """All records of the ledger."""
    with store.snapshot() as snapshot:
        return list(snapshot.records())


def revoke(store: Store, which: str) -> None:
    """Revoke one."""
    with store.ledger() as ledger:
        assert ledger.revoke(which, "superseded", 10)


class StoreContract:
    """``open_store()`` gives the same store every time, as another run would open it; it takes other options."""

    def test_put_and_get(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.get("ca/x/a.pem") is None
        first = store.put("ca/x/a.pem", b"one", expect=None)
        entry = store.get("ca/x/a.pem")
        assert entry is not None and (entry.value, entry.version) == (b"one", first)
        second = store.put("ca/x/a.pem", b"two", expect=first)
        assert second != first and value_of(open_store(), "ca/x/a.pem") == b"two"

    @pytest.mark.parametrize("value", [b"", b"\xff\x00\xfe", "ä\r\n ".encode(), b"x" * 200_000])
    def test_any_bytes(self, open_store: OpenStore, value: bytes) -> None:
        open_store().put("a", value, expect=None)
        assert value_of(open_store(), "a") == value

    def test_put_if_unchanged(self, open_store: OpenStore) -> None:
        store = open_store()
        with pytest.raises(StoreConflict):
            store.put("a", b"one", expect="0" * 64)
        version = store.put("a", b"one", expect=None)
        for expect in (None, "0" * 64, "7", "-1", "x"):
            with pytest.raises(StoreConflict, match="'a' was changed by another run") as caught:
                store.put("a", b"two", expect=expect)
            assert caught.value.remedy
        assert value_of(store, "a") == b"one"
        store.put("a", b"two", expect=version)
        with pytest.raises(StoreConflict):
            store.put("a", b"three", expect=version)

    def test_delete(self, open_store: OpenStore) -> None:
        """The key is free again, and what was there before is not in the way; nobody removes what another has just written."""
        store = open_store()
        first = store.put("keys/web1/www.key", b"one", expect=None)
        second = store.put("keys/web1/www.key", b"two", expect=first)
        store.put("keys/web2/www.key", b"another's", expect=None)
        for expect in (first, "0" * 64, "7"):
            with pytest.raises(StoreConflict, match="was changed by another run"):
                store.delete("keys/web1/www.key", expect=expect)
        assert value_of(store, "keys/web1/www.key") == b"two"
        store.delete("keys/web1/www.key", expect=second)
        assert value_of(open_store(), "keys/web1/www.key") is None
        with pytest.raises(StoreConflict):
            store.delete("keys/web1/www.key", expect=second)
        assert store.discard("keys/web1/www.key") is False
        store.put("keys/web1/www.key", b"three", expect=None)
        assert open_store().discard("keys/web1/www.key") is True
        assert value_of(store, "keys/web2/www.key") == b"another's"
        with pytest.raises(StoreError, match="is not a valid store key"):
            store.delete("../a", expect="x")

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_keys_that_could_lead_elsewhere(self, key: str, open_store: OpenStore) -> None:
        store = open_store()
        with pytest.raises(StoreError, match="is not a valid store key"):
            store.get(key)
        with pytest.raises(StoreError, match="is not a valid store key"):
            store.put(key, b"x", expect=None)

    @pytest.mark.parametrize("key", ["a..b", "keys/a..b/c.key", "ca/a:b@c/d_e-f.pem", "a", "a/b"])
    def test_keys_that_look_odd_and_are_fine(self, key: str, open_store: OpenStore) -> None:
        open_store().put(key, b"x", expect=None)
        assert value_of(open_store(), key) == b"x"

    def test_a_key_may_be_the_folder_of_another(self, open_store: OpenStore) -> None:
        store = open_store()
        store.put("orders/a.json", b"x", expect=None)
        store.put("orders/a/b.json", b"y", expect=None)
        assert (value_of(store, "orders/a.json"), value_of(store, "orders/a/b.json")) == (b"x", b"y")

    def test_a_store_that_nobody_wrote_to(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.get("a") is None and list(store.issuances()) == []
        with store.ledger() as ledger:
            assert ledger.find("internal", "request-0001", "ef") is None

    def test_keys_are_sealed_under_the_passphrase(self, open_store: OpenStore) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        put_key(open_store(), "ca/x.key", key, expect=None)
        assert b"ENCRYPTED PRIVATE KEY" in (value_of(open_store(), "ca/x.key") or b"")
        assert get_key(open_store(), "ca/x.key").private_numbers() == key.private_numbers()
        for passphrase, words in (("another passphrase", "wrong passphrase"), (None, "needs its passphrase")):
            with pytest.raises(PassphraseError, match=words) as caught:
                get_key(open_store(passphrase=passphrase), "ca/x.key")
            assert caught.value.remedy
            with pytest.raises(PassphraseError, match=words):
                put_key(open_store(passphrase=passphrase), "ca/y.key", key, expect=None)

    def test_ledger(self, open_store: OpenStore) -> None:
        store = open_store()
        rows = [
            ROW,
            row(request_id="request-0002", issued_at=4),
            row(serial="newer", issued_at=5),
            row(issuer="other", issued_at=6),
            row(key_id="stranger", issued_at=7),
        ]
        add(store, *rows)
        assert list(open_store().issuances()) == rows
        with open_store().ledger() as ledger:
            assert ledger.find("internal", "request-0001", "ef") == rows[2]
            assert ledger.find("internal", "request-0001", "stranger") == rows[4]
            for stranger in (("internal", "request-0003"), ("nobody", "request-0001"), ("internal", "' OR 1=1 --")):
                assert ledger.find(*stranger, "ef") is None

    def test_what_was_added_is_found_in_the_same_session(self, open_store: OpenStore) -> None:
        with open_store().ledger() as ledger:
            assert ledger.find("internal", "request-0001", "ef") is None
            ledger.add(ROW)
            assert ledger.find("internal", "request-0001", "ef") == ROW
            ledger.add(row(serial="newer"))
            assert ledger.find("internal", "request-0001", "ef") == row(serial="newer")

    def test_some_rows(self, open_store: OpenStore) -> None:
        month = 31 * 86400
        rows = [
            row(issuer=("internal", "a b/c")[number % 2], request_id=f"r-{number}", issued_at=number * month // 3)
            for number in range(12)
        ]
        add(open_store(), *reversed(rows[:6]))
        add(open_store(), *rows[6:])
        everything = list(open_store().issuances())
        assert sorted(everything, key=lambda each: each.issued_at) == rows
        assert everything[6:] == rows[6:]
        since = rows[8].issued_at
        assert list(open_store().issuances(since=since)) == rows[8:]
        assert list(open_store().issuances(issuer="a b/c", since=since)) == [rows[9], rows[11]]
        assert list(open_store().issuances(issuer="nobody")) == []

    def test_revocations(self, open_store: OpenStore) -> None:
        store = open_store()
        assert list(store.revocations("internal")) == []
        second = row(serial="s2", fingerprint="f2", issued_at=4)
        add(store, ROW, second, row(serial="ab", fingerprint="f3", issuer="other", issued_at=5))
        assert list(store.revocations("internal")) == []
        with store.ledger() as ledger:
            (first,) = ledger.revoke("f2", "superseded", 10)
            revoked = ledger.revoke("ab", "key_compromise", 11)
            assert [each.issuance.issuer for each in revoked] == ["internal", "other"]
            assert ledger.revoke("f2", "key_compromise", 12) == (first,)
            assert ledger.revoke("none", "superseded", 13) == ()
        assert first == Revocation(second, "superseded", 10)
        assert list(open_store().revocations("internal")) == [first, Revocation(ROW, "key_compromise", 11)]
        assert [each.issuance.fingerprint for each in store.revocations("other")] == ["f3"]
        assert len(list(store.issuances())) == 3

    def test_what_is_revoked_is_not_found_again(self, open_store: OpenStore) -> None:
        store = open_store()
        add(store, row(serial="s1", fingerprint="f1"), row(serial="s2", fingerprint="f2"))
        with store.ledger() as ledger:
            ledger.revoke("f2", "superseded", 10)
            assert ledger.find("internal", "request-0001", "ef") == row(serial="s1", fingerprint="f1")
            ledger.revoke("s1", "superseded", 10)
            assert ledger.find("internal", "request-0001", "ef") is None

    def test_a_session_that_fails_revokes_nothing(self, open_store: OpenStore) -> None:
        add(open_store(), ROW)
        with pytest.raises(RuntimeError), open_store().ledger() as ledger:
            assert ledger.revoke("ab", "superseded", 10)
            raise RuntimeError
        assert list(open_store().revocations("internal")) == []
        with open_store().ledger() as ledger:
            assert ledger.find("internal", "request-0001", "ef") == ROW

    def test_a_reader_keeps_no_writer_waiting(self, open_store: OpenStore) -> None:
        add(open_store(), ROW, row(request_id="request-0002", issued_at=4))
        rows = open_store().issuances()
        next(rows)
        add(open_store(), row(request_id="request-0003", issued_at=5))
        assert len(list(rows)) >= 1 and len(list(open_store().issuances())) == 3

    def test_a_lock_is_had_by_one(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.lock("ca/internal"):
            with store.lock("ca/other"):
                pass
            with pytest.raises(StoreBusy, match=r"the lock 'ca/internal' was held for 0.1 s by another run") as caught:
                with open_store().lock("ca/internal", wait=0.1):
                    pass
            assert caught.value.remedy
        with open_store().lock("ca/internal", wait=0):
            store.put("a", b"x", expect=None)

    def test_a_lock_is_given_back_by_an_error(self, open_store: OpenStore) -> None:
        with pytest.raises(RuntimeError), open_store().lock("x"):
            raise RuntimeError
        with open_store().lock("x", wait=0):
            pass

    def test_processes_that_put_at_once_lose_nothing(self, open_store: OpenStore) -> None:
        def count_up(times: int) -> None:
            store = open_store()
            while times:
                entry = store.get("number")
                number = int(entry.value) + 1 if entry else 1
                try:
                    store.put("number", str(number).encode(), expect=entry.version if entry else None)
                    times -= 1
                except StoreConflict:
                    pass

        in_processes([lambda: count_up(10)] * 4)
        assert value_of(open_store(), "number") == b"40"

    def test_processes_with_a_lock_go_one_by_one(self, open_store: OpenStore) -> None:
        def count_up() -> None:
            store = open_store()
            for _each in range(5):
                with store.lock("number"):
                    entry = store.get("number")
                    store.put(
                        "number",
                        str(int(entry.value) + 1 if entry else 1).encode(),
                        expect=entry.version if entry else None,
                    )

        in_processes([count_up] * 4)
        assert value_of(open_store(), "number") == b"20"

    def test_processes_that_record_at_once_lose_nothing(self, open_store: OpenStore) -> None:
        def record() -> None:
            for number in range(5):
                add(open_store(), row(host=str(os.getpid()), request_id=f"{os.getpid()}-{number}"))

        in_processes([record] * 4)
        rows = list(open_store().issuances())
        assert len(rows) == 20 and len({each.host for each in rows}) == 4

    def test_runs_that_issue_for_one_request_get_one_certificate(self, open_store: OpenStore) -> None:
        requests = [make_request(make_spec(f"c{number}"), request_id=f"request-{number:04}") for number in range(3)]

        def issue() -> list[Any]:
            return [
                answer.chain[0].serial_number for answer in CaIssuer("internal", {}, open_store()).issue(requests, NOW)
            ]

        answers = in_processes([issue] * 4)
        assert all(answer == answers[0] for answer in answers)
        assert len(list(open_store().issuances())) == 3

    def test_a_killed_recording_leaves_whole_rows(self, open_store: OpenStore) -> None:
        def record() -> None:
            number = 0
            while True:
                number += 1
                add(open_store(), row(request_id=f"{os.getpid()}-{number}", chain="x" * 5000))

        rows: list[Issuance] = []
        for number in range(60):
            assert killed_after(record, 0.3 + 0.013 * number)
            rows = list(open_store().issuances())
            if number > 4 and rows:
                break
        assert {len(each.chain) for each in rows} == {5000}
        assert len({each.request_id for each in rows}) == len(rows)

    def test_a_lock_ends_with_its_killed_holder(self, open_store: OpenStore, tmp_path: Path) -> None:
        held = tmp_path / "held"

        def hold() -> None:
            with open_store().lock("x"):
                held.touch()
                time.sleep(600)

        holder = FORK.Process(target=hold)
        holder.start()
        while not held.exists():
            time.sleep(0.01)
        assert holder.pid
        with pytest.raises(StoreBusy), open_store().lock("x", wait=0.1):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        with open_store().lock("x", wait=300):
            pass

    def test_its_entries_have_names(self, open_store: OpenStore) -> None:
        assert open_store().names() == ()
        for key in ("ca/b/root-1.pem", "a", "orders/a.json", "orders/a/b.json"):
            open_store().put(key, b"x", expect=None)
        with open_store().lock("ca/b"):
            add(open_store(), ROW)
            assert open_store().names() == ("a", "ca/b/root-1.pem", "orders/a.json", "orders/a/b.json")

    def test_the_ledger_says_who(self, open_store: OpenStore) -> None:
        me = present()
        assert me.user and me.controller
        add(open_store(), ROW, row(serial="s2", fingerprint="f2"))
        revoke(open_store(), "f2")
        add(open_store(), row(request_id="request-0002", fingerprint="f3"))
        records = records_of(open_store())
        assert [each.number for each in records] == [1, 2, 3, 4] and {each.who for each in records} == {me}
        assert [each.kind for each in records] == ["issued", "issued", "revoked", "issued"]
        assert [each.what for each in records] == [
            ROW,
            row(serial="s2", fingerprint="f2"),
            Revocation(row(serial="s2", fingerprint="f2"), "superseded", 10),
            row(request_id="request-0002", fingerprint="f3"),
        ]
        assert all(abs(each.recorded_at - time.time()) < 600 for each in records)
        assert list(breaks(records)) == []

    def test_a_job_of_awx_says_who(self, open_store: OpenStore) -> None:
        store = open_store()
        present.works_for({"awx_user_name": "ana\x1b[2J", "awx_job_id": 4711, "inventory_hostname": "web1"})
        try:
            add(store, ROW)
        finally:
            present.works_for({})
        (record,) = records_of(store)
        assert record.who == Who("ana[2J", "4711", present().controller)

    def test_processes_that_record_at_once_make_one_chain(self, open_store: OpenStore) -> None:
        def record() -> None:
            for number in range(5):
                add(open_store(), row(request_id=f"{os.getpid()}-{number}", fingerprint=f"{os.getpid()}-{number}"))

        in_processes([record] * 4)
        records = records_of(open_store())
        assert len(records) == 20 and list(breaks(records)) == [] and all(each.who for each in records)

    def test_a_ledger_is_taken_over(self, open_store: OpenStore) -> None:
        store, other = open_store(), open_store(path=f"{open_store().root}-2")  # type: ignore[attr-defined]
        add(store, ROW, row(request_id="request-0002", serial="s2", fingerprint="f2", issued_at=4))
        revoke(store, "f2")
        other.take_over(records_of(store))
        # Again, and with what came later.
        other.take_over(records_of(store))
        add(store, row(request_id="request-0003", serial="s3", fingerprint="f3", issued_at=5))
        other.take_over(records_of(store))
        assert records_of(other) == records_of(store) and len(records_of(other)) == 4
        assert list(other.issuances()) == list(store.issuances())
        assert list(other.revocations("internal")) == list(store.revocations("internal"))
        with other.ledger() as ledger:
            assert ledger.find("internal", "request-0001", "ef") == ROW
            assert ledger.find("internal", "request-0002", "ef") is None
        add(other, row(request_id="request-0004", fingerprint="f4", issued_at=6))
        assert list(breaks(records_of(other))) == []
        add(store, row(request_id="request-0005", fingerprint="f5", issued_at=7))
        with pytest.raises(StoreError, match="has another ledger"):
            other.take_over(records_of(store))

    def test_all_of_it_at_one_moment(self, open_store: OpenStore) -> None:
        store = open_store()
        store.put("ca/a.pem", b"one", expect=None)
        add(store, ROW)
        with store.snapshot() as snapshot:
            other = open_store()
            other.put("ca/a.pem", b"two", expect=other.version("ca/a.pem"))
            add(other, row(request_id="request-0002"))
            assert dict(snapshot.entries) == {"ca/a.pem": b"one"}
            assert [each.what for each in snapshot.records()] == [ROW] == [each.what for each in snapshot.records()]

    def test_a_closed_store_is_nobodys(self, open_store: OpenStore) -> None:
        store, owner = open_store(), open_store()
        version = store.put("a", b"one", expect=None)
        add(store, ROW)
        owner.uses_closed = True
        closed = owner.put(CLOSED_ENTRY, b'{"version": 1, "why": "it was moved to another"}', expect=None)
        for work in (
            lambda: open_store().get("a"),
            lambda: store.put("a", b"two", expect=version),
            lambda: add(store, row(request_id="request-0002")),
        ):
            with pytest.raises(StoreError, match="is closed: it was moved to another") as caught:
                work()
            assert caught.value.remedy
        assert owner.put("a", b"two", expect=version) and value_of(owner, "a") == b"two"
        add(owner, row(request_id="request-0002"))
        owner.put(CLOSED_ENTRY, b'{"version": 1, "why": null}', expect=closed)
        assert value_of(open_store(), "a") == b"two" and open_store().closed() is None
