# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import multiprocessing
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import kept_up
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id
from ansible_collections.fleet.tls.plugins.plugin_utils.store import passphrase as passphrases
from ansible_collections.fleet.tls.plugins.plugin_utils.store import pkcs8
from ansible_collections.fleet.tls.plugins.plugin_utils.store.pkcs8 import (
    PBKDF2,
    OpenedKeys,
    opened,
    rounds_of,
    sealed_pem,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key
from ansible_collections.fleet.tls.plugins.plugin_utils.store.strength import bits, is_weak
from ansible_collections.fleet.tls.plugins.plugin_utils.store.upkeep import is_noted_weak, keep_up
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    FEW_ROUNDS,
    NOW,
    PASSPHRASE,
    make_issuer,
    make_store,
    snapshot,
)
from ansible_collections.fleet.tls.tests.unit.support.processes import in_processes

KEY = generate_key("ecdsa-p256")
ROUNDS = 600_000


@pytest.fixture
def many_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in earnest."""
    monkeypatch.setitem(PBKDF2, "rounds", ROUNDS)


def asn1(pem: bytes) -> str:
    """What openssl reads in it, by none of our code."""
    shown = subprocess.run(["openssl", "asn1parse"], input=pem, capture_output=True, check=True, timeout=60)
    return shown.stdout.decode()


@pytest.mark.usefixtures("many_rounds")
@pytest.mark.parametrize("algorithm", ["ecdsa-p384", "rsa-2048", "ed25519"])
def test_sealed_as_the_standard_has_it(algorithm: str) -> None:
    key = generate_key(algorithm)
    pem = sealed_pem(key, PASSPHRASE.encode())
    text = asn1(pem)
    for part in ("PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", f"INTEGER           :{ROUNDS:06X}"):
        assert part.lower() in text.lower()
    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") and rounds_of(pem) == ROUNDS
    plain = serialization.load_pem_private_key(pem, PASSPHRASE.encode())
    assert (
        key_id(plain.public_key()) == key_id(key.public_key()) == key_id(opened(pem, PASSPHRASE.encode()).public_key())
    )


@pytest.mark.usefixtures("many_rounds")
@pytest.mark.parametrize(
    "passphrase", ["k" * 1023, "ü" * 500, "ends with a blank ", "'$(id)' \\ \"", "two\nlines", "nul\0nul"]
)
def test_passphrases_of_all_kinds_open_what_they_sealed(passphrase: str) -> None:
    pem = sealed_pem(KEY, passphrase.encode())
    assert key_id(serialization.load_pem_private_key(pem, passphrase.encode()).public_key()) == key_id(KEY.public_key())


def test_rounds() -> None:
    assert rounds_of(sealed_pem(KEY, b"x" * 12)) == FEW_ROUNDS
    for damaged in (b"", b"garbage", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n####\n", sealed_pem(KEY, b"x" * 12)[:80]):
        assert rounds_of(damaged) is None


def test_a_key_is_opened_once_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By all its processes together, which want it at the same moment; each has a copy of the key, and none without the passphrase."""
    put_key(make_store(tmp_path), "keys/a.key", KEY, expect=None)
    monkeypatch.setattr(pkcs8, "OPENED", OpenedKeys())
    count, real = multiprocessing.get_context("fork").Value("i", 0), serialization.load_pem_private_key

    def counted(*arguments: Any) -> Any:
        with count.get_lock():
            count.value += 1
        time.sleep(0.3)  # so that all of them are here
        return real(*arguments)

    monkeypatch.setattr(pkcs8.serialization, "load_pem_private_key", counted)

    def work() -> str:
        return key_id(get_key(make_store(tmp_path), "keys/a.key").public_key())

    for _time in range(2):
        assert set(in_processes([work] * 4)) == {key_id(KEY.public_key())} and count.value == 1
    with pytest.raises(PassphraseError):
        get_key(make_store(tmp_path, "another passphrase"), "keys/a.key")
    clear = KEY.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert clear not in bytes(pkcs8.OPENED.memory[:])


def few(store: Path) -> dict[str, int | None]:
    """The rounds of each key of a store."""
    return {path.name: rounds_of(path.read_bytes()) for path in store.rglob("*.key")}


def test_sealed_anew_by_the_next_run_that_has_the_passphrase(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    before = snapshot(tmp_path)
    assert set(few(tmp_path).values()) == {FEW_ROUNDS} and len(few(tmp_path)) == 2
    monkeypatch.setitem(PBKDF2, "rounds", 4096)

    def run(passphrase: str | None, check_mode: bool = False) -> tuple[str, ...]:
        issuer = make_issuer(tmp_path, passphrase=passphrase)
        return kept_up(issuer.store, [issuer], check_mode=check_mode)

    assert run(PASSPHRASE, check_mode=True) == () and run(None) == () and run("another battery horse staple") == ()
    assert snapshot(tmp_path) == before
    assert run(PASSPHRASE) == () and set(few(tmp_path).values()) == {4096}
    issuer = make_issuer(tmp_path)
    for each in ("root-1", "issuing-1"):
        issuer.authority(each)
    again = snapshot(tmp_path)
    run(PASSPHRASE)
    assert snapshot(tmp_path) == again
    # One that is kept elsewhere, and one that is damaged, are left to whoever needs them.
    (tmp_path / "ca/internal/root-1.key").unlink()
    (tmp_path / "ca/internal/issuing-1.key").write_bytes(before["ca/internal/issuing-1.key"][:-60])
    damaged = snapshot(tmp_path)
    assert run(PASSPHRASE) == () and snapshot(tmp_path) == damaged


@pytest.mark.parametrize(
    "passphrase",
    [
        "aaaaaaaaaaaa",
        "abcabcabcabcabc",
        "123456789012345",
        "passwordpassword",
        "Password1234",
        "Summer2026!!",
        "qwertyuiop12",
    ],
)
def test_weak_passphrases(passphrase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_weak(passphrase), bits(passphrase)
    with pytest.raises(PassphraseError, match="is easy to guess.*[Mm]ake one with 'openssl rand -base64 32'"):
        put_key(make_store(tmp_path / "store", passphrase), "keys/a.key", KEY, expect=None)
    assert not (tmp_path / "store/keys").exists() and not (tmp_path / "store/passphrase.json").exists()
    # A store that has it already goes on, with a warning in each run, and a note for those who look without it.
    with monkeypatch.context() as earlier:
        earlier.setattr(passphrases, "is_weak", lambda _passphrase: False)
        put_key(make_store(tmp_path, passphrase), "keys/a.key", KEY, expect=None)
    store = make_store(tmp_path, passphrase)
    before = snapshot(tmp_path)
    for check_mode in (True, False):
        (warning,) = keep_up(store, (), check_mode=check_mode)
        assert "easy to guess" in warning and passphrase not in warning
        assert (snapshot(tmp_path) == before) is check_mode
    assert is_noted_weak(make_store(tmp_path, None)) and json.loads((tmp_path / "passphrase.json").read_text())["weak"]
    put_key(store, "keys/b.key", get_key(store, "keys/a.key"), expect=None)


@pytest.mark.parametrize(
    "passphrase",
    ["correct horse battery staple", "a passphrase of the tests", "k3Jf9Qx2LmZ7", "tH8+qZ0f/kXhW1u3vE5sJm2RbN9cYpL6dGa7oTiQwUo=",
     "9f86d081884c7d65", "kaffee-trinkt-niemand-um-vier", "zażółć gęślą jaźń, świerszczu"],
)  # fmt: skip
def test_passphrases_that_were_made(passphrase: str) -> None:
    assert not is_weak(passphrase), bits(passphrase)


def test_a_passphrase_of_two_lines_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError, match="more than one line"):
        put_key(make_store(tmp_path, f"{PASSPHRASE}\n"), "keys/a.key", KEY, expect=None)
