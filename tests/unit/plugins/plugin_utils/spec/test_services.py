# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import read_preset
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.presets import find_preset, preset_names
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import (
    Access,
    ProofEndpoint,
    ServiceSpec,
    default_server_name,
    key_access,
    merge_services,
    parse_presets,
    parse_service,
)

NAMES = Names(dns_names=("www.example.com",))


def test_a_preset_brings_its_endpoints_and_leaves_the_commands_to_the_host() -> None:
    assert parse_service("nginx", "www", NAMES) == ServiceSpec(
        name="nginx",
        preset="nginx",
        endpoints=(ProofEndpoint("127.0.0.1", 443, "www.example.com", "www", explicit=False),),
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
        ProofEndpoint("127.0.0.1", 8443, "www.example.com", "www", explicit=True),
        ProofEndpoint("::1", 9443, "www.example.com", "www", explicit=True),
        ProofEndpoint("db", 5432, "db.example.com", "www", explicit=True),
    )
    assert service.as_request()["endpoints"][1]["host"] == "::1"


@pytest.mark.parametrize(
    ("fields", "reload", "reload_by"),
    [
        ({"unit": "a"}, None, None),
        ({"unit": "a", "reload": "restart"}, None, "restart"),
        ({"reload": "none"}, None, "none"),
        ({"unit": "a", "reload": ["restart"]}, ("restart",), None),
    ],
)
def test_what_a_reload_may_be_instead_of_a_command(fields: Any, reload: Any, reload_by: Any) -> None:
    service = parse_service({"name": "a", **fields}, "www", NAMES)
    assert (service.reload, service.reload_by) == (reload, reload_by)
    assert parse_service({"name": "nginx", "reload": "restart"}, "www", NAMES).reload_by == "restart"


def test_a_restart_needs_a_unit() -> None:
    with pytest.raises(SpecError, match="reload: restart needs a unit"):
        parse_service({"name": "a", "reload": "restart"}, "www", NAMES)


def test_a_preset_whose_endpoints_are_the_users() -> None:
    assert parse_service({"name": "nginx", "endpoints": ["127.0.0.1:8443"]}, "www", NAMES).endpoints[0].explicit
    assert parse_service({"name": "nginx", "endpoints": []}, "www", NAMES).endpoints == ()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("ngin", "services: 'ngin' is unknown"),
        ({"name": "x", "unit": "a b"}, "unit: 'a b' is not the name of a systemd unit"),
        ({"name": "x", "unit": "-rf"}, "unit: '-rf' is not the name of a systemd unit"),
        ({"name": "nginx", "mode": "0644"}, "mode: 0644 lets more than its owner"),
        ({"name": "nginx", "endpoints": ["https://web:443"]}, "'https://web:443' is not host and port"),
        (
            {"name": "nginx", "endpoints": [{"host": "web", "port": 25, "starttls": "smpt"}]},
            "starttls: 'smpt' is unknown",
        ),
        ("", "a service needs a name"),
        ({}, "a service needs a name"),
        ({"name": None}, "a service needs a name"),
        ({"name": "billing"}, "services: 'billing' is unknown"),
        ({"name": "nginx", "relaod": "x"}, "unknown option 'relaod'"),
        ({"name": "x", "reload": []}, "reload is empty"),
        ({"name": "x", "reload": ""}, "reload is empty"),
        ({"name": "x", "reload": "it's"}, "reload: No closing quotation"),
        ({"name": "x", "reload": {"a": 1}}, "reload must be a list"),
        ({"name": "nginx", "endpoints": "127.0.0.1:443"}, "endpoints must be a list"),
        ({"name": "nginx", "endpoints": ["127.0.0.1"]}, "'127.0.0.1' is not host and port"),
        ({"name": "nginx", "endpoints": [":443"]}, "'' is not the name or address"),
        ({"name": "nginx", "endpoints": ["web:0"]}, "'0' is not a port"),
        ({"name": "nginx", "endpoints": ["web:65536"]}, "'65536' is not a port"),
        ({"name": "nginx", "endpoints": [{"host": "web", "port": []}]}, "'[]' is not a port"),
        ({"name": "nginx", "endpoints": [{"port": 443}]}, "'' is not the name or address"),
        ({"name": "nginx", "endpoints": [443]}, "endpoints must be a mapping"),
        ({"name": "nginx", "endpoints": [{"host": "web", "sni": "x"}]}, "unknown option 'sni'"),
        (7, "services must be a mapping"),
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


def test_endpoints_that_begin_in_clear() -> None:
    raw = {"name": "postfix", "endpoints": ["smtp://mx:587", "mx:465", {"host": "mx", "port": 25, "starttls": "smtp"}]}
    found = parse_service(raw, "mx", NAMES).endpoints
    assert [(each.host, each.port, each.starttls) for each in found] == [
        ("mx", 587, "smtp"), ("mx", 465, None), ("mx", 25, "smtp"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_of_ours_can_be_used_as_it_is(name: str) -> None:
    service, preset = parse_service(name, "www", NAMES), find_preset(name)
    assert service.preset == name and service.endpoints and not any(each.explicit for each in service.endpoints)
    assert preset is not None and preset.units and preset.programs
    assert service.access.owner == preset.user
    # What the host is sent tells it all that the preset says, and there is nothing else of it.
    assert read_preset(json.loads(json.dumps(service.as_request()))["preset"]) == preset


def test_presets_of_ones_own() -> None:
    raw = {
        "gateway": {
            "unit": "gateway.service",
            "validate": "gateway -t",
            "endpoints": ["imap://127.0.0.1:1143"],
            "user": "gw",
        },
        "nginx": {"unit": ["nginx-edge", "nginx"]},
    }
    presets = parse_presets(raw)
    gateway = parse_service("gateway", "www", NAMES, presets)
    assert gateway == ServiceSpec(
        name="gateway", units=("gateway",), validate=("gateway", "-t"), user="gw", access=Access("gw"),
        endpoints=(ProofEndpoint("127.0.0.1", 1143, "www.example.com", "www", explicit=True, starttls="imap"),),
    )  # fmt: skip
    # What a certificate says comes before it.
    more = parse_service({"name": "gateway", "user": "other", "endpoints": ["[::1]:1"]}, "www", NAMES, presets)
    assert (more.user, more.units, more.validate) == ("other", ("gateway",), ("gateway", "-t"))
    assert [(each.host, each.explicit) for each in more.endpoints] == [("::1", True)]
    nginx = parse_service("nginx", "www", NAMES, presets)
    assert (nginx.preset, nginx.units) == ("nginx", ("nginx-edge", "nginx")) and not nginx.endpoints[0].explicit
    assert set(gateway.as_request()) == {
        "name", "preset", "units", "validate", "reload", "check", "start", "reload_by", "programs", "user", "endpoints",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ([], "service_presets must be a mapping"),
        ({"gateway": "x"}, "service_presets: gateway must be a mapping"),
        ({"gateway": {"unti": "x"}}, "service_presets: gateway: unknown option 'unti'"),
        ({"gateway": {"name": "x", "unit": "x"}}, "service_presets: gateway: unknown option 'name'"),
        ({"gateway": {"validate": "x"}}, "service_presets: gateway: services: 'gateway' is unknown"),
        (
            {"gateway": {"unit": "x", "endpoints": ["x"]}},
            "service_presets: gateway: endpoints: 'x' is not host and port",
        ),
        ({"nginx": {"reload": ""}}, "service_presets: nginx: services: reload is empty"),
    ],
)
def test_presets_refused(raw: Any, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_presets(raw)
    assert caught.value.message.startswith(words) and caught.value.remedy


@pytest.mark.parametrize(
    ("services", "outputs", "access"),
    [
        (["nginx"], [], Access()),
        (["postgresql"], [], Access("postgres")),
        # Root reads whatever there is.
        (["nginx", "redis", "postfix"], [], Access("redis")),
        (["redis", "caddy"], [Access("caddy")], Access("redis")),
        (["redis", "caddy"], [Access("caddy"), Access("redis")], Access()),
        (
            [{"name": "x", "unit": "x", "user": "app", "owner": "root", "group": "app", "mode": "0640"}],
            [],
            Access(None, "app", "0640"),
        ),
        (
            [{"name": "x", "unit": "x", "owner": "app", "group": "web", "mode": "0640"}],
            [],
            Access("app", "web", "0640"),
        ),
    ],
)
def test_whom_the_key_belongs_to(services: list[Any], outputs: list[Access], access: Access) -> None:
    assert key_access([parse_service(each, "www", NAMES) for each in services], outputs) == access


def test_two_owners_of_one_key() -> None:
    with pytest.raises(SpecError) as caught:
        key_access([parse_service(each, "www", NAMES) for each in ("nginx", "redis", "caddy")], [])
    assert (
        caught.value.message == "services: they want different owners of one private key: redis 'redis', caddy 'caddy'"
    )
    assert "give the certificate an owner" in str(caught.value.remedy)
