# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.host_facts import ActionModule as HostFacts
from ansible_collections.fleet.tls.plugins.action.service_config import ActionModule
from ansible_collections.fleet.tls.plugins.module_utils.steps.facts import facts_step
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import (
    crl_to_pem,
    is_crl_of,
    parse_pem_crls,
    serials,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import serial_text
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import revoke
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks import run_notes
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction
from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import expand_sites
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    PASSPHRASE,
    cheap_scrypt,
    make_issuer,
    make_request,
    snapshot,
)

__all__ = ["cheap_scrypt"]

ANSWER = {
    "changed": True,
    "changed_paths": [],
    "kept_files": {},
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


@pytest.fixture
def restored(tmp_path: Path) -> tuple[Path, str, str]:
    """A store whose lists are due, and that was restored."""
    return make_restored(tmp_path, dt.timedelta(days=5))


def make_restored(tmp_path: Path, age: dt.timedelta) -> tuple[Path, str, str]:
    """A store of before a revocation, with lists of that age; the host's lists, which know of it, and garbage; the number."""
    now, store = ActionModule.now(), tmp_path / "store"
    issuer = make_issuer(store)
    (issued,) = issuer.issue([make_request()], now - age)
    shutil.copytree(store, tmp_path / "backup")
    serial = serial_text(issued.chain[0].serial_number)
    revoke({"internal": issuer}, issuer.store, [serial], "key_compromise", now)
    garbage = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
    return tmp_path / "backup", "".join(map(crl_to_pem, issuer.crls(now))) + garbage, serial


def host_with(monkeypatch: pytest.MonkeyPatch, store: Path, content: str) -> list[dict[str, Any]]:
    """A host that gives up its list only when that has been seen: what it was sent, each with the store as it was then."""
    sent: list[dict[str, Any]] = []

    def step(_action: TlsAction, _name: str, request: dict[str, Any], _variables: dict[str, Any]) -> dict[str, Any]:
        sent.append({**request, "store": snapshot(store)})
        held = [
            {"path": each["path"], "content": content, "digest": "d1"}
            for each in request["files"]
            if each.get("over") == []
        ]
        return {**ANSWER, "held": [*held, "nonsense"]}

    monkeypatch.setattr(TlsAction, "step", step)
    return sent


def test_a_host_is_asked_before_a_list_is_signed(
    restored: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was restored: what it would sign lacks what the host's list has."""
    store, content, serial = restored
    before = snapshot(store)
    sent = host_with(monkeypatch, store, content)
    result = run_action(ActionModule, options(store))
    assert [request["check"] for request in sent] == [True, False]
    assert sent[0]["store"] == before and "merged as number" in result["warnings"][0]
    first, second = (request["files"][1] for request in sent)
    assert (first["over"], second["over"]) == ([], ["d1"])
    assert serial not in listed(first["content"]) and serial in listed(second["content"])


def test_where_nothing_is_to_be_signed_the_host_is_asked_when_its_turn_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, content, serial = make_restored(tmp_path, dt.timedelta())
    sent = host_with(monkeypatch, store, content)
    result = run_action(ActionModule, options(store))
    assert [request["check"] for request in sent] == [False, False]
    assert serial in listed(sent[1]["files"][1]["content"]) and "merged as number" in result["warnings"][0]


def test_so_it_is_for_the_lists_of_upstreams(restored: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    store, content, serial = restored
    sent = host_with(monkeypatch, store, content)
    result = run_action(ActionModule, upstream_options(store))
    first, second = ({each["path"].rpartition("/")[2]: each for each in request["files"]} for request in sent)
    assert serial not in listed(first["up.crls.pem"]["content"]) and serial in listed(second["up.crls.pem"]["content"])
    assert "merged as number" in result["warnings"][0] and "over" not in second["up.anchors.pem"]


def test_a_host_that_refuses_keeps_no_list_from_being_signed(
    restored: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it keep its own from being renewed: it does that before it says again what it refuses."""
    store, _content, _serial = restored
    before, checks = snapshot(store), []

    def step(_action: TlsAction, _name: str, request: dict[str, Any], _variables: dict[str, Any]) -> dict[str, Any]:
        checks.append(request["check"])
        raise HostError("another's site", code="site_clash")

    monkeypatch.setattr(TlsAction, "step", step)
    with pytest.raises(AnsibleActionFail, match="another's site"):
        run_action(ActionModule, options(store))
    assert checks == [True, False] and snapshot(store) != before


def test_who_asks_only_notes_what_our_cas_have_signed(
    restored: tuple[Path, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, content, serial = restored
    monkeypatch.setattr(run_notes, "directory", lambda: tmp_path)
    foreign = make_issuer(tmp_path / "foreign")
    foreign.prepare(ActionModule.now())
    theirs = "".join(map(crl_to_pem, foreign.crls(ActionModule.now())))
    for text in (content + theirs, content):
        host_with(monkeypatch, store, text)
        run_action(Asked, options(store), check_mode=True)
    noted = parse_pem_crls("".join(run_notes.noted_lists()))
    assert len(noted) == 2 and all(
        any(is_crl_of(crl, ca) for ca in make_issuer(store).authorities().values()) for crl in noted
    )
    assert serial in listed("".join(run_notes.noted_lists()))


class Asked(ActionModule):
    """As fleet.tls.due_parts asks it."""

    asked_in_check_mode = False


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


def upstream_options(store: Path, template: str = "") -> str:
    """A site with an upstream that is verified, and one with another."""
    site = {"server_names": ["www.test"], "certificate": "www"}
    raw = [
        {**site, "name": "up", "upstream": "https://app.test", "upstream_certificate": "proxy"},
        {**site, "name": "plain", "upstream": "http://app.test"},
    ]
    files = [{"path": "/etc/x/sites.conf", "template": template}] if template else []
    return f"""
    service: nginx
    files: {json.dumps(files)}
    upstreams:
      server: nginx
      store: {{path: {store}, passphrase: {PASSPHRASE}}}
      issuers: {{internal: {{type: ca}}}}
      sites: {json.dumps(expand_sites(raw))}
    """


def test_what_the_upstreams_of_sites_need(
    tmp_path: Path, requests: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of each site that has one, what they are asked, and the host's words on one that is away."""
    make_issuer(tmp_path / "store").prepare(ActionModule.now())
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "sites.j2").write_text("{{ upstreams_with_crls | join(',') }}")
    monkeypatch.setitem(ANSWER, "notes", ["site 'up': \x1b[2J away", 7])
    monkeypatch.chdir(tmp_path)
    result = run_action(ActionModule, upstream_options(tmp_path / "store", f"{tmp_path}/templates/sites.j2"))
    (request,) = requests
    assert [each["path"].rpartition("/")[2] for each in request["files"]] == [
        "sites.conf", "up.anchors.pem", "up.crls.pem", "up.client.pem",
    ]  # fmt: skip
    assert request["files"][0]["content"] == "up"
    assert request["owned"] == "/etc/fleet-tls/upstreams/nginx"
    assert [each["site"] for each in request["upstreams"]] == ["up"]
    assert result["warnings"] == ["site 'up':  [2J away", "7"]
