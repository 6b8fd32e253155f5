# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server answers to a ClientHello of our own, as far as it does so in clear: agreed, on what, or refused. See ``client_hello.py``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ansible_collections.fleet.tls.plugins.module_utils.tls.client_hello import TLS12, TLS13, Offer
from ansible_collections.fleet.tls.plugins.module_utils.tls.conversation import Flow, Read
from ansible_collections.fleet.tls.plugins.module_utils.tls.groups import NAMED_CURVE
from ansible_collections.fleet.tls.plugins.module_utils.tls.messages import (
    ALERT,
    HANDSHAKE,
    SERVER_HELLO,
    SERVER_KEY_EXCHANGE,
)
from ansible_collections.fleet.tls.plugins.module_utils.tls.suites import key_exchange

SERVER_HELLO_DONE = 14
SUPPORTED_VERSIONS, KEY_SHARE = 43, 51
# A server that sends more than this, and no end of its hello, is none: OpenSSL takes no certificates of more than 100 KiB.
MOST_BYTES = 128 * 1024


class Answer(NamedTuple):
    """What was agreed on, in numbers of IANA's registries; ``suite`` None: nothing.

    :param group: of TLS 1.3, also where the server asks for a key of it; before, of a named curve. ``bits``: of a finite field's prime.
    :param alert: why not, in the server's words; None: it hung up without any.
    :param is_tls: whether what came was TLS; True where nothing came.
    """

    version: int | None = None
    suite: int | None = None
    group: int | None = None
    bits: int | None = None
    scheme: int | None = None
    alert: int | None = None
    is_tls: bool = True


def answer_to(hello: bytes, offer: Offer) -> Flow:
    """Say it, and listen until the answer is clear; returns an :class:`Answer`.

    :raises OSError: the connection broke before anything came; ``socket.timeout``: the time was up.
    """
    yield hello
    hearing, count = Hearing(offer), 0
    while True:
        try:
            data = yield Read(16384)
        except ConnectionError:
            data = b""
        answer = hearing.hear(data)
        if answer is not None:
            return answer
        count += len(data)
        if not data or count > MOST_BYTES:
            return hearing.agreed or Answer()


def read_answer(received: bytes, offer: Offer) -> Answer | None:
    """The answer in the records that have come; None: it takes more of them."""
    return Hearing(offer).hear(received)


class Hearing:
    """What a server has said so far. Each byte is looked at once, in however small pieces it comes.

    :ivar agreed: what its hello says; None: there was none yet.
    """

    def __init__(self, offer: Offer) -> None:
        self.agreed: Answer | None = None
        self._offer = offer
        self._first = True
        self._records = bytearray()
        self._handshake = bytearray()

    def hear(self, data: bytes) -> Answer | None:
        """Some more of it: the answer; None: it takes more."""
        self._records += data
        if self._first and self._records:
            self._first = False
            if not 20 <= self._records[0] <= 24:
                return Answer(is_tls=False)
        for kind, content in taken(self._records, 3, 2):
            if kind == HANDSHAKE:
                self._handshake += content[5:]
                answer = self._answer()
                if answer is not None:
                    return answer
            elif kind == ALERT and len(content) == 7 and content[5] == 2:
                return Answer(alert=content[6])
        return None

    def _answer(self) -> Answer | None:
        """That in the whole messages that are there."""
        for kind, message in taken(self._handshake, 1, 3):
            if kind == SERVER_HELLO:
                self.agreed = read_hello(message)
                if self.agreed.version == TLS13 or not self._offer.whole:
                    return self.agreed
            elif kind == SERVER_KEY_EXCHANGE and self.agreed is not None:
                return read_key_exchange(message, self.agreed)
            elif kind == SERVER_HELLO_DONE:
                return self.agreed
        return None


def taken(buffer: bytearray, place: int, size: int) -> Iterator[tuple[int, bytes]]:
    """What is whole at the beginning of a buffer, each with its first byte; afterwards it is not there any more.

    :param place: where the length is, a number of ``size`` bytes, of what follows it.
    """
    position = 0
    try:
        while position + place + size <= len(buffer):
            start = position + place + size
            end = start + int.from_bytes(buffer[start - size : start], "big")
            if end > len(buffer):
                return
            begin, position = position, end
            yield buffer[begin], bytes(buffer[begin:end])
    finally:
        del buffer[:position]


def read_hello(message: bytes) -> Answer:
    """A ServerHello (RFC 8446 section 4.1.3, RFC 5246 section 7.4.1.3), or a HelloRetryRequest, which has the same form."""
    version = int.from_bytes(message[4:6], "big")
    start = 39 + (message[38] if len(message) > 38 else 0)
    suite = int.from_bytes(message[start : start + 2], "big")
    group, position = None, start + 5
    while position + 4 <= len(message):
        kind, length = (int.from_bytes(message[position + at : position + at + 2], "big") for at in (0, 2))
        if kind == SUPPORTED_VERSIONS and length == 2:
            version = int.from_bytes(message[position + 4 : position + 6], "big")
        elif kind == KEY_SHARE and length >= 2:
            group = int.from_bytes(message[position + 4 : position + 6], "big")
        position += 4 + length
    return Answer(version, suite, group)


def read_key_exchange(message: bytes, agreed: Answer) -> Answer:
    """What a ServerKeyExchange adds (RFC 8422 section 5.4, RFC 5246 section 7.4.3)."""
    kind = key_exchange(agreed.suite or 0)
    group = bits = None
    if kind == "ECDHE" and message[4:5] == bytes([NAMED_CURVE]):
        group = int.from_bytes(message[5:7], "big")
        start = 8 + int.from_bytes(message[7:8], "big")
    elif kind == "DHE":
        prime = message[6 : 6 + int.from_bytes(message[4:6], "big")]
        bits, start = int.from_bytes(prime, "big").bit_length(), 4
        for _value in ("prime", "generator", "public"):
            start += 2 + int.from_bytes(message[start : start + 2], "big")
    else:
        return agreed
    scheme = int.from_bytes(message[start : start + 2], "big") if agreed.version == TLS12 else None
    return agreed._replace(group=group, bits=bits, scheme=scheme)
