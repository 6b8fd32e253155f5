# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.clients import (
    Bundle,
    ClientEndpoint,
    ClientSpec,
    certificate_usages,
    parse_client,
    parse_clients,
    parse_endpoint,
)

USAGES = {"app": ("client_auth",), "www": ("server_auth",), "both": ("client_auth", "server_auth")}


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [
        ("db.example.com:5432", ClientEndpoint("db.example.com", 5432, "db.example.com")),
        ("[2001:db8::1]:443", ClientEndpoint("2001:db8::1", 443, "2001:db8::1")),
        ("https://a.example", ClientEndpoint("a.example", 443, "a.example", "/")),
        ("HTTPS://A.example:8443/x?y=1", ClientEndpoint("a.example", 8443, "a.example", "/x?y=1")),
        ("https://[2001:db8::1]/", ClientEndpoint("2001:db8::1", 443, "2001:db8::1", "/")),
        ({"host": "192.0.2.7", "port": 5671}, ClientEndpoint("192.0.2.7", 5671, "192.0.2.7")),
        (
            {"host": "192.0.2.7", "server_name": "a.example", "request": "/"},
            ClientEndpoint("192.0.2.7", 443, "a.example", "/"),
        ),
    ],
)
def test_endpoints(raw: Any, parsed: ClientEndpoint) -> None:
    assert parse_endpoint(raw) == parsed


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("a.example", "is not host and port"),
        ("http://a.example/", "is not host and port"),
        ("https://", "is not the name or address"),
        ("https://a.example:99999/", "99999"),
        ("https://user@a.example/", "a URL with a user"),
        ("https://a.example/#x", "a fragment"),
        ("https://a.example/ä", "is not a path"),
        ({"host": "a.example"}, "'' is not a port"),
        ({"host": "a.example", "port": 1, "request": "x"}, "request 'x' is not a path"),
        ({"host": "a.example", "port": 1, "request": "/ HTTP/1.1\r\nX: y"}, "is not a path"),
        ({"host": "a.example", "prot": 1}, "unknown option 'prot'"),
        (7, "must be a mapping"),
    ],
)
def test_endpoints_that_are_none(raw: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        parse_endpoint(raw)
    assert caught.value.remedy


def test_a_client() -> None:
    raw = {
        "certificate": "app",
        "bundle": {"path": "/etc/app/../app/ca.pem", "issuers": "internal", "group": "app", "mode": 0o640},
        "endpoints": ["a.example:1"],
        "services": [{"name": "app", "reload": "systemctl reload app"}],
    }
    client = parse_client(raw, USAGES)
    assert (client.name, client.certificate, client.services[0].reload) == (
        "app", "app", ("systemctl", "reload", "app")
    )  # fmt: skip
    assert client.bundle == Bundle("/etc/app/ca.pem", ("internal",), {}, None, "app", "0640")
    request = client.as_request("PEM")
    assert request["bundle"] == {
        "path": "/etc/app/ca.pem", "owner": None, "group": "app", "mode": "0640", "content": "PEM"
    }  # fmt: skip
    assert request["endpoints"] == [{"host": "a.example", "port": 1, "server_name": "a.example", "request": None}]
    assert parse_client({"certificate": "both"}, USAGES) == ClientSpec("both", "both")
    assert parse_client({"certificate": "anything"}, None).certificate == "anything"


@pytest.mark.parametrize(
    ("clients", "words"),
    [
        ({"certificate": "app"}, "must be a list"),
        (["app"], "clients must be a mapping"),
        ([{"name": "app"}], "'' is not a valid certificate for a client"),
        ([{"certificate": "app", "name": "../x"}], "'../x' is not a valid name for a client"),
        (
            [{"certificate": "ap"}],
            "client 'ap': the certificate 'ap' is none of this host's. .*Did you mean|did you mean",
        ),
        ([{"certificate": "www"}], "client 'www': the certificate 'www' is not for clients: servers would refuse it"),
        (
            [{"certificate": "app", "bundle": {"path": "ca.pem"}}],
            "client 'app': bundle: path: 'ca.pem' is not an absolute",
        ),
        ([{"certificate": "app", "bundle": {"path": "/a", "mode": "rw"}}], "mode: 'rw'"),
        ([{"certificate": "app", "bundel": {}}], "unknown option 'bundel'"),
        ([{"certificate": "app", "services": ["ngnx"]}], "client 'app': services: 'ngnx' is unknown"),
        ([{"certificate": "app"}, {"certificate": "app"}], "two clients have the name 'app'"),
        (
            [{"certificate": "app", "bundle": {"path": "/a"}}, {"certificate": "both", "bundle": {"path": "/a"}}],
            "two clients have a bundle at '/a'",
        ),
    ],
)
def test_clients_that_are_refused(clients: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        parse_clients(clients, USAGES)
    assert caught.value.remedy


def test_usages_of_certificates() -> None:
    raw = [{"name": "www"}, {"name": "app", "usages": "client_auth"}, {"name": "x", "usages": ["a", "b"]}, "damaged"]
    assert certificate_usages(raw) == {"www": ("server_auth",), "app": ("client_auth",), "x": ("a", "b")}
