# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import RotationError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.superseded import Rekey
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import EndpointReport, PairProblem, PairReport
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.proof import (
    ca_problems,
    clock_problems,
    expected,
    key_problems,
    state_problems,
    trust_problems,
)
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW, make_issuer, make_request

LIVE = EndpointReport("127.0.0.1:443", None, "f", None, True, "live")


def proofs(kind: str, old: str | None, new: str | None) -> list[dict[str, Any]]:
    return [
        {"kind": kind, "subject": "it", "canary": name, "outcome": outcome, "error": "why"}
        for name, outcome in (("old", old), ("new", new))
    ]


@pytest.mark.parametrize(
    ("stage", "kind", "old", "new", "said"),
    [
        ("prepare", "bundle", "accepted", "accepted", []),
        ("prepare", "bundle", "accepted", "refused", ["it does not trust the new CA (why)"]),
        ("prepare", "bundle", "refused", "accepted", ["it does not trust the old CA any more"]),
        ("prepare", "endpoint", "accepted", "accepted", []),
        ("prepare", "endpoint", "accepted", "refused", ["it does not trust the new CA (why)"]),
        # A server that verifies clients of another CA, and one that verifies none.
        ("prepare", "endpoint", "refused", "refused", []),
        ("prepare", "endpoint", None, None, []),
        ("prepare", "endpoint", "absent", "absent", ["it does not answer (why)"]),
        ("retire", "endpoint", "refused", "absent", ["it does not answer (why)"]),
        ("activate", "endpoint", "accepted", "refused", ["it does not trust the new CA (why)"]),
        ("activate", "bundle", "accepted", "refused", ["it does not trust the new CA (why)"]),
        ("retire", "bundle", "refused", "accepted", []),
        ("retire", "bundle", "accepted", "accepted", ["it still trusts the old CA"]),
        ("retire", "bundle", "refused", "refused", ["it does not trust the new CA (why)"]),
        ("retire", "endpoint", "refused", "accepted", []),
        ("retire", "endpoint", "refused", "refused", []),
        ("retire", "endpoint", "accepted", "accepted", ["it still trusts the old CA"]),
    ],
)
def test_canaries(stage: str, kind: str, old: str | None, new: str | None, said: list[str]) -> None:
    assert trust_problems(stage, proofs(kind, old, new)) == said


def test_only_in_the_end_the_old_one_has_to_be_refused() -> None:
    assert [expected(stage, "old") for stage in ("prepare", "activate", "retire")] == [
        "accepted",
        "accepted",
        "refused",
    ]
    assert expected("retire", "new") == "accepted"


def found_of(issuer: CaIssuer, request_id: str, *, served: tuple[EndpointReport, ...] = (LIVE,)) -> PairReport:
    (answer,) = issuer.issue([make_request(request_id=request_id)], NOW)
    assert isinstance(answer, Issued)
    return PairReport(generation=1, manifest={"issuer": "internal"}, chain=answer.chain, served=served)


def test_certificates_of_the_old_and_the_new_ca(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    old = found_of(issuer, "request-0001")
    rollover = issuer.rollover()
    rollover.prepare("root-2", NOW)

    def problems(stage: str, found: PairReport) -> list[str]:
        return ca_problems(stage, "internal", rollover, {"www": found}, issuer.store.issuances())

    assert problems("prepare", old) == []
    rollover.activate()
    new = found_of(issuer, "request-0002")
    assert (
        problems("activate", old) == ["certificate 'www' is still from the old CA"] and problems("activate", new) == []
    )
    rollover.retire()
    assert problems("retire", old) == ["certificate 'www' is still from the old CA"] and problems("retire", new) == []
    stale = EndpointReport("127.0.0.1:8443", None, fingerprint(old.chain[0]), None, False, None)
    served_elsewhere = PairReport(1, {"issuer": "internal"}, new.chain, served=(LIVE, stale))
    assert problems("retire", served_elsewhere) == ["127.0.0.1:8443 still serves a certificate of the old CA ('www')"]
    # Another issuer's certificate is not our affair.
    assert problems("retire", PairReport(1, {"issuer": "other"}, old.chain)) == []


def test_a_store_that_is_older_than_the_host(tmp_path: Path) -> None:
    issuer, other = make_issuer(tmp_path / "one"), make_issuer(tmp_path / "other")
    issuer.prepare(NOW)
    with pytest.raises(RotationError, match="the store is older than the fleet"):
        ca_problems("prepare", "internal", issuer.rollover(), {"www": found_of(other, "request-0001")}, ())


def test_what_is_wrong_whatever_the_rotation(tmp_path: Path) -> None:
    good = found_of(make_issuer(tmp_path), "request-0001")
    assert state_problems({"www": good}) == []
    assert state_problems({"www": PairReport()}) == ["certificate 'www' is not there"]
    damaged = PairReport(1, {}, good.chain, problems=(PairProblem("damaged", "it is torn"),))
    assert state_problems({"www": damaged}) == ["certificate 'www': it is torn"]
    for served, said in (
        (EndpointReport("a:1", None, "x", None, True, None), "a:1 does not serve certificate 'www' (another one)"),
        (
            EndpointReport("a:1", None, None, "timed out", True, None),
            "a:1 does not serve certificate 'www' (timed out)",
        ),
        (EndpointReport("a:1", None, "x", None, False, "older"), "a:1 does not serve certificate 'www' (another one)"),
    ):
        assert state_problems({"www": PairReport(1, {}, good.chain, served=(served,))}) == [said]
    assert (
        state_problems(
            {"www": PairReport(1, {}, good.chain, served=(EndpointReport("a:1", None, "x", None, False, None),))}
        )
        == []
    )


def test_keys(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    found, rows = found_of(issuer, "request-0001"), list(issuer.store.issuances())
    moment = int(NOW.timestamp())
    assert key_problems(Rekey(moment), {"www": found}, rows) == []
    assert "its key is in use since" in key_problems(Rekey(moment + 1), {"www": found}, rows)[0]
    assert key_problems(Rekey(moment + 1, frozenset({"mail"})), {"www": found}, rows) == []


@pytest.mark.parametrize(("off", "said"), [(0, []), (3600, []), (-3600, []), (3700, ["+1.0 h"]), (-7200, ["-2.0 h"])])
def test_a_clock_that_is_off(off: int, said: list[str]) -> None:
    problems = clock_problems({"clock": 1000000 + off}, 1000000)
    assert len(problems) == len(said) and all(text in problems[0] for text in said)
