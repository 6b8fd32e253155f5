# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flow where something goes wrong: one certificate's trouble is its own, and what worked is kept."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, IssuerError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure, task_result
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, make_csr, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    NOW,
    make_issuer,
    make_request,
    make_store,
    snapshot,
)

WWW: dict[str, Any] = {"name": "www", "dns_names": ["www.example.com"]}
API: dict[str, Any] = {"name": "api", "dns_names": ["api.example.com"]}
HUGE = "x" * 3_000_000


@pytest.fixture
def issuers(tmp_path: Path) -> dict[str, Issuer]:
    return {name: make_issuer(tmp_path, name) for name in ("internal", "other")}


def told(run: HostRun) -> str:
    """All that the task says."""
    return str(failure(run)) + repr(task_result(run, True))


def found(change: Callable[[dict[str, Any]], Any]) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """An answer to every look that is changed for www."""

    def answers(step: str, answer: dict[str, Any]) -> dict[str, Any]:
        if step == "look" and "www" in answer["certificates"]:
            answer["certificates"]["www"] = change(answer["certificates"]["www"])
        return answer

    return answers


def with_csr(**subject: Any) -> Callable[[dict[str, Any]], Any]:
    """Another CSR than the one that was asked for."""
    names = {"common_name": None, "sans": [["DNS", "www.example.com"]], **subject}
    algorithm = str(names.pop("algorithm", "ecdsa-p256"))
    pending = {"request_id": "request-0001", "csr": make_csr(generate_key(algorithm), names)}
    return lambda answer: {**answer, "pending": pending}


LIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "nothing": lambda answer: None,
    "a text": lambda answer: HUGE,
    "a list": lambda answer: [answer],
    "its error": lambda answer: {"error": {"code": "openssl_missing", "message": "no openssl", "remedy": "install it"}},
    "a huge error": lambda answer: {"error": {"code": HUGE, "message": HUGE, "remedy": HUGE}},
    "an odd error": lambda answer: {"error": {"code": {}, "message": [], "remedy": {"a": 1}}},
    "a reason of its own": lambda answer: {**answer, "problems": [{"code": HUGE, "detail": HUGE}]},
    "an odd generation": lambda answer: {**answer, "generation": "latest"},
    "an odd manifest": lambda answer: {**answer, "manifest": 7},
    "no CSR": lambda answer: {**answer, "pending": {"request_id": "request-0001"}},
    "a CSR that is none": lambda answer: {**answer, "pending": {"request_id": "request-0001", "csr": HUGE}},
    "an odd request id": lambda answer: {**answer, "pending": {**answer["pending"], "request_id": "../x"}},
    "a CSR for a bank": with_csr(sans=[["DNS", "bank.example"]]),
    "a CSR for more": with_csr(sans=[["DNS", "www.example.com"], ["DNS", "bank.example"]]),
    "a CSR for a wildcard": with_csr(sans=[["DNS", "*.example.com"]]),
    "a CSR for nobody": with_csr(sans=[]),
    "a CSR of a weak key": with_csr(algorithm="rsa-1024"),
    "a CSR of another key": with_csr(algorithm="ecdsa-p384"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_hostile_look_costs_its_own_certificate_only(lie: str, issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost(answers=found(LIES[lie]))
    run = run_task(host, issuers, WWW, API)
    error = failure(run)
    assert error is not None and str(error).startswith("certificate 'www': ") and "'api'" not in str(error)
    assert list(host.live) == ["api"] and [row.certificate for row in issuers["internal"].store.issuances()] == ["api"]
    assert len(told(run)) < 40_000


@pytest.mark.parametrize("answer", [{}, {"certificates": None}, {"certificates": []}, {"certificates": {}}])
def test_a_look_that_says_nothing(answer: dict[str, Any], issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost(answers=lambda _step, _answer: answer)
    run = run_task(host, issuers, WWW, API)
    assert host.steps() == ["look auto"]
    assert str(failure(run)) == (
        "certificate 'www': the host gave no answer for it; certificate 'api': the host gave no answer for it"
    )


def test_a_host_that_makes_no_key_even_when_told(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost(answers=found(lambda answer: {**answer, "pending": None}))
    run = run_task(host, issuers, WWW, API)
    assert host.steps() == ["look auto", "look ['www']", "apply"]
    assert str(failure(run)) == "certificate 'www': the host made no key for it" and list(host.live) == ["api"]


@pytest.mark.parametrize("clock", ["now", [], {"a": 1}, -5, 1e300, True])
def test_a_clock_that_is_none(clock: Any, issuers: Mapping[str, Issuer]) -> None:
    with pytest.raises(HostError, match="the host's clock is no moment"):
        run_task(HonestHost(answers=lambda _step, answer: {**answer, "clock": clock}), issuers, WWW)


def test_another_hosts_request_id_gets_nothing_of_it(issuers: Mapping[str, Issuer]) -> None:
    honest = HonestHost()
    run_task(honest, issuers, WWW)
    (row,) = issuers["internal"].store.issuances()
    evil = HonestHost(
        answers=found(lambda a: a["pending"] and {**a, "pending": {**a["pending"], "request_id": row.request_id}})
    )
    assert failure(run_task(evil, issuers, WWW, name="evil")) is None
    assert evil.live["www"].chain[0] != honest.live["www"].chain[0]
    assert [each.host for each in issuers["internal"].store.issuances()] == ["web1", "evil"]


OUTCOMES: dict[str, Any] = {
    "nothing": None,
    "a text": HUGE,
    "an odd proof": {"proof": [{"fingerprint": 7}], "installed": True},
    "an odd generation": {"generation": "x", "installed": True},
    "its error": {"error": {"code": "disk_full", "message": "no room", "remedy": "make room"}, "generation": None},
    "an odd error": {"error": [HUGE]},
}


@pytest.mark.parametrize("lie", OUTCOMES)
def test_a_hostile_apply_costs_its_own_certificate_only(lie: str, issuers: Mapping[str, Issuer]) -> None:
    def answers(step: str, answer: dict[str, Any]) -> dict[str, Any]:
        if step == "apply":
            answer["certificates"]["www"] = OUTCOMES[lie]
            answer["services"] = ["odd"]
        return answer

    run = run_task(HonestHost(answers=answers), issuers, WWW, API)
    result = task_result(run, True)
    assert str(failure(run)).startswith("certificate 'www': ") and "'api'" not in str(failure(run))
    assert [entry["name"] for entry in result["certificates"] if entry["installed"] and not entry["error"]] == ["api"]
    assert len(told(run)) < 40_000


@pytest.mark.parametrize(
    ("off", "words"),
    [(7200, "the host's clock is 2.0 h ahead of"), (-86400, "the host's clock is 24.0 h behind")],
)
def test_a_wrong_clock_gets_no_new_certificate(off: float, words: str, issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    host.clock += off
    before = list(host.live["www"].chain)
    assert failure(run_task(host, issuers, WWW)) is None
    run = run_task(host, issuers, WWW, API, force=("www",))
    error = failure(run)
    assert words in str(error) and error is not None and error.code == "clock"
    assert "Kept: generation 1, valid until 2027-02-21T10:00:00Z" in str(error)
    assert host.live["www"].chain == before and list(host.live) == ["www"] and host.steps()[-1] == "look auto"
    assert len(list(issuers["internal"].store.issuances())) == 1


@pytest.mark.parametrize(("off", "warned"), [(290, False), (-290, False), (400, True), (-400, True), (3500, True)])
def test_a_clock_that_is_a_little_off_is_told(off: float, warned: bool, issuers: Mapping[str, Issuer]) -> None:
    run = run_task(HonestHost(clock=NOW.timestamp() + off), issuers, WWW)
    assert failure(run) is None and bool(run.warnings()) is warned
    assert not warned or f"{off:+} s off" in run.warnings()[0]


@pytest.mark.parametrize(("off", "warned"), [(0, False), (2000, False), (4000, False), (4400, True), (-400, True)])
def test_a_slow_look_is_no_wrong_clock(
    off: float, warned: bool, issuers: Mapping[str, Issuer], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, passed = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])

    def answers(step: str, answer: dict[str, Any]) -> dict[str, Any]:
        passed[0] += 4000
        return answer

    run = run_task(HonestHost(clock=NOW.timestamp() + off, answers=answers), issuers, WWW)
    assert failure(run) is None and bool(run.warnings()) is warned


class Failing(CaIssuer):
    """A CA that is out of order."""

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        raise IssuerError("the line is dead", remedy="pick it up")


class Choosy(CaIssuer):
    """A CA that issues to all but www."""

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        answers = super().issue(requests, now)
        no = IssuerError("not for you")
        return tuple(no if request.certificate == "www" else answer for request, answer in zip(requests, answers))


class Deceitful(CaIssuer):
    """A CA that issues for another key."""

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        return super().issue([make_request(key=generate_key("ecdsa-p256")) for _each in requests], now)


@pytest.mark.parametrize("bad", [Failing, Choosy, Deceitful])
def test_the_next_issuer_is_tried(bad: type[CaIssuer], tmp_path: Path) -> None:
    issuers: dict[str, Issuer] = {"bad": bad("bad", {}, make_store(tmp_path)), "internal": make_issuer(tmp_path)}
    host = HonestHost()
    both = ["bad", "internal"]
    run = run_task(host, issuers, {**WWW, "issuer": both}, {**API, "issuer": both})
    assert failure(run) is None and host.steps() == ["look auto", "apply"]
    assert run.progress["www"].issuer == "internal" == host.live["www"].manifest["issuer"]
    assert run.progress["api"].issuer == ("bad" if bad is Choosy else "internal")
    assert "certificate 'www': issuer 'bad': " in run.warnings()[0]
    assert failure(run_task(host, issuers, {**WWW, "issuer": both}, {**API, "issuer": both})) is None
    assert host.steps()[2:] == ["look auto"]


def test_when_all_issuers_fail_all_of_them_are_told(tmp_path: Path) -> None:
    issuers: dict[str, Issuer] = {
        name: kind(name, {}, make_store(tmp_path)) for name, kind in (("a", Failing), ("b", Choosy), ("c", CaIssuer))
    }
    host = HonestHost()
    run = run_task(host, issuers, {**WWW, "issuer": ["a", "b"]}, {**API, "issuer": "c"})
    assert str(failure(run)) == ("certificate 'www': issuer 'a': the line is dead. Pick it up; issuer 'b': not for you")
    assert list(host.live) == ["api"]


def test_a_wrong_passphrase_keeps_all_and_repairs_what_it_can(tmp_path: Path, issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW, API)
    before, pairs = snapshot(tmp_path), {name: live.chain for name, live in host.live.items()}
    host.drift["www"] = ["mode 0644"]
    wrong: dict[str, Issuer] = {"internal": make_issuer(tmp_path, passphrase="another passphrase")}
    run = run_task(host, wrong, WWW, API, now=NOW + 80 * DAY)
    assert [entry["action"] for entry in host.calls[-1][1]["certificates"]] == ["repair"] and not host.drift
    error = failure(run)
    assert error is not None and error.code == "passphrase"
    assert str(error).count("wrong passphrase for the store") == 2
    assert str(error).count("Kept: generation 1, valid until 2027-02-21T10:00:00Z") == 2
    assert "another passphrase" not in told(run) + repr(run)
    assert {name: live.chain for name, live in host.live.items()} == pairs and snapshot(tmp_path) == before


def test_a_broken_pair_is_not_repaired_nor_called_kept(tmp_path: Path, issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    host.drift["www"], host.problems["www"] = ["mode 0644"], [{"code": "key_mismatch", "detail": "x"}]
    run = run_task(host, {"internal": make_issuer(tmp_path, passphrase=None)}, WWW)
    assert "needs its passphrase" in str(failure(run)) and "Kept" not in str(failure(run))
    assert host.steps()[-1] == "look auto"


def test_a_lost_store_replaces_nothing(tmp_path: Path, issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    before = list(host.live["www"].chain)
    shutil.rmtree(tmp_path)
    run = run_task(host, issuers, WWW, {**API, "issuer": "other"})
    assert "it was issued by 'internal', but that issuer has no CA in the store" in str(failure(run))
    assert host.live["www"].chain == before and "api" in host.live
    ok = run_task(host, issuers, {**WWW, "issuer": "other"})
    assert failure(ok) is None and host.live["www"].chain != before


def test_a_damaged_ca_costs_its_own_certificates_only(tmp_path: Path, issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW, {**API, "issuer": "other"})
    (tmp_path / "ca/internal/ca.json").write_text("")
    run = run_task(host, issuers, WWW, {**API, "issuer": "other"}, force=True)
    assert "'ca/internal/ca.json' in the store" in str(failure(run)) and "'api'" not in str(failure(run))
    assert {name: live.generation for name, live in host.live.items()} == {"www": 1, "api": 2}


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (
            {"error": {"code": "reload_failed", "message": "nginx says no"}, "rolled_back": True, "generation": 1},
            "certificate 'www': nginx says no. Kept: generation 1, valid until 2027-02-21T10:00:00Z",
        ),
        (
            {
                "error": {"code": "not_served", "message": "not seen"},
                "installed": True,
                "unproven": True,
                "generation": 2,
            },
            "certificate 'www': not seen. Generation 2 stays installed",
        ),
    ],
)
def test_what_was_kept_is_told(outcome: dict[str, Any], words: str, issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW, API)
    host.refuses["www"] = outcome
    run = run_task(host, issuers, WWW, API, force=True)
    assert str(failure(run)) == words and host.live["api"].generation == 2
    run = run_task(host, issuers, WWW, API, force=("www",))
    assert run.progress["www"].reused and key_id(host.pending["www"][2].public_key())


def test_a_host_that_fails_as_a_whole_is_one_error(issuers: Mapping[str, Issuer]) -> None:
    def answers(step: str, answer: dict[str, Any]) -> dict[str, Any]:
        raise HostError(f"step '{step}' failed: no python", remedy="install it")

    with pytest.raises(HostError, match="step 'look' failed: no python"):
        run_task(HonestHost(answers=answers), issuers, WWW)
