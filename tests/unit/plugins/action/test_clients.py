# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action with the host's step run in place, against a TLS server that asks for client certificates."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.clients import ActionModule
from ansible_collections.fleet.tls.plugins.module_utils.steps.client import client_step
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain, to_pem
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE, cheap_scrypt, make_issuer
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Address, Authority, tls_server

__all__ = ["cheap_scrypt"]


class InPlace(ActionModule):
    """The step without a connection."""

    def step(self, step: str, request: Any, variables: Any, secrets: Any = None) -> dict[str, Any]:
        assert step == "client"
        changed, answer = client_step(request)
        return {**answer, "changed": changed}


@dataclass
class World:
    host: OneHost
    store: Path
    authority: Authority
    address: Address

    def run(self, clients: str, extra: str = "", **how: bool) -> dict[str, Any]:
        options = f"""
        store: {{path: {self.store}, passphrase: {PASSPHRASE}}}
        issuers: {{internal: {{type: ca}}}}
        directory: {self.host.tls}
        prove_timeout: 1s
        certificates: [{{name: www, usages: [client_auth]}}, {{name: site}}]
        clients: {clients}
        {extra}
        """
        return run_action(InPlace, options, {"root": self.authority.root.pem, **GONE}, **how)

    def client(self, anchors: str = "{test: '{{ root }}'}") -> str:
        bundle = f"{{path: {self.host.out}/ca.pem, anchors: {anchors}}}"
        return f"""[{{certificate: www, name: app, bundle: {bundle},
            endpoints: [{{host: 127.0.0.1, port: {self.address.port}, server_name: server.example.com}}]}}]"""


def expired_root() -> str:
    now = dt.datetime.now(dt.timezone.utc)
    return to_pem(make_root("Gone", "ecdsa-p256", now - dt.timedelta(days=9), dt.timedelta(days=2)).certificate)


GONE = {"gone": expired_root()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    authority = Authority(tmp_path / "ca")
    server = authority.issue("server", "DNS:server.example.com")
    host = OneHost(tmp_path / "host")
    host.install(host.wish(), authority.issue("app", "DNS:app.example.com"))
    with tls_server(server, client_ca=authority.root.certificate) as address:
        yield World(host, tmp_path / "store", authority, address)


def test_installed_and_proven(world: World) -> None:
    make_issuer(world.store).prepare(dt.datetime.now(dt.timezone.utc))
    first = world.run(world.client(), diff=True)
    second = world.run(world.client(), diff=True)
    bundle = parse_pem_chain((world.host.out / "ca.pem").read_text())
    # The internal CA's root and the extra one: old and new CA side by side.
    assert first["changed"] and len(bundle) == 2 and first["diff"][0]["after_header"].endswith("ca.pem")
    assert first["clients"]["app"]["proof"][0]["client_certificate"] == "accepted"
    assert not second["changed"] and second["diff"] == []
    assert PASSPHRASE not in str(first) and "PRIVATE" not in str(first)


def test_an_expired_anchor_is_left_out_with_a_warning(world: World) -> None:
    result = world.run(world.client("{test: '{{ root }}', gone: '{{ gone }}'}"))
    assert any("the trust anchor 'CN=Gone' of 'gone' expired on" in each for each in result["warnings"])
    assert len(parse_pem_chain((world.host.out / "ca.pem").read_text())) == 1


def test_an_issuer_without_a_ca_is_told(world: World) -> None:
    result = world.run(world.client())
    assert result["warnings"][0].startswith(
        "nothing of the issuer 'internal' is trusted yet: the CA 'internal' does not exist"
    )
    assert "warnings" not in world.run(world.client(), check_mode=True)


def test_a_refusal_names_host_client_endpoint_and_remedy(world: World) -> None:
    with tls_server(
        world.authority.issue("other", "DNS:server.example.com"),
        client_ca=Authority(world.store / "x").root.certificate,
    ) as address:
        world.address = address
        with pytest.raises(AnsibleActionFail) as caught:
            world.run(world.client())
    text = str(caught.value)
    assert text.startswith(f"web1: client 'app': 127.0.0.1:{address.port} (SNI server.example.com): the server refused")
    assert "TLS alert unknown_ca" in text and "See that the server trusts the CA of this client's certificate" in text
    result = caught.value.result
    assert result["error"]["code"] == "not_accepted" and result["clients"]["app"]["error"]["code"] == "not_accepted"
    assert result["changed"]


@pytest.mark.parametrize(
    ("clients", "words"),
    [
        ("[{certificate: site}]", "client 'site': the certificate 'site' is not for clients"),
        ("[{certificate: wwww}]", "Did you mean 'www'|did you mean 'www'"),
        ("[{certificate: www, bundle: {path: /x, issuers: [intrnal]}}]", "bundle: issuers: 'intrnal' is unknown"),
        ("[{certificate: www, bundle: {path: /x}}]", "no trust anchor to install .asked: client 'www'"),
        ("[{certificate: www, bundle: {path: /x, issuers: []}}]", "no trust anchor to install .asked: client 'www'"),
        ("[{certificate: www, bundle: {path: /x, anchors: {gone: '{{ gone }}'}}}]", "every trust anchor has expired"),
        ("[{certificate: www, bundle: {path: /x, anchors: {a: nothing}}}]", "anchor 'a': not a complete PEM"),
    ],
)
def test_bad_input_reaches_no_host(world: World, clients: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InPlace, "step", lambda *_arguments: pytest.fail("the host was visited"))
    with pytest.raises(AnsibleActionFail, match=words):
        world.run(clients)


def test_check_mode_on_a_fresh_controller(world: World) -> None:
    clients = f"[{{certificate: www, bundle: {{path: {world.host.out}/ca.pem}}}}]"
    assert world.run(clients, check_mode=True)["changed"]
    assert not (world.host.out / "ca.pem").exists() and not world.store.exists()


def test_no_clients(world: World) -> None:
    assert world.run("[]") == {"changed": False, "clients": {}}


def test_an_answer_that_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in ({}, {"clients": []}, {"clients": {"app": "yes"}}, {"clients": {"app": {"error": "no"}}}):
        monkeypatch.setattr(InPlace, "step", lambda *_arguments, answer=answer: {"changed": False, **answer})
        with pytest.raises(AnsibleActionFail, match=textwrap.dedent("web1: ")):
            world.run(world.client())
