# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.addresses import (
    parse_address,
    parse_host_name,
    parse_port,
    split_address,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("www.example.com:443", ("www.example.com", 443)),
        ("localhost:1", ("localhost", 1)),
        ("a_b-c.internal.:8443", ("a_b-c.internal.", 8443)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("[::1]:443", ("::1", 443)),
        ("[fe80::1%eth0]:443", ("fe80::1%eth0", 443)),
        (" www.example.com:443 ", ("www.example.com", 443)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' is not host and port"),
        ("www.example.com", "'www.example.com' is not host and port"),
        ("443", "'443' is not host and port"),
        ("::1:443", "'::1:443' is not host and port"),
        ("2001:db8::1", "'2001:db8::1' is not host and port"),
        (":443", "'' is not the name or address"),
        ("[]:443", "'[]' is not the name or address"),
        ("https://www.example.com:443", "is not host and port"),
        ("https://www.example.com", "'https://www.example.com' is not host and port"),
        ("www.example.com/:443", "'www.example.com/:443' is not host and port"),
        ("*:443", "'*' is not the name or address"),
        ("a b:443", "'a b' is not the name or address"),
        ("-oProxy:443", "'-oProxy' is not the name or address"),
        ("www.example.com:https", "'https' is not a port"),
        ("www.example.com:0", "'0' is not a port"),
        ("www.example.com:65536", "'65536' is not a port"),
        ("www.example.com:-1", "'-1' is not a port"),
        ("www.example.com:", "'' is not a port"),
    ],
)
def test_refused(text: str, complaint: str) -> None:
    with pytest.raises(SpecError) as caught:
        split_address(text, "here")
    assert caught.value.message.startswith("here: ")
    assert complaint in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("port", [443, "443", " 443 "])
def test_port(port: Any) -> None:
    assert parse_port(port) == 443


@pytest.mark.parametrize("port", [True, None, 4.5, "", "٤٤٣", [443]])
def test_no_port(port: Any) -> None:
    with pytest.raises(SpecError):
        parse_port(port)


def test_host_alone() -> None:
    assert parse_host_name("[::1]") == parse_host_name("::1") == "::1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ns1.example.com", ("ns1.example.com", 53)),
        ("ns1.example.com:5353", ("ns1.example.com", 5353)),
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_a_port_may_be_left_out(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text, 53, "server") == expected


@pytest.mark.parametrize("text", ["", "dns://ns1", "ns1:port", "ns 1", "ns1:0"])
def test_no_address(text: str) -> None:
    with pytest.raises(SpecError, match="server"):
        parse_address(text, 53, "server")
