# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ssl
from collections.abc import Sequence

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.web.profiles import PROFILES, expand_profile


@pytest.mark.parametrize(
    ("openssl", "first"), [((), "X25519"), ((1, 1, 1), "X25519"), ((3, 0, 17), "X25519"), ((3, 4, 9), "X25519"),
                           ((3, 5, 0), "X25519MLKEM768"), ([3, 6, 1], "X25519MLKEM768"), ((4, 0, 0), "X25519MLKEM768")],
)  # fmt: skip
def test_the_hybrid_group_is_for_those_who_have_it(openssl: Sequence[int], first: str) -> None:
    groups = expand_profile("intermediate", openssl)["groups"]
    assert groups[0] == first
    assert groups[-3:] == ["X25519", "prime256v1", "secp384r1"]


def test_modern_is_tls_1_3_alone() -> None:
    modern = expand_profile("modern")
    assert modern["protocols"] == ["TLSv1.3"] and modern["ciphers"] == []


@pytest.mark.parametrize("name", PROFILES)
def test_openssl_knows_every_name(name: str) -> None:
    profile = expand_profile(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if profile["ciphers"]:
        context.set_ciphers(":".join(profile["ciphers"]))
    known = {each["name"] for each in context.get_ciphers()}
    assert {*profile["ciphers"], *profile["ciphersuites"]} <= known


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(SpecError, match="tls_profile: 'moderm' is unknown. Did you mean 'modern'"):
        expand_profile("moderm")
