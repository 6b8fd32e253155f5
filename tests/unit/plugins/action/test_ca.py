# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.ca import ActionModule
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem, make_crl, make_entry
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain, serial_text
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import revoke
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks import run_notes
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.foreign_ca import ISSUING, ROOT, ForeignCa
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    PASSPHRASE,
    cheap_scrypt,
    make_issuer,
    make_request,
    snapshot,
)

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


def test_a_csr_is_returned_and_shown_in_check_mode(tmp_path: Path) -> None:
    corp = ForeignCa(tmp_path / "corp")
    corp.make("root", ROOT)
    answer, store = tmp_path / "issuing.pem", tmp_path / "store"
    given = f"{{type: ca, root: {{certificate: {corp.path('root.pem')}}}, issuing: {{certificate: {answer}}}}}"
    asking = f"""
    store: {{path: {store}, passphrase: {PASSPHRASE}}}
    issuers: {{internal: {given}, other: {{type: ca}}}}
    """
    looked = run_action(ActionModule, asking, check_mode=True, diff=True)
    assert "a key and a CSR are made for an issuing CA" in looked["prepared"]["internal"] and not store.exists()
    assert looked["issuers"]["internal"]["csr"] is None
    made = run_action(ActionModule, asking)
    csr = made["issuers"]["internal"]["csr"]
    assert "BEGIN CERTIFICATE REQUEST" in csr and made["issuers"]["other"]["csr"] is None
    # All else goes on: the root is trusted, and the other CA is there.
    assert parse_pem_chain(made["issuers"]["internal"]["anchors"]) == (corp.certificate("root"),)
    assert set(made["issuers"]["other"]["authorities"]) == {"root-1", "issuing-1"}
    for check_mode in (True, False):
        again = run_action(ActionModule, asking, check_mode=check_mode)
        assert not again["changed"] and again["issuers"]["internal"]["csr"] == csr
        assert "waits for the signature of 'CN=root,O=Corp' under issuing-1.csr" in again["warnings"][0]
    signed = corp.sign(store / "ca/internal/issuing-1.csr", "signed", ISSUING, "root")
    answer.write_bytes(signed.read_bytes())
    looked = run_action(ActionModule, asking, check_mode=True)
    assert "the certificate for issuing-1.csr is there, and is taken" in looked["prepared"]["internal"]
    assert run_action(ActionModule, asking)["changed"]
    done = run_action(ActionModule, asking)
    assert not done["changed"] and "warnings" not in done and done["issuers"]["internal"]["csr"] is None
    assert set(done["issuers"]["internal"]["authorities"]) == {"root-1", "issuing-1"}


def test_a_ca_that_is_not_fit_is_refused_in_check_mode_and_costs_the_others_nothing(tmp_path: Path) -> None:
    theirs = ForeignCa(tmp_path / "theirs")
    theirs.make("root", ROOT.replace("CA:TRUE", "CA:FALSE"))
    given = f"{{type: ca, root: {{certificate: {theirs.path('root.pem')}, key: {theirs.path('root.key')}}}}}"
    asking = f"""
    store: {{path: {tmp_path / "store"}, passphrase: {PASSPHRASE}}}
    issuers: {{internal: {given}, other: {{type: ca}}}}
    """
    for check_mode in (True, False):
        with pytest.raises(
            AnsibleActionFail, match=r"root: 'CN=root,O=Corp' is not a CA \(no basic constraints with CA:TRUE\)"
        ):
            run_action(ActionModule, asking, check_mode=check_mode)
    assert not (tmp_path / "store/ca/internal").exists() and make_issuer(tmp_path / "store", "other").trust()


class Later(ActionModule):
    """Five days on: CRLs are due."""

    @staticmethod
    def now() -> dt.datetime:
        return dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=5)


def ends(store: Path, name: str) -> list[dt.datetime]:
    issuer = make_issuer(store, name)
    return [crl.next_update_utc for crl in issuer.crls(Later.now(), renew=False) if crl.next_update_utc]


def test_a_sick_issuer_costs_the_others_nothing(tmp_path: Path) -> None:
    run_action(ActionModule, options(tmp_path))
    unreachable = "{type: acme, directory_url: 'https://127.0.0.1:9/directory', terms_agreed: true, timeout: 2s, challenge: {type: http-01}}"
    # Of one CA, a key cannot be opened: its other CRL is signed.
    key = tmp_path / "ca/other/root-1.key"
    key.write_text(key.read_text().replace("M", "N", 40))
    issuers = f"""
    store: {{path: {tmp_path}, passphrase: {PASSPHRASE}}}
    issuers:
      public: {unreachable}
      broken: {{type: ca, common_name: Broken}}
      other: {{type: ca, common_name: Other}}
      internal: {{type: ca}}
    """
    (tmp_path / "ca/broken").mkdir()
    (tmp_path / "ca/broken/ca.json").write_text("{")
    (tmp_path / "ca/other/root-1.crl").unlink()
    with pytest.raises(AnsibleActionFail) as caught:
        run_action(Later, issuers)
    said = str(caught.value)
    # The suite unit-lowest has no library for it, which makes it no less sick.
    public = "port=9" if importlib.util.find_spec("acme") else "the Python package 'acme' is missing"
    assert [word in said for word in (public, "ca/broken/ca.json", "ca/other/root-1.key")] == [True] * 3, said
    assert max(ends(tmp_path, "internal")) > Later.now() and min(ends(tmp_path, "internal")) > Later.now()
    assert [end > Later.now() + dt.timedelta(days=6) for end in ends(tmp_path, "other")] == [True]
    result = caught.value.result
    assert set(result["prepared"]) == {"internal"} and result["changed"]
    assert {"internal", "other"} <= set(result["issuers"])


def test_crls_are_renewed_when_the_root_is_near_its_end(tmp_path: Path) -> None:
    class AtTheEnd(ActionModule):
        @staticmethod
        def now() -> dt.datetime:
            return dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=3600)

    run_action(ActionModule, options(tmp_path, "issuer: internal"))
    with pytest.raises(AnsibleActionFail, match="the root of the CA 'internal' expires on"):
        run_action(AtTheEnd, options(tmp_path, "issuer: internal"))
    (root,) = make_issuer(tmp_path).crls(AtTheEnd.now(), renew=False)
    assert root.next_update_utc is not None and root.next_update_utc > AtTheEnd.now()


@pytest.mark.parametrize("sick", [False, True])
def test_what_hosts_list_is_listed_before_anything_is_signed(
    sick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was restored; a host has shown its list to this run. One that nobody can sign costs no other CA."""
    monkeypatch.setattr(run_notes, "directory", lambda: tmp_path)
    run_action(ActionModule, options(tmp_path / "store", "issuer: internal"))
    issuer = make_issuer(tmp_path / "store")
    (issued,) = issuer.issue([make_request()], ActionModule.now())
    shutil.copytree(tmp_path / "store", tmp_path / "backup")
    serial = serial_text(issued.chain[0].serial_number)
    revoke({"internal": issuer}, issuer.store, [serial], "key_compromise", ActionModule.now())
    root = issuer.authority("root-1")
    newer = make_crl(root, [make_entry(7, 1, "unspecified")], number=1, now=ActionModule.now(), lifetime=DAY)
    run_notes.note_lists(crl_to_pem(crl) for crl in (newer, *issuer.crls(ActionModule.now())))
    key = tmp_path / "backup/ca/internal/root-1.key"
    if sick:
        key.write_text(key.read_text().replace("M", "N", 40))

    def play(action: type[ActionModule], *, check_mode: bool = False) -> tuple[dict[str, Any], list[str]]:
        try:
            result = run_action(action, options(tmp_path / "backup", "issuer: internal"), check_mode=check_mode)
        except AnsibleActionFail as error:
            result = dict(error.result or {})
        return result, [serial for crl in result["issuers"]["internal"]["crls"] for serial in crl["revoked"]]

    before = snapshot(tmp_path / "backup")
    # Where nothing is signed, nothing is merged: the server's own part does that.
    assert play(ActionModule)[1] == [] and play(Later, check_mode=True)[1] == []
    assert snapshot(tmp_path / "backup") == before
    result, revoked = play(Later)
    assert revoked == ([serial] if sick else ["7", serial])
    said = str(result["error"] if sick else result["warnings"])
    assert said.count("lists 1 certificates that it lacks: merged as number") == (1 if sick else 2) and "root-1" in said
    assert sick or result["changed"]


def test_once_for_all_hosts_of_a_batch(tmp_path: Path) -> None:
    def play(host: str, batch: tuple[str, ...], store: Path = tmp_path / "one") -> dict[str, Any]:
        # The same name in another inventory, so that nothing is left of other tests: notes last as long as this process.
        known = {"inventory_hostname": host, "ansible_play_batch": (*batch, str(tmp_path))}
        return run_action(ActionModule, options(store, "once: true"), known, task_uuid="the role's task")

    first, second = (play(host, ("a", "b")) for host in ("a", "b"))
    assert first["changed"] and "kept_by" not in first
    assert not second["changed"] and second["kept_by"] == "a" and second["prepared"] == {}
    for name, shown in first["issuers"].items():
        assert second["issuers"][name] == {**shown, "crls": []} and shown["crls"]
    # Another batch, and a host of another store.
    assert "kept_by" not in play("c", ("c",)) and "kept_by" not in play("b", ("a", "b"), tmp_path / "two")


def test_an_error_is_told_once(tmp_path: Path) -> None:
    def play(host: str) -> dict[str, Any]:
        known = {"inventory_hostname": host, "ansible_play_batch": (str(tmp_path),)}
        return run_action(ActionModule, options(tmp_path, "once: true", "short"), known, task_uuid="the role's task")

    with pytest.raises(AnsibleActionFail, match="a: "):
        play("a")
    assert play("b")["kept_by"] == "a"
