# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names in a certificate: parse what the user wrote, refuse what no client would match. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import parse_subject
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names

LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@([A-Za-z0-9.-]+)")
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+")
NAME_FIELDS = ("dns_names", "ip_addresses", "uris", "email_addresses")


def parse_dns_name(text: object) -> str:
    """A DNS name in lower case (RFC 1034 3.5; wildcards as RFC 9525 6.3 has them), one in Unicode in its encoded form (RFC 5891).

    :raises SpecError: empty, over-long, not letters-digits-hyphens, a wildcard anywhere but as the whole first
        label above two others (no client matches it there), or an IP address.
    """
    # Before it is put in lower case, which turns some other letters into ASCII ones.
    written = str(text).strip()
    name = (written if written.isascii() else encoded(written)).lower().removesuffix(".")
    if not name:
        raise SpecError("dns_names: empty name", remedy="remove it, or check the variable it comes from")
    if len(name) > 253:
        raise SpecError(f"dns_names: '{name[:40]}…' has {len(name)} characters", remedy="253 is the longest (RFC 1035)")
    if is_ip_address(name):
        raise SpecError(f"dns_names: '{name}' is an IP address", remedy="put it into ip_addresses")
    labels = name.split(".")
    if "*" in name:
        if labels[0] != "*" or "*" in "".join(labels[1:]) or len(labels) < 3:
            raise SpecError(
                f"dns_names: wildcard in the wrong place in '{name}'",
                remedy="a wildcard is the whole first label and has two more behind it, as in *.example.com",
            )
        labels = labels[1:]
    for label in labels:
        if not LABEL.fullmatch(label):
            problem = "an empty label" if not label else f"the label '{label[:70]}'"
            raise SpecError(
                f"dns_names: '{name}' has {problem}",
                remedy="a label is 1 to 63 letters, digits and inner hyphens",
            )
    return name


def encoded(name: str) -> str:
    """A name in Unicode in its encoded form, ``bücher.example`` → ``xn--bcher-kva.example``; capital letters and the like are folded
    as UTS 46 says.

    :raises SpecError: it has none, or the library ``idna`` is not on the controller.
    """
    try:
        import idna
    except ImportError:
        raise SpecError(
            f"dns_names: '{name[:80]}' is not ASCII",
            remedy="write it in its encoded form (xn--…), or install the Python package idna where ansible runs",
        ) from None
    star, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        return star + idna.encode(rest.removesuffix("."), uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise SpecError(
            f"dns_names: '{name[:80]}' is not a name: {str(error)[:120]}", remedy="check its spelling"
        ) from None


def parse_ip_address(text: object) -> str:
    """Canonical text form of an IPv4 or IPv6 address.

    :raises SpecError: not an address (a network or a name, for instance), or one with a zone, which no certificate has.
    """
    try:
        address = str(ipaddress.ip_address(str(text).strip()))
    except ValueError:
        raise SpecError(
            f"ip_addresses: '{text}' is not an IP address", remedy="write one address, no network"
        ) from None
    if "%" in address:
        raise SpecError(f"ip_addresses: '{text}' has a zone", remedy="write it without the part from % on")
    return address


def parse_uri(text: object) -> str:
    """An absolute URI (SPIFFE IDs are some).

    :raises SpecError: no scheme, or characters a URI does not have.
    """
    if not URI.fullmatch(str(text)):
        raise SpecError(f"uris: '{text}' is not an absolute URI", remedy="write scheme and path in ASCII")
    return str(text)


def parse_email_address(text: object) -> str:
    """A mailbox, ``local@domain``, in ASCII (RFC 5280 4.2.1.6).

    :raises SpecError: not one.
    """
    match = EMAIL.fullmatch(str(text))
    try:
        if match and parse_dns_name(match[1]) == match[1].lower():
            return str(text)
    except SpecError:
        pass
    raise SpecError(f"email_addresses: '{str(text)[:80]}' is not a mailbox", remedy="write user@example.com")


PARSERS: dict[str, Callable[[object], str]] = {
    "dns_names": parse_dns_name,
    "ip_addresses": parse_ip_address,
    "uris": parse_uri,
    "email_addresses": parse_email_address,
}


def parse_names(raw: Mapping[str, Any]) -> Names:
    """The names of one entry of ``tls_certificates``.

    :raises SpecError: a bad or duplicate name, or none at all; a subject that cannot be.
    """
    fields: dict[str, tuple[str, ...]] = {}
    for field in NAME_FIELDS:
        values = raw.get(field) or []
        if not isinstance(values, (list, tuple)):
            raise SpecError(f"{field}: must be a list", remedy=f"write {field}: [{values}]")
        for value in values:
            # An undefined or empty variable would become a name such as "none".
            if not isinstance(value, str):
                raise SpecError(f"{field}: {value!r} is not a text", remedy="check the variable it comes from")
        parsed = [PARSERS[field](value) for value in values]
        for value in parsed:
            if parsed.count(value) > 1:
                raise SpecError(f"{field}: '{value}' appears twice", remedy="remove one of them")
        fields[field] = tuple(sorted(parsed))
    if not any(fields.values()):
        raise SpecError("has no names", remedy="give it at least one of dns_names, ip_addresses, uris, email_addresses")
    subject = parse_subject(raw.get("subject") or {})
    return Names(common_name=parse_common_name(raw.get("common_name")), subject=subject, **fields)


def parse_common_name(text: object) -> str | None:
    """The subject's common name, at most 64 bytes (RFC 5280 appendix A, ub-common-name, as ``cryptography`` counts it).

    :raises SpecError: empty, longer, or with control characters.
    """
    if text is None:
        return None
    name = str(text)
    if not name.strip() or not name.isprintable() or len(name.encode()) > 64:
        raise SpecError(
            f"common_name: '{name[:80]}' is empty, longer than 64 bytes or not printable",
            remedy="leave it out: clients look at the alternative names only",
        )
    return name


def is_ip_address(text: str) -> bool:
    """Whether ``text`` is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
