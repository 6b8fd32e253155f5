# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of damage to a store is found, and a whole one is found whole."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError, SpecError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool, PoolPair
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, serial_text
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Head, parse_head
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.reseal import change_passphrase
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.verify import Verified, verify
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    NOW,
    PASSPHRASE,
    make_issuer,
    make_request,
    make_spec,
    make_store,
    snapshot,
)
from ansible_collections.fleet.tls.tests.unit.support.processes import killed_at
from ansible_collections.fleet.tls.tests.unit.support.store_contract import records_of, revoke


@pytest.fixture
def leaf(tmp_path: Path) -> Any:
    """The one certificate of a store with one of everything."""
    (answer,) = make_issuer(tmp_path).issue([make_request()], NOW)
    put_key(make_store(tmp_path), "keys/web1/www.key", generate_key("ecdsa-p256"), expect=None)
    RingStore(make_store(tmp_path), "web").create(1)
    return answer.chain[0]  # type: ignore[union-attr]


def look(path: Path, seen: Any = (), head: Head | None = None, passphrase: str | None = PASSPHRASE) -> Verified:
    """Verify the store at ``path``."""
    return verify(make_store(path, passphrase), dict(seen), {"internal"}, head, NOW)


def codes(found: Verified) -> list[tuple[str, str]]:
    """What was found, in short."""
    return [(each.code, each.about) for each in found.findings]


def test_a_whole_store(tmp_path: Path, leaf: Any) -> None:
    before = snapshot(tmp_path)
    found = look(tmp_path)
    assert codes(found) == [] and found.opened and (found.rows, found.unattributed) == (1, 0)
    assert found.head == records_of(make_store(tmp_path))[-1].head
    assert snapshot(tmp_path) == before
    assert codes(look(tmp_path, head=parse_head(str(found.head)))) == []
    # Later it is longer, and has that one in it.
    make_issuer(tmp_path).issue([make_request(request_id="request-0002")], NOW)
    assert codes(look(tmp_path, head=found.head)) == []


def test_without_a_passphrase_nothing_is_opened(tmp_path: Path, leaf: Any) -> None:
    (tmp_path / "ca/internal/root-1.key").write_bytes(b"garbage")
    found = look(tmp_path, passphrase=None)
    assert codes(found) == [] and not found.opened


def swapped(path: Path, one: str, two: str) -> None:
    """Two files in each other's place."""
    first, second = (path / one).read_bytes(), (path / two).read_bytes()
    (path / one).write_bytes(second)
    (path / two).write_bytes(first)


def older_ring(path: Path) -> None:
    """A generation that the sealed keys are not of."""
    content = json.loads((path / "tickets/web.json").read_bytes())
    (path / "tickets/web.json").write_text(json.dumps({**content, "generation": 7}))


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda path: (path / "keys/web1/www.key").write_bytes(b"x"), [("unopened", "keys/web1/www.key")]),
        (lambda path: (path / "ca/internal/root-1.key").write_bytes(b""), [("unopened", "ca/internal/root-1.key")]),
        (
            lambda path: swapped(path, "ca/internal/root-1.key", "ca/internal/issuing-1.key"),
            [("key_mismatch", "ca/internal/issuing-1.key"), ("key_mismatch", "ca/internal/root-1.key")],
        ),
        (
            lambda path: (path / "ca/internal/root-1.pem").write_bytes(b"x"),
            [("damaged", "ca/internal/ca.json"), ("damaged", "ca/internal/root-1.key"), ("damaged", "ca/internal/root-1.pem")],
        ),
        (lambda path: (path / "ca/internal/issuing-1.pem").unlink(), [("damaged", "ca/internal/ca.json")]),
        (lambda path: (path / "ca/internal/root-1.crl").write_bytes(b"x"), [("damaged", "ca/internal/root-1.crl")]),
        (lambda path: (path / "ca/internal/ca.json").write_bytes(b"[]"), [("damaged", "ca/internal/ca.json")]),
        (lambda path: (path / "ca/internal/ca.json").write_bytes(b"{}"), [("damaged", "ca/internal/ca.json")]),
        (lambda path: (path / "tickets/web.json").write_bytes(b"{}"), [("damaged", "tickets/web.json")]),
        (older_ring, [("unopened", "tickets/web.json")]),
    ],
)  # fmt: skip
def test_damaged_entries(damage: Any, found: list[tuple[str, str]], tmp_path: Path, leaf: Any) -> None:
    damage(tmp_path)
    result = look(tmp_path)
    assert codes(result) == found and all(each.remedy and each.message for each in result.findings)


def test_the_key_of_a_pool(tmp_path: Path, leaf: Any) -> None:
    pool = Pool(make_store(tmp_path), "web")
    _key, state = pool.next_key(pool.load(), make_spec("www"))
    (answer,) = make_issuer(tmp_path).issue(
        [make_request(request_id="request-0002", key=get_key(pool.store, "pools/web-a.key"))], NOW
    )
    assert isinstance(answer, Issued)
    pool.keep(state, PoolPair(answer.chain, "internal", "request-0002", "digest", "www", "", "web1", "run", 1.0), None)
    assert codes(look(tmp_path)) == []
    put_key(pool.store, "pools/web-a.key", generate_key("ecdsa-p256"), expect=pool.store.version("pools/web-a.key"))
    assert codes(look(tmp_path)) == [("key_mismatch", "pools/web.json")]
    (tmp_path / "pools/web-a.key").unlink()
    assert codes(look(tmp_path)) == [("damaged", "pools/web.json")]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE issuance SET host = 'evil'", "was changed (evil, www"),
        ("DELETE FROM issuance", "the row of record 1 was removed"),
    ],
)
def test_a_ledger_that_was_tampered_with(damage: str, words: str, tmp_path: Path, leaf: Any) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as connection:
        connection.executescript(damage)
    found = look(tmp_path)
    assert codes(found) == [("ledger_broken", "ledger")] and words in found.findings[0].message


def test_a_chain_that_was_made_anew(tmp_path: Path, leaf: Any) -> None:
    """Whoever changes a row and all records is found by the certificate in the row, and by the head that was kept."""
    head = look(tmp_path).head
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as connection:
        connection.executescript("UPDATE issuance SET serial = '0'; DELETE FROM record")
    assert codes(look(tmp_path)) == [("ledger_broken", "ledger")]
    assert codes(look(tmp_path, head=head)) == [("ledger_cut", "ledger"), ("ledger_broken", "ledger")]


def test_a_ledger_that_lost_its_end(tmp_path: Path, leaf: Any) -> None:
    make_issuer(tmp_path).issue([make_request(request_id="request-0002")], NOW)
    head = look(tmp_path).head
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as connection:
        connection.executescript("DELETE FROM record WHERE number = 2; DELETE FROM issuance WHERE id = 2")
    assert codes(look(tmp_path)) == []
    found = look(tmp_path, head=head)
    assert codes(found) == [("ledger_cut", "ledger")] and "ends at record 1" in found.findings[0].message


def seen(leaf: Any, **changes: Any) -> dict[str, Any]:
    """What a host has, as ``fleet.tls.certificates`` says it."""
    mark = fingerprint(leaf)
    served = [{"endpoint": "127.0.0.1:443", "fingerprint": mark}]
    one = {
        "name": "www",
        "issuer": "internal",
        "installed": True,
        "fingerprint_sha256": mark,
        "served": served,
        **changes,
    }
    return {"certificates": [one]}


def test_hosts_agree(tmp_path: Path, leaf: Any) -> None:
    hosts = {
        "web1": seen(leaf),
        "web2": {"skipped": True},
        "web3": {"unreachable": True, "msg": "no"},
        "web4": seen(leaf, issuer="public", fingerprint_sha256="00"),
        "web5": seen(leaf, installed=False, fingerprint_sha256=None, served=[]),
        "web6": {"certificates": "nonsense"},
        "web7": {"certificates": ["nonsense", {}]},
        "web8": "nonsense",
    }
    found = look(tmp_path, hosts)
    assert codes(found) == [] and found.unseen == ("web3", "web6", "web8")


def test_hosts_have_what_the_ledger_does_not_know(tmp_path: Path, leaf: Any) -> None:
    """As where an older store was put back: its chain is whole."""
    found = look(tmp_path, {"web1": seen(leaf), "web2": seen(leaf, fingerprint_sha256="0" * 64, served=[])})
    assert codes(found) == [("not_in_ledger", "web2")]
    assert "that the ledger does not know" in found.findings[0].message and found.findings[0].remedy
    # Unless it was issued elsewhere and taken over, with that CA.
    taken_over = seen(leaf, fingerprint_sha256="0" * 64, served=[], adopted=True)
    assert codes(look(tmp_path, {"web2": taken_over})) == []


def test_hosts_have_what_was_revoked(tmp_path: Path, leaf: Any) -> None:
    revoke(make_store(tmp_path), serial_text(leaf.serial_number))
    found = look(tmp_path, {"web1": seen(leaf), "web2": seen(leaf, fingerprint_sha256=None, installed=False)})
    assert codes(found) == [("revoked_served", "web1"), ("revoked_served", "web2")]
    assert "(127.0.0.1:443)" in found.findings[1].message


def test_a_wrong_passphrase_and_one_that_is_being_changed(tmp_path: Path, leaf: Any) -> None:
    with pytest.raises(PassphraseError, match="wrong passphrase"):
        look(tmp_path, passphrase="another passphrase")
    for number in range(1, 100):
        killed_at(lambda: change_passphrase(make_store(tmp_path), "7fQ0x2mVd8KpLw4sYt6Z"), number)
        if "next" in json.loads((tmp_path / "passphrase.json").read_text()):
            break
    with pytest.raises(PassphraseError, match="is being changed"):
        look(tmp_path)
    assert codes(look(tmp_path, passphrase=None)) == []


@pytest.mark.parametrize("text", ["", "1", "1:xyz", "-1:" + "0" * 64, "1:" + "0" * 63])
def test_no_head(text: str) -> None:
    with pytest.raises(SpecError, match="tls_store_head is not the head of a ledger") as caught:
        parse_head(text)
    assert caught.value.remedy


def test_a_store_that_cannot_be_read(tmp_path: Path, leaf: Any) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"garbage " * 1000)
    with pytest.raises(StoreError, match="the ledger is damaged"):
        look(tmp_path)
