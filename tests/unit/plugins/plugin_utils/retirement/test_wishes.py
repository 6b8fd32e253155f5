# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.limits import EACH_SERVICE, seconds_for
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.wishes import parse_wishes
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import parse_host
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.clients import certificate_usages, parse_clients
from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import expand_sites

GONE = {"state": "absent"}
WWW: dict[str, Any] = {"name": "www", "issuer": "internal", "dns_names": ["www.example.com"], "services": ["nginx"]}
MAIL: dict[str, Any] = {
    "name": "mail",
    "issuer": "internal",
    "dns_names": ["mail.example.com"],
    "outputs": [{"path": "/etc//mail.pem"}],
}
SITE: dict[str, Any] = {"name": "www", "server_names": ["www.example.com"], "certificate": "www", "root": "/srv"}
CLIENT: dict[str, Any] = {"certificate": "app", "bundle": {"path": "/etc/app/ca.pem"}}


def request(*arguments: Any, **options: Any) -> dict[str, Any]:
    """What the host gets."""
    return parse_wishes(*arguments, **options).request("/etc/fleet-tls", 15, check=False)


def test_only_what_is_absent_goes() -> None:
    """And what stays keeps its paths."""
    bundles = [{"path": "/etc/a.pem", **GONE}, {"path": "/etc/b.pem"}]
    asked = request([{**WWW, **GONE}, MAIL], [{**CLIENT, "name": "old", **GONE}, CLIENT], bundles, pool="web")
    assert (asked["certificates"], asked["bundles"], asked["pools"], asked["whole"]) == (
        ["www"],
        ["/etc/a.pem"],
        ["web"],
        False,
    )
    assert asked["clients"] == [{"name": "old", "bundle": "/etc/app/ca.pem"}]
    assert asked["claimed"] == ["/etc/mail.pem", "/etc/app/ca.pem", "/etc/b.pem"]
    (nginx,) = asked["services"]
    assert nginx["name"] == "nginx"
    assert [(each["port"], each["server_name"], each["certificate"]) for each in nginx["endpoints"]] == [
        (443, "www.example.com", "www")
    ]
    assert parse_wishes([WWW, MAIL], [CLIENT], bundles[1:]).is_empty


def test_a_whole_host() -> None:
    """Nothing stays, so nothing is claimed."""
    asked = request([WWW, MAIL], [CLIENT], [{"path": "/etc/b.pem"}], [SITE], whole=True)
    assert (asked["certificates"], asked["claimed"], asked["whole"]) == (["www", "mail"], [], True)
    assert {each.revoke for each in parse_wishes([WWW], whole=True).certificates} == {None}
    assert {each.revoke for each in parse_wishes([WWW], whole="superseded").certificates} == {"superseded"}


def test_what_a_certificate_says_of_a_service_counts() -> None:
    own = {"name": "nginx", "reload": ["own-reload"]}
    other = {"name": "nginx", "reload": ["other-reload"]}
    (service,) = request([{**WWW, **GONE, "services": [own]}], services=["nginx", other])["services"]
    assert service["reload"] == ("own-reload",) and len(service["endpoints"]) == 1


def test_what_is_absent_is_left_out_everywhere_else() -> None:
    host = parse_host([{**WWW, **GONE}, MAIL], {"internal": None})
    assert [each.name for each in host.certificates] == ["mail"] and host.services == ()
    assert expand_sites([{**SITE, **GONE}]) == []
    assert parse_clients([{**CLIENT, **GONE}], {}) == ()
    assert set(certificate_usages([{**WWW, **GONE}, MAIL])) == {"mail"}
    # Whoever still names it is told so, rather than that it has never been there.
    with pytest.raises(SpecError, match="the certificate 'app' is none of this host's"):
        parse_clients([CLIENT], certificate_usages([{"name": "app", **GONE}]))


def test_a_site_on_its_way_out_names_nothing() -> None:
    assert request([{**WWW, **GONE}], sites=[{**SITE, **GONE}])["certificates"] == ["www"]
    with pytest.raises(SpecError, match="site 'www' still names it"):
        request([{**WWW, **GONE}], sites=[SITE])


@pytest.mark.parametrize("entries", [["www"], [7], [None]])
def test_what_is_no_entry_is_none_of_ours(entries: list[Any]) -> None:
    """It is refused where certificates are deployed."""
    assert parse_wishes(entries).is_empty


def test_a_host_has_time_for_all_of_it() -> None:
    """As long as for its services to take it and, where one refuses, to take it back; a client has none of its own in this request."""
    clients = [{**CLIENT, **GONE, "services": [{"name": "app", "reload": ["true"]}]}]
    little, much = (seconds_for("retire", request([], some)) for some in ([], clients))
    assert much >= little + EACH_SERVICE
