# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flow of one host, against a host that keeps the protocol."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pair_judge import PairJudge
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure, task_result
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    PEM_CERTIFICATE,
    fingerprint,
    key_id,
    parse_pem_chain,
)
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, PASSPHRASE, make_issuer, make_store, snapshot

WWW: dict[str, Any] = {"name": "www", "dns_names": ["www.example.com"]}
API: dict[str, Any] = {"name": "api", "dns_names": ["api.example.com"], "ip_addresses": ["192.0.2.1"]}
CONTROLLER: dict[str, Any] = {**WWW, "private_key": {"location": "controller"}}


@pytest.fixture
def issuers(tmp_path: Path) -> dict[str, Issuer]:
    return {name: make_issuer(tmp_path, name) for name in ("internal", "other")}


def leaf_of(host: HonestHost, name: str = "www") -> x509.Certificate:
    return parse_pem_chain("".join(host.live[name].chain))[0]


def reasons(run: HostRun) -> dict[str, list[str]]:
    return {name: [reason.code for reason in each.verdict.reasons] for name, each in run.progress.items()}


def ok(run: HostRun) -> HostRun:
    assert failure(run) is None
    return run


def test_first_issue_takes_two_round_trips_and_a_second_run_one(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run = ok(run_task(host, issuers, WWW, API))
    assert host.steps() == ["look auto", "apply"]
    assert reasons(run) == {"www": ["missing"], "api": ["missing"]}
    for name in ("www", "api"):
        check_chain(parse_pem_chain("".join(host.live[name].chain)), issuers["internal"].trust(), NOW)
        assert key_id(leaf_of(host, name).public_key()) == key_id(host.live[name].key.public_key())
    again = ok(run_task(host, issuers, WWW, API, now=NOW + 10 * DAY))
    assert host.steps() == ["look auto", "apply", "look auto"]
    assert reasons(again) == {"www": [], "api": []} and task_result(again, True)["changed"] is False


def test_no_certificates_no_round_trip(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    assert task_result(ok(run_task(host, issuers)), True)["certificates"] == [] and host.calls == []


def test_nothing_due_needs_neither_keys_nor_passphrase_nor_ledger(
    tmp_path: Path, issuers: Mapping[str, Issuer]
) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    for path in [*tmp_path.rglob("*.key"), tmp_path / "ledger.sqlite3", tmp_path / "passphrase.json"]:
        path.unlink()
    shutil.rmtree(tmp_path / "locks")
    before = snapshot(tmp_path, without=())
    ok(run_task(host, {"internal": make_issuer(tmp_path, passphrase=None)}, WWW))
    assert host.steps()[2:] == ["look auto"]
    assert snapshot(tmp_path, without=()) == before and not (tmp_path / "locks").exists()


def test_renewal_at_its_moment(issuers: Mapping[str, Issuer]) -> None:
    host, entry = HonestHost(), {**WWW, "renew_before": "30d", "renewal_spread": False}
    run_task(host, issuers, entry)
    first = leaf_of(host)
    ok(run_task(host, issuers, entry, now=NOW + 60 * DAY - dt.timedelta(seconds=1)))
    assert leaf_of(host) == first
    run = ok(run_task(host, issuers, entry, now=NOW + 60 * DAY))
    assert reasons(run) == {"www": ["expiring"]} and leaf_of(host) != first
    assert host.steps() == ["look auto", "apply", "look auto", "look auto", "apply"]
    assert host.live["www"].generation == 2 and leaf_of(host).public_key() != first.public_key()


def test_a_third_round_trip_where_the_host_could_not_know(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW, API)
    run = ok(run_task(host, issuers, {**WWW, "issuer": "other"}, API))
    assert reasons(run) == {"www": ["issuer_changed", "chain_untrusted"], "api": []}
    assert host.steps()[2:] == ["look auto", "look ['www']", "apply"]
    assert [entry["name"] for entry in host.calls[-2][1]["certificates"]] == ["www"]
    assert [entry["name"] for entry in host.calls[-1][1]["certificates"]] == ["www"]
    check_chain(parse_pem_chain("".join(host.live["www"].chain)), issuers["other"].trust(), NOW)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dns_names": ["www.example.com", "new.example.com"]}, "names_changed"),
        ({"usages": ["server_auth", "client_auth"]}, "usages_changed"),
        ({"private_key": {"algorithm": "ed25519"}}, "key_algorithm_changed"),
        ({"common_name": "Chosen"}, "names_changed"),
    ],
)
def test_a_changed_wish_takes_two_round_trips(
    change: dict[str, Any], reason: str, issuers: Mapping[str, Issuer]
) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    run = ok(run_task(host, issuers, {**WWW, **change}))
    assert reasons(run) == {"www": [reason]} and host.steps()[2:] == ["look auto", "apply"]
    ok(run_task(host, issuers, {**WWW, **change}))
    assert host.steps()[4:] == ["look auto"]


@pytest.mark.parametrize("code", ["damaged", "key_missing", "key_mismatch"])
def test_what_the_host_finds_broken_is_replaced(code: str, issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    host.problems["www"] = [{"code": code, "detail": "x"}]
    run = ok(run_task(host, issuers, WWW))
    assert reasons(run) == {"www": [code]} and host.live["www"].generation == 2


@pytest.mark.parametrize(("force", "forced"), [(True, ["www", "api"]), (("api",), ["api"]), ((), []), (False, [])])
def test_force(force: Any, forced: list[str], issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW, API)
    run = ok(run_task(host, issuers, WWW, API, force=force))
    assert [name for name, codes in reasons(run).items() if codes == ["forced"]] == forced
    assert [name for name, live in host.live.items() if live.generation == 2] == forced


def test_repairs_go_without_a_new_certificate(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW, API)
    host.drift["www"] = ["mode 0644"]
    run = ok(run_task(host, issuers, WWW, API))
    assert host.steps()[2:] == ["look auto", "apply"]
    (entry,) = host.calls[-1][1]["certificates"]
    assert (entry["name"], entry["action"], entry["request_id"]) == (
        "www", "repair", host.live["www"].manifest["request_id"]
    )  # fmt: skip
    assert task_result(run, False)["certificates"][0]["action"] == "repair"


def test_a_run_that_was_killed_after_issuing_issues_nothing_twice(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()

    class Killed(BaseException):
        pass

    work, host.apply = host.apply, lambda *_arguments: (each for each in ()).throw(Killed())  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run_task(host, issuers, WWW)
    host.apply = work  # type: ignore[method-assign]
    run = ok(run_task(host, issuers, WWW))
    assert run.progress["www"].reused
    (row,) = issuers["internal"].store.issuances()
    assert row.fingerprint == fingerprint(leaf_of(host))


def test_check_mode_looks_once_and_makes_nothing(tmp_path: Path) -> None:
    host, issuers = HonestHost(), {"internal": make_issuer(tmp_path / "store")}
    run = ok(run_task(host, issuers, WWW, CONTROLLER | {"name": "c"}, check_mode=True))
    assert host.steps() == ["look never"] and host.pending == {} and not (tmp_path / "store").exists()
    result = task_result(run, True)
    assert result["changed"] and [entry["action"] for entry in result["certificates"]] == ["issue", "issue"]
    run_task(host, issuers, WWW)
    before = snapshot(tmp_path)
    host.drift["www"] = ["mode"]
    again = task_result(ok(run_task(host, issuers, WWW, check_mode=True, force=("www",))), True)
    assert again["changed"] and host.steps()[-1] == "look never" and snapshot(tmp_path) == before


def test_keys_of_the_controller(tmp_path: Path, issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run = ok(run_task(host, issuers, CONTROLLER, API))
    assert host.steps() == ["look auto", "apply"]
    assert list(host.secrets) == ["www"] and "PRIVATE KEY" in host.secrets["www"]
    assert key_id(leaf_of(host).public_key()) == key_id(host.live["www"].key.public_key())
    ok(run_task(host, issuers, CONTROLLER, API))
    assert host.steps()[2:] == ["look auto"]
    told = repr(run) + repr(task_result(run, True)) + repr(host.calls)
    assert host.secrets["www"].splitlines()[1] not in told and "PRIVATE KEY" not in told and PASSPHRASE not in told


@pytest.mark.parametrize(("policy", "same"), [("always", False), ("never", True)])
@pytest.mark.parametrize("location", ["host", "controller"])
def test_rotation_policy(location: str, policy: str, same: bool, issuers: Mapping[str, Issuer]) -> None:
    host, entry = HonestHost(), {**WWW, "private_key": {"rotation_policy": policy, "location": location}}
    run_task(host, issuers, entry)
    first = leaf_of(host)
    ok(run_task(host, issuers, entry, force=True))
    assert leaf_of(host) != first and (leaf_of(host).public_key() == first.public_key()) is same


def test_two_runs_at_once_end_with_one_certificate(issuers: Mapping[str, Issuer], tmp_path: Path) -> None:
    host = HonestHost()

    def other_run(step: str, answer: dict[str, Any]) -> dict[str, Any]:
        if step == "look" and not host.live:
            host.answers = lambda _step, answer: answer
            run_task(host, {"internal": make_issuer(tmp_path)}, WWW)
            host.pending["www"] = (answer["certificates"]["www"]["pending"]["request_id"], "", host.live["www"].key, "")
        return answer

    host.answers = other_run
    run = ok(run_task(host, issuers, WWW))
    assert run.progress["www"].reused and len(list(make_store(tmp_path).issuances())) == 1


def test_another_store_does_not_take_over_a_fleet(tmp_path: Path) -> None:
    """A run with the wrong store would find every chain untrusted, and give every host a certificate of a CA it just made."""
    host = HonestHost()
    first = run_task(host, {"internal": make_issuer(tmp_path / "right")}, WWW)
    leaf = first.progress["www"].chain[0]
    wrong = make_issuer(tmp_path / "wrong")
    wrong.prepare(NOW)

    refused = run_task(host, {"internal": wrong}, WWW)
    assert "another CA" in str(refused.progress["www"].error) and "Check tls_store" in str(
        refused.progress["www"].error
    )
    again = run_task(host, {"internal": make_issuer(tmp_path / "right")}, WWW)
    assert again.progress["www"].found.leaf == leaf and not again.progress["www"].verdict.due

    forced = run_task(host, {"internal": wrong}, WWW, force=True)
    assert forced.progress["www"].error is None and forced.progress["www"].chain[0] != leaf


def test_a_name_in_force_that_is_nobodys_is_told(tmp_path: Path) -> None:
    run = run_task(HonestHost(), {"internal": make_issuer(tmp_path)}, WWW, force=("wwww",))
    assert any("no certificate here is called wwww" in warning for warning in run.warnings())


def test_an_output_that_cannot_be_made_costs_no_other_certificate(
    issuers: Mapping[str, Issuer], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Also where cryptography is older: nothing comes to be made.
    monkeypatch.setattr(pkcs12, "serialize_java_truststore", None, raising=False)
    monkeypatch.setattr(PairJudge, "anchors", lambda _judge, _spec: ())
    host = HonestHost()
    trusting = {**WWW, "outputs": [{"path": "/x/trust.p12", "format": "truststore"}]}
    run = run_task(host, issuers, trusting, API)
    assert "no valid trust anchor" in str(run.progress["www"].error) and run.progress["api"].error is None
    assert set(host.live) == {"api"}


def test_anchors_go_into_outputs_that_want_them(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    outputs = [{"path": "/x/app.p12", "format": "pkcs12", "anchors": True, "passphrase": "p"}, {"path": "/x/app.pem"}]
    wish = {**WWW, "issuer": ["internal", "other"], "outputs": outputs}
    ok(run_task(host, issuers, wish))
    issuers["other"].prepare(NOW)
    ok(run_task(host, issuers, wish))
    sent = [
        [len(PEM_CERTIFICATE.findall(output["anchors"] or "")) for output in request["certificates"][0]["outputs"]]
        for _step, request in host.calls
    ]
    # A fresh controller has no CA at the first look; of two issuers, both roots go in as soon as they are there.
    assert sent == [[0, 0], [1, 0], [2, 0]]
    assert all(request["certificates"][0]["outputs"][0]["passphrase"] == "p" for _step, request in host.calls)
