# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live pair that is, or is not, what was installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.pair.integrity import pair_problems
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair, run_openssl

PUBLIC = ("cert.pem", "chain.pem", "fullchain.pem")


def problems(host: OneHost) -> list[tuple[str, str]]:
    manifest = host.layout().manifest(1)
    assert manifest is not None
    return [(each["code"], each["detail"]) for each in pair_problems(str(host.live()), manifest)]


@pytest.fixture
def installed(host: OneHost, pairs: list[Pair]) -> OneHost:
    host.install(host.wish(), pairs[0])
    assert problems(host) == []
    return host


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def move_behind_a_link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def become_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


NO_FILE = "was replaced by something that is not a file"


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (Path.unlink, "is missing"),
        (truncate, "was changed"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\n"), "was changed"),
        (lambda path: path.write_bytes(b""), "was changed"),
        (move_behind_a_link, NO_FILE),
        (become_a_directory, NO_FILE),
        (become_a_pipe, NO_FILE),
    ],
)
def test_damaged(installed: OneHost, name: str, damage: Callable[[Path], object], words: str) -> None:
    path = installed.live(name)
    damage(path)
    if name == "fullchain.pem" and path.is_file() and path.stat().st_size < 200:
        words = "is no complete PEM certificate"
    assert problems(installed) == [("damaged", f"{path} {words}")]


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (Path.unlink, "key_missing", "is missing"),
        (become_a_directory, "key_missing", NO_FILE),
        (move_behind_a_link, "key_missing", NO_FILE),
        (truncate, "key_mismatch", "was replaced: it does not belong to the certificate"),
        (
            lambda path: path.write_bytes(b"\xff\0"),
            "key_mismatch",
            "was replaced: it does not belong to the certificate",
        ),
    ],
)
def test_key(installed: OneHost, damage: Callable[[Path], object], code: str, words: str) -> None:
    path = installed.live("privkey.pem")
    damage(path)
    assert problems(installed) == [(code, f"{path} {words}")]


def test_another_key(installed: OneHost, pairs: list[Pair]) -> None:
    installed.live("privkey.pem").write_bytes(pairs[1].key.read_bytes())
    assert [code for code, _words in problems(installed)] == ["key_mismatch"]


def test_the_same_key_in_another_form_is_no_damage(installed: OneHost, pairs: list[Pair]) -> None:
    path = installed.live("privkey.pem")
    before = path.read_bytes()
    run_openssl("pkcs8", "-topk8", "-nocrypt", "-in", str(pairs[0].key), "-out", str(path))
    assert path.read_bytes() != before
    assert problems(installed) == []


def test_the_same_key_encrypted_is_of_no_use(installed: OneHost, pairs: list[Pair]) -> None:
    path = installed.live("privkey.pem")
    run_openssl("pkcs8", "-topk8", "-passout", "pass:x", "-in", str(pairs[0].key), "-out", str(path))
    assert [code for code, _words in problems(installed)] == ["key_mismatch"]


def test_all_of_it_is_told(installed: OneHost) -> None:
    for name in (*PUBLIC, "privkey.pem"):
        installed.live(name).unlink()
    assert [code for code, _words in problems(installed)] == ["damaged"] * 3 + ["key_missing"]


def test_a_changed_key_cannot_be_judged_without_openssl(installed: OneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be told, nothing is replaced on suspicion."""

    def missing() -> str:
        raise StepError("openssl_missing", "gone")

    monkeypatch.setattr(openssl, "program", missing)
    assert problems(installed) == []
    truncate(installed.live("privkey.pem"))
    with pytest.raises(StepError) as caught:
        problems(installed)
    assert caught.value.code == "openssl_missing"
