# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much DER (X.690, section 10) as it takes to see which private key a file holds. Reads elements, never trusts a length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, SEQUENCE = 0x02, 0x03, 0x04, 0x05, 0x06, 0x30

MOST_ELEMENTS = 64


class Element(NamedTuple):
    """One element: its tag, what is in it, and its own bytes from first to last."""

    tag: int
    content: bytes
    whole: bytes


def first(data: bytes) -> Element:
    """The element that ``data`` begins with; what follows it is left out.

    :raises ValueError: it ends too early, or its length or tag has a form that no certificate or key needs.
    """
    if len(data) < 2 or data[0] & 0x1F == 0x1F:
        raise ValueError("no DER")
    length, start = data[1], 2
    if length >= 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or len(data) < 2 + size:
            raise ValueError("no DER length")
        length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    if len(data) < start + length:
        raise ValueError("cut off")
    return Element(data[0], data[start : start + length], data[: start + length])


def elements(data: bytes) -> Iterator[Element]:
    """All elements of a constructed one's content.

    :raises ValueError: see :func:`first`; more than any certificate or key has side by side.
    """
    for _number in range(MOST_ELEMENTS):
        if not data:
            return
        element = first(data)
        yield element
        data = data[len(element.whole) :]
    raise ValueError("too many elements")


def encode(tag: int, content: bytes) -> bytes:
    """One element."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
