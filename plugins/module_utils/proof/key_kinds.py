# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several certificates at one endpoint, RSA beside ECDSA: each is shown to the clients that can use its key, and proven as one of them."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_if_there
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import ProofTarget
from ansible_collections.fleet.tls.plugins.module_utils.scan.other_key import ALGORITHMS, chain_of_kind, key_type
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import leaf_der


def leaf_of_kind(target: ProofTarget, shown: bytes, timeout: float) -> bytes | None:
    """The leaf (DER) that a target shows to clients which take only keys of its certificate's kind, by a handshake of the program openssl.

    :param shown: the leaf (DER) that it shows to other clients.
    :param timeout: seconds.
    :returns: None where that is of this kind already, or there is none of this kind.
    """
    kind = wanted_kind(target)
    if kind not in ALGORITHMS or kind == key_type(ssl.DER_cert_to_PEM_cert(shown)):
        return None
    endpoint = Endpoint(
        target.host,
        target.port,
        target.server_name,
        timeout=timeout,
        starttls=target.starttls,
        proxy_protocol=target.proxy_protocol,
    )
    chain = chain_of_kind(endpoint, str(kind))
    return leaf_der(chain[0].encode()) if chain else None


def wanted_kind(target: ProofTarget) -> str | None:
    """The kind of key of the certificate that a target is to present; None: it cannot be told."""
    return key_type((read_if_there(target.leaf) or b"").decode(errors="replace"))


def refuse_one_kind_twice(targets: Iterable[ProofTarget]) -> None:
    """:raises StepError: same_key_type: an endpoint is to serve two certificates with keys of one kind, of which no client can choose one."""
    places: dict[tuple[str, int, str | None], list[ProofTarget]] = {}
    for target in targets:
        places.setdefault((target.host, target.port, target.server_name), []).append(target)
    for sharing in places.values():
        known: dict[str, str] = {}
        for target in sharing if len(sharing) > 1 else ():
            kind = wanted_kind(target)
            other = known.setdefault(str(kind), target.certificate)
            if kind and other != target.certificate:
                raise StepError(
                    "same_key_type",
                    f"{target.address} (SNI {target.server_name or 'none'}) is to serve the certificates '{other}' and"
                    f" '{target.certificate}', which both have keys of the kind {kind}",
                    "give one of them another private_key.algorithm, rsa-3072 beside ecdsa-p256, or take it out of the site's certificates",
                )
