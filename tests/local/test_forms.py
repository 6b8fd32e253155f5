# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Outputs in every form, and the lookups, as one playbook has them: written once, told before anything is touched, and no secret said."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cryptography
import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from local.hosts import ISSUERS, OPTIONS, PASSPHRASE, public_key
from local.probing import LOCAL
from tools.playbook import PlaybookResult, run_playbook

SECRET = "Not-To-Be-Read-Anywhere"
FORMS: dict[str, dict[str, Any]] = {
    "der": {},
    "pkcs1": {},
    "encrypted": {"passphrase": SECRET},
    "pkcs12": {"passphrase": SECRET, "profile": "legacy", "anchors": True},
    "jks": {"passphrase": SECRET, "method": "copy"},
}
ROOT = "lookup('fleet.tls.root', 'internal')"


@dataclass(frozen=True)
class Seen:
    """The run, and where its host has its files."""

    run: PlaybookResult
    folder: Path

    def of(self, task: str) -> dict[str, Any]:
        """The result of a task."""
        (result,) = self.run.results(task=task)
        return result


def named(name: str, action: str, options: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A task whose failure ends nothing."""
    return {"name": name, action: options, "ignore_errors": True, **more}


def certificates(name: str, outputs: list[dict[str, Any]], algorithm: str = "rsa-2048", **more: Any) -> dict[str, Any]:
    """The certificate with these outputs."""
    wish = {
        "name": "app",
        "issuer": "internal",
        "dns_names": ["app.example.com"],
        "private_key": {"algorithm": algorithm},
        "outputs": outputs,
    }
    return named(name, "fleet.tls.certificates", {**OPTIONS, "certificates": [wish]}, **more)


def shown(name: str, expression: str) -> dict[str, Any]:
    """An expression's value."""
    return named(name, "ansible.builtin.debug", {"msg": f"{{{{ {expression} }}}}"})


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("forms")
    outputs = [{"path": str(folder / form), "format": form, **more} for form, more in FORMS.items()]
    truststore = {"path": str(folder / "truststore"), "format": "truststore", "passphrase": SECRET}
    tasks = [
        shown("too early", ROOT),
        certificates("refused", outputs, algorithm="ed25519"),
        certificates("foreseen", outputs, check_mode=True),
        certificates("first", outputs),
        certificates("second", outputs),
        certificates("trust", [*outputs, truststore]),
        certificates("trust again", [*outputs, truststore]),
        shown("root", ROOT),
        shown("unknown", "lookup('fleet.tls.root', 'internl')"),
        shown("fingerprint", f"lookup('fleet.tls.fingerprint', {ROOT})"),
        shown("sha1", f"lookup('fleet.tls.fingerprint', {ROOT}, algorithm='sha1', form='colons')"),
        shown("leaf", "lookup('fleet.tls.fingerprint', lookup('file', folder ~ '/tls/live/app/fullchain.pem'))"),
        shown("none", "lookup('fleet.tls.fingerprint', 'no certificate')"),
        {**shown("no store", ROOT), "vars": {"tls_store": None}},
    ]
    variables = {
        **LOCAL,
        "tls_store": {"path": "{{ folder }}/store", "passphrase": "{{ kept_elsewhere }}"},
        "folder": str(folder),
        "kept_elsewhere": PASSPHRASE,
        "tls_issuers": ISSUERS,
        "tls_directory": str(folder / "tls"),
        "tls_certificates": [],
    }
    inventory, playbook = folder / "inventory.json", folder / "play.yml"
    inventory.write_text(json.dumps({"all": {"hosts": {"web1": variables}}}))
    playbook.write_text(json.dumps([{"name": "Forms", "hosts": "all", "gather_facts": False, "tasks": tasks}]))
    return Seen(run_playbook(playbook, inventory, args=["-vvv", "--diff"]).check(), folder)


def test_forms_are_written_once(seen: Seen) -> None:
    for task, changed in (("foreseen", True), ("first", True), ("second", False)):
        assert "msg" not in seen.of(task) and seen.of(task)["changed"] is changed, task
    live = seen.folder / "tls" / "live" / "app"
    key = public_key("pkey", "-pubout", "-in", str(live / "privkey.pem"))
    secret = f"pass:{SECRET}"
    assert public_key("rsa", "-pubout", "-in", str(seen.folder / "pkcs1")) == key
    assert public_key("pkey", "-pubout", "-in", str(seen.folder / "encrypted"), "-passin", secret) == key
    command = ["openssl", "pkcs12", "-in", str(seen.folder / "pkcs12"), "-passin", secret, "-nokeys"]
    found = subprocess.run(command, check=True, capture_output=True, timeout=300).stdout
    # The leaf, the issuing CA and the root.
    assert found.count(b"BEGIN CERTIFICATE") == 3
    assert (seen.folder / "jks").read_bytes()[:4] == b"\xfe\xed\xfe\xed"
    assert {(seen.folder / form).stat().st_mode & 0o777 for form in FORMS if form != "der"} == {0o600}
    assert (seen.folder / "der").stat().st_mode & 0o777 == 0o644


def test_what_cannot_be_is_told_before_anything_is_touched(seen: Seen) -> None:
    refused = seen.of("refused")
    assert "only RSA keys can be" in refused["msg"] and "rsa-3072" in refused["msg"]
    assert "has no root yet" in str(seen.of("too early")) and "fleet.tls.ca" in str(seen.of("too early"))


def test_a_truststore_or_which_cryptography_it_takes(seen: Seen) -> None:
    trust, path = seen.of("trust"), seen.folder / "truststore"
    if not hasattr(pkcs12, "serialize_java_truststore"):
        words = (
            f"needs the Python package cryptography 45 or newer on the controller, which has {cryptography.__version__}"
        )
        assert words in trust["msg"] and not path.exists()
        return
    assert trust["changed"] and not seen.of("trust again")["changed"]
    found = pkcs12.load_pkcs12(path.read_bytes(), SECRET.encode())
    assert found.key is None and len(found.additional_certs) == 1


def test_lookups(seen: Seen) -> None:
    root = seen.of("root")["msg"]
    (file,) = (seen.folder / "store" / "ca" / "internal").glob("root-*.pem")
    assert root.strip() == file.read_text().strip()
    for task, digest in (("fingerprint", "sha256"), ("sha1", "sha1")):
        command = ["openssl", "x509", "-in", str(file), "-noout", "-fingerprint", f"-{digest}"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
        wanted = printed.strip().partition("=")[2]
        assert seen.of(task)["msg"] == (wanted if task == "sha1" else wanted.replace(":", "").lower())
    leaf = ssl.PEM_cert_to_DER_cert((seen.folder / "tls" / "live" / "app" / "cert.pem").read_text())
    assert seen.of("leaf")["msg"] == hashlib.sha256(leaf).hexdigest()
    for task, words in (
        ("unknown", "Did you mean 'internal'?"),
        ("none", "not a complete PEM certificate"),
        ("no store", "there is no tls_store"),
    ):
        assert words in seen.of(task)["msg"], task


def test_no_secret_is_said(seen: Seen) -> None:
    said = seen.run.stdout + seen.run.stderr + json.dumps(seen.run.task_results)
    assert SECRET not in said and PASSPHRASE not in said
