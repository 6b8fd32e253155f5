# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.certificates import results
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure, task_result
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, parse_pem_chain
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HOST, HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer

WWW: dict[str, Any] = {"name": "www", "dns_names": ["www.example.com"], "services": ["nginx"]}


@pytest.fixture
def issuers(tmp_path: Path) -> dict[str, Issuer]:
    return {"internal": make_issuer(tmp_path)}


def served_by(host: HonestHost) -> str:
    return fingerprint(parse_pem_chain(host.live["www"].chain[0])[0])


def test_issued(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    result = task_result(run_task(host, issuers, WWW), True)
    (entry,) = result["certificates"]
    assert json.loads(json.dumps(result)) == result
    assert entry | {"serial": "", "fingerprint_sha256": ""} == {
        "name": "www", "changed": True, "action": "issue", "due": True,
        "reasons": [{"code": "missing", "detail": "no certificate on the host"}], "repairs": [], "kept_files": {}, "issuer": "internal",
        "fallback_for": None, "failed_issuers": [], "pool": None, "adopted": False,
        "generation": 1, "path": "/etc/fleet-tls/live/www", "installed": True, "settled": True, "rolled_back": False,
        "served": [], "error": None, "deferred": None, "deferred_until": None,
        "client_auth_ends": False, "dns_names": ["www.example.com"], "ip_addresses": [], "uris": [],
        "email_addresses": [], "usages": ["server_auth"], "key_algorithm": "ecdsa-p256",
        "not_before": "2026-11-23T09:00:00Z", "not_after": "2027-02-21T10:00:00Z", "days_left": 90.0, "serial": "",
        "fingerprint_sha256": "", "signature_algorithm": "ecdsa-with-SHA256", "subject": "CN=www.example.com",
        "common_name": "www.example.com", "issuer_subject": "CN=internal CA Issuing 2026-11", "renew_after": "2027-01-18T18:44:12Z",
    }  # fmt: skip
    assert entry["fingerprint_sha256"] == served_by(host)
    assert result["services"] == {"nginx": {"state": "reloaded", "error": None}}
    assert result["unproven"] == [] and "warnings" not in result
    (diff,) = result["diff"]
    assert diff["before"] == "" and diff["after"].endswith(
        "generation: 1\nbecause: missing: no certificate on the host\n"
    )
    assert f"fingerprint_sha256: {served_by(host)}\n" in diff["after"]


@pytest.mark.parametrize("responder", [False, True])
def test_what_the_host_is_goes_on_to_the_roles(
    issuers: Mapping[str, Issuer], responder: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also which certificates have a responder, before and after they are installed."""
    host = HonestHost()
    monkeypatch.setattr(results, "names_responder", lambda der: responder and bool(der))
    for now in (NOW, NOW + DAY):
        facts = task_result(run_task(host, issuers, WWW, now=now), False)["ansible_facts"]
        more = {"trusts_ours": False, "nginx_sites": False, "ocsp": ["www"] if responder else []}
        assert facts == {"fleet_tls_host": {**HOST, **more}}


def test_nothing_to_do(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    result = task_result(run_task(host, issuers, WWW, now=NOW + DAY), True)
    (entry,) = result["certificates"]
    assert (result["changed"], result["diff"], result["services"], result["unproven"]) == (False, [], {}, [])
    assert (entry["changed"], entry["action"], entry["due"], entry["days_left"]) == (False, "none", False, 89.0)
    assert entry["fingerprint_sha256"] == served_by(host) and entry["settled"]
    assert task_result(run_task(host, issuers, WWW), False).get("diff") is None


def test_renewed(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    before = served_by(host)
    result = task_result(run_task(host, issuers, WWW, now=NOW + 80 * DAY), True)
    (diff,) = result["diff"]
    assert f"fingerprint_sha256: {before}\n" in diff["before"] and "generation: 1\n" in diff["before"]
    assert f"fingerprint_sha256: {served_by(host)}\n" in diff["after"] and "generation: 2\n" in diff["after"]
    assert "because: expiring: expires on 2027-02-21T10:00:00Z" in diff["after"]


def test_repaired(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    host.drift["www"] = ["mode 0644 of privkey.pem"]
    result = task_result(run_task(host, issuers, WWW), True)
    (entry,) = result["certificates"]
    assert (entry["changed"], entry["action"], entry["due"]) == (True, "repair", False)
    assert entry["repairs"] == [{"code": "drift", "detail": "mode 0644 of privkey.pem"}]
    (diff,) = result["diff"]
    assert diff["after"] == f"{diff['before']}because: drift: mode 0644 of privkey.pem\n"


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("drift", [[], ["not there yet"]])
def test_somebodys_files_are_named_where_anything_is_done(
    check_mode: bool, drift: list[str], issuers: Mapping[str, Issuer]
) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    kept = {"/etc/site.key": "/etc/.site.key.before-fleet-tls"}
    host.drift["www"], host.kept_files = drift, kept
    result = task_result(run_task(host, issuers, WWW, check_mode=check_mode), True)
    assert result["certificates"][0]["kept_files"] == (kept if drift else {})
    line = "kept: what lies at /etc/site.key, not of fleet.tls, as /etc/.site.key.before-fleet-tls\n"
    assert [line in each["after"] for each in result["diff"]] == ([True] if drift else [])


@pytest.mark.parametrize(
    ("force", "drift", "action", "changed"),
    [(True, [], "issue", True), (False, ["mode"], "repair", True), (False, [], "none", False)],
)
def test_check_mode_tells_what_would_be_done(
    force: bool, drift: list[str], action: str, changed: bool, issuers: Mapping[str, Issuer]
) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    host.drift["www"] = drift
    checked = run_task(host, issuers, WWW, check_mode=True, force=force)
    result = task_result(checked, True)
    (entry,) = result["certificates"]
    assert (entry["action"], entry["changed"], result["changed"], bool(result["diff"])) == (action, *[changed] * 3)
    assert entry["fingerprint_sha256"] == served_by(host) and entry["generation"] == 1
    if force:
        assert result["diff"][0]["after"] == (
            "names: www.example.com\nusages: server_auth\nkey_algorithm: ecdsa-p256\nissuer: internal\nlifetime: 90d\n"
            "generation: 2\nbecause: forced: a new certificate was asked for\n"
        )


def test_check_mode_tells_what_the_host_would_refuse(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    host.unwilling["www"] = {"code": "cannot_reload", "message": "service 'gate': no", "remedy": "reload: restart"}
    served = {**WWW, "services": [{"name": "gate", "unit": "gate"}]}
    checked = run_task(host, issuers, served, check_mode=True, force=True)
    (entry,) = task_result(checked, True)["certificates"]
    assert (entry["error"]["code"], entry["changed"]) == ("cannot_reload", False)
    assert host.calls[-1][1]["services"][0]["units"] == ["gate"]


def test_rolled_back(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    run_task(host, issuers, WWW)
    error = {"code": "reload_failed", "message": "nginx: [emerg] no", "remedy": "see its log"}
    served = {
        "endpoint": "127.0.0.1:443",
        "server_name": "x",
        "fingerprint": "ab",
        "explicit": True,
        "ours": "live",
        "service": "nginx",
    }
    host.refuses["www"] = {"error": error, "rolled_back": True, "generation": 1, "proof": [served]}
    run = run_task(host, issuers, WWW, force=True)
    (entry,) = task_result(run, True)["certificates"]
    assert (entry["action"], entry["changed"], entry["rolled_back"], entry["generation"]) == ("none", False, True, 1)
    assert entry["error"] == error and entry["served"] == [
        {**served, "error": None, "group": None, "signature_scheme": None, "openssl": None}
    ]
    assert entry["fingerprint_sha256"] == served_by(host)
    assert task_result(run, True)["diff"] == []
    assert failure(run).code == "reload_failed"  # type: ignore[union-attr]


def test_unproven(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    host.answers = lambda step, answer: (
        {**answer, "certificates": {"www": {**answer["certificates"]["www"], "unproven": True}}}
        if step == "apply"
        else answer
    )
    result = task_result(run_task(host, issuers, WWW, defer_proof=True), False)
    assert result["unproven"] == ["www"] and result["certificates"][0]["settled"] is False
    assert host.calls[-1][1]["defer_proof"] is True


def test_several_failures_are_one_error_with_one_line(issuers: Mapping[str, Issuer]) -> None:
    host = HonestHost()
    api = {"name": "api", "dns_names": ["api.example.com"]}
    host.refuses = {
        "www": {"error": {"code": "disk_full", "message": "no room", "remedy": "make room"}},
        "api": {"error": {"code": "locked", "message": "in use."}},
    }
    error = failure(run_task(host, issuers, WWW, api))
    assert str(error) == "certificate 'www': no room. Make room; certificate 'api': in use"
    assert error is not None and error.code == "several"
    assert failure(run_task(HonestHost(), issuers, WWW)) is None


@pytest.mark.parametrize("usages", [["server_auth"], ["server_auth", "client_auth"]])
def test_what_public_cas_give_no_more_is_foretold(
    issuers: Mapping[str, Issuer], usages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = HonestHost()
    (issued,) = task_result(run_task(host, issuers, {**WWW, "usages": usages}), False)["certificates"]
    assert issued["client_auth_ends"] is False
    monkeypatch.setattr(issuers["internal"], "for_clients", False)
    (seen,) = task_result(run_task(host, issuers, {**WWW, "usages": usages}, check_mode=True), False)["certificates"]
    assert seen["client_auth_ends"] is ("client_auth" in usages)
