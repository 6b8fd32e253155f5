# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens here, seen in /proc, on real sockets."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.system import sockets
from ansible_collections.fleet.tls.plugins.module_utils.system.sockets import (
    Listener,
    Place,
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
        places = [Place(address("127.0.0.1"), port)]
        assert intruder(places, ["nginx"]) == (port, os.getpid(), me)
        assert intruder(places, [me]) is None
        assert intruder([Place(address("127.0.0.2"), port)], ["nginx"]) is None
    assert intruder(places, ["nginx"]) is None


@pytest.mark.parametrize(
    ("held", "held_v6only", "wanted", "wanted_v6only", "clash"),
    [
        ("0.0.0.0", False, "::", True, False),
        ("0.0.0.0", False, "::", False, True),
        ("::", True, "0.0.0.0", False, False),
        ("::", False, "0.0.0.0", False, True),
        ("::", True, "::", True, True),
    ],
)
def test_ipv6_beside_ipv4(held: str, held_v6only: bool, wanted: str, wanted_v6only: bool, clash: bool) -> None:
    """The table of listeners does not say who takes the IPv4 addresses too; the kernel does."""
    family = socket.AF_INET6 if ":" in held else socket.AF_INET
    with socket.socket(family) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(held_v6only))
        listener.bind((held, 0))
        listener.listen()
        port = listener.getsockname()[1]
        found = intruder([Place(address(wanted), port, wanted_v6only)], ["nginx"])
    assert (found is not None) is clash


def test_who_has_a_place_already_does_not_have_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx listens on every IPv6 address, somebody else on every IPv4 one."""
    with socket.socket(socket.AF_INET6) as ours, socket.socket() as theirs:
        ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        ours.bind(("::", 0))
        port = ours.getsockname()[1]
        theirs.bind(("0.0.0.0", port))
        ours.listen()
        theirs.listen()
        names = {
            str(os.fstat(each.fileno()).st_ino): [(os.getpid(), name)]
            for each, name in ((ours, "nginx"), (theirs, "other"))
        }
        monkeypatch.setattr(sockets, "holders", lambda inodes: {each: names.get(each, []) for each in inodes})
        assert intruder([Place(address("::"), port, True)], ["nginx"]) is None
        assert intruder([Place(address("::"), port, True)], ["httpd"]) == (port, os.getpid(), "nginx")
        assert intruder([Place(address("0.0.0.0"), port)], ["nginx"]) == (port, os.getpid(), "other")
        assert intruder([Place(address("0.0.0.0"), port)], ["other"]) is None


CHILD = (
    "import os, sys, time; os.chroot(sys.argv[1]) if sys.argv[1] else None; print('ready', flush=True); time.sleep(60)"
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces")
@pytest.mark.parametrize("in_container", [False, True])
def test_a_process_with_other_files_is_not_of_this_host(tmp_path: Path, in_container: bool) -> None:
    """A container is a mount namespace with another root; a service with PrivateTmp is one with ours."""
    command = ["unshare", "--mount", sys.executable, "-c", CHILD, str(tmp_path) if in_container else ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            assert os.readlink(f"/proc/{process.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
            assert sockets.is_of_this_host(process.pid) is not in_container
            owners = [(process.pid, "server")]
            assert sockets.is_held_by(owners, ("server",), False) is not in_container
            # Where the user's own command reloads it, it may well be in one.
            assert sockets.is_held_by(owners, ("server",), True)
        finally:
            process.kill()


def test_names_as_long_as_the_kernel_keeps_them() -> None:
    assert sockets.is_one_of("a-name-of-15-ch", ["a-name-of-15-characters"])
    assert not sockets.is_one_of("nginx", ["ngin", "apache2"])


def test_addresses_of_this_machine() -> None:
    assert local_addresses("127.0.0.1") == [address("127.0.0.1")]
    assert local_addresses("192.0.2.1") == []
    assert local_addresses("no-such-name.invalid") == []
