# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.service import (
    Endpoint,
    Service,
    default_server_name,
    merge_services,
    parse_service,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.x509 import Names

NAMES = Names(dns_names=("www.example.com",))


def test_a_preset_brings_its_endpoints_and_leaves_the_commands_to_the_host() -> None:
    assert parse_service("nginx", "www", NAMES) == Service(
        name="nginx", preset="nginx", endpoints=(Endpoint("127.0.0.1", 443, "www.example.com", "www", explicit=False),)
    )


def test_a_service_of_ones_own() -> None:
    raw = {
        "name": "billing",
        "validate": "billing --check 'a b'",
        "reload": ["systemctl", "reload", "billing"],
        "endpoints": ["127.0.0.1:8443", "[::1]:9443", {"host": "db", "port": "5432", "server_name": "db.example.com"}],
    }
    service = parse_service(raw, "www", NAMES)
    assert (service.preset, service.validate, service.check) == (None, ("billing", "--check", "a b"), None)
    assert service.reload == ("systemctl", "reload", "billing")
    assert service.endpoints == (
        Endpoint("127.0.0.1", 8443, "www.example.com", "www", explicit=True),
        Endpoint("::1", 9443, "www.example.com", "www", explicit=True),
        Endpoint("db", 5432, "db.example.com", "www", explicit=True),
    )
    assert service.as_request()["endpoints"][1]["host"] == "::1"


def test_a_preset_whose_endpoints_are_the_users() -> None:
    assert parse_service({"name": "nginx", "endpoints": ["127.0.0.1:8443"]}, "www", NAMES).endpoints[0].explicit
    assert parse_service({"name": "nginx", "endpoints": []}, "www", NAMES).endpoints == ()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("ngin", "services: 'ngin' is unknown"),
        ("", "a service needs a name"),
        ({}, "a service needs a name"),
        ({"name": None}, "a service needs a name"),
        ({"name": "billing"}, "services: 'billing' is unknown"),
        ({"name": "nginx", "relaod": "x"}, "unknown option 'relaod'"),
        ({"name": "x", "reload": []}, "reload is empty"),
        ({"name": "x", "reload": ""}, "reload is empty"),
        ({"name": "x", "reload": "it's"}, "reload: No closing quotation"),
        ({"name": "x", "reload": {"a": 1}}, "reload has to be a list"),
        ({"name": "nginx", "endpoints": "127.0.0.1:443"}, "endpoints has to be a list"),
        ({"name": "nginx", "endpoints": ["127.0.0.1"]}, "'127.0.0.1' is not host and port"),
        ({"name": "nginx", "endpoints": [":443"]}, "'' is no name or address"),
        ({"name": "nginx", "endpoints": ["web:0"]}, "'0' is not a port"),
        ({"name": "nginx", "endpoints": ["web:65536"]}, "'65536' is not a port"),
        ({"name": "nginx", "endpoints": [{"host": "web", "port": []}]}, "'[]' is not a port"),
        ({"name": "nginx", "endpoints": [{"port": 443}]}, "'' is no name or address"),
        ({"name": "nginx", "endpoints": [443]}, "endpoints has to be a mapping"),
        ({"name": "nginx", "endpoints": [{"host": "web", "sni": "x"}]}, "unknown option 'sni'"),
        (7, "services has to be a mapping"),
    ],
)
def test_refused(raw: Any, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_service(raw, "www", NAMES)
    assert words in caught.value.message and caught.value.remedy


def test_an_unknown_preset_has_a_suggestion() -> None:
    with pytest.raises(SpecError) as caught:
        parse_service("ngnix", "www", NAMES)
    assert caught.value.remedy == "did you mean 'nginx'?"


@pytest.mark.parametrize(
    ("dns_names", "server_name"),
    [
        (("*.example.com", "example.com"), "example.com"),
        (("*.example.com",), "www.example.com"),
        ((), None),
    ],
)
def test_default_server_name(dns_names: tuple[str, ...], server_name: str | None) -> None:
    assert default_server_name(Names(dns_names=dns_names)) == server_name


def test_one_service_of_two_certificates_has_the_endpoints_of_both() -> None:
    merged = merge_services([parse_service("nginx", "a", NAMES), parse_service("nginx", "b", NAMES)])
    assert [each.certificate for each in merged[0].endpoints] == ["a", "b"]
    assert len(merged) == 1


def test_one_service_described_in_two_ways() -> None:
    services = [parse_service({"name": "x", "reload": word}, "a", NAMES) for word in ("one", "two")]
    with pytest.raises(SpecError, match="'x' is described in two ways") as caught:
        merge_services(services)
    assert caught.value.remedy
