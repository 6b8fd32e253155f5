# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import parse_dns_name, parse_ip_address, parse_names
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names

LONG_LABEL = "a" * 63
LONGEST = ".".join([LONG_LABEL, LONG_LABEL, LONG_LABEL, "a" * 61])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("www.example.com", "www.example.com"),
        ("WWW.Example.COM.", "www.example.com"),
        (" localhost ", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("*.example.com", "*.example.com"),
        ("1.example.com", "1.example.com"),
        (f"{LONG_LABEL}.example.com", f"{LONG_LABEL}.example.com"),
        (LONGEST, LONGEST),
    ],
)
def test_dns_names(text: str, name: str) -> None:
    assert parse_dns_name(text) == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty name"),
        (".", "empty name"),
        ("  ", "empty name"),
        ("www..example.com", "an empty label"),
        (".example.com", "an empty label"),
        (f"{LONG_LABEL}a.example.com", "the label"),
        (f"{LONGEST}a", "254 characters"),
        ("-www.example.com", "the label '-www'"),
        ("www-.example.com", "the label 'www-'"),
        ("my_host.example.com", "the label 'my_host'"),
        ("www example.com", "the label"),
        ("www.example.com\nevil", "the label"),
        ("https://www.example.com", "the label"),
        ("www.example.com:443", "the label"),
        ("bücher\u2028.example", "is not a name"),
        ("☃☃\u200d.example", "is not a name"),
        ("192.0.2.1", "is an IP address"),
        ("2001:db8::1", "is an IP address"),
        ("*", "wildcard in the wrong place"),
        ("*.com", "wildcard in the wrong place"),
        ("www.*.example.com", "wildcard in the wrong place"),
        ("w*.example.com", "wildcard in the wrong place"),
        ("*.*.example.com", "wildcard in the wrong place"),
        ("example.*", "wildcard in the wrong place"),
    ],
)
def test_what_is_no_dns_name(text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_dns_name(text)
    assert words in caught.value.message
    assert caught.value.message.startswith("dns_names: ") and caught.value.remedy
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 2001:DB8:0::1 ", "2001:db8::1"),
        ("::ffff:192.0.2.1", parse_ip_address("::ffff:c000:201")),
    ],
)
def test_ip_addresses(text: str, address: str) -> None:
    assert parse_ip_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "192.0.2", "192.0.2.256", "192.0.2.0/24", "192.0.2.01", "www.example.com", "[::1]", "fe80::1%eth0", "1"],
)
def test_what_is_no_ip_address(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_ip_address(text)
    assert repr(text)[1:-1] in caught.value.message and caught.value.remedy


def test_all_kinds_sorted_and_in_one_form() -> None:
    assert parse_names(
        {
            "dns_names": ["B.example.com", "a.example.com."],
            "ip_addresses": ["2001:DB8::1", "192.0.2.1"],
            "uris": ["spiffe://example.com/x"],
            "email_addresses": ["Ops@example.com"],
            "common_name": "Über uns",
        }
    ) == Names(
        dns_names=("a.example.com", "b.example.com"),
        ip_addresses=("192.0.2.1", "2001:db8::1"),
        uris=("spiffe://example.com/x",),
        email_addresses=("Ops@example.com",),
        common_name="Über uns",
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({}, "has no names"),
        ({"dns_names": []}, "has no names"),
        ({"dns_names": None, "common_name": "www.example.com"}, "has no names"),
        ({"dns_names": ["a.example", "A.example."]}, "dns_names: 'a.example' appears twice"),
        ({"ip_addresses": ["2001:db8::1", "2001:db8:0::1"]}, "ip_addresses: '2001:db8::1' appears twice"),
        ({"uris": ["a:b", "a:b"]}, "uris: 'a:b' appears twice"),
        ({"dns_names": "www.example.com"}, "dns_names: must be a list"),
        ({"dns_names": {"a": 1}}, "dns_names: must be a list"),
        ({"dns_names": 5}, "dns_names: must be a list"),
        ({"dns_names": [None]}, "dns_names: None is not a text"),
        ({"dns_names": [True]}, "dns_names: True is not a text"),
        ({"dns_names": [["a.example"]]}, "is not a text"),
        ({"ip_addresses": [3221225985]}, "is not a text"),
        ({"uris": ["/just/a/path"]}, "not an absolute URI"),
        ({"uris": ["http://exämple.com/"]}, "not an absolute URI"),
        ({"uris": ["spiffe://a b"]}, "not an absolute URI"),
        ({"uris": ["spiffe://a\n"]}, "not an absolute URI"),
        ({"email_addresses": ["nobody"]}, "not a mailbox"),
        ({"email_addresses": ["a@b@c"]}, "not a mailbox"),
        ({"email_addresses": ["a@-b.example"]}, "not a mailbox"),
        ({"email_addresses": ["a@192.0.2.1"]}, "not a mailbox"),
        ({"email_addresses": ["a@example.com."]}, "not a mailbox"),
    ],
)
def test_refused(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_names(raw)
    assert words in caught.value.message and caught.value.remedy


@pytest.mark.parametrize("common_name", ["", "  ", "a" * 65, "ü" * 33, "a\nb", "a\0b", "\udcff"])
def test_common_names_that_no_certificate_can_have(common_name: str) -> None:
    with pytest.raises(SpecError, match="common_name"):
        parse_names({"dns_names": ["a.example"], "common_name": common_name})


@pytest.mark.parametrize("common_name", ["a" * 64, "ü" * 32])
def test_longest_common_names(common_name: str) -> None:
    assert parse_names({"dns_names": ["a.example"], "common_name": common_name}).common_name == common_name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.BÜCHER.example.", "*.xn--bcher-kva.example"),
        ("\u212aelvin.example", "kelvin.example"),
    ],
)
def test_a_name_in_unicode(written: str, name: str) -> None:
    assert parse_dns_name(written) == name
