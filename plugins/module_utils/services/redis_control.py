# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis takes a new pair by CONFIG SET alone; there is no signal and no reload. The few words of its protocol that this needs."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any, Union

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_text
from ansible_collections.fleet.tls.plugins.module_utils.tls.contexts import load_pair

SECONDS = 10.0
MOST_BYTES = 1024 * 1024
DEEPEST_INCLUDE = 10
PAIR = ("tls-cert-file", "tls-key-file")
NO_ARRAYS = "wrong number of arguments"
# A word is text without quotes, then perhaps text in quotes, which ends it.
QUOTED = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\'|\\(?!'))*'"""
PART = re.compile(r"""[^\s"']+|""" + QUOTED, re.DOTALL)
WORD = re.compile(rf"""(?=\S)[^\s"']*(?:{QUOTED})?""", re.DOTALL)
ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}

Reply = Union[None, int, str, list[Any]]
Settings = dict[str, list[str]]


class RedisError(Exception):
    """The server said no; the text is its own."""


def reload_pair(config_files: Sequence[str]) -> None:
    """Have the running server read its certificate and key again.

    :param config_files: where its configuration may be.
    :raises StepError: reload_failed; the server goes on with what it had.
    """
    path = config_file(config_files)
    settings: Settings = {}
    if path:
        read_settings(path, settings)
    try:
        with contextlib.closing(connect(settings)) as sock:
            client = RedisConnection(sock)
            password = first(settings, "requirepass")
            if password:
                client.call("AUTH", password)
            known = {name: pair_value(client, name) for name in PAIR}
            if not known[PAIR[0]]:
                raise RedisError("it has no tls-cert-file")
            try:
                client.call("CONFIG", "SET", *(word for pair in known.items() for word in pair))
            except RedisError as error:
                # Before Redis 7 it sets one at a time, and reads both files for each.
                if NO_ARRAYS not in str(error):
                    raise
                client.call("CONFIG", "SET", PAIR[0], known[PAIR[0]])
    except (OSError, RedisError, ValueError) as error:
        raise StepError(
            "reload_failed",
            f"CONFIG SET {' '.join(PAIR)}: {getattr(error, 'strerror', None) or error}",
            "make it accept CONFIG from this host, or give the service a reload of its own",
        ) from None


def pair_value(client: RedisConnection, name: str) -> str:
    """What the running server has for a setting, empty: nothing."""
    reply = client.call("CONFIG", "GET", name)
    return str(reply[1]) if isinstance(reply, list) and len(reply) > 1 else ""


def config_file(config_files: Sequence[str]) -> str | None:
    """The server's configuration: the first of the files that is there."""
    return next((path for path in config_files if os.path.exists(path)), None)


def read_settings(path: str, settings: Settings, depth: int = 0) -> None:
    """Add the settings of a file, and of those that it includes, to ``settings``; the last one counts."""
    with contextlib.suppress(OSError):
        for line in read_text(path, follow=True).splitlines():
            words = words_of(line)
            if len(words) > 1 and words[0].lower() == "include" and depth < DEEPEST_INCLUDE:
                for each in sorted(glob.glob(words[1])):
                    read_settings(each, settings, depth + 1)
            elif len(words) > 1:
                settings[words[0].lower()] = words[1:]


def words_of(line: str) -> list[str]:
    """The words of a line, as Redis splits it (``sdssplitargs`` in sds.c): no shell's grammar. A comment begins at the begin of a line only,
    a backslash means something within double quotes only. Empty: nothing Redis would take.
    """
    if line.strip().startswith("#"):
        return []
    words, rest = [], line.strip(" \t\r\n")
    while rest:
        match = WORD.match(rest)
        if not match or (match.end() < len(rest) and not rest[match.end()].isspace()):
            return []
        words.append("".join(unquoted(part) for part in PART.findall(match[0])))
        rest = rest[match.end() :].lstrip()
    return words


def unquoted(part: str) -> str:
    """A part of a word without its quotes."""
    if part[0] == '"':
        return ESCAPE.sub(
            lambda match: ESCAPES.get(match[1]) or (chr(int(match[1][1:], 16)) if len(match[1]) == 3 else match[1]),
            part[1:-1],
        )
    return part[1:-1].replace("\\'", "'") if part[0] == "'" else part


def first(settings: Settings, name: str, default: str = "") -> str:
    """The first word of a setting."""
    return settings.get(name, [default])[0]


def connect(settings: Settings) -> socket.socket:
    """A connection to the server: by its socket, in clear, or by TLS, whichever it has.

    :raises OSError: by none of them.
    """
    problem: OSError | None = None
    for way in ways(settings):
        try:
            return way()
        except OSError as error:
            problem = error
    raise problem or ConnectionRefusedError("it listens nowhere")


def ways(settings: Settings) -> Iterator[Any]:
    """How the server can be reached, the plainest first."""
    # "-" before an address means that it need not be there.
    bound = [address.lstrip("-") for address in settings.get("bind", ["127.0.0.1"])]
    address = next((each for each in bound if each not in ("*", "0.0.0.0", "::", "::*")), "127.0.0.1")
    path, port, tls_port = (first(settings, *each) for each in (("unixsocket",), ("port", "6379"), ("tls-port", "0")))
    if path:
        yield lambda: unix(path)
    if port != "0":
        yield lambda: socket.create_connection((address, int(port)), SECONDS)
    if tls_port != "0":
        yield lambda: secure(address, int(tls_port), settings)


def unix(path: str) -> socket.socket:
    """A connection to a Unix socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(SECONDS)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def secure(address: str, port: int, settings: Settings) -> socket.socket:
    """A TLS connection, with the server's own pair, as it may insist on a client's: this host has it, and the server is this host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if first(settings, "tls-auth-clients", "yes") != "no":
        load_pair(context, first(settings, PAIR[0]), first(settings, PAIR[1]), None)
    sock = socket.create_connection((address, port), SECONDS)
    try:
        return context.wrap_socket(sock)
    except OSError:
        sock.close()
        raise


class RedisConnection:
    """One command after the other, in RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = b""
        self._count = 0

    def call(self, *words: str) -> Reply:
        """The reply to a command.

        :raises RedisError: the server's own words. ``OSError``: the connection broke.
        """
        parts = [b"*%d\r\n" % len(words)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in (each.encode() for each in words)]
        self._sock.sendall(b"".join(parts))
        return self._reply()

    def _reply(self) -> Reply:
        line = self._take_line()
        kind, rest = line[:1], line[1:].decode(errors="replace")
        if kind == b"-":
            raise RedisError(rest)
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._take(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return [self._reply() for _each in range(int(rest))]
        raise RedisError("it speaks another protocol")

    def _take_line(self) -> bytes:
        while b"\r\n" not in self._data:
            self._more()
        line, _end, self._data = self._data.partition(b"\r\n")
        return line

    def _take(self, count: int) -> bytes:
        while len(self._data) < count:
            self._more()
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def _more(self) -> None:
        data = self._sock.recv(16384)
        self._count += len(data)
        if not data:
            raise ConnectionResetError("it closed the connection")
        if self._count > MOST_BYTES:
            raise RedisError("it speaks another protocol")
        self._data += data
