# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subject of a certificate beside its common name: ``subject: {O: Example, OU: [Web, Shop]}`` (RFC 5280, 4.1.2.6; RFC 4514, section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import NameOID, x509

Parts = tuple[tuple[str, str], ...]

# In the order in which they stand in the certificate, from the large to the small, before the common name.
OIDS = {
    "DC": NameOID.DOMAIN_COMPONENT,
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
}
PARTS = tuple(OIDS)
# RFC 5280, appendix A.
LONGEST = {"DC": 63, "C": 2, "ST": 128, "L": 128, "O": 64, "OU": 64, "serialNumber": 64}
# DC is an IA5String, C and serialNumber are PrintableStrings.
FORMS = {
    "DC": (re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"), "a label of a domain"),
    "C": (re.compile(r"[A-Z]{2}"), "a code of two capital letters, such as DE"),
    "serialNumber": (re.compile(r"[A-Za-z0-9 '()+,./:=?-]+"), "letters, digits and '()+,-./:=?"),
}


def parse_subject(raw: Any, where: str = "subject") -> Parts:
    """Part and value, in the order of the certificate. ``DC`` is written as in DNS: ``[example, com]`` or ``example.com``.

    :raises SpecError: an unknown part, or a value that it cannot have.
    """
    fields = Fields(raw, PARTS, where)
    found: list[tuple[str, str]] = []
    for part in PARTS:
        values = fields.strings(part)
        if part == "DC":
            values = [label for each in values for label in each.split(".")][::-1]
        found += [(part, checked_value(part, value, f"{where}: {part}")) for value in values]
    return tuple(found)


def checked_value(part: str, value: str, where: str) -> str:
    """:raises SpecError: a value that a part cannot have."""
    form, words = FORMS.get(part, (None, ""))
    if form and not form.fullmatch(value):
        raise SpecError(f"{where}: '{value[:80]}' is not {words}", remedy="check the variable it comes from")
    if not value.strip() or value != value.strip() or not value.isprintable() or len(value) > LONGEST[part]:
        raise SpecError(
            f"{where}: '{value[:80]}' is empty, longer than {LONGEST[part]} characters, not printable or has blanks around it",
            remedy="check the variable it comes from",
        )
    return value


def distinguished_name(parts: Parts, common_name: str | None = None) -> x509.Name:
    """The name that these make."""
    attributes = [x509.NameAttribute(OIDS[part], value) for part, value in parts]
    return x509.Name([*attributes, *([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])])


def missing_parts(parts: Parts, name: x509.Name) -> Iterable[str]:
    """Which parts a name lacks, as text."""
    has = [(attribute.oid, attribute.value) for attribute in name]
    return [f"{part}={value}" for part, value in parts if (OIDS[part], value) not in has]
