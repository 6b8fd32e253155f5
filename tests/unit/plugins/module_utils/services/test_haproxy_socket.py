# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's runtime socket, played by one that keeps three keys as HAProxy does. The real one is in tests/fleet."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import haproxy_keys, haproxy_line
from ansible_collections.fleet.tls.plugins.module_utils.services.haproxy_socket import (
    SocketProblem,
    set_keys,
    shift,
    shown_keys,
)

FILE = "/etc/fleet-tls/tickets/web/haproxy.keys"
OTHER = "/etc/haproxy/other.keys"


class Haproxy:
    """Answers as HAProxy 2.6 was seen to do."""

    def __init__(self, path: Path, keys: list[bytes], *, file: str = FILE, refuses: str = "") -> None:
        self.path, self.keys, self.file, self.refuses = str(path), list(keys), file, refuses
        self.others = [os.urandom(80) for _each in range(3)]
        self.commands: list[str] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                connection, _peer = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(self.answer(connection.recv(4096).decode().strip()).encode())

    def answer(self, command: str) -> str:
        self.commands.append(command.split(" ")[0])
        if self.refuses:
            return f"{self.refuses}\n\n"
        if command == "show tls-keys *":
            blocks = ((OTHER, self.others), (self.file, self.keys))
            text = "# id secret\n"
            for number, (file, keys) in enumerate(blocks):
                text += f"# {number} ({file})\n" + "".join(
                    f"{number}.{at} {haproxy_line(key)}\n" for at, key in enumerate(keys)
                )
            return text + "\n"
        assert command.startswith(f"set ssl tls-key {self.file} ")
        (key,) = haproxy_keys(command.split(" ")[-1]) or ()
        self.keys = [*self.keys[1:], key]
        return "TLS ticket key updated!\n\n"


@pytest.fixture
def ring() -> list[bytes]:
    return [os.urandom(80) for _part in range(3)]


@pytest.fixture
def haproxy(tmp_path: Path, ring: list[bytes]) -> Iterator[Haproxy]:
    one = Haproxy(tmp_path / "admin.sock", ring)
    yield one
    one.listener.close()


def test_a_step_is_one_key(haproxy: Haproxy, ring: list[bytes]) -> None:
    wanted = [*ring[1:], os.urandom(80)]
    assert set_keys(haproxy.path, FILE, wanted) == 1
    assert haproxy.keys == wanted and haproxy.commands == ["show", "set", "show"]


def test_what_is_there_is_not_sent_again(haproxy: Haproxy, ring: list[bytes]) -> None:
    assert set_keys(haproxy.path, FILE, ring) == 0
    assert haproxy.keys == ring and haproxy.commands == ["show"]


def test_a_throw_away_ring_is_replaced(haproxy: Haproxy) -> None:
    wanted = [os.urandom(80) for _part in range(3)]
    assert set_keys(haproxy.path, FILE, wanted) == 3
    assert haproxy.keys == wanted


@pytest.mark.parametrize(
    "present, wanted, sent",
    [
        ("abc", "abc", ""),
        ("abc", "bcd", "d"),
        ("abc", "cde", "de"),
        ("abc", "def", "def"),
        ("xabc", "abc", ""),
        ("bcd", "abc", "abc"),
        ("", "abc", "abc"),
        ("ab", "abc", "abc"),
    ],
)
def test_only_what_is_missing_at_the_end(present: str, wanted: str, sent: str) -> None:
    def keys(text: str) -> list[bytes]:
        return [letter.encode() for letter in text]

    assert shift(keys(present), keys(wanted)) == keys(sent)


def test_a_file_that_is_not_in_use(tmp_path: Path, ring: list[bytes]) -> None:
    haproxy = Haproxy(tmp_path / "other.sock", ring, file="/etc/elsewhere.keys")
    assert shown_keys(haproxy.path, FILE) is None
    with pytest.raises(SocketProblem, match=f"HAProxy's configuration does not use {FILE}"):
        set_keys(haproxy.path, FILE, ring)


@pytest.mark.parametrize(
    "refusal", ["Permission denied", "Unknown command. Please enter one of the following commands only :"]
)
def test_not_enough_rights(refusal: str, tmp_path: Path, ring: list[bytes]) -> None:
    haproxy = Haproxy(tmp_path / "user.sock", ring, refuses=refusal)
    with pytest.raises(SocketProblem, match="level admin"):
        set_keys(haproxy.path, FILE, ring)


def test_no_socket(tmp_path: Path, ring: list[bytes]) -> None:
    with pytest.raises(SocketProblem, match="gone.sock: No such file or directory"):
        set_keys(str(tmp_path / "gone.sock"), FILE, ring)


def test_no_key_is_in_what_is_told(tmp_path: Path, ring: list[bytes]) -> None:
    """Keys of 48 bytes, which HAProxy takes as well, are not ours."""
    haproxy = Haproxy(tmp_path / "old.sock", [key[:48] for key in ring])
    with pytest.raises(SocketProblem) as caught:
        set_keys(haproxy.path, FILE, ring)
    assert not any(haproxy_line(key[:48]) in str(caught.value) for key in ring)
