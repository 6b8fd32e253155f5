# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, RotationError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import is_crl_of
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CANARY_NAME
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    names_of,
    parse_pem_chain,
    usages_of,
)
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    NOW,
    common_name,
    make_issuer,
    make_request,
    snapshot,
)


def issued(issuer: CaIssuer, request_id: str = "request-0001", now: dt.datetime = NOW) -> Issued:
    (answer,) = issuer.issue([make_request(request_id=request_id)], now)
    assert isinstance(answer, Issued), answer
    return answer


def test_prepared_it_is_trusted_and_issues_nothing(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    before = issued(issuer).chain
    issuer.rollover().prepare("root-2", NOW)
    assert [common_name(each) for each in issuer.trust()] == ["internal CA Root", "internal CA 2 Root"]
    after = issued(issuer, "request-0002").chain
    assert after[1] == before[1] and issuer.superseded(before) is None
    check_chain(after, issuer.trust()[:1], NOW)


def test_every_ca_has_a_crl_from_the_start(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    issuer.rollover().prepare("root-2", NOW)
    authorities = issuer.crl_authorities(NOW)
    assert len(authorities) == 4 and issuer.crls_due(NOW) is None
    assert all(any(is_crl_of(crl, authority) for crl in issuer.crls(NOW)) for authority in authorities)


def test_activated_it_issues_and_what_was_issued_before_is_superseded(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    request = make_request()
    (before,) = issuer.issue([request], NOW)
    issuer.rollover().prepare("root-2", NOW)
    issuer.rollover().activate()
    assert isinstance(before, Issued)
    assert issuer.superseded(before.chain) == "it is from root-1 of 'internal', and root-2 has taken over"
    # The very request that the old CA has answered is answered anew: its certificate would be replaced at once.
    (after,) = issuer.issue([request], NOW)
    assert isinstance(after, Issued) and not after.reused and issuer.superseded(after.chain) is None
    check_chain(after.chain, issuer.trust()[:1], NOW)
    assert common_name(issuer.trust()[0]) == "internal CA 2 Root"


def test_retired_the_old_one_is_trusted_no_more(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issued(issuer)
    for work in (
        lambda: issuer.rollover().prepare("root-2", NOW),
        issuer.rollover().activate,
        issuer.rollover().retire,
    ):
        work()
    assert [common_name(each) for each in issuer.trust()] == ["internal CA 2 Root"]
    assert len(issuer.crl_authorities(NOW)) == 2


@pytest.mark.parametrize("done", ["prepare", "activate", "retire"])
def test_each_is_done_once(done: str, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    rollover = issuer.rollover()
    steps = {
        "prepare": lambda: rollover.prepare("root-2", NOW),
        "activate": rollover.activate,
        "retire": rollover.retire,
    }
    for name, work in steps.items():
        work()
        if name == done:
            before = snapshot(tmp_path)
            work()
            assert snapshot(tmp_path) == before
            return


def test_several_rollovers_and_renewals_in_between(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    issuer.rollover().prepare("root-2", NOW)
    # The old issuing CA comes near its end while the new one waits.
    later = NOW + 600 * DAY
    assert issuer.state().made == 2  # type: ignore[union-attr]
    issuer.prepare(later)
    assert issuer.state().issuing == "issuing-3"  # type: ignore[union-attr]
    issuer.rollover().activate()
    issuer.rollover().retire()
    state = issuer.rollover().prepare(issuer.rollover().next_root(), later)
    assert state.successor == ("root-3", "issuing-4")
    issuer.rollover().activate()
    state = issuer.rollover().retire()
    assert (state.root, state.issuing, state.trusted) == ("root-3", "issuing-4", ("root-3",))
    issued(issuer, now=later)


def test_there_has_to_be_a_ca(tmp_path: Path) -> None:
    with pytest.raises(IssuerError, match="does not exist yet"):
        make_issuer(tmp_path).rollover().prepare("root-2", NOW)


def test_a_host_gets_a_new_certificate_when_it_is_activated_and_only_then(tmp_path: Path) -> None:
    issuer, host, wish = make_issuer(tmp_path), HonestHost(), {"name": "www", "dns_names": ["www.example.com"]}
    issuers = {"internal": issuer}
    run_task(host, issuers, wish)
    issuer.rollover().prepare("root-2", NOW)
    assert not run_task(host, issuers, wish).progress["www"].verdict.due
    issuer.rollover().activate()
    reasons = run_task(host, issuers, wish).progress["www"].verdict.reasons
    assert [reason.code for reason in reasons] == ["issuer_ca_changed"]
    assert issuer.rollover().is_current(parse_pem_chain("".join(host.live["www"].chain)))
    issuer.rollover().retire()
    assert not run_task(host, issuers, wish).progress["www"].verdict.due


def test_a_host_that_missed_it_all_is_put_right_later(tmp_path: Path) -> None:
    issuer, host, wish = make_issuer(tmp_path), HonestHost(), {"name": "www", "dns_names": ["www.example.com"]}
    run_task(host, {"internal": issuer}, wish)
    for work in (
        lambda: issuer.rollover().prepare("root-2", NOW),
        issuer.rollover().activate,
        issuer.rollover().retire,
    ):
        work()
    run = run_task(host, {"internal": issuer}, wish).progress["www"]
    assert [reason.code for reason in run.verdict.reasons] == ["chain_untrusted"] and run.error is None


def test_canaries(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    rollover = issuer.rollover()
    rollover.prepare("root-2", NOW)
    old, new = issuer.trust()
    for stage in ("prepared", "activated", "retired"):
        canaries = rollover.canaries(NOW)
        for name, root in (("old", old), ("new", new)):
            chain = parse_pem_chain(canaries[name].chain)
            check_chain(chain, [root], NOW)
            assert names_of(chain[0]).dns_names == (CANARY_NAME,)
            assert usages_of(chain[0]) == ("client_auth", "server_auth")
            assert chain[0].not_valid_after_utc - NOW == dt.timedelta(hours=2)
            assert canaries[name].key.startswith("-----BEGIN PRIVATE KEY-----") and "PRIVATE" not in repr(canaries)
        {"prepared": rollover.activate, "activated": rollover.retire}.get(stage, lambda: None)()
    assert not list(issuer.store.issuances())


def test_without_the_old_key_there_is_no_old_canary(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    assert set(issuer.rollover().canaries(NOW)) == {"new"}
    issuer.rollover().prepare("root-2", NOW)
    issuer.rollover().activate()
    (tmp_path / "ca/internal/issuing-1.key").unlink()
    assert set(issuer.rollover().canaries(NOW)) == {"new"}


def test_a_store_that_is_older_than_the_fleet(tmp_path: Path) -> None:
    newer, older = make_issuer(tmp_path / "newer"), make_issuer(tmp_path / "older")
    newer.prepare(NOW)
    newer.rollover().prepare("root-2", NOW)
    for path in sorted((tmp_path / "newer/ca/internal").iterdir()):
        target = tmp_path / "older/ca/internal" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    old_chain = issued(newer).chain
    newer.rollover().activate()
    chain = issued(newer, "request-0002").chain
    with pytest.raises(RotationError, match="root-2, which signs nothing yet.*the store is older than the fleet"):
        older.rollover().refuse_later(chain)
    for each in (chain, old_chain):
        newer.rollover().refuse_later(each)
    newer.rollover().retire()
    newer.rollover().refuse_later(old_chain)
    with pytest.raises(RotationError, match="a CA that is not there"):
        newer.rollover().refuse_later(issued(make_issuer(tmp_path / "foreign")).chain)


def test_names_stay_within_their_limit(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, common_name="ü" * 24)
    issuer.prepare(NOW)
    issuer.rollover().prepare("root-2", NOW)
    names = [common_name(each) for each in issuer.authorities().values()]
    assert len(set(names)) == 4 and all(len(name.encode()) <= 64 for name in names)
    assert f"{'ü' * 23} 2 Root" in names


def test_a_canary_of_a_ca_near_its_end(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    end = issuer.authorities()["issuing-1"].not_valid_after_utc
    (leaf, _issuing) = parse_pem_chain(
        issuer.rollover().canary("root-1", "issuing-1", end - dt.timedelta(minutes=5)).chain
    )
    assert leaf.not_valid_after_utc == end


def test_state_is_frozen(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(NOW)
    with pytest.raises(dataclasses.FrozenInstanceError):
        issuer.rollover().state().root = "root-9"  # type: ignore[misc]
