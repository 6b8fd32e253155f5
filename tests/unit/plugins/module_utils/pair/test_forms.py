# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of outputs that take more than a copy of the pair's files, read back by other programs: openssl, Java's keytool, Python's TLS."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import beside
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles import keytool
from ansible_collections.fleet.tls.plugins.module_utils.pair import rendering
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import output_file
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair

SECRET = "hunter2 $x 'y\" \\z"
OTHER = "another one"
# Stands for what the controller has made.
TRUSTSTORE = {"anchors": "their PEM", "content": base64.b64encode(b"a truststore").decode()}


@pytest.fixture(scope="module")
def rsa(shared_authority: Authority) -> list[Pair]:
    """Two pairs with RSA keys."""
    return [shared_authority.issue(f"rsa-{number}", "DNS:www.example.com", rsa=2048) for number in range(2)]


def shown(*command: str, given: bytes = b"") -> bytes:
    """What a program says of a file that it has to be able to read."""
    return subprocess.run(command, input=given, check=True, capture_output=True, timeout=300).stdout


def public(pair: Pair) -> bytes:
    """The public key that the output's key has to have."""
    return openssl.public_key_of_key(pair.key.read_bytes())


def check_der(path: Path, pair: Pair) -> None:
    assert path.read_bytes() == pair.der
    assert b"www.example.com" in shown("openssl", "x509", "-inform", "DER", "-in", str(path), "-noout", "-text")


def check_pkcs1(path: Path, pair: Pair) -> None:
    assert path.read_text().startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert shown("openssl", "rsa", "-in", str(path), "-pubout") == public(pair)


def check_encrypted(path: Path, pair: Pair) -> None:
    text = path.read_text()
    assert text.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n") and text.count("-----BEGIN") == 1
    assert shown("openssl", "pkey", "-in", str(path), "-pubout", "-passin", "stdin", given=SECRET.encode()) == public(
        pair
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.chain, path, password=SECRET)
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(pair.chain, path, password=OTHER)


def check_pkcs12(path: Path, pair: Pair) -> None:
    command = ("openssl", "pkcs12", "-in", str(path), "-passin", "stdin", "-nodes")
    assert openssl.public_key_of_key(shown(*command, "-nocerts", given=SECRET.encode())) == public(pair)
    # What old programs know, and what today's openssl reads without -legacy.
    told = subprocess.run([*command, "-info"], input=SECRET.encode(), check=True, capture_output=True, timeout=300)
    assert told.stderr.count(b"pbeWithSHA1And3-KeyTripleDES-CBC") == 2
    assert b"MAC: sha1," in told.stderr and b"AES" not in told.stderr


def check_jks(path: Path, pair: Pair) -> None:
    assert path.read_bytes()[:4] == b"\xfe\xed\xfe\xed"
    # keytool gives it all back to whoever has the passphrase.
    back = path.with_name("back.p12")
    passwords = ("-srcstorepass", SECRET, "-deststorepass", SECRET)
    shown(
        keytool.program(), "-importkeystore", "-noprompt", "-srckeystore", str(path), "-srcstoretype", "JKS",
        "-destkeystore", str(back), "-deststoretype", "PKCS12", *passwords,
    )  # fmt: skip
    found = shown("openssl", "pkcs12", "-in", str(back), "-passin", "stdin", "-nodes", given=SECRET.encode())
    assert openssl.public_key_of_key(found) == public(pair)
    assert found.count(b"friendlyName: www\n") == 2 and found.count(b"BEGIN CERTIFICATE") == 2
    back.unlink()


CHECKS = {
    "der": (check_der, {}),
    "pkcs1": (check_pkcs1, {}),
    "encrypted": (check_encrypted, {"passphrase": SECRET}),
    "pkcs12": (check_pkcs12, {"passphrase": SECRET, "profile": "legacy"}),
    "jks": (check_jks, {"passphrase": SECRET}),
    "truststore": (lambda path, _pair: None, {"passphrase": SECRET, **TRUSTSTORE}),
}


@pytest.mark.parametrize("method", ["link", "copy"])
def test_each_form_is_read_by_others_and_written_once(host: OneHost, rsa: list[Pair], method: str) -> None:
    outputs = [
        host.output(f"deep/{form}", form, method, mode="0440", **more) for form, (_check, more) in CHECKS.items()
    ]
    wish = host.wish(outputs=outputs)
    for pair in rsa:
        _changed, answer = host.install(wish, pair)
        assert answer["error"] is None
        for form, (check, _more) in CHECKS.items():
            path = host.out / "deep" / form
            assert stat.S_IMODE(path.stat().st_mode) == 0o440
            check(path, pair)
    assert (host.out / "deep" / "truststore").read_bytes() == b"a truststore"
    # Each writing of most of them would be different bytes: that they are as wanted is known without one.
    before = {form: (host.out / "deep" / form).read_bytes() for form in CHECKS}
    assert host.look_at(wish)["drift"] == []
    again = [{**each, "content": base64.b64encode(b"with another salt").decode()} for each in outputs]
    assert host.repair({**wish, "outputs": again})[0] is False
    assert {form: (host.out / "deep" / form).read_bytes() for form in CHECKS} == before
    left = [path for path in host.folder.rglob("*") if path.name.startswith(".")]
    assert left == [host.tls / ".lock"] or left == []
    everything = b"".join(path.read_bytes() for path in host.tls.rglob("manifest.json"))
    assert SECRET.encode() not in everything and hashlib.sha256(SECRET.encode()).hexdigest().encode() not in everything


@pytest.mark.parametrize("form", ["encrypted", "jks"])
def test_another_passphrase_makes_the_file_anew_and_nothing_else(host: OneHost, pairs: list[Pair], form: str) -> None:
    wish = host.wish(outputs=[host.output("it", form, passphrase=OTHER), host.output("all")])
    assert host.install(wish, pairs[0])[1]["error"] is None
    path, beside_it = host.out / "it", (host.out / "all").stat()
    wish["outputs"][0]["passphrase"] = SECRET
    assert host.look_at(wish)["drift"] == [f"{path}: has another passphrase, other anchors or another profile"]
    changed, answer = host.repair(wish)
    assert changed and answer["error"] is None and answer["generation"] == 1
    CHECKS[form][0](path, pairs[0])
    assert (host.out / "all").stat() == beside_it and host.repair(wish)[0] is False


def test_a_truststore_with_other_anchors_is_written_anew(host: OneHost, pairs: list[Pair]) -> None:
    wish = host.wish(outputs=[host.output("trust", "truststore", **TRUSTSTORE)])
    host.install(wish, pairs[0])
    wish["outputs"][0].update(anchors="old and new", content=base64.b64encode(b"both").decode())
    assert host.repair(wish)[0] and (host.out / "trust").read_bytes() == b"both"
    assert host.repair(wish)[0] is False


def test_a_key_that_is_not_rsa_is_not_called_pkcs1(host: OneHost, pairs: list[Pair]) -> None:
    """It may come from those who hand out ready-made ones, of which the controller does not know the kind."""
    _changed, answer = host.install(host.wish(outputs=[host.output("old", "pkcs1")]), pairs[0])
    assert answer["error"]["code"] == "bad_form" and f"output {host.out / 'old'}" in answer["error"]["message"]
    assert list(host.out.iterdir()) == [] and host.layout().numbers() == []
    with pytest.raises(StepError) as caught:
        rendering.pkcs1(openssl.generate_key("ed25519"), "/x/old")
    assert caught.value.code == "bad_form"


def test_without_keytool_nothing_is_begun(host: OneHost, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keytool, "find_program", lambda _name: None)
    monkeypatch.setattr(keytool, "PLACES", (str(host.folder / "jvm" / "*" / "keytool"),))
    wishes = [host.wish("java", outputs=[host.output("it", "jks", passphrase=SECRET)]), host.wish("other")]
    found = host.look(*wishes)
    error = found["java"]["error"]
    assert error["code"] == "keytool_missing" and "format jks" in error["message"] and "pkcs12" in error["remedy"]
    assert found["java"]["pending"] is None and not os.path.exists(host.layout("java").pending)
    assert found["other"]["error"] is None and found["other"]["pending"]
    # A Java that no link leads to does.
    there = host.folder / "jvm" / "java-17" / "keytool"
    there.parent.mkdir(parents=True)
    there.symlink_to(shutil.which("keytool") or "")
    assert keytool.program() == str(there) and host.look_at(wishes[0])["error"] is None
    # What it has stays what it is, and is told.
    assert host.install(wishes[0], pairs[0])[1]["error"] is None
    there.unlink()
    found = host.look(wishes[0])
    assert found["java"]["error"]["code"] == "keytool_missing" and found["java"]["manifest"]["settled"]


def test_what_keytool_says_and_that_nothing_is_left(tmp_path: Path, pairs: list[Pair]) -> None:
    scratch = tmp_path / "scratch"
    with pytest.raises(StepError) as caught:
        keytool.jks(b"no PKCS#12", SECRET, str(scratch))
    assert caught.value.code == "keytool_failed" and "keytool error" in caught.value.message
    assert SECRET not in caught.value.message and caught.value.remedy and list(tmp_path.iterdir()) == []
    # What a killed run left there is in nobody's way.
    scratch.write_text("half made")
    key, chain = pairs[0].key.read_bytes(), pairs[0].chain.read_bytes()
    assert keytool.jks(openssl.pkcs12(key, chain, "www", SECRET, legacy=True), SECRET, str(scratch))[:2] == b"\xfe\xed"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_keytool_left_is_found(host: OneHost, pairs: list[Pair]) -> None:
    wish = host.wish(outputs=[host.output("it", "jks", "copy", passphrase=SECRET)])
    host.install(wish, pairs[0])
    left = Path(beside(str(host.live(output_file(wish["outputs"][0]["path"]))), "new"))
    left.write_text("half made")
    assert host.look_at(wish)["drift"] == [f"{left}: left over from an interrupted run"]
    host.repair(wish)
    assert not left.exists() and host.look_at(wish)["drift"] == []


@pytest.fixture
def spied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Every process that is started: its command line and environment."""
    seen: list[dict[str, Any]] = []
    watching = threading.Event()
    watching.set()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and watching.is_set():
            seen.append({"arguments": repr(arguments[1]), "environment": repr(arguments[3])})

    sys.addaudithook(hook)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dcompany.password=geheim")
    yield seen
    watching.clear()


def test_no_passphrase_on_a_command_line_and_no_mode_too_wide(
    host: OneHost, pairs: list[Pair], spied: list[dict[str, Any]]
) -> None:
    outputs = [
        host.output("jks", "jks", passphrase=SECRET),
        host.output("encrypted", "encrypted", passphrase=SECRET),
        host.output("legacy", "pkcs12", passphrase=SECRET, profile="legacy"),
    ]
    before = os.umask(0)
    modes: set[int] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            # They come and go.
            with contextlib.suppress(OSError):
                modes.update(stat.S_IMODE(path.lstat().st_mode) for path in host.tls.rglob(".output-*"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        _changed, answer = host.install(host.wish(outputs=outputs), pairs[0])
    finally:
        os.umask(before)
        ended.set()
        watcher.join()
    assert answer["error"] is None and "hunter2" not in json.dumps(answer) and modes <= {0o600}
    (java,) = [each for each in spied if "keytool" in each["arguments"]]
    # repr() of a text escapes some of it: its first word is enough.
    assert not any("hunter2" in value for each in spied for value in each.values())
    assert "geheim" not in java["environment"]
