# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import (
    distinguished_name,
    missing_parts,
    parse_subject,
)

ALL: dict[str, Any] = {
    "O": "Example, Ltd", "OU": ["Web", "Shop"], "C": "DE", "L": "Köln", "ST": "NRW", "DC": "example.com", "serialNumber": "A-7",
}  # fmt: skip


def test_in_the_order_of_the_certificate() -> None:
    parts = parse_subject(ALL)
    name = distinguished_name(parts, "www")
    assert name.rfc4514_string() == (
        "CN=www,2.5.4.5=A-7,OU=Shop,OU=Web,O=Example\\, Ltd,L=Köln,ST=NRW,C=DE,DC=example,DC=com"
    )
    assert parse_subject({"DC": ["example", "com"]}) == parse_subject({"DC": "example.com"})
    assert parse_subject({}) == () and list(distinguished_name(())) == []
    assert list(missing_parts(parts, name)) == []
    assert list(missing_parts(parts, distinguished_name(parse_subject({**ALL, "OU": "Web"})))) == ["OU=Shop"]


@pytest.mark.parametrize(
    "raw",
    [
        "O=x", {"CN": "x"}, {"C": "Germany"}, {"C": "de"}, {"O": ""}, {"O": " x"}, {"O": "a\nb"}, {"O": "x" * 65}, {"DC": "exämple"},
        {"DC": "example..com"}, {"serialNumber": "a_b"}, {"OU": [{"a": 1}, ""]},
    ],
    ids=str,
)  # fmt: skip
def test_what_no_subject_can_be(raw: Any) -> None:
    with pytest.raises(SpecError, match="subject"):
        parse_subject(raw)
