# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import handshake_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.wanted import (
    Defaults,
    as_request,
    parse_anchors,
    parse_endpoint,
    parse_endpoints,
    read_answer,
    require,
    speaks_for,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, tls_server

# A little later than the certificates, which are made when the tests have begun.
NOW = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)
WWW = Endpoint("www.example.com", 443, "www.example.com")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def www(ca: Authority) -> Pair:
    return ca.issue("www", "DNS:www.example.com,DNS:*.api.example.com,IP:127.0.0.1")


def pems(path: Path) -> list[str]:
    end = "-----END CERTIFICATE-----\n"
    return [part + end for part in path.read_text().split(end) if part]


def answer(chain: list[str], **more: Any) -> dict[str, Any]:
    return {"results": [{"chain": chain, "error": None, "seconds": 0.01, **more}]}


def read(chain: list[str], anchors: Any = None, endpoint: Endpoint = WWW, now: dt.datetime = NOW) -> dict[str, Any]:
    return read_answer([endpoint], answer(chain), anchors=parse_anchors(anchors), now=now)[0]


@pytest.mark.parametrize(
    ("raw", "defaults", "expected"),
    [
        ("www.example.com:443", Defaults(), WWW),
        ("192.0.2.1:443", Defaults(), Endpoint("192.0.2.1", 443)),
        ("[::1]:443", Defaults(timeout="2s"), Endpoint("::1", 443, timeout=2)),
        ("192.0.2.1:443", Defaults(server_name="a.example.com"), Endpoint("192.0.2.1", 443, "a.example.com")),
        ("www.example.com:443", Defaults(server_name=""), Endpoint("www.example.com", 443, None)),
        (
            {"host": "www.example.com", "port": "443", "server_name": "", "timeout": "1500ms"},
            Defaults(server_name="a.example.com", timeout="9s"),
            Endpoint("www.example.com", 443, None, timeout=1.5),
        ),
        (
            {"host": "[::1]", "port": 443},
            Defaults(client_certificate="/c.pem", client_key="/c.key"),
            Endpoint("::1", 443, client_certificate="/c.pem", client_key="/c.key"),
        ),
        # A certificate of its own does not go with the key of another.
        (
            {"host": "::1", "port": 443, "client_certificate": "/d.pem"},
            Defaults(client_certificate="/c.pem", client_key="/c.key"),
            Endpoint("::1", 443, client_certificate="/d.pem"),
        ),
        (
            {"host": "::1", "port": 443, "client_certificate": ""},
            Defaults(client_certificate="/c.pem", client_key="/c.key"),
            Endpoint("::1", 443),
        ),
    ],
)
def test_endpoints(raw: Any, defaults: Defaults, expected: Endpoint) -> None:
    assert parse_endpoint(raw, defaults) == expected


@pytest.mark.parametrize(
    ("raw", "defaults", "complaint"),
    [
        ("www.example.com", Defaults(), "'www.example.com' is not host and port"),
        ({"host": "www.example.com"}, Defaults(), "'' is not a port"),
        ({"port": 443}, Defaults(), "'' is not the name or address of a host"),
        ({"host": "a", "port": 443, "sni": "b"}, Defaults(), "unknown option 'sni'"),
        (443, Defaults(), "must be a mapping"),
        (
            {"host": "a", "port": 443, "client_key": "/k"},
            Defaults(),
            "a:443 has a client_key without a client_certificate",
        ),
        ("a:443", Defaults(client_key="/k"), "client_key without a client_certificate"),
        ("a:443", Defaults(timeout="0s"), "timeout: '0s' is not a duration"),
        ("a:443", Defaults(timeout="601s"), "timeout: '601s' is not above 0 and up to 10m"),
        ({"host": "a", "port": 443, "timeout": "nan"}, Defaults(), "timeout: 'nan' is not a duration"),
        ({"host": "a", "port": 443, "timeout": 5}, Defaults(), "timeout: '5' is not a duration"),
        ({"host": "a", "port": 443, "timeout": True}, Defaults(), "timeout: 'True' is not a duration"),
        ({"host": "a", "port": 443, "minimum_version": "TLSv1.1"}, Defaults(), "minimum_version: 'TLSv1.1' is unknown"),
        (
            {"host": "a", "port": 443, "maximum_version": "TLSv1.2"},
            Defaults(minimum_version="TLSv1.3"),
            "a:443 is to be spoken to in TLSv1.3 at least and TLSv1.2 at most",
        ),
    ],
)
def test_refused_endpoints(raw: Any, defaults: Defaults, complaint: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_endpoints(["b.example.com:443", raw], defaults)
    assert complaint in caught.value.message
    assert caught.value.remedy or "mapping" in complaint


def test_request() -> None:
    endpoints = (WWW, Endpoint("::1", 443, timeout=2.0, client_certificate="/c.pem"))
    assert as_request(endpoints) == {
        "endpoints": [
            {
                "host": "www.example.com",
                "port": 443,
                "server_name": "www.example.com",
                "timeout": 5.0,
                "client": None,
                "alpn": [],
                "starttls": None,
                "proxy_protocol": 0,
                "minimum_version": None,
                "maximum_version": None,
            },
            {
                "host": "::1",
                "port": 443,
                "server_name": None,
                "timeout": 2.0,
                "client": {"certificate": "/c.pem", "key": None},
                "alpn": [],
                "starttls": None,
                "proxy_protocol": 0,
                "minimum_version": None,
                "maximum_version": None,
            },
        ]
    }


def test_request_and_answer_fit_the_handshake(ca: Authority, www: Pair) -> None:
    with tls_server(www) as address:
        endpoints = parse_endpoints([f"127.0.0.1:{address.port}"], Defaults())
        _changed, said = handshake_step(as_request(endpoints))
    entry = read_answer(endpoints, said, anchors=parse_anchors(ca.root.pem), now=NOW)[0]
    assert (entry["reachable"], entry["trusted"], entry["problems"]) == (True, True, [])
    assert entry["protocol"] == "TLSv1.3" and entry["cipher"].startswith("TLS_")
    assert entry["seconds"] > 0
    assert [each["subject"] for each in entry["certificates"]] == ["CN=www", "CN=Test issuing"]
    leaf = entry["certificates"][0]
    assert leaf["dns_names"] == ["*.api.example.com", "www.example.com"]
    assert leaf["ip_addresses"] == ["127.0.0.1"]
    assert 29 < leaf["days_left"] < 30.1
    assert leaf["error"] is None


def test_unreachable_is_data() -> None:
    entry = read_answer([WWW], answer([], error="connection refused"), anchors=None, now=NOW)[0]
    assert entry["reachable"] is False
    assert (entry["error"], entry["certificates"], entry["trusted"]) == ("connection refused", [], None)


def broken(pem: str) -> str:
    """The same certificate with its outermost length off by one."""
    der = bytearray(base64.b64decode("".join(pem.splitlines()[1:-1])))
    der[3] ^= 1
    return "-----BEGIN CERTIFICATE-----\n" + base64.b64encode(bytes(der)).decode() + "\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("how", ["length", "garbage", "empty"])
def test_malformed_certificates_are_findings(www: Pair, ca: Authority, how: str) -> None:
    leaf, issuing = pems(www.chain)
    bad = {
        "length": broken(leaf),
        "garbage": "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n",
        "empty": "",
    }[how]
    entry = read([bad, issuing], ca.root.pem)
    assert entry["reachable"] is True and entry["trusted"] is False
    assert len(entry["problems"]) == 1
    assert entry["problems"][0].startswith("certificate 1 of the chain cannot be read: ")
    unread, above = entry["certificates"]
    assert unread["error"] and (
        how == "length"
        or not any(value for field, value in unread.items() if field not in ("error", "fingerprint_sha256"))
    )
    assert set(unread) == set(above) and above["subject"] == "CN=Test issuing"


def test_a_malformed_issuer_is_the_only_complaint(www: Pair, ca: Authority) -> None:
    leaf, issuing = pems(www.chain)
    entry = read([leaf, broken(issuing), ca.root.pem], ca.root.pem)
    assert len(entry["problems"]) == 1
    assert entry["problems"][0].startswith("certificate 2 of the chain cannot be read: ")


def test_an_extension_that_cannot_be_read(ca: Authority) -> None:
    # The certificate parses; only its names do not: a SAN that is an INTEGER.
    entry = read([ca.issue("odd", "DER:02:01:05").pem], ca.root.pem)
    assert entry["problems"][0].startswith("certificate 1 of the chain cannot be read: ")
    unread = entry["certificates"][0]
    assert len(unread["fingerprint_sha256"]) == 64 and unread["dns_names"] == []
    assert unread["issuer"] == "CN=Test issuing" and unread["days_left"] > 0


@pytest.fixture(scope="module")
def cases(
    ca: Authority, www: Pair, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[list[str], str, str | None]]:
    """Name → chain, endpoint's host, the one problem (None: there is none)."""
    leaf, issuing = pems(www.chain)
    stranger = Authority(tmp_path_factory.mktemp("stranger")).issue("www", "DNS:www.example.com")
    expired = ca.issue("expired", "DNS:www.example.com", days=-1)
    below_leaf = ca.issue("below-leaf", "DNS:www.example.com", signer=www)
    return {
        "good": ([leaf, issuing], "www.example.com", None),
        "with root": ([leaf, issuing, ca.root.pem], "www.example.com", None),
        "wildcard": ([leaf, issuing], "v1.api.example.com", None),
        "address": ([leaf, issuing], "127.0.0.1", None),
        "no issuing": ([leaf], "www.example.com", "the chain does not lead to a trust anchor"),
        "wrong order": ([leaf, ca.root.pem, issuing], "www.example.com", None),
        "other CA": (pems(stranger.chain), "www.example.com", "the chain does not lead to a trust anchor"),
        "expired": (pems(expired.chain), "www.example.com", "the certificate expired on "),
        "other name": (
            [leaf, issuing],
            "mail.example.com",
            "the certificate is not for mail.example.com (its names: *.api.",
        ),
        "other address": ([leaf, issuing], "127.0.0.2", "the certificate is not for 127.0.0.2"),
        "leaf as CA": (
            pems(below_leaf.chain),
            "www.example.com",
            "'CN=www' stands in the chain as an issuer and is no CA",
        ),
    }


@pytest.mark.parametrize(
    "case",
    [
        "good",
        "with root",
        "wildcard",
        "address",
        "no issuing",
        "wrong order",
        "other CA",
        "expired",
        "other name",
        "other address",
        "leaf as CA",
    ],
)
def test_verification(ca: Authority, cases: dict[str, tuple[list[str], str, str | None]], case: str) -> None:
    chain, host, problem = cases[case]
    entry = read(chain, [ca.root.pem], Endpoint(host, 443))
    assert entry["trusted"] is (problem is None)
    assert len(entry["problems"]) == (1 if problem else 0)
    assert len(entry["notices"]) == (1 if case == "wrong order" else 0)
    assert "".join(entry["problems"]).startswith(problem or "")


def test_not_valid_yet(ca: Authority, www: Pair) -> None:
    entry = read(pems(www.chain), ca.root.pem, now=NOW - dt.timedelta(days=2))
    assert entry["problems"][0].startswith("the certificate is not valid before ")


def test_without_anchors_nothing_is_said_about_trust(www: Pair) -> None:
    entry = read(pems(www.chain)[:1])
    assert (entry["trusted"], entry["problems"]) == (None, [])


def test_the_server_name_counts_not_the_host(ca: Authority, www: Pair) -> None:
    endpoint = Endpoint("192.0.2.1", 443, "www.example.com")
    assert read(pems(www.chain), ca.root.pem, endpoint)["trusted"] is True


@pytest.mark.parametrize(
    ("dns_names", "wanted", "expected"),
    [
        (("example.com",), "example.com", True),
        (("example.com",), "EXAMPLE.com.", True),
        (("example.com",), "www.example.com", False),
        (("*.example.com",), "www.example.com", True),
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "a.www.example.com", False),
        (("*.com",), "com", False),
        ((), "example.com", False),
        (("192.0.2.1",), "192.0.2.1", False),
    ],
)
def test_names(dns_names: tuple[str, ...], wanted: str, expected: bool) -> None:
    assert speaks_for(Names(dns_names=dns_names, common_name="example.com"), wanted) is expected


def test_addresses_are_compared_as_addresses() -> None:
    assert speaks_for(Names(ip_addresses=("2001:db8::1",)), "2001:0db8:0:0::1")


@pytest.mark.parametrize("anchors", ["", "no certificate", [], {}, 5, ["-----BEGIN CERTIFICATE-----\nMIIB"]])
def test_refused_anchors(anchors: Any) -> None:
    with pytest.raises(SpecError, match="^anchors"):
        parse_anchors(anchors)


def test_anchors(ca: Authority) -> None:
    assert parse_anchors(None) is None
    bundle = ca.root.pem + ca.issuing.pem
    assert parse_anchors(bundle) == parse_anchors([ca.root.pem, ca.issuing.pem])


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"results": None},
        {"results": []},
        {"results": [{}]},
        {"results": ["x"]},
        {"results": [{"chain": "x"}]},
        {"results": [{"chain": [1]}]},
        {"results": [{"chain": ["x"] * 65}]},
    ],
)
def test_an_answer_of_another_shape(said: Any) -> None:
    with pytest.raises(HostError) as caught:
        read_answer([WWW], said, anchors=None, now=NOW)
    assert caught.value.code == "bad_answer"


def test_require() -> None:
    good = {"endpoint": "a:1", "reachable": True, "trusted": None, "problems": ["expired"], "error": None}
    refused = {**good, "error": "the server refused"}
    dead = {**good, "endpoint": "b:2", "reachable": False, "error": "connection refused", "problems": []}
    foreign = {**good, "endpoint": "c:3", "trusted": False, "problems": ["expired", "not for c"]}
    require([good, refused])
    with pytest.raises(HostError) as caught:
        require([good, dead, foreign])
    assert str(caught.value) == "b:2: connection refused; c:3: expired; c:3: not for c"
