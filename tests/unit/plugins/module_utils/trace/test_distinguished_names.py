# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of CAs as servers send them, against those that cryptography writes."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from ansible_collections.fleet.tls.plugins.module_utils.trace.distinguished_names import name_text

PLAIN = x509.Name(
    [x509.NameAttribute(NameOID.COUNTRY_NAME, "AT"), x509.NameAttribute(NameOID.COMMON_NAME, "Example CA")]
)
MANY = x509.Name(
    [
        x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "com"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'A, "B" + C; <D>\\'),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Grüße 暗号"),
        x509.NameAttribute(NameOID.COMMON_NAME, "x" * 64),
    ]
)
TOGETHER = x509.Name(
    [
        x509.RelativeDistinguishedName(
            [x509.NameAttribute(NameOID.COMMON_NAME, "a"), x509.NameAttribute(NameOID.USER_ID, "b")]
        )
    ]
)
WIDE = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Überall", _ASN1Type.BMPString)])


@pytest.mark.parametrize(
    "name", [PLAIN, MANY, TOGETHER, WIDE, x509.Name([])], ids=["plain", "many", "together", "wide", "empty"]
)
def test_as_cryptography_writes_it(name: x509.Name) -> None:
    assert name_text(name.public_bytes()) == name.rfc4514_string()


def test_an_attribute_nobody_knows() -> None:
    name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier("1.2.3.4"), "x")])
    assert name_text(name.public_bytes()) == "2a0304=x"


def test_mutations_are_refused_or_read() -> None:
    der = MANY.public_bytes()
    for position in range(len(der)):
        for changed in (
            der[:position],
            der[:position] + b"\xff" + der[position + 1 :],
            der[:position] + b"\x80" + der[position:],
        ):
            try:
                assert isinstance(name_text(changed), str)
            except ValueError:
                continue
