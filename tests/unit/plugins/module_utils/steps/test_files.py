# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with keys and certificates in all forms, made by the real programs, and what the host says of them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.host_module import answer_of
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.private_keys import public_id
from ansible_collections.fleet.tls.plugins.module_utils.steps.files import SALT_BYTES, files_step
from ansible_collections.fleet.tls.plugins.module_utils.system.openssl import call
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair

GENPKEY = {
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ed25519": ["-algorithm", "ED25519"],
}


def run_openssl(*arguments: str, data: bytes = b"") -> bytes:
    """What openssl says; keys in and out through pipes."""
    return call(arguments, data)


def look(*paths: Path | str, exclude: tuple[str, ...] = (), directory: str = "/nowhere", **secrets: str) -> Any:
    """The answer; it is JSON and has no byte of a private key."""
    request = {"paths": [str(path) for path in paths], "exclude": list(exclude), "directory": directory}
    salted = {name: base64.b64encode(bytes(SALT_BYTES) + each.encode()).decode() for name, each in secrets.items()}
    changed, answer = files_step(request, salted)
    assert not changed
    assert "PRIVATE" not in json.dumps(answer)
    return answer


def only(*paths: Path | str, **options: Any) -> dict[str, Any]:
    """The one entry."""
    (entry,) = look(*paths, **options)["files"]
    return entry  # type: ignore[no-any-return]


def generate(kind: str) -> bytes:
    """A private key, PKCS#8 PEM."""
    return run_openssl("genpkey", *GENPKEY[kind])


def identity(pem: bytes) -> str:
    """The key's id by what openssl says."""
    found = public_id(run_openssl("pkey", "-pubout", data=pem))
    assert found
    return found


@pytest.fixture
def pair(pairs: list[Pair]) -> Pair:
    return pairs[0]


@pytest.mark.parametrize(
    ("kind", "form"),
    # Those of RFC 8410 have no older form.
    [
        (kind, form)
        for kind in GENPKEY
        for form in ("pkcs8", "traditional", "der")
        if (kind, form) != ("ed25519", "traditional")
    ],
)
def test_which_key_it_is(tmp_path: Path, kind: str, form: str) -> None:
    pem = generate(kind)
    arguments = {"pkcs8": [], "traditional": ["-traditional"], "der": ["-outform", "DER"]}[form]
    (tmp_path / "any-name").write_bytes(run_openssl("pkey", *arguments, data=pem))
    entry = only(tmp_path)
    assert entry["keys"] == [{"algorithm": kind, "id": identity(pem), "encrypted": False}]
    assert (entry["format"], entry["certificates"], entry["error"]) == ("der" if form == "der" else "pem", [], None)


def test_a_key_without_its_point_is_asked_of_openssl(tmp_path: Path) -> None:
    pem = generate("ecdsa")
    (tmp_path / "key").write_bytes(run_openssl("ec", "-no_public", data=pem))
    assert only(tmp_path)["keys"] == [{"algorithm": "ecdsa", "id": identity(pem), "encrypted": False}]


@pytest.mark.parametrize("form", [[], ["-traditional"]])
def test_an_encrypted_key(tmp_path: Path, form: list[str]) -> None:
    pem = generate("rsa")
    (tmp_path / "key.pem").write_bytes(
        run_openssl("pkey", "-aes256", "-passout", "pass:correct horse", *form, data=pem)
    )
    assert only(tmp_path)["keys"] == [{"algorithm": None, "id": None, "encrypted": True}]
    assert only(tmp_path, a="wrong")["keys"] == [{"algorithm": None, "id": None, "encrypted": True}]
    entry = only(tmp_path, a="wrong", b="correct horse")
    assert entry["keys"] == [{"algorithm": None, "id": identity(pem), "encrypted": True}]


def test_a_bundle_with_its_key(tmp_path: Path, pair: Pair) -> None:
    file = tmp_path / "combined"
    file.write_bytes(b"some text\n" + pair.key.read_bytes() + pair.chain.read_bytes())
    answer = look(file)
    (entry,) = answer["files"]
    assert len(entry["certificates"]) == pair.chain.read_bytes().count(b"BEGIN CERTIFICATE") > 1
    assert set(entry["certificates"]) == set(answer["certificates"])
    assert entry["keys"][0]["id"] == identity(pair.key.read_bytes())
    assert entry["path"] == str(file) and entry["size"] == file.stat().st_size


def test_der_by_what_is_in_it(tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "a.txt").write_bytes(pair.der)
    key = run_openssl("pkey", data=pair.key.read_bytes())
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "b.csr").write_bytes(
        run_openssl("req", "-new", "-key", str(tmp_path / "key"), "-subj", "/CN=a", "-outform", "DER")
    )
    (tmp_path / "key").unlink()
    assert only(tmp_path)["format"] == "der"


@pytest.mark.parametrize("passphrase", ["", "swordfish"])
@pytest.mark.parametrize("pbe", ["AES-256-CBC", "PBE-SHA1-3DES"])
def test_pkcs12(tmp_path: Path, pair: Pair, passphrase: str, pbe: str) -> None:
    source, file = tmp_path / "source", tmp_path / "store.p12"
    source.write_bytes(pair.key.read_bytes() + pair.chain.read_bytes())
    run_openssl(
        "pkcs12", "-export", "-in", str(source), "-out", str(file), "-passout", f"pass:{passphrase}", "-keypbe", pbe,
        "-certpbe", pbe,
    )  # fmt: skip
    source.unlink()
    entry = only(tmp_path, a="wrong", b="swordfish")
    assert (entry["format"], entry["error"]) == ("pkcs12", None)
    assert len(entry["certificates"]) == pair.chain.read_bytes().count(b"BEGIN CERTIFICATE")
    assert entry["keys"][0]["id"] == identity(pair.key.read_bytes())
    if passphrase:
        assert only(tmp_path)["error"] == "it needs a passphrase"
        entry = only(tmp_path, a="wrong")
        assert entry["error"] == "none of the passphrases opens it" and entry["certificates"] == []


# Made by NSS: pk12util -o store.p12 -n leaf -d sql:. -w passphrase
NSS_STORE = Path(__file__).with_name("nss.p12")


def test_pkcs12_as_nss_writes_it(tmp_path: Path) -> None:
    data = NSS_STORE.read_bytes()
    assert data.startswith(b"\x30\x80"), "it is not BER with an open length, which this test is about"
    (tmp_path / "nss").write_bytes(data)
    assert only(tmp_path)["error"] == "it needs a passphrase"
    answer = look(tmp_path, a="swordfish")
    (entry,) = answer["files"]
    assert (entry["format"], entry["error"], len(entry["certificates"])) == ("pkcs12", None, 1)
    (der,) = answer["certificates"].values()
    public = run_openssl("x509", "-inform", "DER", "-pubkey", "-noout", data=base64.b64decode(der))
    assert entry["keys"] == [{"algorithm": "ecdsa", "id": public_id(public), "encrypted": False}]


def test_several_in_one_der_file(tmp_path: Path, pairs: list[Pair]) -> None:
    key = run_openssl("pkey", "-outform", "DER", data=pairs[1].key.read_bytes())
    file = tmp_path / "bundle.der"
    file.write_bytes(pairs[0].der + pairs[1].der + key + b"\n")
    entry = only(file)
    assert (entry["format"], entry["error"], len(entry["certificates"])) == ("der", None, 2)
    assert [each["id"] for each in entry["keys"]] == [identity(pairs[1].key.read_bytes())]
    file.write_bytes(pairs[0].der + pairs[1].der[:-1])
    entry = only(file)
    assert len(entry["certificates"]) == 1 and "after the first 1 " in entry["error"]


@pytest.mark.parametrize("cipher", [["-v2", "aes256"], ["-v1", "PBE-SHA1-3DES"]])
def test_an_encrypted_key_in_der(tmp_path: Path, cipher: list[str]) -> None:
    pem = generate("ecdsa")
    arguments = ["-topk8", "-outform", "DER", "-passout", "pass:correct horse", *cipher]
    (tmp_path / "key.der").write_bytes(run_openssl("pkcs8", *arguments, data=pem))
    entry = only(tmp_path, a="wrong")
    assert (entry["format"], entry["keys"]) == ("der", [{"algorithm": None, "id": None, "encrypted": True}])
    assert only(tmp_path, a="wrong", b="correct horse")["keys"][0]["id"] == identity(pem)


def test_a_name_that_is_not_utf_8_costs_nothing(tmp_path: Path, pair: Pair) -> None:
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9.pem")
    shutil.copy(pair.chain, odd)
    os.symlink(odd, os.path.join(os.fsencode(tmp_path), b"\xff.pem"))
    shutil.copy(pair.chain, tmp_path / "plain.pem")
    request = {"paths": [str(tmp_path)], "exclude": [], "directory": "/nowhere"}
    answer = answer_of({"files": files_step}, "files", request, {})["answer"]
    # What a lone surrogate is left in cannot be encoded.
    json.dumps(answer, ensure_ascii=False).encode()
    assert [[each["path"], *each["links"]] for each in answer["files"]] == [
        [f"{tmp_path}/caf\\xe9.pem", f"{tmp_path}/\\xff.pem"],
        [f"{tmp_path}/plain.pem"],
    ]
    assert all(each["certificates"] for each in answer["files"])


@pytest.mark.parametrize("kind", ["JKS", "JCEKS"])
def test_a_java_keystore_needs_no_passphrase(tmp_path: Path, kind: str) -> None:
    keytool = shutil.which("keytool")
    assert keytool, "install the package default-jre-headless"
    file = tmp_path / "keystore"
    arguments = ["-genkeypair", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=java.example.com", "-alias", "one"]
    passwords = ["-storepass", "changeit", "-keypass", "changeit", "-storetype", kind, "-keystore", str(file)]
    subprocess.run([keytool, *arguments, *passwords], check=True, capture_output=True)
    certificate = subprocess.run(
        [keytool, "-exportcert", "-alias", "one", *passwords[:2], *passwords[4:]], check=True, capture_output=True
    ).stdout
    (tmp_path / "other").write_bytes(certificate)
    imported = ["-importcert", "-noprompt", "-alias", "two", "-file", str(tmp_path / "other"), *passwords[:2]]
    subprocess.run([keytool, *imported, *passwords[4:]], check=True, capture_output=True)
    (tmp_path / "other").unlink()
    answer = look(tmp_path)
    (entry,) = answer["files"]
    assert (entry["format"], entry["error"]) == ("jks", None)
    assert len(entry["certificates"]) == 2 and len(answer["certificates"]) == 1
    assert entry["keys"] == [{"algorithm": None, "id": None, "encrypted": True}]
    file.write_bytes(file.read_bytes()[:-600])
    assert "damaged" in only(tmp_path)["error"]


def test_links_and_modes(tmp_path: Path, pair: Pair) -> None:
    file = tmp_path / "store" / "key.pem"
    file.parent.mkdir()
    file.write_bytes(pair.key.read_bytes())
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(file)
    file.chmod(0o644)
    open_folders(tmp_path)
    entry = only(tmp_path)
    assert (entry["path"], entry["links"]) == (str(tmp_path / "a"), [str(file), str(tmp_path / "b")])
    assert (entry["mode"], entry["others"]) == ("0644", reachable(tmp_path))


def open_folders(folder: Path) -> None:
    """Let others through as far as the test may say."""
    for each in (folder, *folder.rglob("*")):
        if each.is_dir():
            each.chmod(0o755)


def reachable(folder: Path) -> bool:
    """Whether others get there at all."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))


def test_a_key_behind_a_closed_door_is_not_readable_by_others(tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "key.pem").write_bytes(pair.key.read_bytes())
    (tmp_path / "key.pem").chmod(0o644)
    tmp_path.chmod(0o700)
    assert not only(tmp_path)["others"]


def test_what_is_left_out(tmp_path: Path, pair: Pair) -> None:
    for name in ("ca-store/root.pem", "kept.pem", "snake.pem", "sub/deep/x.pem"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(pair.chain.read_bytes())
    (tmp_path / "hash.0").symlink_to(tmp_path / "ca-store" / "root.pem")
    (tmp_path / "dangling.pem").symlink_to(tmp_path / "nothing")
    (tmp_path / "text.pem").write_text("no certificate\n")
    (tmp_path / "empty.pem").touch()
    (tmp_path / "large.pem").write_bytes(pair.chain.read_bytes() + b"#" * (2 * 2**20))
    os.mkfifo(tmp_path / "pipe.pem")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = look(tmp_path, "/does/not/exist", exclude=(f"{tmp_path}/ca-store/*", "*/snake.*"))["files"]
    assert [each["path"] for each in found] == [str(tmp_path / "kept.pem"), str(tmp_path / "sub/deep/x.pem")]
    patterns = look(f"{tmp_path}/**/x.pem", f"{tmp_path}/k*.pem")["files"]
    assert [each["path"] for each in patterns] == [str(tmp_path / "sub/deep/x.pem"), str(tmp_path / "kept.pem")]


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("cut.pem", b"-----BEGIN CERTIFICATE-----\nMIIB", "cut off"),
        ("bad.pem", b"-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n", "damaged"),
        ("key.pem", b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "damaged"),
        ("jks", b"\xfe\xed\xfe\xed" + b"\xff" * 12, "damaged"),
        ("p12", bytes.fromhex("30050201033000"), "passphrase"),
    ],
)
def test_what_cannot_be_read_is_an_entry(tmp_path: Path, name: str, content: bytes, error: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert error in only(tmp_path)["error"]


def test_hostile_bytes_are_no_entry_and_no_trouble(tmp_path: Path, pair: Pair) -> None:
    for number, content in enumerate(
        [b"\x30\x84\xff\xff\xff\xff", b"\x30\x80\x00\x00", b"\x30\x03\x02\x01\x00", b"\x30\x00" * 9, b"\x30\x82\xff\xf0" + b"\x05\x00" * 32760]
    ):  # fmt: skip
        (tmp_path / f"{number}.der").write_bytes(content)
    for cut in range(1, len(pair.der), 97):
        (tmp_path / f"cut-{cut}").write_bytes(pair.der[:cut])
    assert look(tmp_path)["files"] == []


def test_what_is_live_has_its_name_and_what_was_live_is_left_out(host: OneHost, pairs: list[Pair]) -> None:
    host.install(host.wish(), pairs[0])
    host.install(host.wish(), pairs[1])
    (host.out / "link.pem").symlink_to(host.live("fullchain.pem"))
    old = Path(host.layout().generation(1)) / "cert.pem"
    (host.out / "old.pem").symlink_to(old)
    found = look(f"{host.tls}/live/*", host.tls, host.out, directory=str(host.tls))["files"]
    names = {Path(each["path"]).name: each["managed"] for each in found}
    assert names == {
        "privkey.pem": "www", "cert.pem": "www", "chain.pem": "www", "fullchain.pem": "www", "old.pem": None,
    }  # fmt: skip
    (key,) = [each for each in found if each["path"].endswith("privkey.pem")]
    assert key["keys"][0]["id"] == identity(pairs[1].key.read_bytes()) and not key["others"]


def test_the_answer_is_bounded(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (tmp_path / f"{number}.pem").write_bytes(pair.chain.read_bytes())
    monkeypatch.setattr(files_step.__module__ + ".MOST_ENTRIES", 3)
    answer = look(tmp_path)
    assert len(answer["files"]) == 3 and "more than 3 files" in answer["truncated"]


def test_a_file_that_may_not_be_read(tmp_path: Path, authority_file: Path) -> None:
    (tmp_path / "x.key").symlink_to(authority_file)
    assert only(tmp_path)["error"]


@pytest.fixture
def authority_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What not even root can open: a device that has none behind it; else, a file without a right."""
    folder = tmp_path_factory.mktemp("closed")
    if os.geteuid() == 0:
        os.mknod(folder / "x.key", 0o600 | stat.S_IFCHR, os.makedev(241, 0))
    else:
        (folder / "x.key").touch(0o000)
    return folder / "x.key"


def test_a_file_full_of_beginnings_is_read_once(tmp_path: Path) -> None:
    # Searching to the end of it for each of them would take hours.
    (tmp_path / "many.pem").write_text("-----BEGIN CERTIFICATE-----\n" * 70000)
    assert only(tmp_path)["certificates"] == []
