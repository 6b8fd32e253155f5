# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store moved to another place, or to another kind of store, and back. See docs/stores/care.md.

First both are closed, so that no run writes to what is being left, and none reads what is half there. At the end the old one says where
the new one is, and only then the new one opens: at no moment are there two that runs could use.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, StoreError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.backup import Copied
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.copies import content_of, fill, is_empty
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.entries import (
    close,
    one_care,
    refuse_within,
    reopen,
)

TARGET = "tls_store_target"


def move(store: Store, target: Store, *, check_mode: bool = False) -> Copied:
    """Move all of ``store`` to ``target``, which is empty or was moved to ``store`` before.

    :raises SpecError: they are the same one.
    :raises StoreError: one is closed for another reason, or the target holds something; nothing was written then. Or one of them fails:
        what is not moved yet goes on being used.
    """
    if store.describe() == target.describe():
        raise SpecError(f"{TARGET} is the store itself", remedy="name the one to move to")
    refuse_within(store, target.place, TARGET)
    refuse_within(target, store.place, "tls_store")
    words = Words(store, target)
    store.uses_closed = target.uses_closed = True
    with contextlib.ExitStack() as stack:
        if not check_mode:
            stack.enter_context(one_care(store))
            stack.enter_context(one_care(target))
        if store.closed() == words.moved:
            return finished(target, words, check_mode=check_mode)
        check(store, target, words)
        if not check_mode:
            close(target, words.filling)
            with left_open(store):
                leave(store, words)
                with store.snapshot() as snapshot:
                    fill(target, snapshot)
                    moved = Copied(True, "", len(content_of(snapshot.entries)), str(snapshot.head))
                close(store, words.moved)
            reopen(target)
            return moved
        with store.snapshot() as snapshot:
            return Copied(True, "", len(content_of(snapshot.entries)), str(snapshot.head))


class Words:
    """Why each of the two is closed."""

    def __init__(self, store: Store, target: Store) -> None:
        self.leaving = f"it is being moved to {target.describe()}"
        self.moved = f"it was moved to {target.describe()}"
        self.filling = f"it is being filled from {store.describe()}"
        # Of a target that was once moved to where all is now.
        self.left = f"it was moved to {store.describe()}"


def check(store: Store, target: Store, words: Words) -> None:
    """:raises StoreError: this move cannot begin, or go on."""
    why = store.closed()
    if why not in (None, words.leaving):
        raise StoreError(f"{store.describe()} is closed: {why}", remedy="set tls_store to the one that is in use")
    if why is None and is_empty(store):
        raise StoreError(f"{store.describe()} is empty", remedy="see whether tls_store is right")
    why = target.closed()
    if why not in (None, words.filling, words.left) or (why is None and not is_empty(target)):
        raise StoreError(
            f"{TARGET}: {target.describe()} is {f'closed: {why}' if why else 'not empty'}", remedy="name an empty one"
        )


def leave(store: Store, words: Words) -> None:
    """From now on no run uses it, and those that were writing have ended."""
    close(store, words.leaving)
    time.sleep(store.longest_write)


@contextlib.contextmanager
def left_open(store: Store) -> Iterator[None]:
    """Where it fails, runs go on with what they had: it is all there."""
    try:
        yield
    except TlsError:
        with contextlib.suppress(TlsError):
            reopen(store)
        raise


def finished(target: Store, words: Words, *, check_mode: bool) -> Copied:
    """The rest of a move that was killed at its end, where there is one."""
    due = target.closed() == words.filling
    if due and not check_mode:
        reopen(target)
    return Copied(due, "", 0, "")
