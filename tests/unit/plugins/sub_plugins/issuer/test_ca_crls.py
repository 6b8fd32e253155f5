# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_number, crl_to_pem, is_crl_of, serials
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import serial_text, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import revoke
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.openssl_verify import verdict
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    NOW,
    make_issuer,
    make_request,
    make_spec,
    snapshot,
)
from ansible_collections.fleet.tls.tests.unit.support.processes import in_processes, killed_at

HOUR = dt.timedelta(hours=1)


def issue(issuer: CaIssuer, number: int = 1, now: dt.datetime = NOW, **fields: str) -> tuple[x509.Certificate, ...]:
    """The chain of a client's certificate."""
    spec = make_spec("app", usages=["client_auth"], **fields)
    (issued,) = issuer.issue([make_request(spec, request_id=f"request-{number:04}", host="app1")], now)
    assert isinstance(issued, Issued), issued
    return issued.chain


def revoked(issuer: CaIssuer, leaf: x509.Certificate, now: dt.datetime = NOW, reason: str = "key_compromise") -> None:
    done = revoke({issuer.name: issuer}, issuer.store, [serial_text(leaf.serial_number)], reason, now)
    assert done.warnings == ()


def by_openssl(issuer: CaIssuer, chain: tuple[x509.Certificate, ...], folder: Path, now: dt.datetime) -> str:
    bundle = "".join(map(to_pem, issuer.trust()))
    return verdict(folder, chain, bundle, "".join(map(crl_to_pem, issuer.crls(now, renew=False))), now)


def number(issuer: CaIssuer, authority: str, now: dt.datetime) -> int:
    (crl,) = [each for each in issuer.crls(now, renew=False) if is_crl_of(each, issuer.authorities()[authority])]
    return crl_number(crl) or 0


def test_a_ca_has_a_crl_of_each_authority_from_its_first_day(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path / "store")
    assert issuer.crls(NOW) == () and issuer.crls_due(NOW) is None and not (tmp_path / "store").exists()
    chain = issue(issuer)
    crls = issuer.crls(NOW)
    root, issuing = issuer.authorities()["root-1"], issuer.authorities()["issuing-1"]
    assert [is_crl_of(crl, ca) for crl, ca in zip(crls, (root, issuing))] == [True, True]
    assert [crl.next_update_utc - NOW for crl in crls] == [365 * DAY, 7 * DAY]
    # A server whose clock is late takes them too.
    assert [NOW - crl.last_update_utc for crl in crls] == [HOUR, HOUR]
    for crl, authority in zip(crls, (root, issuing)):
        key = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        assert key == authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert by_openssl(issuer, chain, tmp_path, NOW) == "OK"
    assert issuer.crl_authorities(NOW) == (root, issuing)
    for name in ("root-1.crl", "issuing-1.crl"):
        assert (tmp_path / "store/ca/internal" / name).stat().st_mode & 0o077 == 0


def test_nothing_due_signs_nothing_and_needs_no_secret(tmp_path: Path) -> None:
    issue(make_issuer(tmp_path))
    for path in tmp_path.rglob("*.key"):
        path.unlink()
    before = snapshot(tmp_path)
    reader = make_issuer(tmp_path, passphrase=None)
    assert len(reader.crls(NOW + 3 * DAY)) == 2 and reader.crls_due(NOW + 3 * DAY) is None
    assert reader.waits_for(NOW + 3 * DAY) is None and snapshot(tmp_path) == before


@pytest.mark.parametrize(("options", "half"), [({}, 3.5 * DAY), ({"crl_duration": "2d"}, DAY)])
def test_signed_anew_past_half_of_its_life(options: dict[str, str], half: dt.timedelta, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, **options)
    chain = issue(issuer)
    before, at = NOW + half - dt.timedelta(seconds=1), NOW + half
    kept = issuer.crls(before)
    assert kept == issuer.crls(NOW) and issuer.crls_due(before) is None
    assert "the CRL of issuing-1 ends on" in str(issuer.crls_due(at))
    assert issuer.crls(at, renew=False) == kept
    renewed = issuer.crls(at)
    assert renewed[0] == kept[0] and renewed[1] != kept[1] and issuer.crls_due(at) is None
    assert (crl_number(renewed[1]) or 0) > (crl_number(kept[1]) or 0) and issuer.crls(at) == renewed
    assert by_openssl(issuer, chain, tmp_path, at + 2 * half - DAY / 2) == "OK"
    late = NOW + half + 8 * DAY
    assert "CRL has expired" in by_openssl(issuer, chain, tmp_path, late)


def test_a_revocation_comes_into_the_crl_at_once(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    gone, stays = issue(issuer, 1), issue(issuer, 2)
    first = number(issuer, "issuing-1", NOW)
    revoked(issuer, gone[0])
    assert "certificate revoked" in by_openssl(issuer, gone, tmp_path, NOW)
    assert by_openssl(issuer, stays, tmp_path, NOW) == "OK"
    assert number(issuer, "issuing-1", NOW) == first + 1
    (entry,) = [entry for crl in issuer.crls(NOW) for entry in crl]
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    assert entry.revocation_date_utc == NOW
    revoked(issuer, stays[0], reason="unspecified")
    assert "certificate revoked" in by_openssl(issuer, stays, tmp_path, NOW)


def test_what_was_recorded_and_not_yet_signed_is_signed_by_the_next_run(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    chain = issue(issuer)
    without = make_issuer(tmp_path, passphrase=None)
    serial = serial_text(chain[0].serial_number)
    done = revoke({"internal": without}, without.store, [serial], "superseded", NOW)
    assert "give the store's passphrase" in done.warnings[0] and "(1 of 1)" in done.warnings[0]
    assert by_openssl(issuer, chain, tmp_path, NOW) == "OK"
    assert "does not list what was revoked since" in str(issuer.crls_due(NOW))
    issuer.crls(NOW)
    assert "certificate revoked" in by_openssl(issuer, chain, tmp_path, NOW) and issuer.waits_for(NOW) is None


def test_a_revoked_certificate_is_not_handed_out_again(tmp_path: Path) -> None:
    issuer, request = make_issuer(tmp_path), make_request()
    (first,) = issuer.issue([request], NOW)
    assert isinstance(first, Issued)
    revoked(issuer, first.chain[0])
    (second,) = issuer.issue([request], NOW)
    assert isinstance(second, Issued) and not second.reused and second.chain[0] != first.chain[0]


def test_what_has_expired_leaves_the_crl_after_it_was_listed_once_more(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    (leaf, _issuing) = issue(issuer, duration="2d")
    revoked(issuer, leaf)
    lists = [{serial for crl in issuer.crls(NOW + days * DAY) for serial in serials(crl)} for days in (0, 4, 8, 12)]
    assert lists == [{serial_text(leaf.serial_number)}, {serial_text(leaf.serial_number)}, set(), set()]


def test_an_issuing_ca_that_was_replaced_keeps_its_crl(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    now = NOW + 490 * DAY
    early = issue(issuer, 1, now - 10 * DAY)
    root_before = number(issuer, "root-1", now)
    fresh = issue(issuer, 2, now)
    assert fresh[1] != early[1] == issuer.crl_authorities(now)[1]
    revoked(issuer, early[0], now)
    assert len(issuer.crls(now)) == len(issuer.crl_authorities(now)) == 3
    assert "certificate revoked" in by_openssl(issuer, early, tmp_path, now)
    assert by_openssl(issuer, fresh, tmp_path, now) == "OK"
    # The root's key was used, so its CRL starts anew.
    assert number(issuer, "root-1", now) > root_before
    issuing_1_ended = NOW + 760 * DAY
    assert [ca.subject for ca in issuer.crl_authorities(issuing_1_ended)] == [
        issuer.trust()[0].subject, fresh[1].subject
    ]  # fmt: skip


def test_a_root_key_kept_elsewhere(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issue(issuer)
    key = tmp_path / "ca/internal/root-1.key"
    key.rename(tmp_path / "offline")
    for days, waits in ((200, False), (280, True)):
        now = NOW + days * DAY
        assert len(issuer.crls(now)) == 2 and issuer.crls_due(now) is None
        assert ("put the key of root-1 into the store" in str(issuer.waits_for(now))) is waits
    (tmp_path / "offline").rename(key)
    assert "the CRL of root-1 ends on" in str(issuer.crls_due(now))
    assert issuer.crls(now)[0].next_update_utc == now + 365 * DAY and issuer.waits_for(now) is None


def test_no_passphrase_keeps_what_there_is(tmp_path: Path) -> None:
    issue(make_issuer(tmp_path))
    reader = make_issuer(tmp_path, passphrase=None)
    assert reader.waits_for(NOW + 5 * DAY) is None
    assert "give the store's passphrase" in str(reader.waits_for(NOW + 6 * DAY))
    assert len(reader.crls(NOW + 6 * DAY)) == 2
    with pytest.raises(PassphraseError, match="wrong passphrase"):
        make_issuer(tmp_path, passphrase="some other passphrase").crls(NOW + 6 * DAY)


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\xff\xfe", "root-1.crl"])
def test_a_lost_or_damaged_crl_is_made_from_the_ledger(content: bytes | str | None, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    chain = issue(issuer)
    revoked(issuer, chain[0])
    path, first = tmp_path / "ca/internal/issuing-1.crl", number(issuer, "issuing-1", NOW)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else (path.parent / content).read_bytes())
    later = NOW + HOUR
    assert "missing or damaged" in str(issuer.crls_due(later)) and len(issuer.crls(later, renew=False)) == 1
    issuer.crls(later)
    assert number(issuer, "issuing-1", later) > first
    assert "certificate revoked" in by_openssl(issuer, chain, tmp_path, later)


def test_a_store_of_before_crls(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    chain = issue(issuer)
    for path in (tmp_path / "ca/internal").glob("*.crl"):
        path.unlink()
    (tmp_path / "ca/internal/root-1.key").unlink()
    assert "root-1 is missing" in str(issuer.waits_for(NOW)) and len(issuer.crls(NOW)) == 1
    assert "unable to get certificate CRL" in by_openssl(issuer, chain, tmp_path, NOW)


def test_runs_at_once_sign_once_and_lose_no_revocation(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    chains = [issue(issuer, each) for each in range(6)]
    first = number(issuer, "issuing-1", NOW)

    def work(index: int) -> None:
        mine = make_issuer(tmp_path)
        revoke({"internal": mine}, mine.store, [serial_text(chains[index][0].serial_number)], "superseded", NOW)

    in_processes([lambda index=index: work(index) for index in range(6)])
    assert {serial for crl in issuer.crls(NOW) for serial in serials(crl)} == {
        serial_text(chain[0].serial_number) for chain in chains
    }
    assert first < number(issuer, "issuing-1", NOW) <= first + 6
    at = NOW + 4 * DAY
    answers = in_processes([lambda: [crl_to_pem(crl) for crl in make_issuer(tmp_path).crls(at)]] * 8)
    assert all(answer == answers[0] for answer in answers)


def test_a_run_that_is_killed_anywhere_while_it_signs(tmp_path: Path) -> None:
    for event in range(1, 60):
        path = tmp_path / str(event)
        issuer = make_issuer(path)
        chain = issue(issuer)
        killed = killed_at(lambda: revoked(make_issuer(path), chain[0]), event)  # noqa: B023
        recorded = bool(list(issuer.store.revocations("internal")))
        issuer.crls(NOW)
        assert ("certificate revoked" in by_openssl(issuer, chain, tmp_path, NOW)) is recorded
        revoked(issuer, chain[0])
        assert "certificate revoked" in by_openssl(issuer, chain, tmp_path, NOW)
        if not killed:
            break
    assert event > 5 and not killed


@pytest.mark.parametrize("algorithm", ["ecdsa-p384", "rsa-2048", "ed25519"])
def test_key_algorithms(algorithm: str, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, key_algorithm=algorithm)
    assert by_openssl(issuer, issue(issuer), tmp_path, NOW) == "OK"


@pytest.mark.parametrize("value", ["soon", "0d", "-1d"])
def test_durations_that_are_none(value: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="issuer 'internal': crl_duration"):
        make_issuer(tmp_path, crl_duration=value)
