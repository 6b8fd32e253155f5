# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's answer is data from outside: whatever has another shape ends as that certificate's error."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import LONGEST_TEXT
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import (
    ApplyOutcome,
    EndpointReport,
    PairProblem,
    PairReport,
    Pending,
    host_error,
    parse_clock,
    parse_found,
    parse_outcome,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key, make_leaf, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, to_pem
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW

ROOT = make_root("Root", "ecdsa-p256", NOW, 10 * DAY)
LEAF = make_leaf(generate_key("ecdsa-p256").public_key(), Names(("a.example",)), ("server_auth",), ROOT, NOW, DAY)
PEM = to_pem(LEAF) + to_pem(ROOT.certificate)
HUGE = "x" * 3_000_000
SERVED = {
    "endpoint": "127.0.0.1:443", "server_name": None, "fingerprint": "ab", "error": None, "explicit": True, "ours": "live", "service": "nginx"
}  # fmt: skip


def test_nothing_there() -> None:
    assert (
        parse_found({"generation": None, "manifest": None, "fullchain": None, "problems": [], "error": None}, "www")
        == PairReport()
    )
    assert PairReport().leaf is None


def test_everything_there() -> None:
    answer = {
        "generation": 7,
        "manifest": {"issuer": "internal", "settled": 17, "nested": {"a": 1}, "none": None},
        "fullchain": PEM,
        "problems": [{"code": "key_mismatch", "detail": "replaced"}],
        "drift": ["mode"],
        "kept_files": {"/etc/a": "/etc/.a.before-fleet-tls"},
        "pending": {"request_id": "0123-abcd", "csr": "CSR"},
        "served": [SERVED],
        "error": None,
        "new_in_a_later_version": 1,
    }
    found = parse_found(answer, "www")
    assert found == PairReport(
        generation=7,
        manifest={"issuer": "internal", "settled": 17},
        chain=(LEAF, ROOT.certificate),
        problems=(PairProblem("key_mismatch", "replaced"),),
        drift=("mode",),
        kept_files={"/etc/a": "/etc/.a.before-fleet-tls"},
        pending=Pending("0123-abcd", "CSR"),
        served=(EndpointReport("127.0.0.1:443", None, "ab", None, True, "live", "nginx"),),
    )
    assert found.leaf == LEAF


@pytest.mark.parametrize("fullchain", ["garbage", PEM[:200], PEM[:-30], PEM * 1000, 7, ["x"]])
def test_a_chain_that_cannot_be_read_is_damaged(fullchain: Any) -> None:
    found = parse_found({"fullchain": fullchain}, "www")
    assert found.chain == () and [problem.code for problem in found.problems] == ["damaged"]


def test_what_the_host_calls_damaged_is_not_read() -> None:
    found = parse_found({"fullchain": "garbage", "problems": [{"code": "damaged", "detail": "x"}]}, "www")
    assert found.problems == (PairProblem("damaged", "x"),)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "fine",
        {"problems": 5},
        {"problems": ["x"]},
        {"problems": [{"code": "damaged"}]},
        {"problems": [{"code": "forced", "detail": "x"}]},
        {"problems": [{"code": HUGE, "detail": "x"}]},
        {"problems": [{"code": ["damaged"], "detail": "x"}]},
        {"generation": "seven"},
        {"generation": float("inf")},
        {"generation": [1]},
        {"generation": True},
        {"generation": -1},
        {"generation": 10**9},
        {"manifest": "x"},
        {"manifest": [1]},
        {"drift": 5},
        {"kept_files": 5},
        {"kept_files": ["/etc/a"]},
        {"pending": "x"},
        {"pending": {"csr": "x"}},
        {"pending": {"request_id": "12345678"}},
        {"pending": {"request_id": "short", "csr": "x"}},
        {"pending": {"request_id": "a" * 65, "csr": "x"}},
        {"pending": {"request_id": "12345678\n", "csr": "x"}},
        {"pending": {"request_id": "../../../etc", "csr": "x"}},
        {"pending": {"request_id": "'; DROP TABLE issuance; --", "csr": "x"}},
        {"pending": {"request_id": None, "csr": "x"}},
        {"served": {"endpoint": "x"}},
        {"served": ["x"]},
        {"served": [{}]},
        {"served": 5},
    ],
    ids=lambda answer: str(answer)[:40],
)
def test_misshapen_answers(answer: Any) -> None:
    with pytest.raises(HostError) as caught:
        parse_found(answer, "www")
    assert caught.value.certificate == "www" and len(str(caught.value)) < 500


def test_huge_texts_are_cut() -> None:
    answer = {
        "manifest": {"issuer": HUGE, "settled": 1},
        "problems": [{"code": "damaged", "detail": HUGE}],
        "drift": [HUGE],
        "kept_files": {HUGE: HUGE},
        "pending": {"request_id": "12345678", "csr": HUGE},
        "served": [{**SERVED, "endpoint": HUGE, "server_name": HUGE, "fingerprint": HUGE, "error": HUGE, "ours": HUGE}],
    }
    assert len(repr(parse_found(answer, "www"))) < 11 * LONGEST_TEXT + 300_000
    assert len(str(parse_found({**answer, "pending": None}, "www"))) < 11 * LONGEST_TEXT


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"code": "disk_full", "message": "no room", "remedy": "make room"}, "certificate 'www': no room. Make room."),
        ({"code": "disk_full", "message": "no room", "remedy": None}, "certificate 'www': no room"),
        ({"code": "x", "message": "y", "remedy": ["a", 1]}, "certificate 'www': y. ['a', 1]."),
        ({}, "certificate 'www': None"),
        ("it broke", "certificate 'www': it broke"),
        (["it broke"], "certificate 'www': ['it broke']"),
    ],
)
def test_the_hosts_error(raw: Any, text: str) -> None:
    error = host_error(raw, "www")
    assert str(error) == text
    assert isinstance(error.code, str)
    if raw:
        with pytest.raises(HostError) as caught:
            parse_found({"error": raw}, "www")
        assert str(caught.value) == text


def test_a_huge_error_is_cut() -> None:
    assert len(str(host_error({"code": HUGE, "message": HUGE, "remedy": HUGE}))) < 3 * LONGEST_TEXT
    assert len(str(host_error(HUGE))) < 2 * LONGEST_TEXT


def test_outcomes() -> None:
    assert parse_outcome({}, "www") == ApplyOutcome()
    outcome = parse_outcome(
        {"generation": 8, "changed": True, "installed": True, "proof": [SERVED], "unproven": False}, "www"
    )
    assert (outcome.generation, outcome.changed, outcome.installed, outcome.rolled_back) == (8, True, True, False)
    assert outcome.proof[0].ours == "live" and outcome.error is None
    failed = parse_outcome(
        {"generation": 7, "rolled_back": True, "error": {"code": "reload_failed", "message": "x"}}, "www"
    )
    assert failed.rolled_back and failed.error is not None and failed.error.code == "reload_failed"


@pytest.mark.parametrize("answer", [None, "x", [], {"generation": "x"}, {"proof": "x"}, {"proof": [{}]}, {"proof": 5}])
def test_misshapen_outcomes(answer: Any) -> None:
    with pytest.raises(HostError) as caught:
        parse_outcome(answer, "www")
    assert caught.value.certificate == "www" and caught.value.remedy


@pytest.mark.parametrize(
    ("answer", "clock"), [({}, None), ({"clock": None}, None), ({"clock": 5}, 5.0), ({"clock": 1.5}, 1.5)]
)
def test_clocks(answer: dict[str, Any], clock: float | None) -> None:
    assert parse_clock(answer) == clock


@pytest.mark.parametrize("clock", ["now", "5", [], {}, True, -1, float("nan"), float("inf"), 10**30, HUGE])
def test_what_is_no_clock(clock: Any) -> None:
    with pytest.raises(HostError, match="the host's clock is no moment") as caught:
        parse_clock({"clock": clock})
    assert len(str(caught.value)) < 2 * LONGEST_TEXT
