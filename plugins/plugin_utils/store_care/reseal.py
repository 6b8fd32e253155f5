# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another passphrase for a store: everything sealed in it is sealed anew, while other runs go on. See docs/stores/care.md.

Killed at any point, each entry is under one of the two passphrases, and the next call with both of them finishes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError, StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import (
    CHECK_ENTRY,
    CheckValue,
    KnownPassphrase,
    check_entry,
    encoded,
    encoded_passphrase,
    nobody_changes_it,
    refuse_weak,
    wrong_passphrase,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealed_entries import Unopened, resealed
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.entries import one_care

# How often all entries are gone through, while other runs write what they had sealed before the change began.
PASSES = 20
NEW = "tls_store_new_passphrase"
MOST_NAMED = 5


@dataclass(frozen=True)
class Resealed:
    """What a change of the passphrase came to.

    :param changed: whether anything was, or would be, written.
    :param entries: the entries with something sealed in them.
    """

    changed: bool
    entries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Passphrases:
    """As they seal; never part of a repr."""

    present: bytes
    following: bytes

    def __repr__(self) -> str:
        return "Passphrases(...)"


def change_passphrase(store: Store, new: str | None, *, check_mode: bool = False) -> Resealed:
    """Seal everything under ``new``. ``store.passphrase`` is the present one.

    :param check_mode: everything is opened, nothing is written.
    :raises PassphraseError: one is missing or wrong, the new one is weak, or another change has begun.
    :raises StoreError: an entry does not open, so nothing was changed; or the store fails, so the next call goes on.
    :raises StoreBusy: another action on the store is under way.
    """
    if not new:
        raise PassphraseError(
            f"{NEW} is missing", remedy="make one with 'openssl rand -base64 32', and give it from Ansible Vault"
        )
    whose = f"{store.describe()} in {NEW}"
    both = Passphrases(encoded_passphrase(store), encoded(new, whose))
    refuse_weak(new, whose)
    with contextlib.nullcontext() if check_mode else one_care(store):
        known = check_entry(store).read()
        if known is None:
            raise PassphraseError(
                f"nothing in {store.describe()} is sealed yet", remedy=f"set tls_store.passphrase to it, without {NEW}"
            )
        if known.following is None and known.present.is_of(both.following):
            return Resealed(changed=False)
        check(store, known, both)
        sealed = tuple(sealed_entries(store, both))
        if not check_mode:
            begin(store, known, both)
            go_on(store, both)
            finish(store)
        return Resealed(True, sealed)


def check(store: Store, known: KnownPassphrase, both: Passphrases) -> None:
    """:raises PassphraseError: these are not the passphrases."""
    if known.following is not None and known.following.is_of(both.present):
        raise PassphraseError(
            f"the passphrase of {store.describe()} is being changed, and not all of it is under the new one yet",
            remedy=f"give the old one as tls_store.passphrase and the new one as {NEW} once more",
        )
    if not known.present.is_of(both.present):
        raise wrong_passphrase(store)
    if known.following is not None and not known.following.is_of(both.following):
        raise PassphraseError(
            f"the passphrase of {store.describe()} is being changed to another one than {NEW}",
            remedy="finish that first, with the passphrase that it was begun with",
        )


def sealed_entries(store: Store, both: Passphrases) -> Iterator[str]:
    """The entries in which something is sealed. All of them open.

    :raises StoreError: some do not.
    """
    unopened = []
    for key, value in entries(store):
        try:
            if resealed(key, value, (both.present, both.following), None) is not None:
                yield key
        except Unopened:
            unopened.append(key)
    if unopened:
        more = f" and {len(unopened) - MOST_NAMED} more" if len(unopened) > MOST_NAMED else ""
        raise StoreError(
            f"{', '.join(unopened[:MOST_NAMED])}{more} in {store.describe()} cannot be opened, so nothing was changed",
            remedy=f"{BACKUP}, or take away what nobody needs any more",
        )


def begin(store: Store, known: KnownPassphrase, both: Passphrases) -> None:
    """From here on nobody else seals."""
    if known.following is None:
        rewrite(store, lambda now: replace(now, following=CheckValue.of(both.following)))


def go_on(store: Store, both: Passphrases) -> None:
    """Seal all entries anew, until there is none left.

    :raises StoreError: an entry does not open any more, or others change entries all the time.
    """
    done: dict[str, bytes] = {}
    for _pass in range(PASSES):
        # To open one takes a while, so those that are as they were left are not opened again.
        left = [(key, value) for key, value in entries(store) if done.get(key) != value]
        changed = [key for key, value in left if reseal(store, key, value, both, done)]
        if not changed:
            return
    raise StoreError(f"other runs change {store.describe()} all the time", remedy="run again when they have ended")


def reseal(store: Store, key: str, value: bytes, both: Passphrases, done: dict[str, bytes]) -> bool:
    """Seal one entry anew; whether that was to be done.

    :param done: gets the entry, where there is nothing left to do for it.
    """
    try:
        new = resealed(key, value, (both.present,), both.following)
    except Unopened:
        raise StoreError(f"'{key}' in {store.describe()} cannot be opened any more", remedy=BACKUP) from None
    done[key] = value if new is None else new
    if new is None or new == value:
        return False
    entry = store.get(key)
    # One that is another by now is met in the next pass.
    if entry is not None and entry.value == value:
        with contextlib.suppress(StoreConflict):
            store.put(key, new, expect=entry.version)
    return True


def finish(store: Store) -> None:
    """The new passphrase is the store's; an earlier word about a weak one was about the old one."""
    rewrite(store, lambda now: KnownPassphrase(now.following) if now.following else now)


def rewrite(store: Store, change: Callable[[KnownPassphrase], KnownPassphrase]) -> None:
    """Change what the store knows of its passphrase, while nobody is sealing."""
    with nobody_changes_it(store):
        known = check_entry(store).load()
        if known is not None:
            check_entry(store).put(change(known.value), expect=known.version)


def entries(store: Store) -> Iterator[tuple[str, bytes]]:
    """All entries that may have something sealed in them."""
    for key in store.names():
        entry = store.get(key) if key != CHECK_ENTRY else None
        if entry is not None:
            yield key, entry.value
