# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``upstream_*`` of a site: verified unless the user says otherwise; what no server could verify is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import SERVERS, expand_sites

SITE = {"name": "www", "server_names": ["www.example.com"], "certificate": "web"}
PEM = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
VERIFIED = {
    "verify": True, "name": "app.internal", "issuers": None, "anchors": {}, "system": False, "certificate": None,
}  # fmt: skip


def tls(upstream: str = "https://app.internal:8443", server: str = "nginx", **fields: Any) -> dict[str, Any] | None:
    (site,) = expand_sites([{**SITE, "upstream": upstream, **fields}], server)
    found: dict[str, Any] | None = site["upstream_tls"]
    return found


@pytest.mark.parametrize("server", SERVERS)
def test_verified_by_default(server: str) -> None:
    assert tls(server=server) == VERIFIED
    assert tls("http://app.internal", server) is None


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"upstream_verify": False}, {"verify": False, "name": None}),
        ({"upstream_verify": "no", "upstream_name": "x.internal"}, {"verify": False, "name": "x.internal"}),
        ({"upstream_name": "x.internal"}, {"name": "x.internal"}),
        ({"upstream_trust": "internal"}, {"issuers": ["internal"]}),
        ({"upstream_trust": ["internal", PEM]}, {"issuers": ["internal"], "anchors": {"upstream_trust-1": PEM}}),
        ({"upstream_trust": PEM}, {"issuers": [], "anchors": {"upstream_trust-1": PEM}}),
        ({"upstream_trust": "system"}, {"issuers": [], "system": True}),
        ({"upstream_certificate": "proxy"}, {"certificate": "proxy"}),
    ],
)
def test_what_can_be_said(fields: dict[str, Any], changes: dict[str, Any]) -> None:
    assert tls(**fields) == {**VERIFIED, **changes}


def test_an_address_needs_a_name_unless_nobody_looks() -> None:
    for server in SERVERS:
        with pytest.raises(SpecError, match="no web server verifies an address") as found:
            tls("https://192.0.2.1:8443", server)
        assert "upstream_name" in str(found.value) and "upstream_verify: false" in str(found.value)
        assert tls("https://[2001:db8::1]:8443", server, upstream_verify=False) == {
            **VERIFIED, "verify": False, "name": None,
        }  # fmt: skip
    assert tls("https://192.0.2.1:8443", upstream_name="app.internal") == VERIFIED


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"upstream": "http://app.internal", "upstream_verify": False}, "upstream_verify: the site has no https upstream"),
        ({"upstream": None, "root": "/srv", "upstream_certificate": "x"}, "upstream_certificate: the site has no https upstream"),
        ({"upstream_verify": False, "upstream_trust": ["internal"]}, "upstream_trust: the upstream is not verified"),
        ({"upstream_trust": []}, "upstream_trust must be a list"),
        ({"upstream_trust": ["system", "internal"]}, "or system alone"),
        ({"upstream_certificate": "a/b"}, "upstream_certificate: 'a/b' cannot be used"),
        ({"upstream_name": "192.0.2.1"}, "upstream_name: '192.0.2.1' cannot be verified"),
    ],
)  # fmt: skip
def test_what_cannot_be(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SpecError) as found:
        tls(**{"upstream": "https://app.internal", **fields})
    assert complaint in str(found.value) and "site 'www'" in str(found.value)


def test_apache_knows_the_name_in_the_url_only() -> None:
    assert tls(server="apache", upstream_name="app.internal") == VERIFIED
    with pytest.raises(SpecError, match="Apache knows the upstream by the name in its URL only"):
        tls(server="apache", upstream_name="x.internal")
