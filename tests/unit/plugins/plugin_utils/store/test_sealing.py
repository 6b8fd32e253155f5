# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import subprocess
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError, StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import SCRYPT
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key, seal, unseal
from ansible_collections.fleet.tls.tests.unit.support.pki import CLASSICAL, PASSPHRASE, make_store, snapshot

KEY = generate_key("ecdsa-p256")


def identity(key: object) -> str:
    return key_id(key.public_key())  # type: ignore[attr-defined]


@pytest.mark.parametrize("algorithm", [each for each in CLASSICAL if each not in ("rsa-3072", "rsa-4096")])
def test_there_and_back(algorithm: str, tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    key = generate_key(algorithm)
    put_key(store, "keys/a.key", key, expect=None)
    assert identity(get_key(store, "keys/a.key")) == identity(key)


def test_openssl_opens_it_with_the_passphrase_only(tmp_path: Path) -> None:
    put_key(make_store(tmp_path), "keys/a.key", KEY, expect=None)
    text = (tmp_path / "keys/a.key").read_text()
    assert text.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")

    def opened(passphrase: str) -> int:
        command = ["openssl", "pkey", "-in", str(tmp_path / "keys/a.key"), "-passin", "stdin", "-noout"]
        return subprocess.run(command, input=passphrase, text=True, capture_output=True, check=False).returncode

    assert opened(PASSPHRASE) == 0
    assert opened(PASSPHRASE + "x") != 0 and opened("") != 0


@pytest.mark.parametrize("passphrase", [None, "", "x" * 11, "x" * 1024, "ü" * 512, "x" * 12 + "\udcff"])
def test_passphrases_that_nothing_is_sealed_with(passphrase: str | None, tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", passphrase)
    with pytest.raises(PassphraseError) as caught:
        put_key(store, "keys/a.key", KEY, expect=None)
    assert caught.value.remedy and str(tmp_path) in caught.value.message
    assert not passphrase or passphrase not in str(caught.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("passphrase", ["k3Jf9Qx2LmZ7", "0123456789 correct horse battery" * 31, "grüße für zwölf"])
def test_passphrases_that_serve(passphrase: str, tmp_path: Path) -> None:
    store = make_store(tmp_path, passphrase)
    put_key(store, "keys/a.key", KEY, expect=None)
    assert identity(get_key(store, "keys/a.key")) == identity(KEY)


def test_a_wrong_passphrase_changes_nothing(tmp_path: Path) -> None:
    put_key(make_store(tmp_path), "keys/a.key", KEY, expect=None)
    before = snapshot(tmp_path)
    wrong = make_store(tmp_path, "another passphrase")
    with pytest.raises(PassphraseError, match="wrong passphrase for the store") as caught:
        put_key(wrong, "keys/b.key", KEY, expect=None)
    assert caught.value.remedy and snapshot(tmp_path) == before
    with pytest.raises(PassphraseError, match="wrong passphrase for the store"):
        get_key(wrong, "keys/a.key")
    with pytest.raises(PassphraseError, match="needs its passphrase"):
        get_key(make_store(tmp_path, None), "keys/a.key")


def test_the_passphrase_stands_nowhere(tmp_path: Path) -> None:
    put_key(make_store(tmp_path), "keys/a.key", KEY, expect=None)
    clear = KEY.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in snapshot(tmp_path).values():
        assert PASSPHRASE.encode() not in content and clear not in content
    store = make_store(tmp_path, "a wrong pass-phrase")
    with pytest.raises(PassphraseError) as caught:
        get_key(store, "keys/a.key")
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(store) + repr(store.fields)
    assert "a wrong pass-phrase" not in told


def test_a_missing_key(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the private key 'keys/a.key' is not in the store") as caught:
        get_key(make_store(tmp_path), "keys/a.key")
    assert caught.value.remedy


def clear_pem() -> bytes:
    return KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated", "flipped", "clear"])
def test_a_damaged_key_is_not_called_a_wrong_passphrase(damage: str, tmp_path: Path) -> None:
    store = make_store(tmp_path)
    put_key(store, "keys/a.key", KEY, expect=None)
    path = tmp_path / "keys/a.key"
    good = path.read_bytes()
    lines = good.splitlines(keepends=True)
    flipped = b"".join([*lines[:3], bytes(reversed(lines[3].strip())) + b"\n", *lines[4:]])
    path.write_bytes(
        {"empty": b"", "garbage": b"\0\1", "truncated": good[:100], "flipped": flipped, "clear": clear_pem()}[damage]
    )
    with pytest.raises(StoreError, match="is damaged or not sealed") as caught:
        get_key(store, "keys/a.key")
    assert not isinstance(caught.value, PassphraseError) and caught.value.remedy


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"salt": "zz", "digest": "00"}', b'{"salt": 1, "digest": 2}', b"\xff"]
)
def test_a_damaged_check_value(content: bytes, tmp_path: Path) -> None:
    store = make_store(tmp_path)
    put_key(store, "keys/a.key", KEY, expect=None)
    (tmp_path / "passphrase.json").write_bytes(content)
    with pytest.raises(StoreError, match="'passphrase.json' in the store .* is damaged") as caught:
        put_key(store, "keys/b.key", KEY, expect=None)
    assert caught.value.remedy
    assert identity(get_key(store, "keys/a.key")) == identity(KEY)


def test_a_store_keeps_the_cost_it_was_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCRYPT, "n", 4)
    put_key(make_store(tmp_path), "keys/a.key", KEY, expect=None)
    monkeypatch.setitem(SCRYPT, "n", 8)
    put_key(make_store(tmp_path), "keys/b.key", KEY, expect=None)
    assert json.loads((tmp_path / "passphrase.json").read_text())["n"] == 4


def test_the_check_value_is_salted(tmp_path: Path) -> None:
    values = []
    for name in ("a", "b"):
        put_key(make_store(tmp_path / name), "keys/a.key", KEY, expect=None)
        values.append(json.loads((tmp_path / name / "passphrase.json").read_text()))
    assert values[0]["salt"] != values[1]["salt"] and values[0]["digest"] != values[1]["digest"]


def test_put_if_unchanged(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    version = put_key(store, "keys/a.key", KEY, expect=None)
    with pytest.raises(StoreConflict):
        put_key(store, "keys/a.key", KEY, expect=None)
    assert put_key(store, "keys/a.key", KEY, expect=version) != version


def test_other_secrets_there_and_back(tmp_path: Path) -> None:
    store, secret = make_store(tmp_path), b"\x00 a secret \xff" * 20
    sealed = seal(store, secret, "keys of 'web'")
    text = json.dumps(sealed)
    assert unseal(store, json.loads(text), "keys of 'web'") == secret
    assert secret.hex() not in text and base64.b64encode(secret).decode()[:24] not in text
    # Never the same twice, so that nobody sees that a secret came back.
    assert seal(store, secret, "keys of 'web'")["sealed"] != sealed["sealed"]


def test_other_secrets_are_bound_to_what_they_are(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    sealed = seal(store, b"secret", "keys of 'web'")
    with pytest.raises(StoreError, match="keys of 'mail' in .* is damaged or not sealed"):
        unseal(store, sealed, "keys of 'mail'")


@pytest.mark.parametrize(
    "field, value",
    [("sealed", "AAAA"), ("sealed", "no base64!"), ("nonce", ""), ("salt", "xyz"), ("n", 3), ("n", None)],
)
def test_other_secrets_that_are_damaged(field: str, value: object, tmp_path: Path) -> None:
    store = make_store(tmp_path)
    sealed = {**seal(store, b"secret", "x"), field: value}
    with pytest.raises(StoreError, match="damaged or not sealed"):
        unseal(store, sealed, "x")


def test_other_secrets_need_the_stores_passphrase(tmp_path: Path) -> None:
    sealed = seal(make_store(tmp_path), b"secret", "x")
    with pytest.raises(PassphraseError, match="wrong passphrase"):
        unseal(make_store(tmp_path, "another passphrase"), sealed, "x")
    with pytest.raises(PassphraseError, match="wrong passphrase"):
        seal(make_store(tmp_path, "another passphrase"), b"secret", "x")
    with pytest.raises(PassphraseError, match="needs its passphrase"):
        unseal(make_store(tmp_path, None), sealed, "x")
