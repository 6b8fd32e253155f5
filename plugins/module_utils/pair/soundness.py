# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do keys, certificates and chains belong together? A process for each question is what issuing would cost most.

So Python's own OpenSSL is asked first, which takes none, and chains are looked at together. That settles only what is right: whatever is not
is asked about again, one by one and of the ``openssl`` program, which says what is wrong.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable, Sequence

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.system import openssl
from ansible_collections.fleet.tls.plugins.module_utils.system.memory import in_memory

# Each takes a descriptor of the process, which may have 256 or 1024.
MOST_AT_ONCE = 100
# A certificate, and the one that issued it, both PEM.
Link = tuple[bytes, bytes]


def check_certificate(pem: bytes) -> None:
    """:raises StepError: openssl_failed: it cannot be read as a certificate (PEM); openssl_missing."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError):  # the latter where it is not ASCII
        openssl.public_key_of_certificate(pem)


def belongs(key: bytes, certificate: bytes) -> bool:
    """Whether a private key (PEM, unencrypted) is the one that a certificate (PEM) is for.

    :raises StepError: openssl_failed: one of them cannot be read; openssl_missing.
    """
    try:
        with in_memory(certificate) as cert, in_memory(key) as private:
            paths = [f"/proc/self/fd/{descriptor}" for descriptor in (cert, private)]
            # SSL_CTX_use_PrivateKey_file(3) refuses a key that is not the certificate's. Without a password it would ask the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(paths[0], paths[1], password="")
            return True
    except OSError:  # ssl.SSLError is one
        pass
    return openssl.public_key_of_key(key) == openssl.public_key_of_certificate(certificate)


def links(chain: Sequence[bytes]) -> list[Link]:
    """The links of a chain, leaf first."""
    return list(zip(chain, chain[1:]))


def sound_links(chains: Iterable[Sequence[bytes]]) -> frozenset[Link]:
    """Those links of chains that are known to be right; of the others nothing is known."""
    lowers: dict[bytes, list[bytes]] = {}
    for lower, upper in dict.fromkeys(link for chain in chains for link in links(chain)):
        lowers.setdefault(upper, []).append(lower)
    found: set[Link] = set()
    # Whoever asks about one of the others hears what is amiss.
    with contextlib.suppress(StepError, OSError):
        for upper, each in lowers.items():
            for start in range(0, len(each), MOST_AT_ONCE):
                some = each[start : start + MOST_AT_ONCE]
                if openssl.issued(some, upper):
                    found.update((lower, upper) for lower in some)
    return frozenset(found)
