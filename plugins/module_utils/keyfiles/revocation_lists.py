# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which serial numbers revocation lists (RFC 5280, section 5) in a PEM file hold. No signature is looked at: that is the controller's part."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import INTEGER, SEQUENCE, Element, first

BLOCK = re.compile(b"-----BEGIN X509 CRL-----\\s+([A-Za-z0-9+/=\\s]+?)-----END X509 CRL-----")


def lists_more(present: bytes, wanted: bytes) -> bool:
    """Whether a CA's list in ``present`` holds a number that its list in ``wanted`` does not.

    A CA that has no list any more in ``wanted`` does not count: who checks revocation takes no certificate of such a CA.
    """
    before, after = listed(present), listed(wanted)
    return any(issuer in after and numbers - after[issuer] for issuer, numbers in before.items())


def listed(pem: bytes) -> dict[bytes, frozenset[bytes]]:
    """The CA's name (DER) → the numbers that all its lists hold together; what is not a list is passed over."""
    found: dict[bytes, frozenset[bytes]] = {}
    for match in BLOCK.finditer(pem):
        try:
            issuer, numbers = parse(base64.b64decode(match.group(1)))
        except (ValueError, binascii.Error):
            continue
        found[issuer] = found.get(issuer, frozenset()) | numbers
    return found


def parse(der: bytes) -> tuple[bytes, frozenset[bytes]]:
    """Issuer and numbers of one list.

    :raises ValueError: it is none.
    """
    parts = list(side_by_side(first(first(der).content).content))
    if parts and parts[0].tag == INTEGER:
        parts = parts[1:]
    if len(parts) < 3 or parts[0].tag != SEQUENCE or parts[1].tag != SEQUENCE:
        raise ValueError("no revocation list")
    # After the issuer come one or two moments, then the entries where there are any.
    entries = next((part.content for part in parts[2:] if part.tag == SEQUENCE), b"")
    return bytes(parts[1].whole), frozenset(bytes(first(entry.content).content) for entry in side_by_side(entries))


def side_by_side(data: bytes) -> Iterator[Element]:
    """All elements of a content, of which there may be a hundred thousand.

    :raises ValueError: see :func:`first`.
    """
    rest = memoryview(data)
    while rest:
        element = first(rest)  # type: ignore[arg-type]
        yield element
        rest = rest[len(element.whole) :]
