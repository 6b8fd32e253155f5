# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store's passphrase: which one it is, and which one it is being changed to.

``passphrase.json`` tells the passphrase from others without keeping it::

    {"version": 1, "n": …, "r": …, "p": …, "salt": …, "digest": …}
    {"version": 1, "n": …, …, "digest": …, "next": {"n": …, …, "digest": …}}      while it is being changed

Both are written under the lock ``passphrase``. Whoever makes a sealed entry holds that lock for the moment of writing, so that no entry
comes to be under a passphrase that was replaced meanwhile. An entry that there was before is safe without: put-if-unchanged meets it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError, StoreConflict
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.pkcs8 import is_many_lines
from ansible_collections.fleet.tls.plugins.plugin_utils.store.strength import is_weak

SHORTEST_PASSPHRASE = 12
# Bytes; openssl reads no longer one from a file or a prompt (PEM_BUFSIZE).
LONGEST_PASSPHRASE = 1023
CHECK_ENTRY = "passphrase.json"
LOCK = "passphrase"
HOW_TO_MAKE_ONE = "make one with 'openssl rand -base64 32' and keep it in Ansible Vault"
SCRYPT = {"n": 2**14, "r": 8, "p": 1}
MOST_MEMORY = 32 * 1024 * 1024


@dataclass(frozen=True)
class CheckValue:
    """A salted scrypt value (RFC 7914) with its costs, salt and digest in hexadecimal."""

    n: int
    r: int
    p: int
    salt: str
    digest: str

    @classmethod
    def of(cls, passphrase: bytes) -> CheckValue:
        """A new one of this passphrase."""
        salt = secrets.token_bytes(16)
        return cls(**SCRYPT, salt=salt.hex(), digest=hashlib.scrypt(passphrase, salt=salt, dklen=32, **SCRYPT).hex())

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> CheckValue:
        """:raises ValueError, KeyError, TypeError: it is none."""
        for field in ("salt", "digest"):
            bytes.fromhex(raw[field])
        n, r, p = (int(raw[cost]) for cost in SCRYPT)
        # What scrypt itself would refuse: it wants a power of two, and not more memory than OpenSSL gives.
        if n < 2 or n & (n - 1) or r < 1 or p < 1 or 128 * r * (n + p + 2) > MOST_MEMORY:
            raise ValueError("costs")
        return cls(n, r, p, raw["salt"], raw["digest"])

    def is_of(self, passphrase: bytes) -> bool:
        """Whether it was made of this passphrase."""
        digest = hashlib.scrypt(passphrase, salt=bytes.fromhex(self.salt), dklen=32, n=self.n, r=self.r, p=self.p).hex()
        return hmac.compare_digest(digest, self.digest)


@dataclass(frozen=True)
class KnownPassphrase:
    """What the store knows of its passphrase.

    :param following: of the one that it is being changed to; None: it is not.
    :param weak: whether a run that had it found it easy to guess; None: nobody has looked.
    """

    present: CheckValue
    following: CheckValue | None = None
    weak: bool | None = None

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> KnownPassphrase:
        """:raises ValueError, KeyError, TypeError: not what :meth:`as_json` gives."""
        following, weak = raw.get("next"), raw.get("weak")
        return cls(
            CheckValue.from_json(raw),
            CheckValue.from_json(following) if following else None,
            weak if isinstance(weak, bool) else None,
        )

    def as_json(self) -> dict[str, Any]:
        """The form it is kept in."""
        following = {"next": vars(self.following)} if self.following else {}
        return {**vars(self.present), **following, **({} if self.weak is None else {"weak": self.weak})}


def check_entry(store: Store) -> JsonEntry[KnownPassphrase]:
    """Where the store keeps it."""
    return JsonEntry(store, CHECK_ENTRY, KnownPassphrase.from_json, KnownPassphrase.as_json)


def is_known(store: Store, passphrase: bytes) -> bool | None:
    """Whether it is the store's passphrase; None: the store has none yet.

    :raises DamagedEntry: what would tell is damaged.
    """
    known = check_entry(store).read()
    return known.present.is_of(passphrase) if known else None


def checked_passphrase(store: Store) -> tuple[bytes, KnownPassphrase]:
    """The passphrase, after making sure that it is the one all other keys of the store are sealed with; and what the store knows of it.

    :raises PassphraseError: none given, a short one, another than the store's, a weak one for a store that has none yet, or it is
        being changed.
    """
    passphrase = encoded_passphrase(store)
    known = check_entry(store).read()
    if known is None:
        refuse_weak(store.passphrase or "", store.describe())
        with contextlib.suppress(StoreConflict):
            check_entry(store).put(KnownPassphrase(CheckValue.of(passphrase)), expect=None)
        return checked_passphrase(store)
    if known.following is not None:
        raise being_changed(store)
    if not known.present.is_of(passphrase):
        raise wrong_passphrase(store)
    return passphrase, known


@contextlib.contextmanager
def nobody_changes_it(store: Store) -> Iterator[None]:
    """While it lasts, no change of the passphrase begins or ends."""
    with store.lock(LOCK):
        yield


@contextlib.contextmanager
def still(store: Store, known: KnownPassphrase) -> Iterator[None]:
    """As :func:`nobody_changes_it`, for whoever has sealed something before.

    :param known: what the store knew then.
    :raises PassphraseError: the passphrase is being changed, or was changed, since.
    """
    with nobody_changes_it(store):
        now = check_entry(store).read()
        if now is None or (now.present, now.following) != (known.present, None):
            raise being_changed(store)
        yield


def encoded_passphrase(store: Store) -> bytes:
    """The passphrase as it seals.

    :raises PassphraseError: none given, a short one, or one that no other tool could be given.
    """
    if not store.passphrase:
        raise missing_passphrase(store)
    return encoded(store.passphrase, store.describe())


def encoded(text: str, whose: str) -> bytes:
    """A passphrase as it seals.

    :raises PassphraseError: a short one, or one that no other tool could be given.
    """
    try:
        passphrase = text.encode()
    except UnicodeEncodeError:
        passphrase = b""
    if not SHORTEST_PASSPHRASE <= len(text) <= len(passphrase) <= LONGEST_PASSPHRASE:
        short = len(text) < SHORTEST_PASSPHRASE
        problem = f"shorter than {SHORTEST_PASSPHRASE} characters" if short else "no text of at most 1023 bytes"
        raise PassphraseError(f"the passphrase of {whose} is {problem}", remedy=HOW_TO_MAKE_ONE)
    return passphrase


def refuse_weak(text: str, whose: str) -> None:
    """Refuse to seal a store under what is soon guessed. A store that has such a passphrase is told so, see ``upkeep.py``.

    :raises PassphraseError: it is weak, or has several lines, of which other tools read the first only.
    """
    if is_many_lines(text.encode()) or is_weak(text):
        problem = "has more than one line" if is_many_lines(text.encode()) else "is easy to guess"
        raise PassphraseError(f"the passphrase for {whose} {problem}", remedy=HOW_TO_MAKE_ONE)


def why_unopened(store: Store, passphrase: bytes) -> PassphraseError | None:
    """Why something sealed does not open; None: the passphrase is the right one, so the thing itself is damaged."""
    known = check_entry(store).read()
    if known is not None and known.following is not None:
        return being_changed(store)
    return None if known and known.present.is_of(passphrase) else wrong_passphrase(store)


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


def being_changed(store: Store) -> PassphraseError:
    """Nobody seals while the passphrase changes."""
    return PassphraseError(
        f"the passphrase of {store.describe()} is being changed",
        remedy="wait for that run to end, or finish it: run fleet.tls.store -e tls_store_action=passphrase with the same"
        " two passphrases again",
    )
