# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client says, and hears, before the TLS handshake, where a protocol begins in clear: conversations as
``exchange.py`` has them. An XMPP server alone is asked for a name."""

from __future__ import annotations

import json
import re
from typing import Callable

from ansible_collections.fleet.tls.plugins.module_utils.tls.conversation import Flow, Read

# A line of any of these protocols is below 4 KiB; a greeting has a few of them.
LONGEST_LINE = 8192
MOST_LINES = 200
# LDAP and MySQL say how long their messages are.
LONGEST_MESSAGE = 65536

MYSQL_SSL = 0x0800
# Protocol 4.1, secure connection, long password; what every client since 2004 has.
MYSQL_CAPABILITIES = 0x8201 | MYSQL_SSL
MYSQL_ERROR = 0xFF
# An ExtendedRequest for 1.3.6.1.4.1.1466.20037 (RFC 4511 section 4.14.1), message 1.
LDAP_REQUEST = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
# SSLRequest: length 8, code 80877103 (PostgreSQL documentation, "Message Formats").
POSTGRES_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class StartTlsError(Exception):
    """The server would not start TLS, or spoke another protocol; the text says what it said, for people."""


def exactly(count: int) -> Flow:
    """So many bytes, and none of those that come after them.

    :raises StartTlsError: the other side hung up before.
    """
    data = b""
    while len(data) < count:
        more = yield Read(count - len(data))
        if not more:
            raise StartTlsError("the server closed the connection before TLS began")
        data += more
    return data


def next_line() -> Flow:
    """One line (text), without its end. Byte by byte: what follows it may belong to TLS.

    :raises StartTlsError: no end within reason.
    """
    data = yield from until(b"\n")
    return data.decode(errors="replace").rstrip("\r\n")


def until(end: bytes) -> Flow:
    """All bytes up to and with ``end``.

    :raises StartTlsError: no end within reason.
    """
    data = b""
    while not data.endswith(end):
        if len(data) >= LONGEST_LINE:
            raise StartTlsError(f"the server speaks another protocol: '{printable(data)}'")
        data += yield from exactly(1)
    return data


def reply(wanted: str) -> Flow:
    """A reply of SMTP or FTP: a list of lines that begin with a code, of which the last has no hyphen after it.

    :param wanted: the code.
    :raises StartTlsError: another code.
    """
    lines: list[str] = []
    for _count in range(MOST_LINES):
        lines.append((yield from next_line()))
        if not re.match("[0-9]{3}-", lines[-1]) and (len(lines) == 1 or re.match("[0-9]{3}( |$)", lines[-1])):
            break
    if not lines[-1].startswith(wanted):
        raise refused(lines[-1])
    return lines


def refused(said: str) -> StartTlsError:
    """The error for an answer that is not yes."""
    return StartTlsError(f"the server does not start TLS: it said '{printable(said.encode())}'")


def printable(data: bytes) -> str:
    """What can be shown of it."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data[:80])


def smtp(_name: str) -> Flow:
    """RFC 3207."""
    yield from reply("220")
    yield b"EHLO fleet-tls.invalid\r\n"
    if not any(line[4:].strip().upper() == "STARTTLS" for line in (yield from reply("250"))):
        raise StartTlsError("the server does not offer STARTTLS")
    yield b"STARTTLS\r\n"
    yield from reply("220")


def imap(_name: str) -> Flow:
    """RFC 9051 section 6.2.1."""
    greeting = yield from next_line()
    if not greeting.upper().startswith("* OK"):
        raise refused(greeting)
    yield b"a STARTTLS\r\n"
    for _count in range(MOST_LINES):
        line = yield from next_line()
        if not line.startswith("* "):
            break
    if not line.upper().startswith("A OK"):
        raise refused(line)


def pop3(_name: str) -> Flow:
    """RFC 2595 section 4."""
    for line in (b"", b"STLS\r\n"):
        if line:
            yield line
        answer = yield from next_line()
        if not answer.startswith("+OK"):
            raise refused(answer)


def ftp(_name: str) -> Flow:
    """RFC 4217 section 4."""
    yield from reply("220")
    yield b"AUTH TLS\r\n"
    yield from reply("234")


def ldap(_name: str) -> Flow:
    """RFC 4511 section 4.14, RFC 4513 section 3.1."""
    yield LDAP_REQUEST
    kind, message = yield from ber_value()
    # MessageID, then ExtendedResponse (application 24) whose first part is an enumerated result code.
    match = re.match(rb"\x02\x01\x01\x78(?:[\x00-\x7f]|\x81.|\x82..|\x83...|\x84....)\x0a\x01(.)", message, re.DOTALL)
    if kind != 0x30 or match is None:
        raise StartTlsError(f"the server speaks another protocol: '{printable(message)}'")
    if match.group(1) != b"\0":
        raise StartTlsError(f"the server does not start TLS: LDAP result code {match.group(1)[0]}")


def ber_value() -> Flow:
    """Tag (number) and content (bytes) of one BER value (X.690 section 8.1), definite lengths only."""
    kind, length = yield from exactly(2)
    if length > 0x84 or length == 0x80:
        raise StartTlsError("the server speaks another protocol")
    if length > 0x80:
        length = int.from_bytes((yield from exactly(length - 0x80)), "big")
    if length > LONGEST_MESSAGE:
        raise StartTlsError("the server speaks another protocol")
    return kind, (yield from exactly(length))


def postgres(_name: str) -> Flow:
    """PostgreSQL documentation, "Message Flow", "SSL Session Encryption"."""
    yield POSTGRES_REQUEST
    answer = yield from exactly(1)
    if answer == b"N":
        raise StartTlsError("the server has TLS switched off")
    if answer != b"S":
        raise StartTlsError(f"the server speaks another protocol: '{printable(answer)}'")


def mysql(_name: str) -> Flow:
    """MySQL internals, "Protocol::SSLRequest": the greeting tells what the server can, our answer stops before the user's name."""
    header = yield from exactly(4)
    greeting = yield from exactly(int.from_bytes(header[:3], "little"))
    if not greeting or greeting[0] == MYSQL_ERROR:
        raise refused(greeting[3:].decode(errors="replace"))
    # Protocol version, server's version (ends with 0), connection id (4), first part of the nonce (8), a filler, capabilities (2).
    end = greeting.find(b"\0")
    at = end + 14
    if greeting[0] != 10 or end < 0 or len(greeting) < at + 2:
        raise StartTlsError(f"the server speaks another protocol: '{printable(greeting)}'")
    if not int.from_bytes(greeting[at : at + 2], "little") & MYSQL_SSL:
        raise StartTlsError("the server does not offer TLS")
    request = MYSQL_CAPABILITIES.to_bytes(4, "little") + (2**24).to_bytes(4, "little") + b"\x21" + bytes(23)
    yield len(request).to_bytes(3, "little") + b"\x01" + request


def xmpp(name: str) -> Flow:
    """RFC 6120 section 5."""
    name = re.sub(r"[^A-Za-z0-9.:_-]", "", name)
    yield (
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
        f" to='{name}' version='1.0'>".encode()
    )
    features = yield from until(b"</stream:features>")
    if b"urn:ietf:params:xml:ns:xmpp-tls" not in features:
        raise StartTlsError("the server does not offer STARTTLS")
    yield b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    answer = yield from until(b">")
    if b"<proceed" not in answer:
        raise refused(answer.decode(errors="replace"))


def nats(_name: str) -> Flow:
    """NATS documentation, "Client protocol", "INFO": the server says what it is, and from then on expects TLS."""
    greeting = yield from next_line()
    word, _space, said = greeting.partition(" ")
    try:
        known = json.loads(said) if word == "INFO" else None
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise StartTlsError(f"the server speaks another protocol: '{printable(greeting.encode())}'")
    if not known.get("tls_required") and not known.get("tls_available"):
        raise StartTlsError("the server does not offer TLS")


PROTOCOLS: dict[str, Callable[[str], Flow]] = {
    "smtp": smtp, "imap": imap, "pop3": pop3, "ftp": ftp, "ldap": ldap, "postgres": postgres, "mysql": mysql, "xmpp": xmpp,
    "nats": nats,
}  # fmt: skip
