# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import (
    KEY_USAGES,
    USAGES,
    key_usage_of,
    key_usages_of,
    parse_key_usages,
    parse_usage,
)


def test_words_and_oids_are_the_same() -> None:
    assert {parse_usage(oid.dotted_string) for oid in USAGES.values()} == set(USAGES) == set(map(parse_usage, USAGES))
    assert parse_usage("1.2.3.4") == "1.2.3.4"


@pytest.mark.parametrize(
    "text", ["", "web", "1", "1.", "3.1", "1.2.03", "1.50.1", "2.5.29.37.0", "1.2.3 ", "anyExtendedKeyUsage"]
)
def test_what_is_no_usage(text: str) -> None:
    with pytest.raises(SpecError, match="usages"):
        parse_usage(text)


def test_key_usages() -> None:
    assert parse_key_usages(["key_agreement", "encipher_only", "key_agreement"]) == ("encipher_only", "key_agreement")
    for usages in (["key_cert_sign"], ["crl_sign"], ["decipher_only"]):
        with pytest.raises(SpecError, match="key_usages"):
            parse_key_usages(usages)
    for usages in ((), ("digital_signature",), tuple(KEY_USAGES)):
        assert key_usages_of(key_usage_of(usages)) == set(usages)
    assert key_usage_of((), certificates=True).crl_sign and not key_usage_of(KEY_USAGES).key_cert_sign
