# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mozilla's TLS profiles as data, in OpenSSL's names, for every web server alike. Pure.

Server Side TLS guidelines 6.0, https://ssl-config.mozilla.org/guidelines/6.0.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of

CIPHERSUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
GROUPS = ("X25519", "prime256v1", "secp384r1")
# A name that OpenSSL does not know makes servers refuse their whole configuration.
HYBRID_GROUP, HYBRID_SINCE = "X25519MLKEM768", (3, 5)


@dataclass(frozen=True)
class Profile:
    """What a profile allows; the client chooses among it.

    :param protocols: ``TLSv1.2``, ``TLSv1.3``.
    :param ciphers: of TLS 1.2; empty where that is not allowed.
    """

    protocols: tuple[str, ...]
    ciphers: tuple[str, ...]


PROFILES = {
    "intermediate": Profile(
        protocols=("TLSv1.2", "TLSv1.3"),
        ciphers=(
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "ECDHE-RSA-CHACHA20-POLY1305",
        ),
    ),
    "modern": Profile(protocols=("TLSv1.3",), ciphers=()),
}


def expand_profile(name: Any, openssl: Sequence[int] = ()) -> dict[str, list[str]]:
    """A profile as a host can have it: ``{protocols, ciphers, ciphersuites, groups}``.

    :param openssl: version of the host's OpenSSL; the post-quantum hybrid comes first where it has it.
    :raises SpecError: there is no such profile.
    """
    profile = PROFILES[one_of(name, PROFILES, "tls_profile")]
    hybrid = [HYBRID_GROUP] if tuple(openssl) >= HYBRID_SINCE else []
    return {
        "protocols": list(profile.protocols),
        "ciphers": list(profile.ciphers),
        "ciphersuites": list(CIPHERSUITES),
        "groups": [*hybrid, *GROUPS],
    }
