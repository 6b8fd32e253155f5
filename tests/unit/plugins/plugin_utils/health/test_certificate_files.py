# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.steps.files import SALT_BYTES, files_step
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.health.certificate_files import (
    EXCLUDE,
    TRUST_STORES,
    parse_search,
    read_files,
)
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair

NOW = dt.datetime.now(dt.timezone.utc)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pairs(authority: Authority) -> list[Pair]:
    return [authority.issue(f"pair-{number}", "DNS:www.example.com") for number in range(2)]


def look(folder: Path) -> dict[str, dict[str, Any]]:
    """The files of a folder by their names, as a task returns them."""
    search = parse_search([str(folder)], None, [], trust_stores=False, directory="/nowhere")
    _changed, answer = files_step(search.as_request(), search.secrets())
    return {Path(each["path"]).name: each for each in read_files(answer, NOW)}


def test_which_files_are_a_pair(tmp_path: Path, authority: Authority, pairs: list[Pair]) -> None:
    one, two = pairs
    (tmp_path / "one.pem").write_bytes(one.chain.read_bytes())
    (tmp_path / "one.key").write_bytes(one.key.read_bytes())
    (tmp_path / "copy.key").write_bytes(one.key.read_bytes())
    (tmp_path / "two.pem").write_bytes(two.key.read_bytes() + two.chain.read_bytes())
    (tmp_path / "wrong.pem").write_bytes(one.key.read_bytes() + two.chain.read_bytes())
    (tmp_path / "root.pem").write_bytes(authority.root.certificate.read_bytes())
    found = look(tmp_path)
    path = {name: str(tmp_path / name) for name in found}
    assert found["one.pem"]["pairs"] == [path["copy.key"], path["one.key"], path["wrong.pem"]]
    assert found["one.key"]["pairs"] == found["copy.key"]["pairs"] == [path["one.pem"]]
    assert found["two.pem"]["pairs"] == [path["two.pem"]] and not found["two.pem"]["mismatch"]
    assert found["wrong.pem"]["mismatch"] and found["wrong.pem"]["pairs"] == [path["two.pem"]]
    assert found["root.pem"]["pairs"] == [] and found["root.pem"]["certificates"][0]["ca"]
    leaf = found["one.pem"]["certificates"][0]
    assert (leaf["dns_names"], leaf["ca"], leaf["self_signed"], leaf["error"]) == (
        ["www.example.com"],
        False,
        False,
        None,
    )
    assert leaf["signature_algorithm"] == "ecdsa-with-SHA256"


def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path, pairs: list[Pair]) -> None:
    # The bytes of the subject's length: one element too long, and yet all of it is DER on the outside.
    broken = pairs[0].der.replace(b"\x55\x04\x03", b"\x55\x04\xff")
    body = base64.encodebytes(broken[:-1] + bytes([broken[-1] ^ 1])).decode()
    nothing = base64.encodebytes(bytes.fromhex("30083003020101300103")).decode()
    (tmp_path / "a.pem").write_text(
        f"-----BEGIN CERTIFICATE-----\n{nothing}-----END CERTIFICATE-----\n"
        f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"
    )
    (entry,) = look(tmp_path).values()
    assert entry["certificates"][0]["error"] and len(entry["certificates"][0]["fingerprint_sha256"]) == 64


def test_where_it_looks() -> None:
    usual = parse_search(None, None, [], trust_stores=False, directory="/opt/tls")
    assert usual.paths[0] == "/opt/tls/live/*" and "/etc/nginx" in usual.paths
    assert set(usual.exclude) == {*EXCLUDE, *TRUST_STORES}
    assert parse_search(["/a/../b/"], [], [], trust_stores=True, directory="/d").as_request() == {
        "paths": ["/b"],
        "exclude": [],
        "directory": "/d",
    }
    with_secrets = parse_search(["/a"], [], ["one", "two"], trust_stores=True, directory="/d")
    secrets = with_secrets.secrets()
    assert [base64.b64decode(secrets[place])[SALT_BYTES:] for place in ("00", "01")] == [b"one", b"two"]
    # What Ansible masks in an answer is not the passphrase, which may stand in a digest by chance.
    assert not {"one", "two"} & set(secrets.values()) and secrets != with_secrets.secrets()
    assert "one" not in str(with_secrets.as_request())


@pytest.mark.parametrize(
    ("paths", "passphrases", "complaint"),
    [
        (["etc/ssl"], [], "'etc/ssl' is not an absolute path"),
        (["/a"], [""], "passphrases"),
        (["/a"], ["x\ny"], "passphrases"),
        (["/a"], ["x"] * 21, "passphrases"),
    ],
)
def test_refused(paths: list[str], passphrases: list[str], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint) as error:
        parse_search(paths, None, passphrases, trust_stores=False, directory="/d")
    assert "x\n" not in str(error.value)


GOOD = {
    "path": "/a", "links": [], "format": "pem", "size": 1, "owner": "root", "group": "root", "mode": "0600", "others": False,
    "managed": None, "certificates": [], "keys": [], "error": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"files": [], "certificates": []},
        {"files": [{}], "certificates": {}},
        {"files": ["x"], "certificates": {}},
        {"files": [{**GOOD, "certificates": ["ab"]}], "certificates": {}},
        {"files": [{**GOOD, "size": "many"}], "certificates": {}},
        {"files": [{**GOOD, "keys": [{}]}], "certificates": {}},
        {"files": [], "certificates": {"ab": "no base64!"}},
        {"files": [], "certificates": {"ab": 3}},
    ],
)
def test_an_answer_that_is_none(answer: dict[str, Any]) -> None:
    with pytest.raises(HostError, match="agreed shape"):
        read_files(answer, NOW)


def test_what_a_host_says_plays_no_tricks() -> None:
    answer = {
        "files": [{**GOOD, "path": "/a\x1b[2J\n", "error": "\r\x07", "certificates": ["\x1b"]}],
        "certificates": {"\x1b": "MAA="},
    }
    (entry,) = read_files(answer, NOW)
    assert entry["path"].isprintable() and entry["error"].isprintable()
    assert entry["certificates"][0]["fingerprint_sha256"].isprintable()
