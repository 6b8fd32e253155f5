# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CA keys that a program has, and those of another collection's provider: both as docs/keys.md shows them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import load_key_provider
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem
from ansible_collections.fleet.tls.tests.unit.support.openssl_verify import verdict
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_spec, snapshot
from keys.apart import apart
from keys.test_pkcs11 import issue, refusal
from tools import paths


def documented(language: str) -> str:
    """The first block of a language in docs/keys.md."""
    text = (paths.ROOT / "docs/keys.md").read_text(encoding="utf-8")
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found, language
    return found[1]


@pytest.fixture
def program(tmp_path: Path) -> dict[str, Any]:
    """The script of the docs."""
    script = tmp_path / "kms-signer"
    script.write_text(documented("sh").replace("/srv/keys", str(tmp_path / "kept")))
    script.chmod(0o755)
    return {"type": "command", "command": [str(script)], "environment": {"KMS_TOKEN": "not to be told"}}


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "rsa-3072"])
def test_the_program_of_the_docs(program: dict[str, Any], tmp_path: Path, algorithm: str) -> None:
    ca = make_issuer(tmp_path / "store", key_algorithm=algorithm, keys={"root": program, "issuing": program})
    chain = issue(ca, spec=make_spec(usages=["client_auth"])).chain
    crls = "".join(map(crl_to_pem, ca.crls(NOW)))
    assert verdict(tmp_path, chain, to_pem(ca.trust()[0]), crls, NOW + DAY) == "OK"
    assert not list((tmp_path / "store").rglob("*.key")) and len(list((tmp_path / "kept").iterdir())) == 2


def test_two_programs_have_a_key_each(program: dict[str, Any], tmp_path: Path) -> None:
    """Nothing in a reference tells whose it is."""
    other = tmp_path / "other-signer"
    other.write_text(documented("sh").replace("/srv/keys", str(tmp_path / "others")))
    other.chmod(0o755)
    second = {**program, "command": [str(other)]}
    ca = make_issuer(tmp_path / "store", keys={"root": program, "issuing": second})
    issue(ca, spec=make_spec(usages=["client_auth"]))
    # The next root is made by another one; the one that is there goes on.
    moved = make_issuer(tmp_path / "store", keys={"root": second, "issuing": second, "earlier": [program]})
    for each in ("root-1", "issuing-1"):
        assert moved.authority(each).private_key.sign(b"it", ec.ECDSA(hashes.SHA256()))
    assert [len(list((tmp_path / each).iterdir())) for each in ("kept", "others")] == [1, 1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('echo "the ring is away, $KMS_TOKEN" >&2; exit 3', "ended with 3: the ring is away, "),
        ("openssl rand 70", "gave a signature that is not of the key it was asked for"),
        ("exit 0", "gave a signature that is not of the key it was asked for"),
        ("kill -9 $$", "was ended by signal 9"),
        ("sleep 600", "was not done in 2 s"),
    ],
)
def test_a_program_that_fails_costs_nothing(program: dict[str, Any], tmp_path: Path, line: str, words: str) -> None:
    issue(make_issuer(tmp_path / "store", keys={"issuing": program}))
    before = snapshot(tmp_path / "store")
    Path(program["command"][0]).write_text(f"#!/bin/sh\n{line}\n")
    broken = {**program, "timeout": "2s" if "sleep" in line else "60s"}
    said = refusal(lambda: issue(make_issuer(tmp_path / "store", keys={"issuing": broken}), request_id="request-0002"))
    assert words in said and "not to be told" not in said
    assert snapshot(tmp_path / "store") == before


def test_what_it_makes_has_to_be_a_key(program: dict[str, Any], tmp_path: Path) -> None:
    Path(program["command"][0]).write_text("#!/bin/sh\n[ $FLEET_TLS_ACTION = make ] && echo one\n")
    words = refusal(lambda: issue(make_issuer(tmp_path / "store", keys={"root": program})))
    assert "public_key" in words and not (tmp_path / "store/ca/internal/ca.json").exists()


def test_no_key_is_made_that_nothing_here_could_sign_with(program: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'command' makes no keys of the algorithm ed448"):
        make_issuer(tmp_path / "store", key_algorithm="ed448", keys={"root": program})
    assert not (tmp_path / "kept").exists()


def test_another_collections_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "collections/ansible_collections/example/kms/plugins/sub_plugins/key/vaulted.py"
    module.parent.mkdir(parents=True)
    module.write_text(documented("python"))
    # As a collection that is installed; this process has read the package's places already.
    import ansible_collections

    monkeypatch.setattr(
        ansible_collections,
        "__path__",
        [*ansible_collections.__path__, str(tmp_path / "collections/ansible_collections")],
    )
    for name in [each for each in sys.modules if each.startswith("ansible_collections.example")]:
        monkeypatch.delitem(sys.modules, name)
    theirs = {"type": "example.kms.vaulted", "folder": str(tmp_path / "theirs")}
    ca = make_issuer(tmp_path / "store", keys={"root": theirs})
    chain = issue(ca, spec=make_spec(usages=["client_auth"])).chain
    crls = "".join(map(crl_to_pem, ca.crls(NOW)))
    assert verdict(tmp_path, chain, to_pem(ca.trust()[0]), crls, NOW + DAY) == "OK"
    assert str(ca.key_place("root-1")).startswith("example.kms.vaulted ")
    module.with_name("seven.py").write_text("PROVIDER = 7\n")
    with pytest.raises(SpecError, match="no KeyProvider"):
        load_key_provider("example.kms.seven", "x")


def test_the_token_of_the_docs(tmp_path: Path) -> None:
    text = (paths.ROOT / "docs/keys.md").read_text(encoding="utf-8")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nslots.removable = false\n")
    environment = {**os.environ, "SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf")}
    commands = re.findall(r"^\$ (softhsm2-util .*)$", text, re.MULTILINE)
    shown = [
        subprocess.run(each.split(), env=environment, check=True, capture_output=True, text=True, timeout=120).stdout
        for each in commands
    ]
    assert len(commands) == 2 and re.search(r"Label: +fleet", shown[1])
    (options,) = yaml.safe_load(documented("yaml"))["tls_issuers"].values()
    environment["TOKEN_PIN"] = re.search(r"\$ TOKEN_PIN=(\d+) ansible-playbook", text)[1]  # type: ignore[index]

    def work() -> str | None:
        ca = make_issuer(tmp_path / "store", **{name: value for name, value in options.items() if name != "type"})
        issue(ca)
        return ca.key_place("root-1")

    assert str(apart(environment, work)).startswith("pkcs11 pkcs11:token=fleet;serial=")
