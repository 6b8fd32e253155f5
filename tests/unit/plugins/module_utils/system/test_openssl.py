# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, CSRs and PKCS#12 by the host's own openssl, read back with ``cryptography``."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair

FAST = ["ecdsa-p256", "ecdsa-p384", "ed25519", "ed448", "rsa-2048"]


SECRET = "a passphrase for $PKCS12 ünd so on"


@pytest.fixture(scope="module")
def keys() -> dict[str, bytes]:
    return {algorithm: openssl.generate_key(algorithm) for algorithm in FAST}


def csr_of(key: bytes, **subject: Any) -> x509.CertificateSigningRequest:
    wanted = {"common_name": None, "sans": [["DNS", "www.example.com"]], "usages": ["server_auth"], **subject}
    return x509.load_pem_x509_csr(openssl.make_csr(key, wanted))


def test_every_algorithm_of_the_vocabulary_has_its_options() -> None:
    assert set(openssl.KEY_OPTIONS) == {*FAST, "rsa-3072", "rsa-4096", *openssl.POST_QUANTUM}
    for algorithm in ("rsa-3072", "rsa-4096"):
        assert f"rsa_keygen_bits:{algorithm[4:]}" in openssl.KEY_OPTIONS[algorithm]


@pytest.mark.parametrize("algorithm", FAST)
def test_keys(keys: dict[str, bytes], algorithm: str) -> None:
    key = keys[algorithm]
    assert key.startswith(b"-----BEGIN PRIVATE KEY-----")
    loaded = load_pem_private_key(key, None)
    kind = {
        "ecdsa-p256": "secp256r1",
        "ecdsa-p384": "secp384r1",
        "ed25519": "ed25519",
        "ed448": "ed448",
        "rsa-2048": "2048",
    }[algorithm]
    curve = getattr(getattr(loaded, "curve", None), "name", None)
    size = None if curve else getattr(loaded, "key_size", None)
    assert kind in (curve, str(size), type(loaded).__name__.lower().replace("_", "").replace("privatekey", ""))
    public = loaded.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert openssl.public_key_of_key(key) == public
    assert openssl.key_algorithm(key) == algorithm
    csr = csr_of(key)
    assert csr.is_signature_valid
    assert csr.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) == public


def test_algorithms_that_are_none_of_ours() -> None:
    for options in (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], ["-algorithm", "X25519"]):
        assert openssl.key_algorithm(openssl.call(["genpkey", *options])) is None


@pytest.mark.skipif(openssl.version() >= openssl.NEEDED, reason="this openssl knows ML-DSA: tests/pq has what it makes")
def test_an_openssl_that_does_not_know_the_algorithm() -> None:
    with pytest.raises(StepError) as caught:
        openssl.generate_key("ml-dsa-65")
    found = ".".join(map(str, openssl.version()))
    assert caught.value.code == "openssl_too_old" and f"OpenSSL 3.5 or newer on the host, which has {found}" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("found", "refused"), [((3, 4, 9), True), ((1, 1, 1), True), ((), True), ((3, 5, 0), False), ((4, 0, 3), False)]
)
def test_versions_that_know_it(found: tuple[int, ...], refused: bool) -> None:
    with pytest.raises(StepError, match="ml-dsa-44 needs") if refused else contextlib.nullcontext():
        openssl.refuse_too_old("ml-dsa-44", found)


def test_pair_check_tells_keys_apart(pairs: list[Pair], keys: dict[str, bytes]) -> None:
    public = [openssl.public_key_of_certificate(pair.certificate.read_bytes()) for pair in pairs]
    assert openssl.public_key_of_key(pairs[0].key.read_bytes()) == public[0] != public[1]


def test_csr_has_all_that_was_asked_for(keys: dict[str, bytes]) -> None:
    sans = [
        ["DNS", "www.example.com"], ["DNS", "*.example.com"], ["IP", "192.0.2.1"], ["IP", "2001:db8::1"],
        ["URI", "spiffe://example.com/a;b#c?$d=e"], ["email", "a+b'c@example.com"], ["DNS", "second.example.com"],
    ]  # fmt: skip
    csr = csr_of(keys["ecdsa-p256"], common_name="www.example.com", sans=sans, usages=["server_auth", "client_auth"])
    found = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each.value) for each in found] == [value for _kind, value in sans]
    usages = list(csr.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    usage = csr.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert csr.subject.rfc4514_string() == "CN=www.example.com"


def test_csr_with_a_subject_and_usages_of_all_kinds(keys: dict[str, bytes]) -> None:
    parts = [
        ["DC", "com"],
        ["DC", "example"],
        ["C", "DE"],
        ["O", 'Bücher; "North" + $x'],
        ["OU", "Web"],
        ["OU", "Shop"],
    ]
    usages, key_usages = ["client_auth", "1.3.6.1.5.5.7.3.4", "1.2.3.4"], ["digitalSignature", "nonRepudiation"]
    csr = csr_of(keys["ecdsa-p256"], subject=parts, usages=usages, key_usages=key_usages)
    oids = [NameOID.DOMAIN_COMPONENT] * 2 + [NameOID.COUNTRY_NAME, NameOID.ORGANIZATION_NAME]
    wanted = list(zip((*oids, *[NameOID.ORGANIZATIONAL_UNIT_NAME] * 2), (value for _part, value in parts)))
    assert [(each.oid, each.value) for each in csr.subject] == wanted
    found = csr.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each.dotted_string for each in found] == ["1.3.6.1.5.5.7.3.2", *usages[1:]]
    usage = csr.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and usage.content_commitment and not usage.key_encipherment
    assert not csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


@pytest.mark.parametrize("wanted", [True, False])
def test_must_staple(keys: dict[str, bytes], wanted: bool) -> None:
    csr = csr_of(keys["ecdsa-p256"], must_staple=wanted)
    features = [each.value for each in csr.extensions if each.oid == x509.TLSFeature.oid]
    assert features == ([x509.TLSFeature([x509.TLSFeatureType.status_request])] if wanted else [])


def test_without_a_common_name_the_subject_is_empty(keys: dict[str, bytes]) -> None:
    csr = csr_of(keys["ecdsa-p256"], usages=["client_auth"])
    assert list(csr.subject) == []
    # RFC 5280, 4.2.1.6.
    assert csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    assert list(csr.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]


@pytest.mark.parametrize(
    "name",
    ["$HOME", "${ENV::PATH}", "a#b", "a\\b", "it's", 'say "x"', "a;b", "a=b", "a,b", "[x]", "@y", "ü", "a\\", "b \\$"],
)
def test_nothing_in_a_name_has_a_meaning(keys: dict[str, bytes], name: str) -> None:
    csr = csr_of(keys["ecdsa-p256"], common_name=name, sans=[["URI", "urn:x:" + name.replace("ü", "u")]])
    assert csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == name
    (uri,) = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert uri.value == "urn:x:" + name.replace("ü", "u")


@pytest.mark.parametrize("letter", ["\n", "\r", "\0"])
def test_a_line_break_is_refused(letter: str) -> None:
    with pytest.raises(StepError) as caught:
        openssl.escaped("www" + letter + "[other]")
    assert caught.value.code == "bad_input"


def test_pkcs12_needs_no_password(pairs: list[Pair]) -> None:
    pair = pairs[0]
    data = openssl.pkcs12(pair.key.read_bytes(), pair.chain.read_bytes(), "www")
    for password in (None, b""):
        loaded = load_pkcs12(data, password)
    assert loaded.key is not None and loaded.cert is not None
    assert loaded.cert.friendly_name == b"www"
    assert loaded.cert.certificate.public_bytes(Encoding.DER) == pair.der
    public = loaded.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert public == openssl.public_key_of_key(pair.key.read_bytes())
    # The chain above the leaf is in it.
    assert [each.certificate.subject.rfc4514_string() for each in loaded.additional_certs] == ["CN=Test issuing"]
    # By nothing that newer programs refuse (RC2, 3DES, SHA-1).
    shown = subprocess.run(
        ["openssl", "pkcs12", "-info", "-nokeys", "-passin", "pass:"], input=data, capture_output=True, check=True
    )
    assert b"AES-256-CBC" in shown.stderr and b"RC2" not in shown.stderr and b"sha256" in shown.stderr


def test_pkcs12_with_a_passphrase_and_more_certificates(pairs: list[Pair], shared_authority: Authority) -> None:
    pair = pairs[0]
    more = pair.chain.read_bytes() + shared_authority.root.certificate.read_bytes()
    data = openssl.pkcs12(pair.key.read_bytes(), more, "www", SECRET)
    loaded = load_pkcs12(data, SECRET.encode())
    assert loaded.cert is not None and loaded.cert.certificate.public_bytes(Encoding.DER) == pair.der
    above = [each.certificate.subject.rfc4514_string() for each in loaded.additional_certs]
    assert above == ["CN=Test issuing", "CN=Test root"]
    for wrong in (None, b"", b"another"):
        with pytest.raises(ValueError, match="(?i)password"):
            load_pkcs12(data, wrong)


def test_missing_program_and_one_that_comes_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(openssl.shutil, "which", lambda *_arguments, **_named: None)
    openssl.program.cache_clear()
    with pytest.raises(StepError) as caught:
        openssl.generate_key("ed25519")
    assert caught.value.code == "openssl_missing" and "install" in caught.value.remedy
    monkeypatch.undo()
    assert openssl.generate_key("ed25519")


def test_the_host_s_own_settings_do_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "openssl.cnf"
    # With this one alone there are no algorithms at all (from OpenSSL 3 on).
    broken.write_text("openssl_conf = init\n[init]\nproviders = list\n[list]\nnull = only\n[only]\nactivate = 1\n")
    monkeypatch.setenv("OPENSSL_CONF", str(broken))
    csr_of(openssl.generate_key("ed25519"))


def encrypted(key: bytes) -> bytes:
    loaded = load_pem_private_key(key, None)
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


@pytest.mark.parametrize("damage", [encrypted, lambda key: key[:-60], lambda _key: b"", lambda _key: b"\xff\0garbage"])
def test_errors_hold_no_key(keys: dict[str, bytes], damage: Any) -> None:
    """And none of them asks the terminal for a password."""
    material = damage(keys["ecdsa-p256"])
    for work in (openssl.public_key_of_key, openssl.key_algorithm):
        with pytest.raises(StepError) as caught:
            work(material)
        assert caught.value.code == "openssl_failed"
        assert caught.value.message.startswith("openssl pkey: ")
        for line in material.splitlines():
            assert not line or line.decode(errors="replace") not in str(caught.value.as_answer())


def test_an_encrypted_key_asks_nobody(keys: dict[str, bytes], tmp_path: Path) -> None:
    """Where there is a terminal, openssl would wait at it for a password."""
    script = (
        "import os, pty, sys\n"
        f"sys.path[:0] = {[each for each in sys.path if each]!r}\n"
        "child, terminal = pty.fork()\n"
        "if child:\n"
        "    os.set_blocking(terminal, True)\n"
        "    try:\n"
        "        while os.read(terminal, 1000): pass\n"
        "    except OSError: pass\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "from ansible_collections.fleet.tls.plugins.module_utils.system import openssl\n"
        "try:\n"
        "    openssl.public_key_of_key(open(sys.argv[1], 'rb').read())\n"
        "except openssl.StepError:\n"
        "    os._exit(7)\n"
    )
    (tmp_path / "key").write_bytes(encrypted(keys["ecdsa-p256"]))
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "key")], timeout=120, check=False)
    assert done.returncode == 7


def test_a_hanging_openssl_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "openssl"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(openssl, "program", lambda: str(program))
    monkeypatch.setattr(openssl, "SECONDS", 0.2)
    with pytest.raises(StepError) as caught:
        openssl.generate_key("ed25519")
    assert caught.value.code == "openssl_failed" and "timed out" in caught.value.message


def test_no_process_has_a_key_on_its_command_line(
    pairs: list[Pair], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and watching.is_set():
            seen.append(repr((arguments[1], arguments[3] if len(arguments) > 3 else None)))

    watching = threading.Event()
    sys.addaudithook(hook)
    watching.set()
    key = openssl.generate_key("ecdsa-p256")
    openssl.public_key_of_key(key)
    openssl.key_algorithm(key)
    csr_of(key)
    openssl.pkcs12(pairs[0].key.read_bytes(), pairs[0].chain.read_bytes(), "www", SECRET)
    openssl.encrypted(key, SECRET)
    openssl.traditional(key)
    watching.clear()
    assert len(seen) == 7
    # Neither in an argument nor in the environment.
    lines = [line.decode() for material in (key, pairs[0].key.read_bytes()) for line in material.splitlines()]
    lines.append(SECRET)
    assert not [line for line in lines for text in seen if line in text]


def test_other_forms_of_a_key_have_the_same_public_half(keys: dict[str, bytes]) -> None:
    loaded = load_pem_private_key(keys["ecdsa-p256"], None)
    other = loaded.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert other != keys["ecdsa-p256"]
    assert openssl.public_key_of_key(other) == openssl.public_key_of_key(keys["ecdsa-p256"])
    assert openssl.key_algorithm(other) == "ecdsa-p256"
    assert os.path.isabs(openssl.program())


def test_it_has_no_terminal_to_ask_for_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.1.1 asks for one even where it was given an empty one; a session of its own has no terminal."""
    program = tmp_path / "openssl"
    program.write_text("#!/bin/sh\nread -r pid name state parent group session rest < /proc/self/stat\necho $session\n")
    program.chmod(0o755)
    monkeypatch.setattr(openssl, "program", lambda: str(program))
    assert int(openssl.call(["pkey"])) != os.getsid(0)
