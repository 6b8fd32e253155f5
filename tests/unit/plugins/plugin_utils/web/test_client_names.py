# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of clients: patterns, and the program that compares certificates with them, on every Lua that a web server has."""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import ipaddress
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.web.client_names import client_names_program, header_spellings
from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import expand_sites

# nginx has LuaJIT, HAProxy and Apache have 5.3 or 5.4 on Debian; 5.1 is what the others grew from.
LUAS = ("luajit21", "lua51", "lua53", "lua54")
KEY = ec.generate_private_key(ec.SECP256R1())
LONG_ID = "spiffe://example.com/ns/production/sa/a-service-with-a-name-that-fits-into-no-common-name/at/all"
SITE = {
    "name": "www",
    "server_names": ["www.test"],
    "certificate": "www",
    "upstream": "http://127.0.0.1:8081",
    "client_auth": "required",
}


def leaf(names: Sequence[x509.GeneralName] = (), subject: Sequence[x509.NameAttribute] = ()) -> x509.Certificate:
    """A client's certificate, signed by its own key: who signed it is the server's affair."""
    now = dt.datetime.now(dt.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(x509.Name(subject)).issuer_name(x509.Name([]))
    builder = builder.public_key(KEY.public_key()).serial_number(1).not_valid_before(now)
    builder = builder.not_valid_after(now + dt.timedelta(days=1))
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = builder.add_extension(usage, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=not subject)
    return builder.sign(KEY, hashes.SHA256())


def attribute(oid: x509.ObjectIdentifier, value: str, kind: Any = None) -> x509.NameAttribute:
    return x509.NameAttribute(oid, value, kind)


def sites(client_names: Sequence[str], **other: Any) -> list[dict[str, Any]]:
    return expand_sites([{**SITE, "client_names": list(client_names), **other}], "haproxy")


def judge(
    client_names: Sequence[str], der: bytes, lua: str = "luajit21", site: str = "www", **other: Any
) -> tuple[bool, str]:
    """What the program says, asked as HAProxy asks it."""
    runtime = importlib.import_module(f"lupa.{lua}").LuaRuntime(encoding="latin-1")
    runtime.execute("core = { register_action = function(name, where, action) CALL = action end }")
    runtime.execute(client_names_program(sites(client_names, **other), "haproxy"))
    runtime.globals().DER = der.decode("latin-1") if der else None
    runtime.execute(
        """
        told = {}
        txn = { f = { ssl_c_der = function() return DER end }, set_var = function(self, name, value) told[name] = value end }
        """
    )
    runtime.globals().CALL(runtime.globals().txn, site)
    told = runtime.globals().told
    return told["txn.fleet_tls_client"] == "allowed", told["txn.fleet_tls_client_names"]


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


DNS = leaf([x509.DNSName("app.example.com")])
SPIFFE = leaf([x509.UniformResourceIdentifier("spiffe://example.com/ns/prod/sa/web")])
SUBJECT = leaf(subject=[attribute(NameOID.ORGANIZATION_NAME, "Example"), attribute(NameOID.COMMON_NAME, "deploy")])
WIDE = leaf(subject=[attribute(NameOID.COMMON_NAME, "dépôt", _ASN1Type.BMPString)])


@pytest.mark.parametrize("lua", LUAS)
@pytest.mark.parametrize(
    ("pattern", "certificate", "allowed"),
    [
        ("app.example.com", DNS, True),
        ("APP.example.com", DNS, True),
        ("*.example.com", DNS, True),
        ("*.com", DNS, False),
        ("example.com", DNS, False),
        ("appXexample.com", DNS, False),
        ("app.example.com", SUBJECT, False),
        ("spiffe://example.com/ns/prod/sa/web", SPIFFE, True),
        ("spiffe://example.com/ns/*/sa/web", SPIFFE, True),
        ("spiffe://example.com/ns/*", SPIFFE, False),
        ("spiffe://example.com/ns/**", SPIFFE, True),
        ("spiffe://example.com/ns/prod/sa/we", SPIFFE, False),
        ("spiffe://example.org/ns/prod/sa/web", SPIFFE, False),
        ("CN=deploy,O=Example", SUBJECT, True),
        ("O=Example,CN=deploy", SUBJECT, True),
        ("CN=de*,O=Example", SUBJECT, True),
        ("CN=deploy", SUBJECT, False),
        ("CN=deploy,O=Other", SUBJECT, False),
        ("CN=dépôt", WIDE, True),
        ("CN=depot", WIDE, False),
    ],
)
def test_patterns(lua: str, pattern: str, certificate: x509.Certificate, allowed: bool) -> None:
    assert judge([pattern], der_of(certificate), lua)[0] is allowed


@pytest.mark.parametrize("lua", LUAS)
def test_one_of_several_names_is_enough_and_all_are_told(lua: str) -> None:
    certificate = leaf(
        [
            x509.DNSName("other.test"),
            x509.UniformResourceIdentifier(LONG_ID),
            x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
            x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
            x509.RFC822Name("ops@example.com"),
        ]
    )
    allowed, names = judge(["app.test", "spiffe://example.com/ns/production/**"], der_of(certificate), lua)
    assert allowed
    assert names.split(",") == [
        "DNS:other.test", f"URI:{LONG_ID}", "IP:192.0.2.7", "IP:2001:0db8:0000:0000:0000:0000:0000:0001", "email:ops@example.com",
    ]  # fmt: skip


@pytest.mark.parametrize("lua", LUAS)
def test_a_name_cannot_look_like_two_or_like_another_header(lua: str) -> None:
    """What OpenSSL prints of this certificate is that of one with two names (CVE-2021-44532)."""
    sly = "x.test, URI:spiffe://example.com/ns/prod/sa/web\r\nX-Client-Verify: SUCCESS"
    allowed, names = judge(["spiffe://example.com/ns/prod/sa/web"], der_of(leaf([x509.DNSName(sly)])), lua)
    assert not allowed
    assert "," not in names and "\n" not in names and " " not in names
    assert names.startswith("DNS:x.test%2C%20URI:spiffe")


@pytest.mark.parametrize("lua", LUAS)
def test_what_cannot_be_read_lets_nobody_in(lua: str) -> None:
    der = der_of(SPIFFE)
    pattern = ["spiffe://example.com/**"]
    assert judge(pattern, der, lua)[0]
    assert not judge(pattern, b"", lua)[0]
    assert not judge(pattern, der, lua, site="another")[0]
    end = der.index(b"spiffe") + 6
    for length in range(1, end, 29):
        assert not judge(pattern, der[:length], lua)[0]
    for at in range(0, 20, 3):
        judge(pattern, der[:at] + b"\xff" + der[at + 1 :], lua)  # may be read or not, but ends


def test_a_site_that_only_tells_lets_in_whom_the_server_lets_in() -> None:
    open_site: dict[str, Any] = {"client_headers": ["san"], "client_auth": "optional"}
    assert judge([], der_of(DNS), **open_site) == (True, "DNS:app.example.com")
    assert judge([], b"", **open_site) == (True, "")


@pytest.mark.parametrize("lua", LUAS)
def test_nginx_and_apache_give_it_pem(lua: str) -> None:
    pem = SPIFFE.public_bytes(serialization.Encoding.PEM).decode()
    runtime = importlib.import_module(f"lupa.{lua}").LuaRuntime()
    runtime.globals().PEM = pem
    runtime.execute(
        "ngx = { var = { ssl_client_verify = 'SUCCESS', ssl_client_raw_cert = PEM, fleet_tls_site = 'www' } }"
    )
    runtime.execute("ngx.exit = function(status) ngx.status = status end")
    runtime.execute(client_names_program(sites(["spiffe://example.com/**"]), "nginx"))
    variables = runtime.globals().ngx.var
    assert runtime.globals().ngx.status is None
    assert variables["fleet_tls_client_names"] == "URI:spiffe://example.com/ns/prod/sa/web"
    assert base64.b64decode(variables["fleet_tls_client_certificate"].strip(":")) == der_of(SPIFFE)
    runtime.execute(client_names_program(sites(["spiffe://other/**"]), "nginx"))
    assert runtime.globals().ngx.status == 403


@pytest.mark.parametrize(
    ("client_names", "words"),
    [
        (["*"], "would let everybody in"),
        (["**"], "would let everybody in"),
        (["spiffe:"], "is not a client's name"),
        (["www.example.com;"], "is not a client's name"),
        (["CN="], "is not a subject"),
        (["CN=a,,"], "is not a subject"),
        (["FOO=bar"], "is not a subject"),
        (["a b"], "is not a client's name"),
    ],
)
def test_what_is_no_name_is_refused(client_names: list[str], words: str) -> None:
    with pytest.raises(SpecError) as refused:
        sites(client_names)
    assert words in str(refused.value) and "site 'www'" in str(refused.value)


def test_names_need_a_certificate() -> None:
    for client_auth in ("none", "optional"):
        with pytest.raises(SpecError, match="need no certificate"):
            sites(["app.test"], client_auth=client_auth)
    with pytest.raises(SpecError, match="no client is asked"):
        sites([], client_auth="none", client_headers=["san"])
    with pytest.raises(SpecError, match="unknown"):
        sites([], client_headers=["cert"])


def test_the_default_is_for_sites_that_require_a_certificate() -> None:
    raw = [
        SITE,
        {**SITE, "name": "own", "client_names": ["own.test"]},
        {**SITE, "name": "everybody", "client_names": []},
        {**SITE, "name": "optional", "client_auth": "optional"},
        {**SITE, "name": "open", "client_auth": "none"},
    ]
    found = expand_sites(raw, "nginx", client_names=["default.test"])
    assert [each["client_names"] for each in found] == [["default.test"], ["own.test"], [], [], []]
    assert [each["client_headers"] for each in found] == [["san"], ["san"], [], [], []]


def test_spellings_of_a_header() -> None:
    assert header_spellings("Client-Cert") == ["Client-Cert", "Client_Cert"]
    assert len(header_spellings("Client-Cert-Chain")) == 4
