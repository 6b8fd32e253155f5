# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a TLS message says that is of use to people. Pure: whole messages in clear come in, names and plain values go out.

RFC 8446 section 4 (TLS 1.3), RFC 5246 section 7.4 (up to TLS 1.2); what else a field is from stands beside it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.groups import (
    GROUPS,
    KEY_SHARE,
    NAMED_CURVE,
    group_in_key_exchange,
    group_name,
)
from ansible_collections.fleet.tls.plugins.module_utils.tls.messages import certificates_in, ticket_in
from ansible_collections.fleet.tls.plugins.module_utils.trace.distinguished_names import name_text
from ansible_collections.fleet.tls.plugins.module_utils.trace.numbers import (
    MESSAGES,
    SCHEMES,
    VERSIONS,
    is_grease,
    name_of,
)

# The random of a ServerHello that is a HelloRetryRequest: SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3).
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
# Shorter "tickets" are the number of a session in the server's own cache, with no key's name in front (OpenSSL: 32 bytes).
SHORTEST_TICKET = 64
KEY_NAME = 16
# Nobody reads on after so many entries of a list, and no certificate message that is worth unpacking is longer.
MOST_ENTRIES = 256
MOST_UNPACKED = 512 * 1024
TLS13 = "TLSv1.3"
ZLIB = 1

SERVER_NAME, STATUS_REQUEST, SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS, ALPN = 0, 5, 10, 13, 16
EXTENDED_MASTER_SECRET, SESSION_TICKET, PRE_SHARED_KEY, EARLY_DATA, SUPPORTED_VERSIONS = 23, 35, 41, 42, 43
COOKIE, CERTIFICATE_AUTHORITIES = 44, 47


@dataclass(frozen=True)
class Decoded:
    """One message.

    :param details: plain values, ready for JSON; what is absent was not said.
    :param certificates: DER, leaf first.
    """

    name: str
    details: dict[str, Any] = field(default_factory=dict)
    certificates: tuple[bytes, ...] = ()


class Parts:
    """Bytes that are taken from the front.

    Every method raises ValueError where there are fewer bytes than it needs.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """So many bytes."""
        if self._at + count > len(self._data):
            raise ValueError("cut off")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> Parts:
        """What stands behind a length of so many bytes."""
        return Parts(self.take(self.number(size)))

    def numbers(self, size: int = 2) -> list[int]:
        """All numbers that are left, less those that are there to be ignored."""
        found: list[int] = []
        while self:
            number = self.number(size)
            if len(found) < MOST_ENTRIES and not (size == 2 and is_grease(number)):
                found.append(number)
        return found

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at)


def decode(message: bytes, protocol: str | None, ciphers: dict[int, str], cipher: str | None = None) -> Decoded:
    """One handshake message, header included.

    :param protocol: what was agreed on, None: nothing yet.
    :param ciphers: names of cipher suites by their numbers.
    :param cipher: that which was agreed on.
    :returns: a message that is not well-formed has ``malformed`` in its details, and what was read before the fault.
    """
    kind = message[0] if message else -1
    if kind == 2 and message[6:38] == RETRY:
        name = "HelloRetryRequest"
    else:
        name = MESSAGES.get(kind) or f"handshake message {kind}"
    details: dict[str, Any] = {}
    certificates: tuple[bytes, ...] = ()
    try:
        if kind == 11:
            certificates = _certificate(message, protocol, details)
        elif kind == 25:
            certificates = _compressed(Parts(message[4:]), details)
        elif kind in (1, 2):
            _HELLOS[kind](Parts(message[4:]), details, ciphers)
        elif kind == 4:
            _ticket(message, protocol, details)
        elif kind == 12:
            _server_key_exchange(message, protocol, cipher, details)
        elif kind in _READERS:
            _READERS[kind](Parts(message[4:]), details, protocol)
    except (ValueError, IndexError):
        details["malformed"] = True
    return Decoded(name, details, certificates)


def _extensions(parts: Parts) -> dict[int, Parts]:
    found: dict[int, Parts] = {}
    if parts:
        inner = parts.vector(2)
        while inner:
            kind = inner.number(2)
            found[kind] = inner.vector(2)
    return found


def _text(data: bytes) -> str:
    return data[:255].decode("ascii", errors="replace")


def _names(table: dict[int, str], numbers: list[int]) -> list[str]:
    return [name_of(table, number) for number in numbers]


def _protocols(parts: Parts) -> list[str]:
    """ALPN (RFC 7301)."""
    names = []
    inner = parts.vector(2)
    while inner:
        names.append(_text(inner.vector(1).rest()))
    return names[:MOST_ENTRIES]


def _client_hello(body: Parts, details: dict[str, Any], ciphers: dict[int, str]) -> None:
    legacy = body.number(2)
    body.take(32)
    details["session_id"] = body.vector(1).rest().hex()
    details["ciphers"] = _names(ciphers, body.vector(2).numbers())
    body.vector(1)
    extensions = _extensions(body)
    versions = extensions[SUPPORTED_VERSIONS].vector(1).numbers() if SUPPORTED_VERSIONS in extensions else [legacy]
    details["versions"] = _names(VERSIONS, versions)
    if SERVER_NAME in extensions:
        names = extensions[SERVER_NAME].vector(2)
        names.number(1)
        details["server_name"] = _text(names.vector(2).rest())
    if ALPN in extensions:
        details["alpn"] = _protocols(extensions[ALPN])
    if SUPPORTED_GROUPS in extensions:
        details["groups"] = _names(GROUPS, extensions[SUPPORTED_GROUPS].vector(2).numbers())
    if SIGNATURE_ALGORITHMS in extensions:
        details["signature_schemes"] = _names(SCHEMES, extensions[SIGNATURE_ALGORITHMS].vector(2).numbers())
    if KEY_SHARE in extensions:
        details["key_shares"] = _key_shares(extensions[KEY_SHARE].vector(2))
    if SESSION_TICKET in extensions:
        _offer(details, extensions[SESSION_TICKET].rest())
    if PRE_SHARED_KEY in extensions:
        identities = extensions[PRE_SHARED_KEY].vector(2)
        _offer(details, identities.vector(2).rest())
        details["psk"] = True
    for kind, word in ((STATUS_REQUEST, "status_request"), (EARLY_DATA, "early_data"), (COOKIE, "cookie")):
        if kind in extensions:
            details[word] = True


def _offer(details: dict[str, Any], ticket: bytes) -> None:
    """A session that the client would like to resume; an empty ticket is the wish for a new one (RFC 5077 section 3.2)."""
    details["ticket_size"] = len(ticket)
    if len(ticket) >= SHORTEST_TICKET:
        details["ticket_key_name"] = ticket[:KEY_NAME].hex()


def _key_shares(shares: Parts) -> list[str]:
    groups = []
    while shares:
        group = shares.number(2)
        shares.vector(2)
        if not is_grease(group):
            groups.append(group)
    return _names(GROUPS, groups[:MOST_ENTRIES])


def _server_hello(body: Parts, details: dict[str, Any], ciphers: dict[int, str]) -> None:
    version = body.number(2)
    body.take(32)
    details["session_id"] = body.vector(1).rest().hex()
    details["cipher"] = name_of(ciphers, body.number(2))
    body.take(1)
    # Known at once, whatever comes after: in which version all others are to be read hangs on it.
    details["version"] = name_of(VERSIONS, version)
    extensions = _extensions(body)
    if SUPPORTED_VERSIONS in extensions:
        details["version"] = name_of(VERSIONS, extensions[SUPPORTED_VERSIONS].number(2))
    if KEY_SHARE in extensions:
        details["group"] = group_name(extensions[KEY_SHARE].number(2))
    if PRE_SHARED_KEY in extensions:
        details["psk"] = True
    _answers(extensions, details)
    for kind, word in (
        (EXTENDED_MASTER_SECRET, "extended_master_secret"),
        (SESSION_TICKET, "ticket_follows"),
        (COOKIE, "cookie"),
    ):
        if kind in extensions:
            details[word] = True


def _answers(extensions: dict[int, Parts], details: dict[str, Any]) -> None:
    """What TLS 1.3 says encrypted and older versions in their ServerHello."""
    if ALPN in extensions:
        details["alpn"] = ", ".join(_protocols(extensions[ALPN]))
    if SERVER_NAME in extensions:
        details["server_name_known"] = True
    if EARLY_DATA in extensions:
        details["early_data"] = True


def _encrypted_extensions(body: Parts, details: dict[str, Any], _protocol: str | None) -> None:
    _answers(_extensions(body), details)


def _certificate(message: bytes, protocol: str | None, details: dict[str, Any]) -> tuple[bytes, ...]:
    certificates = certificates_in(message, tls13=protocol == TLS13)
    details["count"] = len(certificates)
    if protocol == TLS13 and certificates:
        body = Parts(message[4:])
        body.vector(1)
        entries = body.vector(3)
        entries.vector(3)
        if STATUS_REQUEST in _extensions(entries):
            details["ocsp_stapled"] = True
    return certificates


def _compressed(body: Parts, details: dict[str, Any]) -> tuple[bytes, ...]:
    """RFC 8879; of its algorithms zlib is all that Python has."""
    algorithm, length = body.number(2), body.number(3)
    details["compression"] = {ZLIB: "zlib", 2: "brotli", 3: "zstd"}.get(algorithm, str(algorithm))
    details["uncompressed_size"] = length
    if algorithm != ZLIB:
        return ()
    try:
        plain = zlib.decompressobj().decompress(body.vector(3).rest(), MOST_UNPACKED)
    except zlib.error:
        raise ValueError("not zlib") from None
    return _certificate(b"\x0b" + len(plain).to_bytes(3, "big") + plain, TLS13, details)


def _server_key_exchange(message: bytes, protocol: str | None, cipher: str | None, details: dict[str, Any]) -> None:
    """The group, and who vouches for it; for ECDHE and DHE, which all do that show a certificate (see ``tls_groups.py``)."""
    group = group_in_key_exchange(message, cipher)
    if group is None:
        return
    details["group"] = group
    body = Parts(message[4:])
    if message[4] == NAMED_CURVE and (cipher or "").startswith("ECDHE-"):
        body.take(3)
        body.vector(1)
    else:
        for _value in ("prime", "generator", "public"):
            body.vector(2)
    if protocol == "TLSv1.2" and body:
        details["signature_scheme"] = name_of(SCHEMES, body.number(2))


def _certificate_request(body: Parts, details: dict[str, Any], protocol: str | None) -> None:
    if protocol == TLS13:
        body.vector(1)
        extensions = _extensions(body)
        schemes = extensions[SIGNATURE_ALGORITHMS].vector(2) if SIGNATURE_ALGORITHMS in extensions else Parts(b"")
        names = extensions[CERTIFICATE_AUTHORITIES].vector(2) if CERTIFICATE_AUTHORITIES in extensions else Parts(b"")
    else:
        body.vector(1)
        schemes = body.vector(2) if protocol == "TLSv1.2" else Parts(b"")
        names = body.vector(2)
    details["signature_schemes"] = _names(SCHEMES, schemes.numbers())
    found: list[str] = []
    details["authorities"] = found
    while names:
        name = names.vector(2).rest()
        if len(found) < MOST_ENTRIES:
            found.append(name_text(name))


def _certificate_verify(body: Parts, details: dict[str, Any], protocol: str | None) -> None:
    if protocol in (TLS13, "TLSv1.2"):
        details["signature_scheme"] = name_of(SCHEMES, body.number(2))


def _ticket(message: bytes, protocol: str | None, details: dict[str, Any]) -> None:
    details["lifetime"] = Parts(message[4:]).number(4)
    ticket = ticket_in(message, tls13=protocol == TLS13)
    _offer(details, ticket)


def _certificate_status(body: Parts, details: dict[str, Any], _protocol: str | None) -> None:
    """RFC 6066 section 8."""
    body.take(1)
    details["ocsp_stapled"] = bool(body.vector(3))


_HELLOS = {1: _client_hello, 2: _server_hello}
_READERS = {
    8: _encrypted_extensions,
    13: _certificate_request,
    15: _certificate_verify,
    22: _certificate_status,
}  # fmt: skip
