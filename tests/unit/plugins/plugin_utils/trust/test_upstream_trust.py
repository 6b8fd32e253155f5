# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a proxy gets for its upstreams, and what they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.upstream_trust import (
    UpstreamFiles,
    UpstreamTrust,
    upstream_bundles,
    upstream_files,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import expand_sites
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_request, make_spec

FOLDER = "/etc/fleet-tls/upstreams/nginx"
PARTNER = to_pem(make_root("Partner", "ecdsa-p256", NOW, 365 * DAY).certificate)


@pytest.fixture
def trust(tmp_path: Path) -> UpstreamTrust:
    issuers = {name: make_issuer(tmp_path / name, name) for name in ("internal", "other")}
    for issuer in issuers.values():
        issuer.issue([make_request(make_spec())], NOW)
    return UpstreamTrust(issuers, None, {}, NOW)


def wanted(trust: UpstreamTrust, server: str = "nginx", **fields: Any) -> UpstreamFiles:
    site = {"name": "www", "server_names": ["www.test"], "certificate": "web", "upstream": "https://app.test:8443"}
    return upstream_files(expand_sites([{**site, **fields}], server), FOLDER, server, trust)


def contents(files: UpstreamFiles) -> dict[str, Any]:
    return {each["path"].removeprefix(f"{FOLDER}/www."): each for each in files.files}


def test_the_fleet_is_trusted_by_default_and_revocation_is_checked(trust: UpstreamTrust) -> None:
    files = wanted(trust, upstream_certificate="proxy")
    found = contents(files)
    assert list(found) == ["anchors.pem", "crls.pem", "client.pem"] and files.with_crls == ("www",)
    assert found["anchors.pem"]["content"].count("BEGIN CERTIFICATE") == 2
    assert found["crls.pem"]["content"].count("BEGIN X509 CRL") == 4
    assert (found["client.pem"]["pair"], found["client.pem"]["form"], found["client.pem"]["mode"]) == (
        "proxy", "combined", "0600",
    )  # fmt: skip
    (asked,) = files.upstreams
    assert (asked["name"], asked["host_header"], asked["path"]) == ("app.test", "www.test", "/")
    assert asked["client"] == [f"{FOLDER}/www.client.pem"] and asked["crls"] == f"{FOLDER}/www.crls.pem"
    assert asked["proxy"] == {"host": "127.0.0.1", "port": 443, "server_name": "www.test"}


def test_apache_gets_the_chain_apart_and_tells_the_name_it_verifies(trust: UpstreamTrust) -> None:
    files = wanted(trust, "apache", upstream_certificate="proxy")
    found = contents(files)
    assert (found["client.pem"]["form"], found["chain.pem"]["form"]) == ("leaf", "chain")
    # What it sends of its chain is taken from among the CAs that it verifies by.
    assert found["ca.pem"] == {**found["anchors.pem"], "pair": "proxy", "form": "chain", "path": f"{FOLDER}/www.ca.pem"}
    (asked,) = files.upstreams
    assert asked["host_header"] == "app.test"
    assert asked["client"] == [f"{FOLDER}/www.client.pem", f"{FOLDER}/www.chain.pem"]


def test_revocation_only_where_there_is_a_list_of_every_ca(trust: UpstreamTrust) -> None:
    only = contents(wanted(trust, upstream_trust=["internal"]))
    assert only["anchors.pem"]["content"].count("BEGIN CERTIFICATE") == 1 and "crls.pem" in only
    for fields in ({"upstream_trust": ["internal", PARTNER]}, {"upstream_trust": PARTNER}):
        assert list(contents(wanted(trust, **fields))) == ["anchors.pem"]
    trust.anchors = {"partner": PARTNER}
    assert list(contents(wanted(trust))) == ["anchors.pem"]
    trust.anchors, trust.revocation = {}, False
    assert list(contents(wanted(UpstreamTrust(trust.issuers, None, {}, NOW, revocation=False)))) == ["anchors.pem"]


def test_other_trust_than_the_fleets(trust: UpstreamTrust) -> None:
    assert contents(wanted(trust, upstream_trust="system"))["anchors.pem"]["system_trust"] is True
    assert wanted(trust, upstream_verify=False).files == ()
    (asked,) = wanted(trust, upstream_verify=False, upstream_certificate="proxy").upstreams
    assert asked["anchors"] is None and asked["client"]
    with pytest.raises(SpecError, match="'elsewhere' is unknown"):
        wanted(trust, upstream_trust=["elsewhere"])


def test_bundles_for_the_proof_of_a_rotation() -> None:
    site = {"name": "www", "server_names": ["www.test"], "certificate": "web", "upstream": "https://app.test:8443"}
    changes = [
        {}, {"upstream_trust": ["internal"]}, {"upstream_trust": "system"}, {"upstream_verify": False}, {"upstream": "http://app.test"},
    ]  # fmt: skip
    sites = expand_sites([{**site, **each, "name": f"s{place}"} for place, each in enumerate(changes)])
    assert upstream_bundles(sites, "nginx", "/etc/fleet-tls") == [
        {"path": f"{FOLDER}/s0.anchors.pem", "issuers": None},
        {"path": f"{FOLDER}/s1.anchors.pem", "issuers": ["internal"]},
    ]
