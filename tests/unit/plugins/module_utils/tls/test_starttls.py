# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""STARTTLS against real small servers that speak the protocol on a socket, then TLS; and servers that do not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import Callable, Union

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.steps.handshake import handshake_step
from ansible_collections.fleet.tls.plugins.module_utils.tls import starttls
from ansible_collections.fleet.tls.plugins.module_utils.tls.conversation import Read
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint, handshake
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, serving

# What a server sends, and (bytes in a tuple) what it wants to hear before it goes on.
Script = list[Union[bytes, tuple[bytes]]]

MYSQL_GREETING = b"\x0a8.0.36\0" + b"\x01\0\0\0" + b"12345678\0" + b"\xff\xff" + b"\x21\x02\0\xff\xdf" + bytes(30)
MYSQL_REQUEST = b"\x20\0\0\x01\x01\x8a\0\0\0\0\0\x01\x21" + bytes(23)
XMPP_STREAM = b"<?xml version='1.0'?><stream:stream from='www.example.com' xmlns:stream='x' version='1.0'>"
XMPP_FEATURES = (
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
)

WILLING: dict[str, Script] = {
    "smtp": [
        b"220-mx.example.com ESMTP\r\n220 at your service\r\n", (b"EHLO fleet-tls.invalid\r\n",),
        b"250-mx.example.com\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250 HELP\r\n", (b"STARTTLS\r\n",), b"220 go ahead\r\n",
    ],
    "imap": [b"* OK ready\r\n", (b"a STARTTLS\r\n",), b"* CAPABILITY IMAP4rev1\r\na OK begin TLS\r\n"],
    "pop3": [b"+OK ready\r\n", (b"STLS\r\n",), b"+OK begin\r\n"],
    "ftp": [b"220-hello\r\n an indented line\r\n220 ready\r\n", (b"AUTH TLS\r\n",), b"234 go\r\n"],
    "ldap": [(starttls.LDAP_REQUEST,), b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0"],
    "postgres": [(b"\0\0\0\x08\x04\xd2\x16\x2f",), b"S"],
    "mysql": [len(MYSQL_GREETING).to_bytes(3, "little") + b"\0" + MYSQL_GREETING, (MYSQL_REQUEST,)],
    "xmpp": [
        (b" to='www.example.com' version='1.0'>",), XMPP_STREAM + XMPP_FEATURES,
        (b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",), b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    ],
    "nats": [b'INFO {"server_id":"A","tls_required":true} \r\n'],
}  # fmt: skip


@pytest.fixture(scope="module")
def www(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Authority(tmp_path_factory.mktemp("ca")).issue("www", "DNS:www.example.com")


def playing(script: Script, then: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """A server that goes through a script, and then does something else."""

    def answer(connection: socket.socket) -> None:
        for part in script:
            if isinstance(part, bytes):
                connection.sendall(part)
                continue
            heard = b""
            while not heard.endswith(part[0]):
                more = connection.recv(1)
                if not more:
                    return
                heard += more
        then(connection)

    return answer


def tls(pair: Pair) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.chain, pair.key)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)

    return answer


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def hang_up(_connection: socket.socket) -> None:
    return


def ask(
    protocol: str, script: Script, then: Callable[[socket.socket], None] = hang_up, timeout: float = 5
) -> str | None:
    """What the handshake said that went wrong."""
    with serving(playing(script, then)) as address:
        result = handshake(Endpoint(address.host, address.port, "www.example.com", timeout, starttls=protocol))
    assert not result.chain
    return result.error


def test_every_protocol_has_a_script_here() -> None:
    assert set(WILLING) == set(starttls.PROTOCOLS)


@pytest.mark.parametrize("protocol", WILLING)
def test_a_willing_server(www: Pair, protocol: str) -> None:
    with serving(playing(WILLING[protocol], tls(www))) as address:
        result = handshake(Endpoint(address.host, address.port, "www.example.com", 10, starttls=protocol))
    assert result.error is None
    assert ssl.PEM_cert_to_DER_cert(result.chain[0]) == www.der


@pytest.mark.parametrize(
    ("protocol", "script", "words"),
    [
        ("smtp", [b"554 no service\r\n"], "smtp: the server does not start TLS: it said '554 no service'"),
        ("smtp", [b"220 hi\r\n", (b"\r\n",), b"250 SIZE 1\r\n"], "smtp: the server does not offer STARTTLS"),
        ("smtp", [*WILLING["smtp"][:4], b"454 not now\r\n"], "it said '454 not now'"),
        ("imap", [b"* BYE full\r\n"], "imap: the server does not start TLS: it said '* BYE full'"),
        ("imap", [b"* OK\r\n", (b"\r\n",), b"a BAD unknown\r\n"], "it said 'a BAD unknown'"),
        ("pop3", [b"+OK\r\n", (b"\r\n",), b"-ERR no\r\n"], "it said '-ERR no'"),
        ("ftp", [b"220 hi\r\n", (b"\r\n",), b"500 what\r\n"], "it said '500 what'"),
        ("ldap", [(starttls.LDAP_REQUEST,), b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\0\x04\0"], "LDAP result code 2"),
        ("ldap", [(starttls.LDAP_REQUEST,), b"\x30\x84\xff\xff\xff\xff"], "another protocol"),
        ("ldap", [(starttls.LDAP_REQUEST,), b"HTTP/1.1 400 Bad\r\n" + bytes(90)], "another protocol"),
        ("postgres", [(starttls.POSTGRES_REQUEST,), b"N"], "postgres: the server has TLS switched off"),
        ("postgres", [(starttls.POSTGRES_REQUEST,), b"E"], "another protocol: 'E'"),
        ("mysql", [b"\x13\0\0\0\xff\x6a\x04Host not allowed"], "it said 'Host not allowed'"),
        ("mysql", [b"\x1b\0\0\0\x0a8.0\0" + bytes(22)], "mysql: the server does not offer TLS"),
        ("mysql", [b"\x04\0\0\0\x09abc"], "another protocol"),
        ("xmpp", [(b">",), XMPP_STREAM + b"<stream:features></stream:features>"], "xmpp: the server does not offer STARTTLS"),
        ("xmpp", [*WILLING["xmpp"][:3], b"<failure/>"], "it said '<failure/>'"),
        ("nats", [b'INFO {"server_id":"A"} \r\n'], "nats: the server does not offer TLS"),
        ("nats", [b"220 hi\r\n"], "another protocol: '220 hi'"),
        ("nats", [b"INFO []\r\n"], "another protocol: 'INFO []'"),
    ],
)  # fmt: skip
def test_an_unwilling_server(protocol: str, script: Script, words: str) -> None:
    assert words in str(ask(protocol, script, silent))


@pytest.mark.parametrize("protocol", sorted(starttls.PROTOCOLS))
def test_a_server_that_hangs_up_or_says_nothing(protocol: str) -> None:
    said = str(ask(protocol, []))
    assert said.startswith(f"{protocol}: the ") and " before TLS began" in said
    start = time.monotonic()
    assert ask(protocol, [], silent, timeout=1) == f"{protocol}: timed out after 1 s before TLS began"
    assert time.monotonic() - start < 9


@pytest.mark.parametrize("protocol", ["smtp", "imap", "pop3", "ftp", "xmpp"])
def test_a_server_that_never_stops(protocol: str) -> None:
    """Neither a line without an end nor lines without an end are read for ever."""

    def talk(line: bytes) -> Callable[[socket.socket], None]:
        def answer(connection: socket.socket) -> None:
            for _count in range(5000):
                connection.sendall(line)

        return answer

    for line in (b"x" * 4096, b"220-and\r\n", b"* and\r\n"):
        said = str(ask(protocol, [], talk(line)))
        assert said.startswith(f"{protocol}: ") and "timed out" not in said


def test_a_server_that_drips(www: Pair) -> None:
    """The deadline is one for all of it, however steadily bytes come."""

    def drip(connection: socket.socket) -> None:
        for _count in range(400):
            connection.sendall(b"2")
            time.sleep(0.05)

    start = time.monotonic()
    assert ask("smtp", [], drip, timeout=1) == "smtp: timed out after 1 s before TLS began"
    assert time.monotonic() - start < 15


def test_what_comes_right_after_the_last_word_is_not_read() -> None:
    """It would belong to TLS, or (CVE-2011-0411 the other way round) to somebody in the middle."""
    said = b"+OK hi\r\n+OK go\r\nTLS"
    assert converse("pop3", said) == (b"STLS\r\n", b"TLS")


def test_the_name_in_a_stream_is_only_a_name() -> None:
    sent, _rest = converse("xmpp", XMPP_STREAM + XMPP_FEATURES + b"<proceed/>", "www'/><evil")
    assert b"to='wwwevil'" in sent


def converse(protocol: str, said: bytes, name: str = "") -> tuple[bytes, bytes]:
    """What the client sends to a server that says all it has to say at once, and what the client leaves unread of that."""
    talk, sent = starttls.PROTOCOLS[protocol](name), b""
    with contextlib.suppress(StopIteration):
        wish = next(talk)
        while True:
            if isinstance(wish, Read):
                got, said = said[: wish.most], said[wish.most :]
                wish = talk.send(got)
            else:
                sent += wish
                wish = talk.send(b"")
    return sent, said


def test_through_the_step(www: Pair) -> None:
    """All protocols on one event loop, and servers that say nothing among them."""
    with contextlib.ExitStack() as stack:
        wanted = []
        for protocol, script in WILLING.items():
            for answer, timeout in ((playing(script, tls(www)), 20), (silent, 0.5)):
                address = stack.enter_context(serving(answer))
                wanted.append(
                    {
                        "host": address.host,
                        "port": address.port,
                        "server_name": "www.example.com",
                        "timeout": timeout,
                        "starttls": protocol,
                    }
                )
        _changed, answer = handshake_step({"endpoints": [*wanted, {**wanted[0], "starttls": "gopher"}]})
    *results, bad = answer["results"]
    for asked, good, mute in zip(wanted[::2], results[::2], results[1::2]):
        assert good["error"] is None and ssl.PEM_cert_to_DER_cert(good["chain"][0]) == www.der
        assert mute["error"] == "{0}: timed out after 0.5 s before TLS began".format(asked["starttls"])
    assert bad["error"] == "STARTTLS in the protocol 'gopher' is unknown"
