# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a traced message says, in a few words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

FIRST = 3


def words(message: Mapping[str, Any], resumed: bool = False) -> list[str]:
    """What to write below a message's arrow; some have nothing to say.

    :param resumed: this connection took up a session, which a ServerHello does not say in so many words.
    """
    details = message["details"]
    said = WORDS.get(message["name"], nothing)(details)
    if message["name"] in ("Certificate", "CompressedCertificate"):
        said += certificates(message["certificates"], "compression" in details)
    if resumed and message["name"] == "ServerHello":
        said.append("takes up the session")
    if details.get("ocsp_stapled"):
        said.append("with an OCSP answer (stapled)")
    return [*said, "not well-formed"] if details.get("malformed") else said


def size_text(size: float) -> str:
    """Bytes, with a decimal from a thousand on."""
    return f"{size:.0f} B" if size < 1000 else f"{size / 1000:.1f} kB"


def first(names: Sequence[Any]) -> str:
    """The first few of a list, and how many more there are."""
    more = len(names) - FIRST
    return ", ".join(str(name) for name in names[:FIRST]) + (f" and {more} more" if more > 0 else "")


def nothing(_details: Mapping[str, Any]) -> list[str]:
    """Its name says it all."""
    return []


def client_hello(details: Mapping[str, Any]) -> list[str]:
    """What is offered."""
    said = [f"offers {', '.join(details.get('versions', ()))}"]
    if details.get("server_name"):
        said.append(f"server name {details['server_name']}")
    if details.get("alpn"):
        said.append(f"ALPN {', '.join(details['alpn'])}")
    lists = [f"{len(details[field])} {word}" for field, word in LISTS.items() if details.get(field)]
    said.append(", ".join(lists))
    if details.get("groups"):
        keys = f", keys for {', '.join(details['key_shares'])}" if details.get("key_shares") else ""
        said.append(f"groups {first(details['groups'])}{keys}")
    if details.get("ticket_size"):
        said += [f"offers a session: {ticket(details)}", *key_name(details)]
    return [line for line in said if line]


def server_hello(details: Mapping[str, Any]) -> list[str]:
    """What is chosen."""
    chosen = [details.get("version"), details.get("cipher"), details.get("group")]
    said = [", ".join(part for part in chosen if part)]
    return [*said, f"ALPN {details['alpn']}"] if details.get("alpn") else said


def retry(details: Mapping[str, Any]) -> list[str]:
    """What is asked for."""
    group = details.get("group")
    return [f"again, with a key for {group}" if group else "again, with this cookie"]


def extensions(details: Mapping[str, Any]) -> list[str]:
    """TLS 1.3."""
    said = [f"ALPN {details['alpn']}"] if details.get("alpn") else []
    return [*said, "knows the server name"] if details.get("server_name_known") else said


def certificates(chain: Sequence[Mapping[str, Any]], packed: bool) -> list[str]:
    """Who is shown."""
    if not chain:
        return ["cannot be unpacked here"] if packed else ["none"]
    return [line for each in chain for line in certificate(each)]


def certificate(each: Mapping[str, Any]) -> list[str]:
    """One of them: who, by whom, from when until when, and which."""
    which = f"SHA-256 {str(each.get('fingerprint_sha256'))[:12]}…"
    if each.get("error"):
        return [f"one that cannot be read, {which}"]
    dates = f"{str(each.get('not_before'))[:10]} to {str(each.get('not_after'))[:10]}"
    return [f"{each.get('subject')}, by {each.get('issuer')}", f"  {dates}, {which}"]


def compressed(details: Mapping[str, Any]) -> list[str]:
    """RFC 8879."""
    return [f"{details.get('compression')}, unpacked {size_text(details.get('uncompressed_size') or 0)}"]


def request(details: Mapping[str, Any]) -> list[str]:
    """From whom it has to be."""
    names = details.get("authorities") or ()
    return [
        f"from {'; '.join(names[:FIRST])}" + (f" and {len(names) - FIRST} more" if len(names) > FIRST else "")
        if names
        else "from any CA"
    ]


def exchange(details: Mapping[str, Any]) -> list[str]:
    """Group and signature."""
    parts = [details.get("group"), details.get("signature_scheme")]
    return [", ".join(part for part in parts if part)] if any(parts) else []


def new_ticket(details: Mapping[str, Any]) -> list[str]:
    """How long it lasts, and under which key."""
    if not details.get("ticket_size"):
        return ["none"]
    return [f"{ticket(details)}, for {span(details.get('lifetime') or 0)}", *key_name(details)]


def ticket(details: Mapping[str, Any]) -> str:
    """A ticket by its size; one without a key's name is the number of a session in the server's cache."""
    size = size_text(details.get("ticket_size") or 0)
    return (
        f"{size}, encrypted by the server"
        if details.get("ticket_key_name")
        else f"{size}, a number in the server's cache"
    )


def key_name(details: Mapping[str, Any]) -> list[str]:
    """With which of its keys a server encrypted a ticket."""
    return [f"ticket key {details['ticket_key_name']}"] if details.get("ticket_key_name") else []


def span(seconds: int) -> str:
    """A time in the unit that fits."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:g} {unit}" if seconds % length == 0 else f"{seconds / length:.1f} {unit}"
    return f"{seconds} s"


def alert(details: Mapping[str, Any]) -> list[str]:
    """RFC 8446 section 6."""
    return [f"{details.get('level')}: {details.get('description')}"]


LISTS = {"ciphers": "cipher suites", "signature_schemes": "signature schemes"}
WORDS: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "ClientHello": client_hello,
    "ServerHello": server_hello,
    "HelloRetryRequest": retry,
    "EncryptedExtensions": extensions,
    "CompressedCertificate": compressed,
    "CertificateRequest": request,
    "CertificateVerify": exchange,
    "ServerKeyExchange": exchange,
    "NewSessionTicket": new_ticket,
    "Alert": alert,
}
