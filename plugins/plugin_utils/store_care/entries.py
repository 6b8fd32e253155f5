# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all that looks after a store has in common: one of them at a time, and the store closed meanwhile where it has to be."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import CLOSED_ENTRY, Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import FORM

# Seconds that a second action waits for the first.
PATIENCE = 5.0


def one_care(store: Store) -> AbstractContextManager[None]:
    """While it lasts, no other run looks after the store.

    :raises StoreBusy: one does.
    """
    return store.lock("store-care", wait=PATIENCE)


def refuse_within(store: Store, path: Path | None, what: str) -> None:
    """What lies in a store becomes a part of it.

    :param what: the variable that names the path, for the message.
    :raises SpecError: it would lie in the store.
    """
    if path and store.place and path.resolve().is_relative_to(store.place.resolve()):
        raise SpecError(f"{what} lies in {store.describe()}", remedy="name a directory elsewhere")


def close(store: Store, why: str) -> None:
    """From now on, only he who closed it uses it (``Store.uses_closed``).

    :param why: what others are told, a clause without a full stop.
    """
    say(store, why)


def reopen(store: Store) -> None:
    """Everybody may use it again."""
    if store.closed() is not None:
        say(store, None)


def say(store: Store, why: str | None) -> None:
    """Write ``closed.json``, where it says another thing."""
    store.uses_closed = True
    entry = store.read(CLOSED_ENTRY)
    text = json.dumps({"version": FORM, "why": why}).encode()
    if entry is None or entry.value != text:
        store.put(CLOSED_ENTRY, text, expect=entry.version if entry else None)
