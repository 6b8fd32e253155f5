# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs together is seen without a process for each question; what does not is never taken for sound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.pair.soundness import (
    belongs,
    check_certificate,
    links,
    sound_links,
)
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, run_openssl

ALGORITHMS = ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"]


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The subcommands of openssl that were started."""
    real, started = openssl.call, list[str]()

    def counted(arguments: list[str], *more: object, **options: object) -> bytes:
        started.append(arguments[0])
        return real(arguments, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(openssl, "call", counted)
    yield started


def self_signed(folder: Path, algorithm: str) -> tuple[bytes, bytes]:
    """A key, and a certificate for it."""
    key, certificate = folder / "key", folder / "certificate"
    key.write_bytes(openssl.generate_key(algorithm))
    run_openssl("req", "-x509", "-new", "-key", str(key), "-subj", "/CN=x", "-days", "1", "-out", str(certificate))
    return key.read_bytes(), certificate.read_bytes()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_and_its_certificate(tmp_path: Path, processes: list[str], algorithm: str) -> None:
    key, certificate = self_signed(tmp_path, algorithm)
    another = openssl.generate_key(algorithm)
    del processes[:]
    assert belongs(key, certificate)
    assert processes == []
    assert not belongs(another, certificate)


def test_keys_of_different_kinds(tmp_path: Path) -> None:
    _key, certificate = self_signed(tmp_path, "ecdsa-p256")
    for algorithm in ("rsa-2048", "ed25519", "ecdsa-p384"):
        assert not belongs(openssl.generate_key(algorithm), certificate)


def test_an_encrypted_key_is_none(tmp_path: Path, pairs: list[Pair]) -> None:
    path = tmp_path / "encrypted"
    run_openssl("pkcs8", "-topk8", "-passout", "pass:x", "-in", str(pairs[0].key), "-out", str(path))
    with pytest.raises(StepError) as caught:
        belongs(path.read_bytes(), pairs[0].pem.encode())
    assert caught.value.code == "openssl_failed"


@pytest.mark.parametrize("text", [b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate(pairs: list[Pair], text: bytes) -> None:
    check_certificate(pairs[0].pem.encode())
    with pytest.raises(StepError) as caught:
        check_certificate(text)
    assert caught.value.code == "openssl_failed"
    with pytest.raises(StepError):
        belongs(pairs[0].key.read_bytes(), text)


def chain_of(pair: Pair) -> list[bytes]:
    """Leaf and what a server sends above it."""
    return [pair.pem.encode(), pair.chain.read_bytes()[len(pair.pem) :]]


def test_many_chains_are_one_process_for_each_issuer(
    shared_authority: Authority, pairs: list[Pair], processes: list[str]
) -> None:
    chains = [[*chain_of(pair), shared_authority.root.pem.encode()] for pair in pairs]
    assert sound_links(chains) == {link for chain in chains for link in links(chain)}
    assert processes == ["verify", "verify"]


def test_a_link_that_is_wrong_is_never_sound(tmp_path: Path, pairs: list[Pair]) -> None:
    stranger = Authority(tmp_path / "stranger").issue("www", "DNS:www.example.com")
    (good, above), wrong = chain_of(pairs[0]), [stranger.pem.encode(), chain_of(pairs[0])[1]]
    assert sound_links([[good, above]]) == {(good, above)}
    # Where one is wrong, nothing is known of its neighbours.
    assert sound_links([[good, above], wrong]) == frozenset()
    assert sound_links([[b"nonsense", above]]) == sound_links([[good, b"nonsense"]]) == sound_links([[good]]) == set()


def test_without_openssl_nothing_is_known(pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise StepError("openssl_missing", "gone")

    monkeypatch.setattr(openssl, "program", missing)
    assert sound_links([chain_of(pairs[0])]) == frozenset()


def test_descriptors_are_refused(pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kernel may that allows no memfd: the program is asked about keys, and nothing is known of chains."""

    def refused(_name: str) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.memfd_create", refused)
    assert belongs(pairs[0].key.read_bytes(), pairs[0].pem.encode())
    assert not belongs(pairs[1].key.read_bytes(), pairs[0].pem.encode())
    assert sound_links([chain_of(pairs[0])]) == frozenset()


def test_many_certificates_of_one_issuer_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()

    def issued(lowers: list[bytes], upper: bytes) -> bool:
        asked.append(len(lowers))
        return b"150" not in lowers

    monkeypatch.setattr(openssl, "issued", issued)
    sound = sound_links([[b"%d" % number, b"ca"] for number in range(250)])
    assert asked == [100, 100, 50]
    assert {int(lower) for lower, _upper in sound} == {*range(100), *range(200, 250)}


def test_installing_takes_one_process_for_all_certificates(
    host: OneHost, pairs: list[Pair], processes: list[str]
) -> None:
    wishes = [host.wish(name=f"www-{number}", key={"location": "controller"}) for number in range(len(pairs))]
    entries = [host.install_entry(wish, pair) for wish, pair in zip(wishes, pairs)]
    keys = {wish["name"]: pair.key.read_text() for wish, pair in zip(wishes, pairs)}
    _changed, answer = host.apply(*entries, secrets=keys)
    assert [each["installed"] for each in answer["certificates"].values()] == [True] * len(pairs)
    assert processes == ["verify"]


def test_one_broken_chain_is_told_and_the_others_are_installed(
    host: OneHost, tmp_path: Path, pairs: list[Pair]
) -> None:
    stranger = Authority(tmp_path / "stranger").issue("www", "DNS:www.example.com")
    wishes = [host.wish(name=name, key={"location": "controller"}) for name in ("good", "broken")]
    entries = [host.install_entry(wish, pair) for wish, pair in zip(wishes, (pairs[0], stranger))]
    entries[1]["chain"][1] = entries[0]["chain"][1]
    keys = {"good": pairs[0].key.read_text(), "broken": stranger.key.read_text()}
    _changed, answer = host.apply(*entries, secrets=keys)
    assert answer["certificates"]["good"]["installed"] and not answer["certificates"]["broken"]["installed"]
    assert answer["certificates"]["broken"]["error"]["code"] == "chain_broken"


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        ("bad_certificate", lambda chain, other: [chain[0][:200], *chain[1:]]),
        ("chain_broken", lambda chain, other: [chain[0], *other]),
        ("pair_mismatch", lambda chain, other: chain),
    ],
)
def test_a_wrong_answer_costs_the_request_that_got_it(
    host: OneHost, tmp_path: Path, pairs: list[Pair], code: str, spoil: Any
) -> None:
    """An issuer that remembers what it answered would say the same for ever."""
    wish = host.wish()
    asked = host.look_at(wish)["pending"]["request_id"]
    stranger = host.install_entry(wish, Authority(tmp_path / "stranger").issue("www", "DNS:www.example.com"))
    entry = host.install_entry(wish, pairs[0], asked)
    entry["chain"] = spoil(entry["chain"], stranger["chain"][1:])
    _changed, answer = host.apply(entry)
    assert answer["certificates"]["www"]["error"]["code"] == code
    again = host.look_at(wish)["pending"]["request_id"]
    assert again != asked
    # What is wrong with the answer to another request is no fault of this one.
    _changed, answer = host.apply({**entry, "request_id": asked})
    assert answer["certificates"]["www"]["error"]
    assert host.look_at(wish)["pending"]["request_id"] == again


def test_any_other_failure_leaves_the_request_for_the_next_run(host: OneHost, pairs: list[Pair]) -> None:
    wish = host.wish()
    asked = host.look_at(wish)["pending"]["request_id"]
    _changed, answer = host.apply({**host.install_entry(wish, pairs[0], asked), "mode": "0644"})
    assert answer["certificates"]["www"]["error"]["code"] == "bad_mode"
    assert host.look_at(wish)["pending"]["request_id"] == asked
