# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's second certificate, for clients of another kind: RSA beside ECDSA.

Which one a server shows depends on the signature algorithms that a client offers (RFC 8446, section 4.4.2.2; RFC 5246, section 7.4.2).
Python cannot set them before 3.15, so the program ``openssl`` is asked, in a handshake of its own.
"""

from __future__ import annotations

import re
import ssl

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import elements, first
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.private_keys import NAMES
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint, HandshakeError
from ansible_collections.fleet.tls.plugins.module_utils.tls.openssl_client import ask

VERSION = 0xA0
PEM_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\\n", re.DOTALL)
# Whom a client that takes nothing else would be shown.
ALGORITHMS = {
    "rsa": "RSA+SHA256:RSA+SHA384:RSA+SHA512:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512",
    "ecdsa": "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512",
}
OTHER = {"rsa": "ecdsa", "ecdsa": "rsa"}
PROTOCOL_LIMITS = {"TLSv1.2": "-no_tls1_3", "TLSv1.3": "-tls1_3"}


def other_chain(endpoint: Endpoint, shown: str) -> tuple[str, ...]:
    """What a client is shown that takes only keys of the other kind, PEM, leaf first; empty: nothing, or the same kind again.

    :param shown: the leaf of the first handshake, PEM.
    """
    wanted = OTHER.get(key_type(shown) or "")
    if wanted is None:
        return ()
    limits = [PROTOCOL_LIMITS[endpoint.maximum_version]] if endpoint.maximum_version == "TLSv1.2" else []
    limits += [PROTOCOL_LIMITS[endpoint.minimum_version]] if endpoint.minimum_version == "TLSv1.3" else []
    try:
        words = ask(endpoint, ["-showcerts", "-sigalgs", ALGORITHMS[wanted], *limits])
    except HandshakeError:
        return ()
    chain = tuple(PEM_CERTIFICATE.findall(words))
    return chain if chain and key_type(chain[0]) == wanted else ()


def key_type(pem: str) -> str | None:
    """``rsa``, ``ecdsa`` and so on, by the key in a certificate (RFC 5280, section 4.1); None: it cannot be told."""
    try:
        fields = list(elements(first(first(ssl.PEM_cert_to_DER_cert(pem)).content).content))
        key = fields[6 if fields[0].tag == VERSION else 5]
        return NAMES.get(first(first(key.content).content).content)
    except (ValueError, IndexError):
        return None
