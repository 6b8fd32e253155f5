# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller whose system trusts nobody: that is what is wrong, and not each certificate that is served."""

from __future__ import annotations

import datetime as dt
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.answers import Judge
from ansible_collections.fleet.tls.plugins.plugin_utils.health.task_results import document_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.system_anchors import system_anchors
from ansible_collections.fleet.tls.plugins.plugin_utils.report import formats
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair

NAME = "www.example.com"
# Certificates that are made later in this run are valid then.
NOW = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("pair", f"DNS:{NAME}")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another CA, PEM."""
    return Authority(tmp_path_factory.mktemp("other")).root.certificate.read_text()


@pytest.fixture(params=["no file", "an empty file"])
def no_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system without ca-certificates, and without certifi."""
    file = tmp_path / "bundle.pem"
    if request.param == "an empty file":
        file.touch()
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(file))
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_capath_env, str(tmp_path))
    monkeypatch.setitem(sys.modules, "certifi", None)


def checked(pair: Pair, **anchors: str) -> dict[str, Any]:
    """The health document of a host that serves the pair."""
    chain = [ssl.DER_cert_to_PEM_cert(pair.der), *pair.chain.read_text().split("-----END CERTIFICATE-----\n")[1:-1]]
    chain = [chain[0], *(f"{each}-----END CERTIFICATE-----\n" for each in chain[1:])]
    seen = Judge(None, NOW).entry(Endpoint(NAME, 443, NAME), {"chain": chain, "error": None})
    looks, probes = {"web": {"changed": False, "certificates": []}}, [{"web": {"endpoints": [seen]}}]
    document = document_of(looks, {}, probes, {}, {}, anchors, threshold=None, interval="1d", ring_age="7d", now=NOW)
    for form in formats.FORMATS:
        assert formats.render(document, form)
    return document


def codes(document: dict[str, Any]) -> set[str]:
    return {each["code"] for each in document["findings"]}


@pytest.mark.usefixtures("no_store")
def test_it_is_said_once_and_of_no_certificate(pair: Pair) -> None:
    document = checked(pair)
    assert {"no_trust_store"} <= codes(document) and "untrusted" not in codes(document)
    (said,) = [each for each in document["findings"] if each["code"] == "no_trust_store"]
    assert said["severity"] == "critical" and "install ca-certificates" in said["remedy"] and said["host"] is None


@pytest.mark.usefixtures("no_store")
def test_with_cas_of_ones_own_it_is_said_beside(pair: Pair, stranger: str) -> None:
    assert codes(checked(pair, other=stranger)) >= {"no_trust_store", "untrusted"}


@pytest.mark.usefixtures("no_store")
def test_where_nothing_depends_on_it_nothing_is_said(pair: Pair, authority: Authority) -> None:
    assert not codes(checked(pair, own=authority.root.certificate.read_text())) & {"no_trust_store", "untrusted"}


@pytest.mark.usefixtures("no_store")
def test_who_needs_it_gets_an_error() -> None:
    with pytest.raises(IssuerError, match="no store of trusted CAs"):
        system_anchors()


def test_with_a_store_what_is_not_trusted_is_untrusted(pair: Pair) -> None:
    assert "untrusted" in codes(checked(pair)) and "no_trust_store" not in codes(checked(pair))
