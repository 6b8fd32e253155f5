# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.ca import ActionModule
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE, cheap_scrypt, make_issuer, snapshot

__all__ = ["cheap_scrypt"]


def options(store: Path, extra: str = "", passphrase: str = PASSPHRASE) -> str:
    return f"""
    store: {{path: {store}, passphrase: {passphrase}}}
    issuers: {{internal: {{type: ca}}, other: {{type: ca, common_name: Other}}}}
    {extra}
    """


def test_made_once_and_shown(tmp_path: Path) -> None:
    first = run_action(ActionModule, options(tmp_path), diff=True)
    assert first["changed"] and set(first["prepared"]) == {"internal", "other"} and len(first["diff"]) == 2
    before = snapshot(tmp_path)
    second = run_action(ActionModule, options(tmp_path), diff=True)
    assert not second["changed"] and second["prepared"] == {} and "diff" not in second
    assert snapshot(tmp_path) == before and second["issuers"] == first["issuers"]
    shown = second["issuers"]["other"]
    (root,) = parse_pem_chain(shown["anchors"])
    assert (root,) == make_issuer(tmp_path, "other").trust()
    assert set(shown["authorities"]) == {"root-1", "issuing-1"}
    assert shown["authorities"]["root-1"]["subject"] == "CN=Other Root"
    assert "PRIVATE" not in str(second)
    crls = {crl["issuer"]: crl for crl in shown["crls"]}
    assert set(crls) == {"CN=Other Root", shown["authorities"]["issuing-1"]["subject"]}
    assert crls["CN=Other Root"]["revoked"] == [] and "BEGIN X509 CRL" in crls["CN=Other Root"]["pem"]


def test_one_issuer(tmp_path: Path) -> None:
    assert set(run_action(ActionModule, options(tmp_path, "issuer: other"))["issuers"]) == {"other"}
    assert not (tmp_path / "ca/internal").exists()
    with pytest.raises(AnsibleActionFail, match="issuer: 'othr' is unknown. Did you mean 'other'?"):
        run_action(ActionModule, options(tmp_path, "issuer: othr"))


def test_check_mode_makes_nothing(tmp_path: Path) -> None:
    result = run_action(ActionModule, options(tmp_path / "store"), check_mode=True, diff=True)
    assert result["changed"] and len(result["diff"]) == 2 and not (tmp_path / "store").exists()


def test_a_wrong_passphrase(tmp_path: Path) -> None:
    run_action(ActionModule, options(tmp_path, "issuer: other"))
    before = snapshot(tmp_path)
    with pytest.raises(AnsibleActionFail, match="wrong passphrase for the store") as caught:
        run_action(ActionModule, options(tmp_path, passphrase="some wrong passphrase"))
    assert "some wrong passphrase" not in str(caught.value) and snapshot(tmp_path) == before


def test_a_renewal_that_waits_for_the_root_key_is_no_change(tmp_path: Path) -> None:
    class Later(ActionModule):
        @staticmethod
        def now() -> dt.datetime:
            return dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=600)

    run_action(ActionModule, options(tmp_path, "issuer: internal"))
    key = tmp_path / "ca/internal/root-1.key"
    key.rename(tmp_path / "offline")
    signed = run_action(Later, options(tmp_path, "issuer: internal"))
    assert signed["changed"] and "the CRL of issuing-1 ends on" in signed["prepared"]["internal"]
    waits = run_action(Later, options(tmp_path, "issuer: internal"))
    assert not waits["changed"] and waits["prepared"] == {}
    assert "the issuing CA of 'internal' expires on" in waits["warnings"][0]
    assert "the CRL of root-1 ends on" in waits["warnings"][0]
    (tmp_path / "offline").rename(key)
    assert run_action(Later, options(tmp_path, "issuer: internal"))["changed"]
    done = run_action(Later, options(tmp_path, "issuer: internal"))
    assert not done["changed"] and "issuing-2" in done["issuers"]["internal"]["authorities"]
