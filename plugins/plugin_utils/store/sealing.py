# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets at rest, under the store's passphrase: private keys as PKCS#8 PEM (RFC 5958), other bytes by AES-256-GCM.

The standard form of keys is a promise: ``openssl pkey -in root-1.key`` opens one without this collection; ``pkcs8.py`` has it. What is
no private key has no such form: it is sealed by AES-256-GCM (NIST SP 800-38D) under a key of its own from scrypt (RFC 7914).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import (
    AESGCM,
    InvalidTag,
    UnsupportedAlgorithm,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import (
    SCRYPT,
    checked_passphrase,
    encoded_passphrase,
    still,
    why_unopened,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.pkcs8 import opened, sealed_pem

NONCE_BYTES = 12
SEALED_END = b"-----END ENCRYPTED PRIVATE KEY-----"
# What cryptography says of a key that does not open: another passphrase, or damaged.
UNOPENED = (ValueError, TypeError, UnsupportedAlgorithm)


def put_key(store: Store, key: str, private_key: Any, *, expect: str | None) -> str:
    """Seal a private key into the store; returns the entry's version.

    :raises PassphraseError: none given, a short one, or another than the store's.
    :raises StoreConflict: the entry changed.
    """
    passphrase, known = checked_passphrase(store)
    # Not under the lock: it takes a while, and many hosts may want it at once.
    sealed = sealed_pem(private_key, passphrase)
    with still(store, known):
        return store.put(key, sealed, expect=expect)


def get_key(store: Store, key: str) -> Any:
    """A private key out of the store.

    :raises StoreError: there is none under this name, or it is damaged.
    :raises PassphraseError: none given, or the wrong one.
    """
    entry = store.get(key)
    if entry is None:
        raise StoreError(f"the private key '{key}' is not in {store.describe()}", remedy=BACKUP)
    passphrase = encoded_passphrase(store)
    try:
        return opened(entry.value, passphrase)
    except UNOPENED:  # pylint: disable=catching-non-exception
        problem = why_unopened(store, passphrase) if SEALED_END in entry.value else None
        raise problem or StoreError(
            f"the private key '{key}' in {store.describe()} is damaged or not sealed",
            remedy=BACKUP,
        ) from None


def seal(store: Store, secret: bytes, context: str) -> dict[str, str | int]:
    """Seal bytes that are no private key; JSON-ready. Where an entry is made with it, that is done in ``nobody_changes_it``.

    :param context: what they are; :func:`unseal` has to be told the same, so that one sealed thing cannot take another's place.
    :raises PassphraseError: none given, a short one, or another than the store's.
    """
    return sealed_bytes(checked_passphrase(store)[0], secret, context)


def unseal(store: Store, sealed: Mapping[str, Any], context: str) -> bytes:
    """What :func:`seal` sealed.

    :raises PassphraseError: none given, or the wrong one.
    :raises StoreError: it is damaged, or another thing than ``context`` says.
    """
    passphrase = encoded_passphrase(store)
    try:
        return opened_bytes(passphrase, sealed, context)
    except (ValueError, KeyError, TypeError):
        pass
    # Last, because it stands for every exception where cryptography is missing.
    except InvalidTag:
        problem = why_unopened(store, passphrase)
        if problem is not None:
            raise problem from None
    raise StoreError(f"{context} in {store.describe()} is damaged or not sealed", remedy=BACKUP)


def sealed_bytes(passphrase: bytes, secret: bytes, context: str) -> dict[str, str | int]:
    """As :func:`seal`, under this passphrase."""
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(NONCE_BYTES)
    key = hashlib.scrypt(passphrase, salt=salt, dklen=32, **SCRYPT)
    sealed = AESGCM(key).encrypt(nonce, secret, context.encode())
    return {**SCRYPT, "salt": salt.hex(), "nonce": nonce.hex(), "sealed": base64.b64encode(sealed).decode()}


def opened_bytes(passphrase: bytes, sealed: Mapping[str, Any], context: str) -> bytes:
    """What :func:`sealed_bytes` sealed.

    :raises InvalidTag: another passphrase or another thing; :raises ValueError, KeyError, TypeError: damaged.
    """
    costs = {cost: int(sealed[cost]) for cost in SCRYPT}
    key = hashlib.scrypt(passphrase, salt=bytes.fromhex(sealed["salt"]), dklen=32, **costs)
    ciphertext = base64.b64decode(sealed["sealed"], validate=True)
    return AESGCM(key).decrypt(bytes.fromhex(sealed["nonce"]), ciphertext, context.encode())
