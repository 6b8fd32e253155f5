# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be read of a certificate that ``cryptography`` does not read as a whole: an odd extension costs it no dates. Pure."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import INTEGER, Element, elements, first
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.private_keys import NAMES
from ansible_collections.fleet.tls.plugins.module_utils.trace.distinguished_names import name_text
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import NameOID, serialization, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.post_quantum import ALGORITHMS
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.raw_certificate import VERSION, with_one_extension
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    UNREADABLE,
    Names,
    days_left,
    iso,
    key_algorithm,
    names_of,
    serial_text,
    signature_algorithm,
    usages_of,
)

Value = TypeVar("Value")

UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
# X.690, 11.7 and 11.8, and what older certificates have: no seconds, fractions, a zone.
MOMENT = re.compile(r"(\d{12})(\d\d)?(?:\.\d+)?(Z|[+-]\d{4})")
FIELDS = 6
NOTHING = Element(0, b"", b"")


def describe_partly(der: bytes, now: dt.datetime) -> dict[str, Any]:
    """The fields of :func:`x509.describe`; None, or an empty list, for what cannot be read.

    :param der: whatever stands where a certificate should be; nothing is raised for its contents.
    """
    serial, _algorithm, issuer, validity, subject, key = fields_of(der)
    known = attempt(lambda: x509.load_der_x509_certificate(der))
    apart = extensions_apart(der)
    # Each has one extension, so one of them has the names, unless that is what cannot be read.
    names = next((found for found in read_each(names_of, apart) if found.sans()), Names())
    return {
        "subject": attempt(lambda: name_text(subject.whole)),
        "issuer": attempt(lambda: name_text(issuer.whole)),
        "common_name": known
        and attempt(lambda: str(known.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)),
        "dns_names": list(names.dns_names),
        "ip_addresses": list(names.ip_addresses),
        "uris": list(names.uris),
        "email_addresses": list(names.email_addresses),
        "usages": next((list(found) for found in read_each(usages_of, apart) if found), []),
        **(attempt(lambda: dates_of(validity, now)) or dict.fromkeys(("not_before", "not_after", "days_left"))),
        "serial": attempt(lambda: serial_number(serial)),
        "fingerprint_sha256": hashlib.sha256(der).hexdigest(),
        "key_algorithm": attempt(lambda: key_algorithm(serialization.load_der_public_key(key.whole)))
        or post_quantum_key(key),
        "signature_algorithm": known and attempt(lambda: signature_algorithm(known)),
    }


def post_quantum_key(key: Element) -> str | None:
    """The algorithm of an ML-DSA key that ``cryptography`` is too old to know; None: it is no such key."""
    name = attempt(lambda: NAMES.get(first(first(key.content).content).content))
    return name if name in ALGORITHMS else None


def public_key_digest(der: bytes) -> str | None:
    """SHA-256 of its SubjectPublicKeyInfo; None: it is not found."""
    key = fields_of(der)[-1]
    return hashlib.sha256(key.whole).hexdigest() if key.whole else None


def extensions_apart(der: bytes) -> list[x509.Certificate]:
    """The certificate once for each extension, with nothing but that one; empty where even that cannot be read."""
    return attempt(lambda: [alone for _raw, alone in with_one_extension(x509.load_der_x509_certificate(der))]) or []


def fields_of(der: bytes) -> list[Element]:
    """Serial number, algorithm, issuer, validity, subject and key (RFC 5280, section 4.1); :data:`NOTHING` for what is not there."""
    found = attempt(lambda: list(elements(first(first(der).content).content))) or []
    found = [each for each in found[:1] if each.tag != VERSION] + found[1:]
    return [*found, *[NOTHING] * FIELDS][:FIELDS]


def attempt(read: Callable[[], Value]) -> Value | None:
    """What it returns; None: it cannot be read."""
    try:
        return read()
    except UNREADABLE:
        return None


def read_each(read: Callable[[x509.Certificate], Value], certificates: Iterable[x509.Certificate]) -> Iterator[Value]:
    """What it returns for each that can be read."""
    for certificate in certificates:
        with contextlib.suppress(*UNREADABLE):
            yield read(certificate)


def dates_of(validity: Element, now: dt.datetime) -> dict[str, Any]:
    """``not_before``, ``not_after`` and ``days_left``.

    :raises ValueError, OverflowError: they cannot be read.
    """
    begin, end = map(moment_of, elements(validity.content))
    return {"not_before": iso(begin), "not_after": iso(end), "days_left": days_left(end, now)}


def moment_of(element: Element) -> dt.datetime:
    """UTCTime or GeneralizedTime.

    :raises ValueError: it is neither.
    """
    text = element.content.decode("ascii")
    if element.tag == UTC_TIME:
        # RFC 5280, section 4.1.2.5.1.
        text = f"{'20' if int(text[:2]) < 50 else '19'}{text}"
    match = MOMENT.fullmatch(text)
    if match is None or element.tag not in (UTC_TIME, GENERALIZED_TIME):
        raise ValueError("no moment")
    return dt.datetime.strptime(f"{match[1]}{match[2] or '00'}{match[3]}", "%Y%m%d%H%M%S%z")


def serial_number(element: Element) -> str:
    """As :func:`x509.serial_text` has it.

    :raises ValueError: it is no number.
    """
    if element.tag != INTEGER or not element.content:
        raise ValueError("no serial number")
    return serial_text(int.from_bytes(element.content, "big", signed=True))
