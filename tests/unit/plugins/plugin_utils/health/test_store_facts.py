# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.health.store_facts import store_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, iso, parse_pem_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore
from ansible_collections.fleet.tls.tests.unit.support.foreign_ca import ROOT, ForeignCa
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    NOW,
    cheap_scrypt,
    make_issuer,
    make_request,
    make_store,
    snapshot,
)

__all__ = ["cheap_scrypt"]


def test_all_that_may_be_known_without_a_passphrase(tmp_path: Path) -> None:
    made = make_issuer(tmp_path)
    first, second = made.issue([make_request(request_id="a"), make_request(request_id="b", host="web2")], NOW)
    assert isinstance(first, Issued) and isinstance(second, Issued)
    RingStore(make_store(tmp_path), "web").create(int(NOW.timestamp()))
    with make_store(tmp_path).ledger() as ledger:
        ledger.revoke(fingerprint(second.chain[0]), "key_compromise", int(NOW.timestamp()))
    before = snapshot(tmp_path)

    store = make_store(tmp_path, None)
    known = store_facts(store, {"internal": make_issuer(tmp_path, passphrase=None)}, ["web", "none", "web"], NOW + DAY)

    assert json.loads(json.dumps(known)) == known and known["errors"] == []
    facts = known["issuers"]["internal"]
    assert parse_pem_chain(facts["anchors"]) == made.trust()
    assert {each["id"]: each["kind"] for each in facts["authorities"]} == {"root-1": "root", "issuing-1": "issuing"}
    subjects = {each["subject"] for each in facts["authorities"]}
    assert {each["subject"] for each in facts["crls"]} == subjects
    assert all(each["next_update"] > iso(NOW + DAY) for each in facts["crls"])
    assert known["rings"] == [{"pool": "web", "generation": 1, "created": iso(NOW)}]
    assert set(known["issued"]) == {fingerprint(each.chain[0]) for each in (first, second)}
    assert known["issued"][fingerprint(first.chain[0])] == {"issuer": "internal", "host": "web1", "certificate": "www"}
    (revocation,) = known["revoked"].items()
    assert revocation[0] == fingerprint(second.chain[0])
    assert (revocation[1]["reason"], revocation[1]["host"]) == ("key_compromise", "web2")
    assert "PRIVATE" not in json.dumps(known) and snapshot(tmp_path) == before
    # What has expired is nobody's concern.
    later = store_facts(store, {"internal": make_issuer(tmp_path, passphrase=None)}, [], NOW + 100 * DAY)
    assert (later["issued"], later["revoked"]) == ({}, {})


def test_a_root_whose_key_is_elsewhere(tmp_path: Path) -> None:
    corp = ForeignCa(tmp_path / "corp")
    given = {"root": {"certificate": str(corp.make("root", ROOT))}}
    now = dt.datetime.now(dt.timezone.utc)
    make_issuer(tmp_path / "store", **given).prepare(now)
    known = store_facts(
        make_store(tmp_path / "store", None),
        {"internal": make_issuer(tmp_path / "store", passphrase=None, **given)},
        [],
        now,
    )
    assert json.loads(json.dumps(known)) == known and known["errors"] == []
    facts = known["issuers"]["internal"]
    assert [each["id"] for each in facts["authorities"]] == ["root-1"] and facts["crls"] == []
    assert "waits for the signature of 'CN=root,O=Corp'" in facts["signature_wanted"]["message"]
    assert "name the certificate as tls_issuers.internal.issuing.certificate" in facts["signature_wanted"]["remedy"]


def test_a_list_that_is_lost_is_told(tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    (tmp_path / "ca/internal/issuing-1.crl").unlink()
    facts = store_facts(make_store(tmp_path, None), {"internal": make_issuer(tmp_path)}, [], NOW)["issuers"]["internal"]
    assert [each["next_update"] is None for each in facts["crls"]] == [False, True]


def test_what_cannot_be_read_costs_nothing_else(tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    make_issuer(tmp_path, "other").prepare(NOW)
    (tmp_path / "ca/other/root-1.pem").write_text("nonsense")
    RingStore(make_store(tmp_path), "web").create(int(NOW.timestamp()))
    (tmp_path / "tickets/web.json").write_text("{}")
    issuers = {name: make_issuer(tmp_path, name) for name in ("internal", "other")}
    known = store_facts(make_store(tmp_path), issuers, ["web"], NOW)
    assert [each["about"] for each in known["errors"]] == ["other", "pool web"]
    assert len(known["issuers"]["internal"]["authorities"]) == 2 and known["rings"] == []
    assert StoreError.code == "store"
