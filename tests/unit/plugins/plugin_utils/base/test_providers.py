# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import load_provider
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.store.directory import DirectoryStore
from ansible_collections.fleet.tls.tests.unit.support.pki import make_store


@pytest.mark.parametrize("name", ["ca", "fleet.tls.ca"])
def test_by_plain_and_by_full_name(name: str) -> None:
    assert load_provider("issuer", name) is CaIssuer


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("acm", "there is no issuer type 'acm'"),
        ("no.such.thing", "there is no issuer type 'no.such.thing'"),
        ("fleet.tls.nothing", "there is no issuer type"),
        ("a.b", "is not a valid issuer type"),
        ("../../evil", "is not a valid issuer type"),
        ("", "is not a valid issuer type"),
        ("fleet.tls.__init__", "there is no issuer type"),
    ],
)
def test_unknown(name: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_provider("issuer", name)
    assert words in caught.value.message and caught.value.remedy


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "store must be a mapping"),
        ("dir", "store must be a mapping"),
        ({"type": "floppy"}, "no store type 'floppy'"),
        ({}, "store: path is missing"),
        ({"path": ""}, "store: path is missing"),
        ({"path": "tls-store"}, "store: path is relative"),
        ({"path": "/x", "pasphrase": "s3cret s3cret"}, "store: unknown option 'pasphrase'"),
    ],
)
def test_stores_refused(raw: object, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_store(raw)
    assert words in caught.value.message and caught.value.remedy
    assert "s3cret" not in str(caught.value)


def test_the_directory_is_the_default_store(tmp_path: Path) -> None:
    assert isinstance(load_store({"path": str(tmp_path)}), DirectoryStore)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (["internal"], "issuers must be a mapping"),
        ({"internal": None}, "issuer 'internal' has no type"),
        ({"internal": {}}, "issuer 'internal' has no type"),
        ({"internal": "ca"}, "issuer 'internal' has no type"),
        ({"internal": {"type": "cax"}}, "no issuer type 'cax'"),
        ({"internal": {"type": "ca", "durration": "1d"}}, "issuer 'internal': unknown option 'durration'"),
        ({"in/ternal": {"type": "ca"}}, "'in/ternal' is not a valid issuer name"),
        ({"internal": {"type": "ca", "duration": "3y"}}, "must be shorter than that of the issuing CA"),
        ({"internal": {"type": "ca", "root_duration": "1y"}}, "must be shorter than that of"),
        ({"internal": {"type": "ca", "duration": "x"}}, "issuer 'internal': duration: 'x'"),
        ({"internal": {"type": "ca", "key_algorithm": "dsa"}}, "issuer 'internal': key_algorithm: 'dsa'"),
        ({"internal": {"type": "ca", "common_name": "x" * 49}}, "issuer 'internal': common_name"),
        ({"x" * 60: {"type": "ca"}}, "common_name"),
        ({"internal": {"type": "ca", "common_name": "ü" * 25}}, "issuer 'internal': common_name"),
    ],
)
def test_issuers_refused(raw: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_issuers(raw, make_store(tmp_path / "store"))
    assert words in caught.value.message and caught.value.remedy
    assert not (tmp_path / "store").exists()
