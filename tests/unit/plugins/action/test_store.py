# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.store import ActionModule
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Record
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    NOW,
    PASSPHRASE,
    cheap_scrypt,
    make_issuer,
    make_request,
    make_store,
    snapshot,
)
from ansible_collections.fleet.tls.tests.unit.support.store_contract import records_of

__all__ = ["cheap_scrypt"]
NEW = "7fQ0x2mVd8KpLw4sYt6Z"


@pytest.fixture
def leaf(tmp_path: Path) -> Any:
    """The one certificate that the store has issued."""
    (answer,) = make_issuer(tmp_path / "store").issue([make_request()], NOW)
    return answer.chain[0]  # type: ignore[union-attr]


def look_after(path: Path, extra: str, variables: dict[str, Any] | None = None, **mode: Any) -> dict[str, Any]:
    """The result of the task."""
    lines = [f"store: {{path: {path / 'store'}, passphrase: {PASSPHRASE}}}", extra]
    return run_action(ActionModule, "\n".join(lines), variables, **mode)


def test_another_passphrase(tmp_path: Path, leaf: Any) -> None:
    options = f"action: passphrase\nnew_passphrase: {NEW}"
    keys = ["ca/internal/issuing-1.key", "ca/internal/root-1.key"]
    before = snapshot(tmp_path)
    foreseen = look_after(tmp_path, options, check_mode=True, diff=True)
    assert foreseen["changed"] and foreseen["resealed"] == keys and snapshot(tmp_path) == before
    assert foreseen["diff"]["after"] == "".join(f"{key}: sealed anew\n" for key in keys)
    first = look_after(tmp_path, options, diff=True)
    assert first == foreseen
    again = look_after(tmp_path, options, diff=True)
    assert not again["changed"] and "diff" not in again
    assert not {PASSPHRASE, NEW} & set(json.dumps([foreseen, first, again]).split('"'))
    assert make_issuer(tmp_path / "store", passphrase=NEW).authority("root-1")


def test_a_backup_and_what_becomes_of_it(tmp_path: Path, leaf: Any) -> None:
    backup = look_after(tmp_path, f"action: backup\nbackup: {tmp_path / 'backups'}", diff=True)
    assert backup["changed"] and Path(backup["path"]).parent == tmp_path / "backups"
    assert backup["diff"]["after"] == f"a backup: {backup['entries']} entries, the ledger to {backup['head']}\n"
    (tmp_path / "store").rename(tmp_path / "lost")
    restored = look_after(tmp_path, f"action: restore\nbackup: {backup['path']}")
    assert restored["changed"] and restored["head"] == backup["head"]
    moved = look_after(tmp_path, f"action: move\ntarget: {{path: {tmp_path / 'moved'}}}")
    assert moved["changed"] and moved["entries"] == backup["entries"]
    assert not look_after(tmp_path, f"action: move\ntarget: {{path: {tmp_path / 'moved'}}}")["changed"]
    assert records_of(make_store(tmp_path / "moved")) == records_of(make_store(tmp_path / "lost"))


def test_verified(tmp_path: Path, leaf: Any) -> None:
    one = {"name": "www", "issuer": "internal", "installed": True, "fingerprint_sha256": fingerprint(leaf)}
    hosts: dict[str, Any] = {"web1": {"certificates": [one]}, "web2": {"unreachable": True}}
    options = 'action: verify\nissuers: {internal: {type: ca}}\nseen: "{{ hosts }}"\nhead: "{{ head }}"'
    head = str(records_of(make_store(tmp_path / "store"))[-1].head)
    result = look_after(tmp_path, options, {"hosts": hosts, "head": head})
    assert result["findings"] == [] and result["opened"] and result["unseen"] == ["web2"]
    assert result["head"] == head and "web2" in result["warnings"][0]
    hosts["web1"]["certificates"] = [{**one, "fingerprint_sha256": f"{number:064}"} for number in range(12)]
    with pytest.raises(
        AnsibleActionFail, match="that the ledger does not know.* and 2 more. Restore the newest"
    ) as caught:
        look_after(tmp_path, options, {"hosts": hosts, "head": head})
    failed = caught.value._result if hasattr(caught.value, "_result") else caught.value.result
    assert len(failed["findings"]) == 12 and failed["findings"][0]["code"] == "not_in_ledger"


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("action: passphrase", "tls_store_new_passphrase is missing"),
        ("action: backup", "tls_store_backup is missing"),
        ("action: restore", "tls_store_backup is missing"),
        ("action: move", "tls_store_target is missing"),
        ("action: backup\nbackup: somewhere", "'somewhere' is not an absolute path"),
        ("action: verify\nhead: nonsense", "tls_store_head is not the head of a ledger"),
        ("action: move\ntarget: {pasphrase: x}", "unknown option 'pasphrase'"),
    ],
)
def test_refused(extra: str, words: str, tmp_path: Path, leaf: Any) -> None:
    before = snapshot(tmp_path)
    with pytest.raises(AnsibleActionFail, match=words):
        look_after(tmp_path, extra)
    assert snapshot(tmp_path) == before


def test_who_ran_the_job_is_in_the_ledger(tmp_path: Path) -> None:
    """Whatever task writes to it; here one that has another one's variables beside it."""
    from ansible_collections.fleet.tls.plugins.action.revoke import ActionModule as Revoke

    make_issuer(tmp_path / "store").issue([make_request()], NOW)
    options = f"store: {{path: {tmp_path / 'store'}, passphrase: {PASSPHRASE}}}\nissuers: {{internal: {{type: ca}}}}\nhosts: [web1]"
    run_action(Revoke, options, {"awx_user_name": "ana", "awx_job_id": "4711"})
    last: Record = records_of(make_store(tmp_path / "store"))[-1]
    assert last.kind == "revoked" and last.who is not None and (last.who.user, last.who.job) == ("ana", "4711")
