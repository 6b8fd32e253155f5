# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run that has the passphrase does for secrets at rest: keys of earlier releases sealed anew, and a weak passphrase said.

None of it may cost a run anything else: what cannot be done now is done by a later one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import (
    CHECK_ENTRY,
    encoded_passphrase,
    is_known,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.pkcs8 import is_outdated
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key
from ansible_collections.fleet.tls.plugins.plugin_utils.store.strength import is_weak

ADVICE = "make one with 'openssl rand -base64 32', and change to it: fleet.tls.store -e tls_store_action=passphrase"


def keep_up(store: Store, keys: Iterable[str], *, check_mode: bool) -> tuple[str, ...]:
    """Do it; what deserves a warning.

    :param keys: entries with sealed private keys; those that are not there cost nothing.
    :param check_mode: nothing is written.
    """
    if not store.passphrase:
        return ()
    weak = is_weak(store.passphrase)
    if not check_mode:
        with contextlib.suppress(TlsError):
            note(store, weak)
        with contextlib.suppress(TlsError):
            for key in keys:
                reseal(store, key)
    return (f"the passphrase of {store.describe()} is easy to guess: {ADVICE}",) if weak else ()


def reseal(store: Store, key: str) -> None:
    """Seal a private key of few rounds with as many as a new one gets; where that cannot be done, it stays as it is."""
    with contextlib.suppress(TlsError):
        entry = store.get(key)
        if entry is not None and is_outdated(entry.value):
            put_key(store, key, get_key(store, key), expect=entry.version)


def note(store: Store, weak: bool) -> None:
    """Note in the store whether its passphrase is weak, for those who look at the store without it.

    :raises TlsError: it is not the store's, or cannot be noted.
    """
    entry = store.get(CHECK_ENTRY)
    if entry is None or noted_weak(entry.value) == weak or not is_known(store, encoded_passphrase(store)):
        return
    store.put(CHECK_ENTRY, json.dumps({**json.loads(entry.value), "weak": weak}).encode(), expect=entry.version)


def noted_weak(value: bytes) -> bool:
    """Whether an entry ``passphrase.json`` says that the passphrase is weak."""
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(value).get("weak") is True
    return False


def is_noted_weak(store: Store) -> bool:
    """The same of a store, without its passphrase.

    :raises StoreError: it cannot be read.
    """
    entry = store.get(CHECK_ENTRY)
    return entry is not None and noted_weak(entry.value)
