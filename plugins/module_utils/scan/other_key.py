# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's certificates for clients that take one kind of key only: RSA beside ECDSA.

Which one a server shows depends on the signature algorithms that a client offers (RFC 8446, section 4.4.2.2; RFC 5246, section 7.4.2).
Python cannot set them before 3.15, so the program ``openssl`` is asked, in a handshake of its own.
"""

from __future__ import annotations

import functools
import re

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import elements, first
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.private_keys import NAMES
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError
from ansible_collections.fleet.tls.plugins.module_utils.tls.openssl_client import ask
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import leaf_der

VERSION = 0xA0
PEM_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\\n", re.DOTALL)
# What a client offers that takes keys of this kind and no others.
ALGORITHMS = {
    "rsa": "RSA+SHA256:RSA+SHA384:RSA+SHA512:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512",
    "ecdsa": "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512",
    "ed25519": "ed25519",
    "ed448": "ed448",
    "ml-dsa-44": "mldsa44",
    "ml-dsa-65": "mldsa65",
    "ml-dsa-87": "mldsa87",
}
PROTOCOL_LIMITS = {"TLSv1.2": "-no_tls1_3", "TLSv1.3": "-tls1_3"}


def other_chain(endpoint: Endpoint, shown: str) -> tuple[str, ...]:
    """What a client is shown that takes all kinds of keys but this one, PEM, leaf first; empty: nothing, or the same kind again.

    :param shown: the leaf of the first handshake, PEM.
    """
    kind = key_type(shown)
    return chain_of_kind(endpoint, *(each for each in known_kinds() if each != kind)) if kind in ALGORITHMS else ()


@functools.lru_cache(maxsize=1)
def known_kinds() -> tuple[str, ...]:
    """The kinds that the program ``openssl`` knows, which is asked once: it refuses a whole list for one that it does not. Python may have come with
    another OpenSSL."""
    try:
        found = openssl.version()
    except StepError:
        found = ()
    return tuple(each for each in ALGORITHMS if found >= openssl.NEEDED or each not in openssl.POST_QUANTUM)


def chain_of_kind(endpoint: Endpoint, *kinds: str) -> tuple[str, ...]:
    """What a client is shown that takes keys of these kinds only, PEM, leaf first; empty: nothing, or one of another kind.

    :param kinds: some of ``ALGORITHMS``.
    """
    limits = [PROTOCOL_LIMITS[endpoint.maximum_version]] if endpoint.maximum_version == "TLSv1.2" else []
    limits += [PROTOCOL_LIMITS[endpoint.minimum_version]] if endpoint.minimum_version == "TLSv1.3" else []
    offered = ":".join(ALGORITHMS[kind] for kind in kinds)
    try:
        words = ask(endpoint, ["-showcerts", "-sigalgs", offered, *limits])
    except HandshakeError:
        return ()
    chain = tuple(PEM_CERTIFICATE.findall(words))
    return chain if chain and key_type(chain[0]) in kinds else ()


def key_type(pem: str) -> str | None:
    """``rsa``, ``ecdsa`` and so on, by the key in a certificate (RFC 5280, section 4.1); None: it cannot be told."""
    try:
        fields = list(elements(first(first(leaf_der(pem.encode()) or b"").content).content))
        key = fields[6 if fields[0].tag == VERSION else 5]
        return NAMES.get(first(first(key.content).content).content)
    except (ValueError, IndexError):
        return None
