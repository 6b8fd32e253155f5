# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store says of a fleet, with a real CA and ledger; asking CAs that advise, in threads with a store each."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment import store_view
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.store_view import (
    rows_of,
    view_of,
    wanted_by_their_cas,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import AdvisesRenewal
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.record import Record
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.stages import Rotation
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Store
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, make_store

WISH = {"name": "www", "dns_names": ["www.example.com"]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


@pytest.fixture
def issuers(store: Store) -> dict[str, Issuer]:
    return load_issuers({"internal": {"type": "ca"}}, store)


def issued(issuers: Mapping[str, Issuer], host: str = "web1") -> KnownPair:
    """A certificate of the CA, as it would be noted."""
    (done,) = list(run_task(HonestHost(), issuers, WISH, name=host).progress.values())
    (row,) = (row for row in issuers["internal"].store.issuances() if row.host == host)
    assert done.chain
    return KnownPair(row.fingerprint, row.not_before, row.not_after)


def test_the_ledger_has_what_it_was_asked_for(store: Store, issuers: dict[str, Issuer]) -> None:
    pair, _other = issued(issuers), issued(issuers, "web2")
    assert [row.host for row in rows_of(store, [pair])] == ["web1"]
    assert list(rows_of(store, [KnownPair("00", pair.begins, 0)])) == list(rows_of(store, [])) == []


def test_a_ca_without_and_with_its_lists(store: Store, issuers: dict[str, Issuer]) -> None:
    assert view_of(store, issuers, {}, [], NOW).ca_due
    pair, other = issued(issuers), KnownPair("00", 0, 0, waits=True)
    issuer = issuers["internal"]
    assert isinstance(issuer, CaIssuer)
    issuer.crls(NOW)
    calm = view_of(store, issuers, {}, [pair], NOW)
    assert calm.issued == {pair.fingerprint} and not (
        calm.ca_due or calm.lists_due or calm.revoked or calm.rotating or calm.behind
    )
    assert set(calm.trust) == set(calm.lists) == {"internal"}
    # As a revocation does.
    issuer.crl_keeper.forget_all_listed()
    with store.ledger() as ledger:
        ledger.revoke(pair.fingerprint, "superseded", int(NOW.timestamp()))
    due = view_of(store, issuers, {}, [dataclasses.replace(pair, waits=True), other], NOW)
    assert due.ca_due and due.lists_due and due.revoked == {pair.fingerprint} and due.lists == calm.lists
    assert not view_of(store, issuers, {}, [pair, other], NOW).revoked
    issuer.crls(NOW)
    after = view_of(store, issuers, {}, [pair], NOW)
    assert not after.ca_due and after.lists != calm.lists and after.trust == calm.trust


def test_a_rotation_is_under_way_until_it_is_done(store: Store, issuers: dict[str, Issuer]) -> None:
    begun = Rotation("keys", "keys", "rekey", 1, 1, ("web1",))
    Record(store, "keys").change(lambda _before: begun)
    assert view_of(store, issuers, {}, [], NOW).rotating
    Record(store, "keys").change(lambda _before: dataclasses.replace(begun, stage="done"))
    assert not view_of(store, issuers, {}, [], NOW).rotating
    store.put("rotations/ca-internal.json", b"{", expect=None)
    assert view_of(store, issuers, {}, [], NOW).rotating


def test_who_is_behind_with_ticket_keys(store: Store, issuers: dict[str, Issuer]) -> None:
    rings = RingStore(store, "web")
    generation = rings.create(1).record.generation
    for host in ("web1", "web2"):
        rings.note(lambda record, host=host: record.with_proof(host, 2), generation)  # type: ignore[misc]
    assert view_of(store, issuers, {"web": ["web1", "web2"]}, [], NOW).behind == set()
    known = rings.known()
    assert known is not None
    following = rings.rotate(known, ["web2"], 3).generation
    assert view_of(store, issuers, {"web": ["web1", "web2"]}, [], NOW).behind == {"web1", "web2"}
    rings.note(lambda record: record.with_proof("web1", 4), following)
    assert view_of(store, issuers, {"web": ["web1", "web2"]}, [], NOW).behind == {"web2"}
    # One that has tickets no more is nobody's business; one that the ring does not know, or whose ring is not there or damaged, is.
    assert view_of(store, issuers, {"web": ["web1"]}, [], NOW).behind == set()
    assert view_of(store, issuers, {"web": ["web1", "web3"], "none": ["web4"]}, [], NOW).behind == {"web3", "web4"}
    store.put(rings.entry.key, b"{", expect=store.version(rings.entry.key))
    assert view_of(store, issuers, {"web": ["web1"]}, [], NOW).behind == {"web1"}


def test_the_present_certificates_of_pools(store: Store, issuers: dict[str, Issuer]) -> None:
    wish = {**WISH, "scope": "pool", "pool": "blue"}
    (done,) = list(run_task(HonestHost(), issuers, wish).progress.values())
    pair = KnownPair(fingerprint(done.chain[0]), 0, 0, pool="blue")
    lost = KnownPair("00", 0, 0, pool="green")
    assert view_of(store, issuers, {}, [pair, lost], NOW).pools == {"blue": pair.fingerprint, "green": ""}
    key = Pool(store, "blue").entry.key
    store.put(key, b"{", expect=store.version(key))
    assert view_of(store, issuers, {}, [pair], NOW).pools == {"blue": ""}


class Advising(CaIssuer, AdvisesRenewal):
    """A CA with an opinion on certificates by their names; ``threads`` asked it."""

    opinions: Mapping[str, dt.timedelta | None] = {}

    def advice(self, leaf: x509.Certificate, now: dt.datetime) -> dt.datetime | None:
        (name,) = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
        if name not in self.opinions:
            raise IssuerError("away")
        after = self.opinions[name]
        return None if after is None else now + after


def test_what_cas_want_early(store: Store, issuers: dict[str, Issuer], monkeypatch: pytest.MonkeyPatch) -> None:
    opinions = {"a": dt.timedelta(0), "b": dt.timedelta(seconds=1), "c": None}
    monkeypatch.setattr(Advising, "opinions", {f"{name}.example.com": each for name, each in opinions.items()})
    advising = {"internal": Advising("internal", {}, store)}
    for name in ("a", "b", "c", "d"):
        run_task(HonestHost(), advising, {"name": "www", "dns_names": [f"{name}.example.com"]}, name=name)
    rows = list(store.issuances())
    loads: list[int] = []

    def load() -> Mapping[str, Issuer]:
        loads.append(threading.get_ident())
        return advising

    wanted = wanted_by_their_cas(rows, load, NOW)
    assert wanted == {row.fingerprint for row in rows if row.host == "a"}
    # Each thread has issuers, and a store, of its own.
    assert len(loads) == len(set(loads))
    broken: list[Issuance] = [dataclasses.replace(row, chain="") for row in rows]
    assert wanted_by_their_cas(broken, load, NOW) == set()
    # Without such a CA, nobody reads the ledger for it.
    assert wanted_by_their_cas(iter(lambda: pytest.fail("read"), 0), lambda: issuers, NOW) == set()
    monkeypatch.setattr(store_view, "ASKING_SECONDS", -1.0)
    assert wanted_by_their_cas(rows, load, NOW) == set()
