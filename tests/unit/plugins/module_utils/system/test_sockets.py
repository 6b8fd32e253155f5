# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens here, seen in /proc, on real sockets."""

from __future__ import annotations

import ipaddress
import os
import socket

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.system import sockets
from ansible_collections.fleet.tls.plugins.module_utils.system.sockets import (
    Listener,
    intruder,
    local_addresses,
    parse_table,
)

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:24E3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 531055 1 0000000000000000 100 0 0 10 0
   1: 0302010A:01BB 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 531059 1 0000000000000000 100 0 0 10 0
"""
TABLE6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:24E4 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 53 1 0
   1: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 54 1 0
"""


def address(text: str) -> sockets.Address:
    return ipaddress.ip_address(text)


def test_the_kernel_s_tables() -> None:
    assert parse_table(TABLE) == [Listener(address("127.0.0.1"), 9443, "531055")]
    assert parse_table(TABLE6) == [
        Listener(address("::1"), 9444, "53"),
        Listener(address("::ffff:127.0.0.1"), 80, "54"),
    ]
    assert parse_table("garbage\n") == []


@pytest.mark.parametrize(
    ("listening", "wanted", "meets"),
    [
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::", "127.0.0.1", True),
        ("::", "0.0.0.0", True),
        ("0.0.0.0", "::1", False),
        ("::1", "::1", True),
        ("::1", "127.0.0.1", False),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
    ],
)
def test_who_is_in_whose_way(listening: str, wanted: str, meets: bool) -> None:
    listener = Listener(address(listening), 443)
    assert listener.meets(address(wanted), 443) is meets
    assert not listener.meets(address(wanted), 444)


def test_an_intruder_is_named() -> None:
    me = sockets.process_name(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        places = [(address("127.0.0.1"), port)]
        assert intruder(places, ["nginx"]) == (port, os.getpid(), me)
        assert intruder(places, [me]) is None
        assert intruder([(address("127.0.0.2"), port)], ["nginx"]) is None
    assert intruder(places, ["nginx"]) is None


def test_names_as_long_as_the_kernel_keeps_them() -> None:
    assert sockets.is_one_of("a-name-of-15-ch", ["a-name-of-15-characters"])
    assert not sockets.is_one_of("nginx", ["ngin", "apache2"])


def test_addresses_of_this_machine() -> None:
    assert local_addresses("127.0.0.1") == [address("127.0.0.1")]
    assert local_addresses("192.0.2.1") == []
    assert local_addresses("no-such-name.invalid") == []
