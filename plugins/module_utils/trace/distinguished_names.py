# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Distinguished names (X.501, DER) as text: a server that asks for client certificates names the CAs it takes them from."""

from __future__ import annotations

from collections.abc import Iterator

SET, SEQUENCE = 0x31, 0x30
# Attribute types by their OIDs, as RFC 4514 section 3 abbreviates them and as people know the others.
_SHORT = {
    bytes.fromhex("550403"): "CN",
    bytes.fromhex("550405"): "serialNumber",
    bytes.fromhex("550406"): "C",
    bytes.fromhex("550407"): "L",
    bytes.fromhex("550408"): "ST",
    bytes.fromhex("550409"): "STREET",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
    bytes.fromhex("0992268993f22c640101"): "UID",
    bytes.fromhex("0992268993f22c640119"): "DC",
    bytes.fromhex("2a864886f70d010901"): "emailAddress",
}
# BMPString has two bytes a character, UniversalString four; all others are read as UTF-8.
_ENCODINGS = {0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x14: "latin-1"}


def name_text(der: bytes) -> str:
    """RFC 4514 text, the last part first, ``CN=Example CA,O=Example``.

    :raises ValueError: not the DER of a name.
    """
    ((kind, content),) = values(der)
    if kind != SEQUENCE:
        raise ValueError("not a name")
    parts = ["+".join(_attribute(each) for _kind, each in values(relative)) for _set, relative in values(content)]
    return ",".join(reversed(parts))


def values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of DER values that stand one after the other (X.690 section 10.1).

    :raises ValueError: a value goes beyond its end, or has a length that DER does not have.
    """
    position = 0
    while position < len(data):
        kind, length = data[position], int.from_bytes(data[position + 1 : position + 2], "big")
        position += 2
        if length == 0x80 or length > 0x84:
            raise ValueError("not DER")
        if length > 0x80:
            more = length - 0x80
            length = int.from_bytes(data[position : position + more], "big")
            position += more
        if position + length > len(data):
            raise ValueError("not DER: cut off")
        yield kind, data[position : position + length]
        position += length


def _attribute(der: bytes) -> str:
    (_oid, oid), (kind, value) = values(der)
    text = value.decode(_ENCODINGS.get(kind, "utf-8"), errors="replace")
    escaped = "".join("\\" + each if each in ',+"\\<>;' else each for each in text)
    return f"{_SHORT.get(oid) or oid.hex()}={escaped}"
