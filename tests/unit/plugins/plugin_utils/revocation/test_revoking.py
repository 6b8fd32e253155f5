# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem, serials
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain, serial_text, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.revoking import (
    RevocationSelector,
    choose,
    parse_meant,
    proof_problems,
    proving_canaries,
    replaced,
    revoke_rows,
    revoked_already,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.command import CommandIssuer
from ansible_collections.fleet.tls.tests.unit.support.openssl_verify import verdict
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_request, make_spec


def issue(issuer: CaIssuer, name: str, host: str, now: dt.datetime = NOW) -> Issuance:
    request = make_request(make_spec(name), request_id=f"request-{name}-{host}", host=host)
    (answer,) = issuer.issue([request], now)
    assert isinstance(answer, Issued)
    return list(issuer.store.issuances())[-1]


@pytest.fixture
def issuer(tmp_path: Path) -> CaIssuer:
    return make_issuer(tmp_path)


def test_what_fits_all_that_is_given_is_meant(issuer: CaIssuer) -> None:
    rows = {(name, host): issue(issuer, name, host) for name in ("www", "mail") for host in ("web1", "web2")}
    row = rows["www", "web1"]
    for meant, wanted in (
        (RevocationSelector(names=frozenset({"www"})), {("www", "web1"), ("www", "web2")}),
        (RevocationSelector(hosts=frozenset({"web2"})), {("www", "web2"), ("mail", "web2")}),
        (RevocationSelector(names=frozenset({"www"}), hosts=frozenset({"web2"})), {("www", "web2")}),
        (RevocationSelector(which=(row.serial,)), {("www", "web1")}),
        (RevocationSelector(which=(row.fingerprint, rows["mail", "web2"].key_id)), {("www", "web1"), ("mail", "web2")}),
        (RevocationSelector(issuer="internal"), set(rows)),
        (
            RevocationSelector(
                hosts=frozenset({"web2"}), also=frozenset({("web2", row.fingerprint), ("web2", "f" * 64)})
            ),
            {("www", "web1"), ("www", "web2"), ("mail", "web2")},
        ),
    ):
        chosen = choose(issuer.store, meant, NOW)
        assert {(each.certificate, each.host) for each in chosen} == wanted


def test_all_certificates_of_a_key(issuer: CaIssuer) -> None:
    row = issue(issuer, "www", "web1")
    again = make_request(make_spec("www"), request_id="request-0009", host="web9")
    (answer,) = issuer.issue([again], NOW)
    assert isinstance(answer, Issued)
    with issuer.store.ledger() as ledger:
        ledger.add(dataclasses.replace(row, host="web7", fingerprint="f" * 64, serial="1", request_id="other"))
    chosen = choose(issuer.store, RevocationSelector(which=(row.serial,), same_key=True), NOW)
    assert {each.host for each in chosen} == {"web1", "web7"}


def test_what_has_expired_is_left_out(issuer: CaIssuer) -> None:
    row = issue(issuer, "www", "web1")
    assert choose(issuer.store, RevocationSelector(which=(row.serial,)), NOW + 91 * DAY) == ()


@pytest.mark.parametrize(
    ("meant", "said"),
    [
        (RevocationSelector(which=("abc",)), "no certificate for abc"),
        (RevocationSelector(issuer="nobody"), "no certificate for what was asked for"),
        (RevocationSelector(names=frozenset({"www", "wwww"})), "no certificate for the name 'wwww'"),
        (RevocationSelector(hosts=frozenset({"web1", "laptop7"})), "no certificate for the host 'laptop7'"),
        (
            RevocationSelector(names=frozenset({"www"}), hosts=frozenset({"web1", "web2"})),
            "no certificate for the host 'web2'",
        ),
    ],
)
def test_what_nobody_knows(meant: RevocationSelector, said: str, issuer: CaIssuer) -> None:
    issue(issuer, "www", "web1")
    with pytest.raises(SpecError, match=said):
        choose(issuer.store, meant, NOW)


def test_not_everything_by_mistake() -> None:
    with pytest.raises(SpecError, match="not said which"):
        parse_meant([], [], [], None)
    assert parse_meant(["0x0AB:CD"], [], [], None).which == ("abcd",)
    with pytest.raises(SpecError):
        parse_meant(["not hex"], [], [], None)


def test_revoked_and_listed_with_a_canary(issuer: CaIssuer, tmp_path: Path) -> None:
    row, other = issue(issuer, "www", "web1"), issue(issuer, "mail", "web1")
    outcome = revoke_rows({"internal": issuer}, issuer.store, [row], "key_compromise", NOW)
    assert outcome.revoked == [row] and outcome.failed == outcome.warnings == []
    listed = frozenset().union(*(serials(crl) for crl in issuer.crls(NOW)))
    assert row.serial in listed and other.serial not in listed and len(listed) == 2
    assert row.fingerprint in revoked_already(issuer.store, ["internal"])
    canaries = proving_canaries(issuer, issuer.store, NOW)
    numbers = {name: serial_text(parse_pem_chain(canary.chain)[0].serial_number) for name, canary in canaries.items()}
    assert numbers["revoked"] in listed and numbers["good"] not in listed
    # The ledger's own row of it is nobody's certificate.
    assert {each.certificate for each in choose(issuer.store, RevocationSelector(issuer="internal"), NOW)} == {
        "www",
        "mail",
    }


def test_openssl_tells_the_canaries_apart(issuer: CaIssuer, tmp_path: Path) -> None:
    row = issue(issuer, "www", "web1", dt.datetime.now(dt.timezone.utc))
    now = dt.datetime.now(dt.timezone.utc)
    revoke_rows({"internal": issuer}, issuer.store, [row], "unspecified", now)
    for name, canary in proving_canaries(issuer, issuer.store, now).items():
        bundle = "".join(to_pem(anchor) for anchor in issuer.trust())
        crls = "".join(crl_to_pem(crl) for crl in issuer.crls(now))
        said = verdict(tmp_path, parse_pem_chain(canary.chain), bundle, crls, now)
        assert said == "OK" if name == "good" else "revoked" in said


def test_proof_without_a_revocation(issuer: CaIssuer) -> None:
    issuer.prepare(NOW)
    with pytest.raises(IssuerError, match="nothing of 'internal' was revoked"):
        proving_canaries(issuer, issuer.store, NOW)
    row = issue(issuer, "www", "web1")
    revoke_rows({"internal": issuer}, issuer.store, [row], "unspecified", NOW)
    proving_canaries(issuer, issuer.store, NOW + 6 * DAY)
    with pytest.raises(IssuerError):
        proving_canaries(issuer, issuer.store, NOW + 8 * DAY)


def test_a_ca_that_cannot_does_not_keep_the_others(issuer: CaIssuer, tmp_path: Path) -> None:
    class Far(CommandIssuer):
        asked: list[str] = []

        def revoke(self, leaf: object, reason: str, now: dt.datetime) -> None:
            Far.asked.append(reason)
            if len(Far.asked) == 1:
                raise IssuerError("it is closed today")

    far = Far("far", {"command": ["/bin/false"], "anchors": "/nowhere"}, issuer.store)
    signing = CaIssuer("far", {}, issuer.store)
    mine, first, second, lost = (
        issue(issuer, "www", "web1"), issue(signing, "a", "web1"), issue(signing, "b", "web1"), issue(make_issuer(tmp_path, "gone"), "c", "web1"),
    )  # fmt: skip
    outcome = revoke_rows(
        {"internal": issuer, "far": far}, issuer.store, [first, second, lost, mine], "superseded", NOW
    )
    assert outcome.revoked == [second, mine] and Far.asked == ["superseded", "superseded"]
    assert len(outcome.failed) == 2 and "'a' of web1" in outcome.failed[0] and "it is closed today" in outcome.failed[0]
    assert "'gone', which issued 'c' of web1" in outcome.failed[1]
    assert revoked_already(issuer.store, ["far"]) == {second.fingerprint}


def test_an_unknown_reason(issuer: CaIssuer) -> None:
    with pytest.raises(SpecError, match="reason: 'becaus' is unknown"):
        revoke_rows({}, issuer.store, [], "becaus", NOW)


def test_proof() -> None:
    def proof(subject: str, canary: str, outcome: str | None) -> dict[str, str | None]:
        return {"subject": subject, "canary": canary, "outcome": outcome}

    proofs = [
        proof("good:1", "good", "accepted"), proof("good:1", "revoked", "refused"),
        proof("bad:1", "good", "accepted"), proof("bad:1", "revoked", "accepted"),
        proof("other:1", "good", "refused"), proof("other:1", "revoked", "refused"),
        proof("open:1", "good", None), proof("open:1", "revoked", None),
    ]  # fmt: skip
    proofs += [proof("down:1", "good", "absent"), proof("down:1", "revoked", "absent")]
    assert proof_problems(proofs) == ["bad:1 accepts a revoked client", "down:1 does not answer"]


def test_report(issuer: CaIssuer) -> None:
    old, alone = issue(issuer, "www", "web1"), issue(issuer, "www", "web2")
    request = make_request(make_spec("www"), request_id="request-0009", host="web1")
    issuer.issue([request], NOW)
    new = list(issuer.store.issuances())[-1]
    report = replaced([old, alone], issuer.store.issuances())
    assert [(each["host"], each["replaced_by"]) for each in report] == [("web1", new.fingerprint), ("web2", "")]
