# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.host_facts import ActionModule as HostFacts
from ansible_collections.fleet.tls.plugins.action.service_config import ActionModule
from ansible_collections.fleet.tls.plugins.module_utils.steps.facts import facts_step
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem, parse_pem_crls, serials
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import serial_text
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import revoke
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction
from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import expand_sites
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    PASSPHRASE,
    cheap_scrypt,
    make_issuer,
    make_request,
)

__all__ = ["cheap_scrypt"]

ANSWER = {
    "changed": True,
    "changed_paths": [],
    "missing": False,
    "validated": True,
    "services": {},
    "proof": [],
    "diff": [],
}


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What went to the host, which answers that all is well."""
    sent: list[dict[str, Any]] = []

    def step(_action: TlsAction, name: str, request: dict[str, Any], _variables: dict[str, Any]) -> dict[str, Any]:
        assert name == "configure"
        sent.append(request)
        return ANSWER

    monkeypatch.setattr(TlsAction, "step", step)
    return sent


def options(store: Path, trust: str = "", files: str = "") -> str:
    return f"""
    service: nginx
    client_trust: {{store: {{path: {store}, passphrase: {PASSPHRASE}}}, issuers: {{internal: {{type: ca}}}}{trust}}}
    files:
      - {{path: /etc/x/clients.pem, client: bundle}}
      - {{path: /etc/x/clients.crl.pem, client: crls}}
      {files}
    """


def test_the_cas_of_clients_and_their_lists(tmp_path: Path, requests: list[dict[str, Any]]) -> None:
    issuer = make_issuer(tmp_path)
    issuer.prepare(ActionModule.now())
    run_action(ActionModule, options(tmp_path))
    bundle, crls = requests[0]["files"]
    assert bundle["path"] == "/etc/x/clients.pem" and "BEGIN CERTIFICATE" in bundle["content"]
    # Of the root and of the CA that issues.
    assert crls["content"].count("BEGIN X509 CRL") == 2
    run_action(ActionModule, options(tmp_path))
    assert requests[1]["files"] == requests[0]["files"]


def test_what_a_host_holds_back_is_taken_over(
    tmp_path: Path, requests: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was restored; the host has a list that knows of a revocation since, and garbage of its own."""
    now, store = ActionModule.now(), tmp_path / "store"
    issuer = make_issuer(store)
    (issued,) = issuer.issue([make_request()], now)
    shutil.copytree(store, tmp_path / "backup")
    serial = serial_text(issued.chain[0].serial_number)
    revoke({"internal": issuer}, issuer.store, [serial], "key_compromise", now)
    content = "".join(map(crl_to_pem, issuer.crls(now))) + "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
    held = {"held": [{"path": "/etc/x/clients.crl.pem", "content": content, "digest": "d1"}, "nonsense"]}
    answers = [{**ANSWER, **held}, ANSWER]

    def step(_action: TlsAction, _name: str, request: dict[str, Any], _variables: dict[str, Any]) -> dict[str, Any]:
        requests.append(request)
        return answers[len(requests) - 1]

    monkeypatch.setattr(TlsAction, "step", step)
    result = run_action(ActionModule, options(tmp_path / "backup"))
    first, second = (request["files"][1] for request in requests)
    assert (first["over"], second["over"]) == ([], ["d1"])
    assert serial not in "".join(listed(first["content"])) and serial in listed(second["content"])
    assert "merged as number" in result["warnings"][0]


def listed(pem: str) -> list[str]:
    return [serial for crl in parse_pem_crls(pem) for serial in serials(crl)]


def test_a_host_that_never_ends_holding_back_is_told(
    tmp_path: Path, requests: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_issuer(tmp_path).prepare(ActionModule.now())

    def step(_action: TlsAction, _name: str, request: dict[str, Any], _variables: dict[str, Any]) -> dict[str, Any]:
        requests.append(request)
        return {**ANSWER, "held": [{"path": "/x", "content": "", "digest": str(len(requests))}]}

    monkeypatch.setattr(TlsAction, "step", step)
    with pytest.raises(AnsibleActionFail, match="its revocation lists changed while this task ran"):
        run_action(ActionModule, options(tmp_path))
    assert len(requests) == 2


def test_without_revocation_there_is_no_file_for_it(tmp_path: Path, requests: list[dict[str, Any]]) -> None:
    make_issuer(tmp_path).prepare(ActionModule.now())
    run_action(ActionModule, options(tmp_path, ", revocation: false"))
    assert requests[0]["files"][1] == {"path": "/etc/x/clients.crl.pem", "state": "absent", "block": False}


def test_nobody_to_trust_is_refused_before_the_host_hears_of_it(tmp_path: Path, requests: list[dict[str, Any]]) -> None:
    with pytest.raises(AnsibleActionFail, match="web1: there is no trust anchor"):
        run_action(ActionModule, options(tmp_path, ", from_issuers: []"))
    with pytest.raises(AnsibleActionFail, match="/etc/x needs client_trust"):
        run_action(ActionModule, "{service: nginx, files: [{path: /etc/x, client: bundle}]}")
    assert requests == []


def test_templates_know_when_the_trust_is_another_one(
    tmp_path: Path, requests: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_issuer(tmp_path).prepare(ActionModule.now())
    (tmp_path / "name.j2").write_text("cache {{ client_trust_digest }}\n")
    monkeypatch.setattr(ActionModule, "_find_needle", lambda _self, _folder, name: str(tmp_path / name))
    file = "- {path: /etc/x/site, template: name.j2}"
    for trust in ("", "", ", revocation: false"):
        run_action(ActionModule, options(tmp_path, trust, file))
    names = [request["files"][2]["content"] for request in requests]
    assert names[0] == names[1] != names[2]
    assert len(names[0]) == len("cache \n") + 64


def test_a_block_is_handed_on(requests: list[dict[str, Any]]) -> None:
    run_action(ActionModule, "{service: nginx, files: [{path: /etc/x, content: y, block: true}]}")
    run_action(ActionModule, "{service: nginx, files: [{path: /etc/x, state: absent, block: true}]}")
    assert [request["files"][0]["block"] for request in requests] == [True, True]


def test_what_a_host_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TlsAction, "step", lambda _action, _name, request, _variables: facts_step(request)[1])
    told = run_action(HostFacts, f"directory: {tmp_path}/")
    assert not told["changed"]
    assert set(told["ansible_facts"]["fleet_tls_host"]) == {
        "family",
        "openssl",
        "python",
        "systemd",
        "nginx_sites",
        "resolvers",
        "trusts_ours",
        "ocsp",
    }


def test_what_the_upstreams_of_sites_need(
    tmp_path: Path, requests: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of each site that has one, what they are asked, and the host's words on one that is away."""
    make_issuer(tmp_path / "store").prepare(ActionModule.now())
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "sites.j2").write_text("{{ upstreams_with_crls | join(',') }}")
    site = {"server_names": ["www.test"], "certificate": "www"}
    raw = [
        {**site, "name": "up", "upstream": "https://app.test", "upstream_certificate": "proxy"},
        {**site, "name": "plain", "upstream": "http://app.test"},
    ]
    sites = expand_sites(raw)
    monkeypatch.setitem(ANSWER, "notes", ["site 'up': \x1b[2J away", 7])
    monkeypatch.chdir(tmp_path)
    given = f"""
    service: nginx
    files: [{{path: /etc/x/sites.conf, template: {tmp_path}/templates/sites.j2}}]
    upstreams:
      server: nginx
      store: {{path: {tmp_path}/store, passphrase: {PASSPHRASE}}}
      issuers: {{internal: {{type: ca}}}}
      sites: {json.dumps(sites)}
    """
    result = run_action(ActionModule, given)
    (request,) = requests
    assert [each["path"].rpartition("/")[2] for each in request["files"]] == [
        "sites.conf", "up.anchors.pem", "up.crls.pem", "up.client.pem",
    ]  # fmt: skip
    assert request["files"][0]["content"] == "up"
    assert request["owned"] == "/etc/fleet-tls/upstreams/nginx"
    assert [each["site"] for each in request["upstreams"]] == ["up"]
    assert result["warnings"] == ["site 'up':  [2J away", "7"]
