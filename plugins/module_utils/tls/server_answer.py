# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server answers to a ClientHello of our own, as far as it does so in clear: agreed, on what, or refused. See ``client_hello.py``."""

from __future__ import annotations

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
# A server that sends more than this, and no end of its hello, is none.
MOST_BYTES = 512 * 1024


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
    received = b""
    while True:
        answer = read_answer(received, offer)
        if answer is not None:
            return answer
        try:
            data = yield Read(16384)
        except ConnectionError:
            data = b""
        if not data or len(received) > MOST_BYTES:
            return read_answer(received, offer._replace(whole=False)) or Answer()
        received += data


def read_answer(received: bytes, offer: Offer) -> Answer | None:
    """The answer in the records that have come; None: it takes more of them."""
    if received and not 20 <= received[0] <= 24:
        return Answer(is_tls=False)
    handshake, alert = records(received)
    agreed = None
    for message in messages(handshake):
        if message[0] == SERVER_HELLO:
            agreed = read_hello(message)
            if agreed.version == TLS13 or not offer.whole:
                return agreed
        elif message[0] == SERVER_KEY_EXCHANGE and agreed is not None:
            return read_key_exchange(message, agreed)
        elif message[0] == SERVER_HELLO_DONE:
            return agreed
    return Answer(alert=alert) if alert is not None else None


def records(received: bytes) -> tuple[bytes, int | None]:
    """The handshake messages in records, one behind the other, and the fatal alert that came."""
    found, position = b"", 0
    while position + 5 <= len(received):
        end = position + 5 + int.from_bytes(received[position + 3 : position + 5], "big")
        if end > len(received):
            break
        data = received[position + 5 : end]
        if received[position] == HANDSHAKE:
            found += data
        elif received[position] == ALERT and len(data) == 2 and data[0] == 2:
            return found, data[1]
        position = end
    return found, None


def messages(handshake: bytes) -> list[bytes]:
    """Whole messages, headers included."""
    found, position = [], 0
    while position + 4 <= len(handshake):
        end = position + 4 + int.from_bytes(handshake[position + 1 : position + 4], "big")
        if end > len(handshake):
            break
        found.append(handshake[position:end])
        position = end
    return found


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
