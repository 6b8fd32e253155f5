# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    DependencyError,
    IssuerError,
    SpecError,
    StoreError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.options import (
    CONNECTION_OPTIONS,
    Secret,
    parse_auth,
    parse_server,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.tests.unit.support.pki import make_store

GOOD = {"url": "https://bao.example.com:8200", "auth": {"method": "token", "token": "TOKEN-of-the-test"}}
FILES = {"certificate_file": "/c.pem", "private_key_file": "/c.key"}


def server(**options: Any) -> Any:
    return parse_server(Fields({**GOOD, **options}, CONNECTION_OPTIONS, "store"), "store")


def auth(**options: Any) -> Any:
    return parse_auth(Fields({**GOOD, "auth": options}, CONNECTION_OPTIONS, "store"), "store")


def test_server() -> None:
    found = server(url=["https://a/", "https://b:8200/prefix"], namespace="/team/", timeout="5s")
    assert (found.urls, found.namespace, found.timeout) == (("https://a", "https://b:8200/prefix"), "team", 5.0)
    assert server().timeout == 10 and server(url="http://127.0.0.1:8200").urls == ("http://127.0.0.1:8200",)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": None}, "url is missing"),
        ({"url": "bao.example.com"}, "is not an address"),
        ({"url": "https://"}, "is not an address"),
        ({"url": "https://a:port"}, "is not an address"),
        ({"url": "ftp://a"}, "is not an address"),
        ({"url": "http://bao.example.com:8200"}, "has no TLS"),
        ({"url": "https://me:SECRET@a"}, "has more in it than an address"),
        ({"url": "https://a?x=SECRET"}, "has more in it than an address"),
        ({"url": ["https://a", "http://localhost"]}, "https and http are mixed"),
        ({"timeout": 10}, "timeout: '10' is not a duration"),
        ({"timeout": "soon"}, "timeout: 'soon' is not a duration"),
        ({"timeout": "301s"}, "timeout: '301s' is not above 0 and up to 5m"),
        ({"ca_certificate": "ca.pem"}, "neither"),
        ({"ca_certificate": "-----BEGIN PRIVATE KEY-----SECRET"}, "has a private key in it"),
    ],
)
def test_servers_that_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        server(**options)
    assert "SECRET" not in str(caught.value) and str(caught.value).startswith("store: ")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give one of token, token_file, token_env"),
        ({"token": "SECRET", "token_file": "/x"}, "give one of token"),
        ({"method": "ldap"}, "method: 'ldap' is unknown"),
        ({"method": "token", "token": "SECRET", "role_id": "x"}, "unknown option 'role_id'"),
        ({"method": "approle", "secret_id": "SECRET"}, "role_id is missing"),
        ({"method": "approle", "role_id": "x", "secret_id": "SECRET", "secret_id_env": "Y"}, "give one of secret_id"),
        ({"method": "cert", "certificate_file": "/c.pem"}, "private_key_file is missing"),
    ],
)
def test_ways_to_log_in_that_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        auth(**options)
    assert "SECRET" not in str(caught.value)


def test_ways_to_log_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_SECRET", " from-the-environment\n")
    (tmp_path / "secret").write_text("from-a-file\n")
    assert auth(token="abc").login(StoreError) == "abc"
    assert auth(token_file=str(tmp_path / "secret")).login(StoreError) == "from-a-file"
    approle = auth(method="approle", mount="/fleet/", role_id="r", secret_id_env="SOME_SECRET")
    assert approle.login(StoreError) == ("auth/fleet/login", {"role_id": "r", "secret_id": "from-the-environment"})
    assert list(approle.secrets()) == ["from-the-environment"]
    assert auth(method="approle", role_id="r").login(StoreError) == ("auth/approle/login", {"role_id": "r"})
    assert auth(method="cert", **FILES).login(StoreError) == ("auth/cert/login", {})
    assert auth(method="cert", name="fleet", **FILES).login(StoreError)[1] == {"name": "fleet"}


@pytest.mark.parametrize(
    ("form", "value", "says"),
    [
        ("_env", "NOT_SET", "NOT_SET is not set"),
        ("_file", "/nowhere/x", "No such file"),
        ("_file", "EMPTY", "is empty"),
    ],
)
def test_secrets_that_are_not_there(form: str, value: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(IssuerError, match=says) as caught:
        Secret(form, value.replace("EMPTY", str(tmp_path / "empty"))).read(IssuerError, "token")
    assert caught.value.remedy


def test_no_secret_in_a_repr() -> None:
    assert "TOKEN" not in repr(auth(token="TOKEN")) + repr(Secret("", "TOKEN"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, None),
        ({"mount": "a b"}, "store: mount is not a path"),
        ({"path": "../x"}, "store: path is not a path"),
        ({"auth": None}, "auth is missing"),
        ({"auth": "token"}, "auth is missing"),
        ({"pth": "x"}, "unknown option 'pth'"),
    ],
)
def test_store(options: dict[str, Any], says: str | None) -> None:
    raw = {"type": "openbao", **GOOD, **options}
    if says is None:
        assert load_store(raw).describe() == "the store secret/fleet-tls in OpenBao at https://bao.example.com:8200"
        return
    with pytest.raises(SpecError) as caught:
        load_store(raw)
    assert says in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"role": "web", "duration": "30d"}, None),
        ({}, "issuer 'bao': role is missing"),
        ({"role": "../x"}, "role is not a path"),
        ({"role": "web", "issuer_ref": "a b"}, "issuer_ref is not a path"),
        ({"role": "web", "duration": "30"}, "duration: '30' is not a duration"),
        ({"role": "web", "root": "root.pem"}, "neither a PEM text nor"),
    ],
)
def test_issuer(options: dict[str, Any], says: str | None, tmp_path: Path) -> None:
    raw = {"type": "openbao", **GOOD, **options}
    if says is None:
        assert load_issuer("bao", raw, make_store(tmp_path)).lifetime == 30 * 86400
        return
    with pytest.raises(SpecError) as caught:
        load_issuer("bao", raw, make_store(tmp_path))
    assert says in str(caught.value) and caught.value.remedy


def test_a_controller_without_hvac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hvac", None)
    store = load_store({"type": "openbao", **GOOD})
    with pytest.raises(DependencyError, match="'hvac' is missing|needs the Python package 'hvac'") as caught:
        store.get("a")
    assert "pip install 'hvac" in str(caught.value)
