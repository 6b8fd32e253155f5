# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CONFIG SET, spoken to a small server on a socket that answers as Redis does."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Callable

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.services import redis_control
from ansible_collections.fleet.tls.plugins.module_utils.services.redis_control import read_settings, reload_pair
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import serving

FILES: Mapping[str, str] = MappingProxyType(
    {"tls-cert-file": "/live/fullchain.pem", "tls-key-file": "/live/privkey.pem"}
)


class Redis:
    """What it was told, and what it has."""

    def __init__(
        self, password: str = "", arrays: bool = True, refuses: str = "", files: Mapping[str, str] = FILES
    ) -> None:
        self.told: list[list[str]] = []
        self.password, self.arrays, self.refuses, self.files = password, arrays, refuses, files

    def answer(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")
        known = not self.password
        while header := stream.readline():
            words = []
            for _each in range(int(header[1:])):
                length = int(stream.readline()[1:])
                words.append(stream.read(length + 2)[:-2].decode())
            self.told.append(words)
            reply = "-NOAUTH Authentication required."
            if words[0] == "AUTH":
                known = words[1] == self.password
                reply = "+OK" if known else "-WRONGPASS invalid"
            elif known and words[:2] == ["CONFIG", "GET"]:
                value = self.files.get(words[2], "")
                reply = f"*2\r\n${len(words[2])}\r\n{words[2]}\r\n${len(value)}\r\n{value}"
            elif known:
                reply = "+OK"
                if self.refuses:
                    reply = f"-ERR {self.refuses}"
                elif not self.arrays and len(words) > 4:
                    reply = "-ERR wrong number of arguments for 'config|set' command"
            stream.write(reply.encode() + b"\r\n")
            stream.flush()


@contextmanager
def configured(folder: Path, answer: Callable[[socket.socket], None], lines: str = "") -> Iterator[tuple[str, str]]:
    """A server and the files in which its configuration may be, of which the second is there."""
    with serving(answer) as address:
        path = folder / "redis.conf"
        path.write_text(f"bind -::1 127.0.0.1\nport {address.port}\n{lines}")
        # One that is bound to an address that is not there is asked at the next.
        path.write_text(path.read_text().replace("-::1 ", ""))
        yield str(folder / "absent.conf"), str(path)


def test_it_is_told_what_it_has(tmp_path: Path) -> None:
    redis = Redis()
    with configured(tmp_path, redis.answer) as files:
        reload_pair(files)
    assert redis.told[-1] == [
        "CONFIG",
        "SET",
        "tls-cert-file",
        FILES["tls-cert-file"],
        "tls-key-file",
        FILES["tls-key-file"],
    ]


def test_an_old_one_is_told_one_at_a_time(tmp_path: Path) -> None:
    redis = Redis(arrays=False)
    with configured(tmp_path, redis.answer) as files:
        reload_pair(files)
    assert redis.told[-1] == ["CONFIG", "SET", "tls-cert-file", FILES["tls-cert-file"]]


def test_a_password_in_an_included_file(tmp_path: Path) -> None:
    (tmp_path / "secret.conf").write_text('requirepass "a \\"b"\n')
    redis = Redis(password='a "b')
    with configured(tmp_path, redis.answer, f"include {tmp_path}/sec*.conf\n") as files:
        reload_pair(files)
    assert redis.told[0][0] == "AUTH"


@pytest.mark.parametrize(
    ("redis", "words"),
    [
        (Redis(password="x"), "NOAUTH Authentication required."),
        (
            Redis(refuses="Unable to update TLS configuration. Check server logs."),
            "Unable to update TLS configuration.",
        ),
        (Redis(files={}), "it has no tls-cert-file"),
    ],
)
def test_refused(tmp_path: Path, redis: Redis, words: str) -> None:
    with configured(tmp_path, redis.answer) as files, pytest.raises(StepError) as caught:
        reload_pair(files)
    assert caught.value.code == "reload_failed" and words in caught.value.message and caught.value.remedy


def noise(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def endless(connection: socket.socket) -> None:
    connection.recv(100)
    for _count in range(1000):
        connection.sendall(b"x" * 4096)


@pytest.mark.parametrize("answer", [noise, endless, lambda connection: None])
def test_somebody_else(tmp_path: Path, answer: Callable[[socket.socket], None]) -> None:
    with configured(tmp_path, answer) as files, pytest.raises(StepError, match="CONFIG SET"):
        reload_pair(files)


def test_settings(tmp_path: Path) -> None:
    path = tmp_path / "redis.conf"
    path.write_text(f'# port 1\nport 2\nPORT 3\nbind 127.0.0.1 ::1\nbroken \'quote\ninclude {path}\nsave ""\n')
    settings: redis_control.Settings = {}
    read_settings(str(path), settings)
    assert (settings["port"], settings["bind"], settings["save"]) == (["3"], ["127.0.0.1", "::1"], [""])
    read_settings(str(tmp_path / "absent"), settings)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("requirepass pa#ss", ["requirepass", "pa#ss"]),
        ("requirepass a\\b", ["requirepass", "a\\b"]),
        ('requirepass "pa#ss \\"x\\" \\x41\\n"', ["requirepass", 'pa#ss "x" A\n']),
        ("requirepass 'a\\'b\\n'", ["requirepass", "a'b\\n"]),
        ("  # requirepass x", []),
        ("requirepass 'open", []),
        ('requirepass "a"b', []),
        ('save ""', ["save", ""]),
        ("requirepass a$b;c*", ["requirepass", "a$b;c*"]),
    ],
)
def test_lines_as_redis_reads_them(line: str, words: list[str]) -> None:
    assert redis_control.words_of(line + "\n") == words
