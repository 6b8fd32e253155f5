# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step ``apply`` killed before each of its changes to the file system, one after the other; the next one always finishes the job."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals, kept_path
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import leftovers
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import Layout
from ansible_collections.fleet.tls.plugins.module_utils.steps.apply import apply_step
from ansible_collections.fleet.tls.plugins.module_utils.steps.look import look_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import fingerprint
from ansible_collections.fleet.tls.tests.unit.support.killed import run_killed
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority

THEIRS = "-----BEGIN PRIVATE KEY-----\nof somebody else\n"
# Of the first run's changes at least so many; that the hook counts at all is part of the test.
AT_LEAST = 25


@dataclass(frozen=True)
class Host:
    """A host whose generation 1 is live and whose generation 2 is ready to be installed."""

    folder: Path
    look: dict[str, Any]
    first: dict[str, Any]
    second: dict[str, Any]

    @property
    def tls(self) -> Path:
        """Its directory."""
        return self.folder / "tls"

    @property
    def layout(self) -> Layout:
        """Its certificate."""
        return Layout(str(self.tls), "www")


def outputs(folder: Path) -> list[dict[str, Any]]:
    """A link, and a copy that holds both key and chain."""
    common = {"owner": None, "group": None, "mode": "0600"}
    return [
        {"path": str(folder / "out" / "linked.pem"), "format": "combined", "method": "link", **common},
        {"path": str(folder / "out" / "copied.pem"), "format": "combined", "method": "copy", **common},
    ]


def service(command: str) -> dict[str, Any]:
    """A service whose validation is ``command``."""
    unused = {"preset": None, "check": None, "start": None, "endpoints": []}
    return {"name": "any", "validate": [command], "reload": ["true"], **unused}


def look_request(folder: Path, force: bool = False) -> dict[str, Any]:
    """A look that makes a pending key where one is needed."""
    certificate = {
        "name": "www", "force": force, "request_digest": "d" * 64, "renew_before": {"fraction": 0.33},
        "key": {"algorithm": "ecdsa-p256", "rotation_policy": "always", "location": "host"},
        "subject": {"common_name": None, "sans": [["DNS", "www.example.com"]], "usages": ["server_auth"]},
        "owner": None, "group": None, "mode": "0600", "outputs": outputs(folder), "services": ["any"],
    }  # fmt: skip
    return {
        "directory": str(folder / "tls"),
        "now": int(time.time()),
        "prepare": "auto",
        "services": [service("true")],
        "certificates": [certificate],
    }


def look(request: dict[str, Any]) -> dict[str, Any]:
    """The one certificate of a look."""
    _changed, answer = look_step(request)
    assert answer["certificates"]["www"]["error"] is None
    return dict(answer["certificates"]["www"])


def apply_request(look: dict[str, Any], entry: dict[str, Any], validate: str = "true") -> dict[str, Any]:
    """An apply of one certificate."""
    (wish,) = look["certificates"]
    common = {name: wish[name] for name in ("name", "key", "owner", "group", "mode", "outputs", "services")}
    return {
        "directory": look["directory"], "now": look["now"], "prove_timeout": 1, "defer_proof": False, "keep": 2, "claimed": [],
        "services": [service(validate)], "certificates": [{**common, **entry}],
    }  # fmt: skip


def install(look_request: dict[str, Any], authority: Authority, folder: Path) -> dict[str, Any]:
    """The request to install what the authority signs for the host's pending key."""
    pending = look(look_request)["pending"]
    request, leaf, root = folder / "request.csr", folder / "leaf.pem", authority.root
    request.write_text(pending["csr"])
    command = ["openssl", "x509", "-req", "-in", request, "-CA", root.certificate, "-CAkey", root.key, "-days", "30"]
    subprocess.run([*command, "-CAcreateserial", "-out", leaf], check=True, capture_output=True, timeout=120)
    now = look_request["now"]
    manifest = {
        "name": "www", "issuer": "internal", "fingerprint": fingerprint(leaf.read_bytes()), "serial": "1", "not_before": now,
        "not_after": now + 30 * 86400, "request_digest": "d" * 64, "request_id": pending["request_id"],
    }  # fmt: skip
    chain = [leaf.read_text(), root.pem]
    return {"action": "install", "request_id": pending["request_id"], "chain": chain, "manifest": manifest}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Made once; every kill begins with a copy of it in the same place, for its links are absolute."""
    folder = tmp_path_factory.mktemp("apply-kill") / "host"
    (folder / "out").mkdir(parents=True)
    authority = Authority(folder.parent / "ca")
    request = look_request(folder)
    first = install(request, authority, folder.parent)
    _changed, answer = apply_step(apply_request(request, copy.deepcopy(first)), {})
    assert answer["certificates"]["www"]["error"] is None
    second = install(look_request(folder, force=True), authority, folder.parent)
    shutil.copytree(folder, folder.parent / "template", symlinks=True)
    return Host(folder, request, first, second)


def fresh(host: Host) -> None:
    """The host as it was."""
    shutil.rmtree(host.folder)
    shutil.copytree(host.folder.parent / "template", host.folder, symlinks=True)


def killed_everywhere(host: Host, request: dict[str, Any]) -> Iterator[int]:
    """Yields after each kill, with its number; ends when the step came to its end unharmed."""
    number = 0
    while True:
        number += 1
        fresh(host)
        if run_killed(partial(apply_step, copy.deepcopy(request), {}), number, host.folder):
            assert number > AT_LEAST
            return
        yield number


def belong_together(key: bytes, certificate: bytes) -> bool:
    """Whether the private key in one PEM text is that of the first certificate in another."""
    public = load_pem_private_key(key[key.index(b"-----BEGIN PRIVATE") :], None).public_key()
    return bool(public == load_pem_x509_certificate(certificate).public_key())


def put_theirs(host: Host) -> dict[str, int]:
    """Somebody's private keys where the outputs are to be; path → inode."""
    for output in outputs(host.folder):
        path = Path(output["path"])
        path.unlink(missing_ok=True)
        path.write_text(THEIRS)
        path.chmod(0o400)
    return {output["path"]: os.stat(output["path"]).st_ino for output in outputs(host.folder)}


def assert_nothing_destroyed(theirs: dict[str, int], *, where: str) -> None:
    """Each of somebody's keys is in its place or beside it: the same file, with the same content and mode."""
    for path, inode in theirs.items():
        found = [Path(each) for each in (path, kept_path(path)) if os.path.lexists(each)]
        assert inode in [each.lstat().st_ino for each in found], where
        for each in found:
            if each.lstat().st_ino == inode:
                assert (each.read_text(), each.stat().st_mode & 0o777) == (THEIRS, 0o400), where


def assert_whole(host: Host, *, where: str) -> None:
    """The live pair and what was made of it are of one piece, the old or the new."""
    live = Path(host.layout.live)
    known = {host.first["manifest"]["fingerprint"], host.second["manifest"]["fingerprint"]}
    for name in ("cert.pem", "fullchain.pem"):
        assert belong_together((live / "privkey.pem").read_bytes(), (live / name).read_bytes()), where
        assert fingerprint((live / name).read_bytes()) in known, where
    for output in outputs(host.folder):
        text = Path(output["path"]).read_bytes()
        assert belong_together(text, text), where
        assert Path(output["path"]).stat().st_mode & 0o777 == 0o600, where
    open_keys = [
        path
        for path in host.folder.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o077 and b"PRIVATE KEY" in path.read_bytes()
    ]
    assert open_keys == [], where


def assert_settled(host: Host, expected: str, *, where: str) -> None:
    """Nothing is left to do, and nothing is left over."""
    assert_whole(host, where=where)
    found = look(host.look)
    assert (found["problems"], found["drift"], found["pending"]) == ([], [], None), where
    assert found["manifest"]["fingerprint"] == expected, where
    assert found["manifest"]["settled"], where
    for path in (host.layout.live, *(output["path"] for output in outputs(host.folder))):
        assert leftovers(path) == [], where


@pytest.mark.parametrize("validate", ["true", "false"])
def test_same_order_again(template: Host, validate: str) -> None:
    """Killed while it installs, or (validation fails) while it rolls back; then the controller sends the same again."""
    request = apply_request(template.look, template.second, validate)
    for number in killed_everywhere(template, request):
        where = f"killed before change {number}"
        assert_whole(template, where=where)
        _changed, answer = apply_step(apply_request(template.look, copy.deepcopy(template.second)), {})
        assert answer["certificates"]["www"]["error"] is None, where
        assert_settled(template, template.second["manifest"]["fingerprint"], where=where)
        assert not Path(template.layout.pending).exists(), where
        assert len(template.layout.numbers()) <= 2, where


def test_repair_after_a_rotation_that_nobody_asks_for_again(template: Host) -> None:
    """The killed run was forced, the next one is not: whatever is live is put right, and stays."""
    request = apply_request(template.look, template.second)
    for number in killed_everywhere(template, request):
        where = f"killed before change {number}"
        found = look(template.look)
        live = found["manifest"]["fingerprint"]
        if found["drift"] or not found["manifest"].get("settled"):
            entry = {"action": "repair", "request_id": found["manifest"]["request_id"], "chain": [], "manifest": {}}
            _changed, answer = apply_step(apply_request(template.look, entry), {})
            assert answer["certificates"]["www"]["error"] is None, where
        assert_settled(template, live, where=where)
        if live == template.second["manifest"]["fingerprint"]:
            # Its key is in use now: no second copy may lie about.
            assert not Path(template.layout.pending).exists(), where


def test_first_pair(template: Host) -> None:
    """The same for a host that had none: before the swap there is no live pair at all, never half a one. Where the outputs are to be,
    somebody's keys lie."""
    first_key = template.folder.parent / "template" / "tls" / "generations" / "www" / "1" / "privkey.pem"
    key = first_key.read_bytes()

    def before_the_first() -> dict[str, int]:
        shutil.rmtree(template.folder)
        (template.folder / "out").mkdir(parents=True)
        pending = Path(template.layout.pending)
        pending.mkdir(parents=True, mode=0o700)
        shutil.copy(first_key, pending)
        (pending / "request.csr").write_text("as it was sent")
        (pending / "request.json").write_text(
            '{{"request_id": "{0}", "request_digest": "{1}"}}'.format(template.first["request_id"], "d" * 64)
        )
        return put_theirs(template)

    request, number = apply_request(template.look, template.first), 0
    while True:
        number += 1
        theirs = before_the_first()
        if run_killed(partial(apply_step, copy.deepcopy(request), {}), number, template.folder):
            break
        where = f"killed before change {number}"
        if os.path.lexists(template.layout.live):
            live = Path(template.layout.live)
            assert belong_together(key, (live / "fullchain.pem").read_bytes()), where
            assert (live / "privkey.pem").read_bytes() == key, where
        assert_nothing_destroyed(theirs, where=where)
        _changed, answer = apply_step(apply_request(template.look, copy.deepcopy(template.first)), {})
        assert answer["certificates"]["www"]["error"] is None, where
        assert_settled(template, template.first["manifest"]["fingerprint"], where=where)
        assert {path: os.stat(kept_path(path)).st_ino for path in theirs} == theirs, where
    assert number > AT_LEAST


def test_outputs_that_are_no_longer_wanted(template: Host) -> None:
    """Somebody's keys come back to where they lay."""
    live = template.first["manifest"]["fingerprint"]
    unwanted = copy.deepcopy(template.look)
    unwanted["certificates"][0]["outputs"] = []
    entry = {"action": "repair", "request_id": template.first["request_id"], "chain": [], "manifest": {}}
    number = 0
    while True:
        number += 1
        fresh(template)
        (template.tls / "originals.json").unlink()
        manifest = Path(template.layout.live) / "manifest.json"
        wanted = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**wanted, "outputs": {}}))
        theirs = put_theirs(template)
        apply_step(apply_request(template.look, copy.deepcopy(entry)), {})
        if run_killed(partial(apply_step, apply_request(unwanted, entry), {}), number, template.folder):
            break
        where = f"killed before change {number}"
        assert_nothing_destroyed(theirs, where=where)
        _changed, answer = apply_step(apply_request(unwanted, copy.deepcopy(entry)), {})
        assert answer["certificates"]["www"]["error"] is None, where
        found = look(unwanted)
        assert (found["problems"], found["drift"], found["manifest"]["fingerprint"]) == ([], [], live), where
        assert {path: os.stat(path).st_ino for path in theirs} == theirs, where
        assert_nothing_destroyed(theirs, where=where)
        assert Originals(str(template.tls)).foreign(theirs) == {path: kept_path(path) for path in theirs}, where
    assert number > 10
    assert {path: os.stat(path).st_ino for path in theirs} == theirs
    assert {str(each) for each in (template.folder / "out").iterdir()} == set(theirs)
