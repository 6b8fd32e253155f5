# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ssl

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.groups import group_in_hello, group_in_key_exchange
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import handshake
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair, tls_server


def hello(*extensions: bytes) -> bytes:
    """A ServerHello."""
    listed = b"".join(extensions)
    body = b"\x03\x03" + bytes(32) + b"\x20" + bytes(32) + b"\x13\x01\x00" + len(listed).to_bytes(2, "big") + listed
    return b"\x02" + len(body).to_bytes(3, "big") + body


VERSION = b"\x00\x2b\x00\x02\x03\x04"
SHARE = b"\x00\x33\x00\x24\x00\x1d\x00\x20" + bytes(32)
# Of a HelloRetryRequest: the group alone.
RETRY = b"\x00\x33\x00\x02\x00\x18"
UNKNOWN = b"\x00\x33\x00\x02\x7a\x7a"


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ((VERSION, SHARE), "x25519"),
        ((SHARE, VERSION), "x25519"),
        ((RETRY,), "secp384r1"),
        ((UNKNOWN,), "0x7a7a"),
        ((VERSION,), None),
        ((), None),
    ],
)
def test_hello(extensions: tuple[bytes, ...], expected: str | None) -> None:
    assert group_in_hello(hello(*extensions)) == expected


def test_half_a_hello_is_no_trouble() -> None:
    whole = hello(SHARE)
    assert {group_in_hello(whole[:end]) for end in range(len(whole) + 1)} <= {None, "x25519"}


DH = b"\x0c\x00\x01\x00" + b"\x01\x00" + b"\xff" * 256


@pytest.mark.parametrize(
    ("message", "cipher", "expected"),
    [
        (b"\x0c\x00\x00\x45\x03\x00\x17\x41", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1"),
        (b"\x0c\x00\x00\x45\x01\x00\x17\x41", "ECDHE-RSA-AES128-GCM-SHA256", None),
        (DH, "DHE-RSA-AES128-GCM-SHA256", "dh-2048"),
        (DH, "PSK-AES128-CBC-SHA", None),
        (b"", "ECDHE-RSA-AES128-GCM-SHA256", None),
        (b"\x0c\x00\x00\x45\x03\x00\x17\x41", None, None),
    ],
)
def test_key_exchange(message: bytes, cipher: str | None, expected: str | None) -> None:
    assert group_in_key_exchange(message, cipher) == expected


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_of_a_real_server(pairs: list[Pair], version: ssl.TLSVersion) -> None:
    with tls_server(pairs[0], version=version) as server:
        result = handshake(Endpoint(server.host, server.port, "www.example.com"))
    assert result.group is not None and "25519" in result.group
