# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import traceback
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.certificates import ActionModule
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_force
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action, vaulted
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE, cheap_scrypt, make_store

__all__ = ["cheap_scrypt"]


def action_on(host: HonestHost) -> type[ActionModule]:
    """The action, its steps done by a host in memory with the right clock."""

    class OnHost(ActionModule):
        def step(
            self,
            step: str,
            request: Mapping[str, Any],
            variables: dict[str, Any],
            secrets: Mapping[str, str] | None = None,
        ) -> dict[str, Any]:
            host.clock = self.now().timestamp()
            answer = host.look(request) if step == "look" else host.apply(request, secrets or {})
            assert isinstance(answer, dict)
            return answer

    return OnHost


def options(store: Path, certificates: str = "", extra: str = "", passphrase: str = f'"{PASSPHRASE}"') -> str:
    return f"""
    store:
        path: {store}
        passphrase: {passphrase}
    issuers: {{internal: {{type: ca, duration: 30d}}, other: {{type: ca}}}}
    certificates: {certificates or '[{name: www, issuer: internal, dns_names: ["{{ inventory_hostname }}.example.com"]}]'}
    {extra}
    """


def test_issue_then_nothing(tmp_path: Path) -> None:
    host = HonestHost()
    first = run_action(action_on(host), options(tmp_path), diff=True)
    (entry,) = first["certificates"]
    assert first["changed"] and (entry["name"], entry["action"], entry["dns_names"]) == (
        "www",
        "issue",
        ["web1.example.com"],
    )
    assert first["diff"][0]["before"] == "" and "because: missing" in first["diff"][0]["after"]
    second = run_action(action_on(host), options(tmp_path), diff=True)
    assert not second["changed"] and second["diff"] == [] and second["certificates"][0]["settled"]
    assert host.steps() == ["look auto", "apply", "look auto"]
    assert PASSPHRASE not in json.dumps([first, second], default=str)


def test_check_mode(tmp_path: Path) -> None:
    host = HonestHost()
    result = run_action(action_on(host), options(tmp_path / "store"), check_mode=True, diff=True)
    assert result["changed"] and host.steps() == ["look never"] and not (tmp_path / "store").exists()
    assert "lifetime: 30d" in result["diff"][0]["after"]


def test_a_passphrase_from_the_vault(tmp_path: Path) -> None:
    host = HonestHost()
    run_action(action_on(host), options(tmp_path, passphrase=vaulted(PASSPHRASE)))
    run_action(action_on(host), options(tmp_path, extra="force: true"))
    assert host.live["www"].generation == 2


@pytest.mark.parametrize(
    ("certificates", "extra", "words"),
    [
        (
            "[{name: www, issuer: internl, dns_names: [a.example]}]",
            "",
            "certificate 'www': issuer: 'internl' is unknown",
        ),
        ("[{name: www, issuer: internal}]", "", "certificate 'www': has no names"),
        ("[{name: www, issuer: internal, dns_names: [null]}]", "", "certificate 'www': dns_names: None is not a text"),
        (
            "[{name: www, issuer: internal, dns_names: [a.example], renew_before: 30d}]",
            "",
            "it would be renewed at every run",
        ),
        (
            "[{name: a, issuer: internal, dns_names: [a.example], outputs: [{path: /etc/fleet-tls/x}]}]",
            "",
            "certificate 'a': outputs",
        ),
        ("", "force: 'www, mail'", "force: it must be a list of names, or one name"),
        ("", "directory: etc/fleet-tls", "directory: "),
    ],
)
def test_refused_before_anything_is_touched(certificates: str, extra: str, words: str, tmp_path: Path) -> None:
    host = HonestHost()
    with pytest.raises(AnsibleActionFail) as caught:
        run_action(action_on(host), options(tmp_path / "store", certificates, extra))
    assert words in str(caught.value) and "web1: " in str(caught.value)
    assert host.calls == [] and not (tmp_path / "store").exists()


PERMIT = """
    store: {{path: {0}, passphrase: "{1}"}}
    issuers: {{internal: {{type: ca, permit: [{{groups: [web], dns_names: ["*.web.example.com"], usages: [server_auth]}}]}}}}
    certificates: [{{name: www, issuer: internal, dns_names: ["{2}"]}}]
"""


@pytest.mark.parametrize(
    ("groups", "name", "words"),
    [
        (["web"], "a.web.example.com", ""),
        (["web"], "www.example.com", "rule 1: dns_names: www.example.com is not among *.web.example.com"),
        (["db"], "a.web.example.com", "no rule is for a host of the groups db"),
    ],
)
def test_what_no_rule_permits_is_refused_before_the_host_is_asked(
    groups: list[str], name: str, words: str, tmp_path: Path
) -> None:
    host = HonestHost()
    asked = PERMIT.format(tmp_path / "store", PASSPHRASE, name)
    if not words:
        assert run_action(action_on(host), asked, {"group_names": groups})["changed"]
        return
    with pytest.raises(AnsibleActionFail) as caught:
        run_action(action_on(host), asked, {"group_names": groups})
    assert f"web1: certificate 'www': issuer 'internal' does not permit it ({words})" in str(caught.value)
    assert host.calls == [] and not (tmp_path / "store").exists()


def test_a_failure_carries_the_whole_result_and_no_secret(tmp_path: Path) -> None:
    host = HonestHost()
    certificates = (
        "[{name: a, issuer: internal, dns_names: [a.example]}, {name: b, issuer: other, dns_names: [b.example]}]"
    )
    run_action(action_on(host), options(tmp_path, certificates))
    (tmp_path / "ca/internal/issuing-1.key").unlink()
    with pytest.raises(AnsibleActionFail) as caught:
        run_action(action_on(host), options(tmp_path, certificates, "force: true"))
    result = caught.value.result
    assert [entry["generation"] for entry in result["certificates"]] == [1, 2]
    assert result["certificates"][0]["error"]["code"] == "store" and result["changed"]
    assert "web1: certificate 'a': the private key 'ca/internal/issuing-1.key' is not in the store" in str(caught.value)
    wrong = uuid.uuid4().hex
    issuing = "[{name: b, issuer: other, dns_names: [c.example]}]"
    with pytest.raises(AnsibleActionFail) as caught:
        run_action(action_on(host), options(tmp_path, issuing, passphrase=wrong))
    told = "".join(traceback.format_exception(caught.value, chain=True)) + repr(caught.value.result)
    assert "wrong passphrase for the store" in told and wrong not in told
    assert len(list(make_store(tmp_path).issuances())) == 3


class Tagged(str):
    """A text as ansible-core hands it to plugins."""


@pytest.mark.parametrize(
    ("value", "forced"),
    [
        (True, True),
        ("true", True),
        (Tagged("Yes"), True),
        (1, True),
        (False, False),
        ("no", False),
        (Tagged("False"), False),
        ("", False),
        (None, False),
        ([], ()),
        (Tagged("www"), ("www",)),
        (["api", "of-another-host"], ("api", "of-another-host")),
        ([Tagged("api"), Tagged("www")], ("api", "www")),
    ],
)
def test_force(value: Any, forced: bool | tuple[str, ...]) -> None:
    assert parse_force(value) == forced and type(parse_force(value)) is type(forced)


@pytest.mark.parametrize("value", ["www,api", "www api", "['www']", 2, {"www": True}, 0.5])
def test_no_force(value: Any) -> None:
    with pytest.raises(SpecError, match="force: ") as caught:
        parse_force(value)
    assert caught.value.remedy
