# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that are made on the controller, for hosts that may not make their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.csr import make_csr
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import serialization, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import UNREADABLE, key_algorithm, key_id, serial_text
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.entry_names import safe
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key
from ansible_collections.fleet.tls.plugins.plugin_utils.store.upkeep import reseal


@dataclass(frozen=True)
class ControllerKey:
    """A private key on its way to a host; ``pem`` is PKCS#8 in the clear and never part of a repr."""

    key_id: str
    request_id: str
    csr: x509.CertificateSigningRequest
    pem: str = field(repr=False)


def controller_key(store: Store, host: str, spec: CertificateSpec, live: x509.Certificate | None) -> ControllerKey:
    """The key for a host's next certificate, kept in the store under ``keys/<host>/<certificate>.key``.

    A kept key that the live certificate does not use was made by a run that did not come to its end: it is used now.
    With ``rotation_policy: never`` the kept key stays as long as its algorithm is the wanted one.

    :raises StoreError, PassphraseError: the store does not give or take it.
    """
    entry_name = f"keys/{safe(host)}/{safe(spec.name)}.key"
    with store.lock(f"keys/{safe(host)}"):
        reseal(store, entry_name)
        entry = store.get(entry_name)
        key = get_key(store, entry_name) if entry else None
        in_use = key is not None and live is not None and key_id(key.public_key()) == key_id(live.public_key())
        fits = key is not None and key_algorithm(key.public_key()) == spec.private_key.algorithm
        if key is None or not fits or (in_use and spec.private_key.rotation_policy == "always"):
            key = generate_key(spec.private_key.algorithm)
            put_key(store, entry_name, key, expect=entry.version if entry else None)
    return request_key(key, spec, live)


def request_key(private_key: Any, spec: CertificateSpec, live: x509.Certificate | None) -> ControllerKey:
    """A key with its request. A kept key may get several certificates: the one it follows makes the request unique."""
    identity = key_id(private_key.public_key())
    follows = serial_text(live.serial_number)[:20] if live else "first"
    return ControllerKey(identity, f"{identity[:40]}-{follows}", make_csr(private_key, spec), plain_pem(private_key))


def load_private_key(pem: str) -> Any:
    """A private key in the clear.

    :raises CertificateError: it is none. Nothing of it is told.
    """
    try:
        return serialization.load_pem_private_key(pem.encode(), None)
    except UNREADABLE:
        raise CertificateError("the private key cannot be read") from None


def plain_pem(private_key: Any) -> str:
    """A private key as it travels to a host: PKCS#8 PEM, not encrypted."""
    encoded: bytes = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded.decode()
