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
import hmac
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError, StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import (
    AESGCM,
    InvalidTag,
    UnsupportedAlgorithm,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP, JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.pkcs8 import is_many_lines, opened, sealed_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.store.strength import is_weak

SHORTEST_PASSPHRASE = 12
# Bytes; openssl reads no longer one from a file or a prompt (PEM_BUFSIZE).
LONGEST_PASSPHRASE = 1023
CHECK_ENTRY = "passphrase.json"
HOW_TO_MAKE_ONE = "make one with 'openssl rand -base64 32' and keep it in Ansible Vault"
SCRYPT = {"n": 2**14, "r": 8, "p": 1}
NONCE_BYTES = 12


def put_key(store: Store, key: str, private_key: Any, *, expect: str | None) -> str:
    """Seal a private key into the store; returns the entry's version.

    :raises PassphraseError: none given, a short one, or another than the store's.
    :raises StoreConflict: the entry changed.
    """
    passphrase = checked_passphrase(store)
    return store.put(key, sealed_pem(private_key, passphrase), expect=expect)


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
    except (ValueError, TypeError, UnsupportedAlgorithm):
        whole = b"-----END ENCRYPTED PRIVATE KEY-----" in entry.value
        if whole and not is_known(store, passphrase):
            raise wrong_passphrase(store) from None
        raise StoreError(
            f"the private key '{key}' in {store.describe()} is damaged or not sealed",
            remedy=BACKUP,
        ) from None


def seal(store: Store, secret: bytes, context: str) -> dict[str, str | int]:
    """Seal bytes that are no private key; JSON-ready.

    :param context: what they are; :func:`unseal` has to be told the same, so that one sealed thing cannot take another's place.
    :raises PassphraseError: none given, a short one, or another than the store's.
    """
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(NONCE_BYTES)
    key = hashlib.scrypt(checked_passphrase(store), salt=salt, dklen=32, **SCRYPT)
    sealed = AESGCM(key).encrypt(nonce, secret, context.encode())
    return {**SCRYPT, "salt": salt.hex(), "nonce": nonce.hex(), "sealed": base64.b64encode(sealed).decode()}


def unseal(store: Store, sealed: Mapping[str, Any], context: str) -> bytes:
    """What :func:`seal` sealed.

    :raises PassphraseError: none given, or the wrong one.
    :raises StoreError: it is damaged, or another thing than ``context`` says.
    """
    passphrase = encoded_passphrase(store)
    try:
        costs = {cost: int(sealed[cost]) for cost in SCRYPT}
        key = hashlib.scrypt(passphrase, salt=bytes.fromhex(sealed["salt"]), dklen=32, **costs)
        ciphertext = base64.b64decode(sealed["sealed"], validate=True)
        return AESGCM(key).decrypt(bytes.fromhex(sealed["nonce"]), ciphertext, context.encode())
    except (ValueError, KeyError, TypeError):
        pass
    # Last, because it stands for every exception where cryptography is missing.
    except InvalidTag:
        if not is_known(store, passphrase):
            raise wrong_passphrase(store) from None
    raise StoreError(f"{context} in {store.describe()} is damaged or not sealed", remedy=BACKUP)


def checked_passphrase(store: Store) -> bytes:
    """The passphrase, after making sure that it is the one all other keys of the store are sealed with.

    :raises PassphraseError: none given, a short one, another than the store's, or a weak one for a store that has none yet.
    """
    passphrase = encoded_passphrase(store)
    known = is_known(store, passphrase)
    if known is None:
        refuse_weak(store)
        try:
            check_entry(store, passphrase).put(True, expect=None)
        except StoreConflict:
            return checked_passphrase(store)
    elif not known:
        raise wrong_passphrase(store)
    return passphrase


def encoded_passphrase(store: Store) -> bytes:
    """The passphrase as it seals.

    :raises PassphraseError: none given, a short one, or one that no other tool could be given.
    """
    if not store.passphrase:
        raise missing_passphrase(store)
    try:
        passphrase = store.passphrase.encode()
    except UnicodeEncodeError:
        passphrase = b""
    if not SHORTEST_PASSPHRASE <= len(store.passphrase) <= len(passphrase) <= LONGEST_PASSPHRASE:
        short = len(store.passphrase) < SHORTEST_PASSPHRASE
        problem = f"shorter than {SHORTEST_PASSPHRASE} characters" if short else "no text of at most 1023 bytes"
        raise PassphraseError(
            f"the passphrase of {store.describe()} is {problem}",
            remedy=HOW_TO_MAKE_ONE,
        )
    return passphrase


def refuse_weak(store: Store) -> None:
    """Refuse to make a store under what is soon guessed. A store that has such a passphrase is told so, see ``upkeep.py``.

    :raises PassphraseError: it is weak, or has several lines, of which other tools read the first only.
    """
    passphrase = store.passphrase or ""
    if is_many_lines(passphrase.encode()) or is_weak(passphrase):
        problem = "has more than one line" if is_many_lines(passphrase.encode()) else "is easy to guess"
        raise PassphraseError(f"the passphrase for {store.describe()} {problem}", remedy=HOW_TO_MAKE_ONE)


def is_known(store: Store, passphrase: bytes) -> bool | None:
    """Whether it is the store's passphrase; None: the store has none yet.

    :raises DamagedEntry: what would tell is damaged.
    """
    return check_entry(store, passphrase).read()


def check_entry(store: Store, passphrase: bytes) -> JsonEntry[bool]:
    """What tells the store's passphrase from others; its value: whether this is the one."""
    return JsonEntry(
        store, CHECK_ENTRY, partial(is_check_value_of, passphrase), lambda _is_known: check_value(passphrase)
    )


def is_check_value_of(passphrase: bytes, kept: Mapping[str, Any]) -> bool:
    """Whether ``kept`` was made of this passphrase.

    :raises ValueError, KeyError, TypeError: it is no check value.
    """
    salt, expected = bytes.fromhex(kept["salt"]), bytes.fromhex(kept["digest"])
    digest = hashlib.scrypt(passphrase, salt=salt, dklen=32, **{cost: int(kept[cost]) for cost in SCRYPT})
    return hmac.compare_digest(digest, expected)


def check_value(passphrase: bytes) -> dict[str, str | int]:
    """A salted scrypt value (RFC 7914), with its costs, that tells the passphrase from others without keeping it."""
    salt = secrets.token_bytes(16)
    return {**SCRYPT, "salt": salt.hex(), "digest": hashlib.scrypt(passphrase, salt=salt, dklen=32, **SCRYPT).hex()}


def missing_passphrase(store: Store) -> PassphraseError:
    """No passphrase where one is needed."""
    return PassphraseError(
        f"{store.describe()} needs its passphrase for this", remedy="set tls_store.passphrase, best from Ansible Vault"
    )


def wrong_passphrase(store: Store) -> PassphraseError:
    """Another passphrase than the store's."""
    return PassphraseError(
        f"wrong passphrase for {store.describe()}",
        remedy="give the passphrase the store was made with (tls_store.passphrase); nothing was changed",
    )
