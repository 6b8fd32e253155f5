# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    IssuerError,
    PassphraseError,
    StoreError,
    TlsError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    key_id,
    names_of,
    parse_pem_chain,
    serial_text,
    usages_of,
)
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    NOW,
    PASSPHRASE,
    common_name,
    make_issuer,
    make_request,
    make_spec,
    snapshot,
)


def issue(issuer: CaIssuer, *requests: IssueRequest, now: dt.datetime = NOW) -> list[Issued]:
    """Answers that are all certificates."""
    answers = issuer.issue(requests or (make_request(),), now)
    assert all(isinstance(answer, Issued) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Issued)]


def errors(answers: Sequence[Issued | TlsError]) -> list[str]:
    return [str(answer) if isinstance(answer, TlsError) else "" for answer in answers]


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path / "store")
    assert issuer.trust() == () and issuer.authorities() == {} and issuer.lifetime == 90 * 86400
    assert "does not exist yet" in str(issuer.unprepared(NOW))
    assert not (tmp_path / "store").exists()


def test_the_first_certificate_makes_the_ca(tmp_path: Path) -> None:
    issuer, spec = make_issuer(tmp_path, common_name="Example"), make_spec(usages=["server_auth", "client_auth"])
    key = generate_key("ecdsa-p256")
    (issued,) = issue(issuer, make_request(spec, key=key))
    leaf, issuing = issued.chain
    (root,) = issuer.trust()
    assert [common_name(each) for each in (issuing, root)] == ["Example Issuing 2026-11", "Example Root"]
    assert issuer.authorities() == {"root-1": root, "issuing-1": issuing}
    check_chain(issued.chain, [root], NOW)
    assert (names_of(leaf).sans(), usages_of(leaf)) == (spec.names.sans(), spec.usages)
    assert key_id(leaf.public_key()) == key_id(key.public_key()) and not issued.reused
    assert [each.not_valid_after_utc - NOW for each in (leaf, issuing, root)] == [90 * DAY, 730 * DAY, 3650 * DAY]
    assert issuer.unprepared(NOW) is None
    assert set(snapshot(tmp_path)) == {
        "ca/internal/ca.json", "ca/internal/issued.json", "ca/internal/root-1.pem", "ca/internal/root-1.key", "ca/internal/issuing-1.pem",
        "ca/internal/issuing-1.key", "ca/internal/root-1.crl", "ca/internal/issuing-1.crl", "ledger.sqlite3", "passphrase.json",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["root-1", "issuing-1"])
def test_its_keys_are_sealed(name: str, tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    command = ["openssl", "pkey", "-in", str(tmp_path / f"ca/internal/{name}.key"), "-pubout", "-passin", "stdin"]
    opened = subprocess.run(command, input=PASSPHRASE.encode(), capture_output=True, check=True).stdout
    certificate = ["openssl", "x509", "-in", str(tmp_path / f"ca/internal/{name}.pem"), "-noout", "-pubkey"]
    assert opened == subprocess.run(certificate, capture_output=True, check=True).stdout
    assert subprocess.run(command, input=b"wrong passphrase", capture_output=True, check=False).returncode != 0


def test_the_ledger_tells_what_was_issued(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    request = make_request(make_spec(ip_addresses=["192.0.2.1"]), host="web7")
    (issued,) = issue(issuer, request)
    leaf = issued.chain[0]
    (row,) = issuer.store.issuances()
    assert (row.issuer, row.host, row.certificate, row.names, row.reason) == (
        "internal", "web7", "www", ("192.0.2.1",), "missing"
    )  # fmt: skip
    assert (row.serial, row.issued_at, row.not_after) == (
        serial_text(leaf.serial_number), int(NOW.timestamp()), int((NOW + 90 * DAY).timestamp())
    )  # fmt: skip
    assert parse_pem_chain(row.chain) == issued.chain
    assert row.key_id == key_id(request.csr.public_key())


def test_the_same_request_gets_the_same_certificate(tmp_path: Path) -> None:
    request = make_request()
    (first,) = issue(make_issuer(tmp_path), request)
    (again,) = issue(make_issuer(tmp_path), request, now=NOW + DAY)
    assert again == Issued(first.chain, reused=True)
    assert len(list(make_issuer(tmp_path).store.issuances())) == 1


def test_a_first_request_that_fails_is_no_lost_ledger(tmp_path: Path) -> None:
    (answer,) = make_issuer(tmp_path).issue([make_request(make_spec(duration="3y"))], NOW)
    assert isinstance(answer, IssuerError)
    assert issue(make_issuer(tmp_path))


def changed(request: IssueRequest, what: str) -> tuple[IssueRequest, dt.datetime]:
    if what == "names":
        return make_request(make_spec(dns_names=["b.example"]), key=KEY), NOW
    if what == "usages":
        return dataclasses.replace(request, usages=("client_auth",)), NOW
    if what == "half used up":
        return request, NOW + 46 * DAY
    if what == "another key":
        return make_request(), NOW
    return dataclasses.replace(request, request_id="request-0002"), NOW


KEY = generate_key("ecdsa-p256")


@pytest.mark.parametrize("what", ["names", "usages", "half used up", "another key", "another request id"])
def test_another_request_gets_another_certificate(what: str, tmp_path: Path) -> None:
    request = make_request(key=KEY)
    (first,) = issue(make_issuer(tmp_path), request)
    other, now = changed(request, what)
    (second,) = issue(make_issuer(tmp_path), other, now=now)
    assert second.chain[0] != first.chain[0] and not second.reused
    assert len(list(make_issuer(tmp_path).store.issuances())) == 2


def test_a_stranger_with_a_known_request_id_takes_nobodys_answer_away(tmp_path: Path) -> None:
    honest, stranger = make_request(host="web1"), make_request(host="evil")
    (first,) = issue(make_issuer(tmp_path), honest)
    issue(make_issuer(tmp_path), stranger)
    assert issue(make_issuer(tmp_path), honest) == [Issued(first.chain, reused=True)]


def test_trust_needs_no_key_and_no_passphrase(tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    for path in tmp_path.rglob("*.key"):
        path.unlink()
    (tmp_path / "passphrase.json").unlink()
    reader = make_issuer(tmp_path, passphrase=None)
    assert len(reader.trust()) == 1 and len(reader.authorities()) == 2 and reader.unprepared(NOW) is None


@pytest.mark.parametrize(
    ("passphrase", "words"),
    [
        ("another passphrase", "wrong passphrase for the store"),
        (None, "needs its passphrase"),
        ("too little", "is shorter than 12"),
    ],
)
def test_bad_passphrases_change_nothing(passphrase: str | None, words: str, tmp_path: Path) -> None:
    issue(make_issuer(tmp_path))
    before = snapshot(tmp_path)
    for issuer in (
        make_issuer(tmp_path, passphrase=passphrase),
        make_issuer(tmp_path, "second", passphrase=passphrase),
    ):
        with pytest.raises(PassphraseError, match=words) as caught:
            issuer.issue([make_request(request_id="request-0002")], NOW)
        assert caught.value.remedy and (not passphrase or passphrase not in str(caught.value))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("passphrase", [None, "too little"])
def test_no_ca_is_made_without_a_good_passphrase(passphrase: str | None, tmp_path: Path) -> None:
    with pytest.raises(PassphraseError):
        make_issuer(tmp_path / "store", passphrase=passphrase).prepare(NOW)
    assert snapshot(tmp_path) == {}


def test_a_ca_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    issue(make_issuer(tmp_path))
    shutil.rmtree(tmp_path / "ca")
    before = snapshot(tmp_path)
    with pytest.raises(IssuerError, match="has issued with the CA 'internal', but the CA itself is missing") as caught:
        issue(make_issuer(tmp_path))
    assert "backup" in str(caught.value.remedy) and snapshot(tmp_path) == before
    issue(make_issuer(tmp_path, "another"))


DAMAGE: list[tuple[str, Any]] = [
    ("ca.json", b""),
    ("ca.json", b"[]"),
    ("ca.json", b"\xff"),
    ("ca.json", json.dumps({"root": "../../x", "issuing": "issuing-1", "trusted": []}).encode()),
    ("ca.json", json.dumps({"root": "root-1", "issuing": "foo", "trusted": []}).encode()),
    ("ca.json", json.dumps({"root": "root-1", "issuing": "issuing-1", "trusted": "root-1"}).encode()),
    ("root-1.pem", None),
    ("root-1.pem", b"garbage"),
    ("issuing-1.pem", b"\xff\xfe"),
    ("issuing-1.key", None),
    ("issuing-1.key", b"garbage"),
]


@pytest.mark.parametrize(("name", "content"), DAMAGE, ids=lambda value: str(value)[:20])
def test_a_damaged_ca(name: str, content: bytes | None, tmp_path: Path) -> None:
    issue(make_issuer(tmp_path))
    path = tmp_path / "ca/internal" / name
    path.unlink() if content is None else path.write_bytes(content)
    before = snapshot(tmp_path)
    with pytest.raises(StoreError) as caught:
        issue(make_issuer(tmp_path), make_request(request_id="request-0002"))
    assert "backup" in str(caught.value.remedy) and f"ca/internal/{name}" in caught.value.message
    assert not isinstance(caught.value, PassphraseError) and snapshot(tmp_path) == before


def test_a_key_of_another_certificate(tmp_path: Path) -> None:
    issue(make_issuer(tmp_path))
    shutil.copy(tmp_path / "ca/internal/root-1.key", tmp_path / "ca/internal/issuing-1.key")
    with pytest.raises(IssuerError, match="key and certificate of 'issuing-1' .* do not belong together"):
        issue(make_issuer(tmp_path))


def test_the_issuing_ca_is_replaced_in_time_under_the_same_root(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    (early,) = issue(issuer)
    (root,) = issuer.trust()
    third = (730 * DAY + dt.timedelta(hours=1)) / 3
    before, at = NOW + 730 * DAY - third - dt.timedelta(seconds=1), NOW + 730 * DAY - third + dt.timedelta(seconds=1)
    (same,) = issue(issuer, make_request(request_id="request-0002"), now=before)
    assert same.chain[1] == early.chain[1] and issuer.unprepared(before) is None
    assert "expires on 2028-11-22" in str(issuer.unprepared(at))
    (other,) = issue(issuer, make_request(request_id="request-0003"), now=at)
    assert other.chain[1] != early.chain[1] and issuer.trust() == (root,)
    assert issuer.authorities()["issuing-2"] == other.chain[1] and issuer.unprepared(at) is None
    check_chain(other.chain, [root], at)
    check_chain(early.chain, [root], at)


def test_a_ca_from_the_future_is_dated_anew(tmp_path: Path) -> None:
    """A controller that was five days ahead made it; today the same keys of the root count, under the same name."""
    ahead = make_issuer(tmp_path)
    request = make_request()
    issue(ahead, request, now=NOW + 5 * DAY)
    (early,) = ahead.trust()
    issuer = make_issuer(tmp_path)
    assert "is from the future: it counts from" in str(issuer.unprepared(NOW))
    (issued,) = issue(issuer, request)
    (root,) = issuer.trust()
    assert (root.subject, key_id(root.public_key())) == (early.subject, key_id(early.public_key()))
    check_chain(issued.chain, [root], NOW)
    assert not issued.reused
    # The list of the CA before, which is below the root still, is as early as that.
    assert all(crl.last_update_utc <= NOW for crl in issuer.crls(NOW))
    assert issuer.unprepared(NOW) is None and issuer.crls_due(NOW) is None
    before = snapshot(tmp_path)
    issuer.prepare(NOW)
    assert snapshot(tmp_path) == before


def test_a_root_key_kept_elsewhere(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    (tmp_path / "ca/internal/root-1.key").rename(tmp_path / "offline.key")
    late = NOW + 600 * DAY
    assert issuer.unprepared(late) is None and "put the key of root-1 into the store" in str(issuer.waits_for(late))
    assert issuer.waits_for(NOW) is None
    (issued,) = issue(issuer, now=late)
    assert issued.chain[1] == issuer.authorities()["issuing-1"]
    too_late = NOW + 650 * DAY
    with pytest.raises(StoreError, match="'ca/internal/root-1.key' is not in the store") as caught:
        issue(issuer, make_request(request_id="request-0002"), now=too_late)
    assert caught.value.remedy
    (tmp_path / "offline.key").rename(tmp_path / "ca/internal/root-1.key")
    issue(issuer, make_request(request_id="request-0002"), now=too_late)


@pytest.mark.parametrize(
    ("after", "words"),
    [(3600, "expires on 2036-11-20T10:00:00Z, before a certificate of 90d would"), (3700, "has expired on 2036-11-20")],
)
def test_a_root_that_ends_before_the_leaf_would(after: int, words: str, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    before = snapshot(tmp_path)
    with pytest.raises(IssuerError, match=f"the root of the CA 'internal' {words}") as caught:
        issue(issuer, now=NOW + after * DAY)
    assert caught.value.remedy and snapshot(tmp_path) == before


def test_shorter_certificates_come_to_the_roots_last_days(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    now = NOW + 3600 * DAY
    short = make_request(make_spec(duration="20d"), request_id="request-0001")
    default = make_request(request_id="request-0002")
    answers = issuer.issue([short, default], now)
    assert isinstance(answers[0], Issued) and "before the certificate would" in errors(answers)[1]
    (root,) = issuer.trust()
    assert answers[0].chain[1].not_valid_after_utc == root.not_valid_after_utc
    issuer.issue([short], now + DAY)
    assert set(issuer.authorities()) == {"root-1", "issuing-2"}


def test_a_lifetime_beyond_the_issuing_ca_costs_that_request_only(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    long, plain = make_request(make_spec(duration="3y")), make_request(request_id="request-0002")
    for number in range(3):
        answers = issuer.issue([long, plain], NOW + number * DAY)
        assert "expires on 2028-11-22T10:00:00Z, before the certificate would (1095d from now)" in errors(answers)[0]
        assert isinstance(answers[1], Issued)
    assert "issuing-2" not in issuer.authorities()
    assert len(list(issuer.store.issuances())) == 1


def test_two_cas_in_one_store(tmp_path: Path) -> None:
    request = make_request()
    chains = [issue(make_issuer(tmp_path, name), request)[0].chain for name in ("internal", "a..b")]
    assert make_issuer(tmp_path).trust() != make_issuer(tmp_path, "a..b").trust()
    assert chains[0][0] != chains[1][0]


@pytest.mark.parametrize("algorithm", ["ecdsa-p384", "rsa-2048", "ed25519"])
def test_key_algorithms_of_the_ca(algorithm: str, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, key_algorithm=algorithm)
    (issued,) = issue(issuer)
    check_chain(issued.chain, issuer.trust(), NOW)


def test_the_longest_names(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, "x" * 45)
    assert common_name(issue(issuer)[0].chain[1]) == f"{'x' * 45} CA Issuing 2026-11"
