# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ML-DSA (FIPS 204) in certificates (RFC 9881): its names, and what the controller's ``cryptography`` can do with it.

It signs without a hash of its own, and its private keys are kept as their seed of 32 bytes (RFC 9881, section 6), which OpenSSL reads too.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.der import SEQUENCE, elements, first
from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.private_keys import NAMES
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki import crypto

# In the words of ``private_key.algorithm``.
ALGORITHMS = ("ml-dsa-44", "ml-dsa-65", "ml-dsa-87")
# RFC 9881, section 2; releases of cryptography that do not know the algorithm have no name for them.
SIGNATURES = {f"2.16.840.1.101.3.4.3.{number}": f"ML-DSA-{size}" for number, size in ((17, 44), (18, 65), (19, 87))}
# The first release of cryptography whose builders sign certificates with it.
NEEDED = 49
CLASS = re.compile(r"MLDSA(44|65|87)P(?:ublic|rivate)Key")


def algorithm_of(key: object) -> str | None:
    """The algorithm of a public or private key of ``cryptography``; None: it is another kind of key."""
    match = CLASS.fullmatch(type(key).__name__)
    return f"ml-dsa-{match[1]}" if match else None


def generate(algorithm: str) -> Any:
    """A private key of one of :data:`ALGORITHMS`.

    :raises DependencyError: as :func:`refuse_old_cryptography`.
    """
    refuse_old_cryptography(f"a key of {algorithm}")
    return getattr(crypto.mldsa, f"MLDSA{algorithm[-2:]}PrivateKey").generate()


def read_expanded(pem: bytes) -> Any:
    """A private key (PEM, PKCS#8, not encrypted) that holds its seed and the expanded key, as OpenSSL writes it (RFC 9881, section 6: ``both``).
    ``cryptography`` reads the seed alone.

    :raises ValueError: it is no such key.
    """
    if crypto.mldsa is None:
        raise ValueError("no ML-DSA here")
    _begin, _label, rest = pem.partition(b"-----BEGIN PRIVATE KEY-----")
    _version, algorithm, key, *_rest = elements(first(base64.b64decode(rest.partition(b"-----END")[0])).content)
    both = first(key.content)
    name = NAMES.get(first(algorithm.content).content)
    if name not in ALGORITHMS or both.tag != SEQUENCE:
        raise ValueError("no such key")
    return getattr(crypto.mldsa, f"MLDSA{name[-2:]}PrivateKey").from_seed_bytes(first(both.content).content)


def refuse_old_cryptography(what: str) -> None:
    """Before anything is touched.

    :param what: what needs a newer one, for people.
    :raises DependencyError: this controller's does not sign certificates with ML-DSA, or the OpenSSL in it does not know the algorithm.
    """
    found = crypto.version()
    if not found.partition(".")[0].isdigit() or int(found.partition(".")[0]) < NEEDED or crypto.mldsa is None:
        problem = f"which has {found}"
    elif not knows_algorithm():
        problem = f"built with an OpenSSL that knows ML-DSA (3.5 or newer); its {found} is built with another one"
    else:
        return
    raise DependencyError(
        f"{what} needs the Python package cryptography {NEEDED} or newer on the controller, {problem}",
        remedy=f"install it where ansible runs: pip install 'cryptography>={NEEDED}'",
    )


def knows_algorithm() -> bool:
    """Whether the OpenSSL in ``cryptography`` does: distributions build the package with their own."""
    try:
        crypto.mldsa.MLDSA44PrivateKey.generate()
    except crypto.UnsupportedAlgorithm:
        return False
    return True
