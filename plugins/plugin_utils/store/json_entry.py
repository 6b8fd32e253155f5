# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An entry of the store that is a JSON object: read as a value of its own type, written whole, one error when it is damaged.

Every such entry says which version of its form it has, ``{"version": 1, ...}``. What reads and makes the rest knows nothing of that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, DamagedEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import MISSHAPEN
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store

T = TypeVar("T")

FORM = 1
BACKUP = "restore it from the store's backup"


class Stored(NamedTuple, Generic[T]):
    """A value as it was read; ``version`` is the store's word for just this one, see :meth:`Store.put`."""

    value: T
    version: str


class JsonEntry(Generic[T]):
    """The entry ``key`` of ``store``.

    :param parse: makes the value of the object, and raises what ``MISSHAPEN`` names or CertificateError where it cannot.
    :param dump: makes the object again, JSON-ready.
    :param remedy: what to do when it is damaged.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        parse: Callable[[dict[str, Any]], T],
        dump: Callable[[T], Mapping[str, Any]],
        remedy: str = BACKUP,
    ) -> None:
        self.store, self.key, self.remedy = store, key, remedy
        self.parse, self.dump = parse, dump

    def load(self) -> Stored[T] | None:
        """What is there, None where there is nothing.

        :raises DamagedEntry: it cannot be understood; :raises StoreError: the store cannot be read.
        """
        entry = self.store.get(self.key)
        if entry is None:
            return None
        try:
            content = dict(json.loads(entry.value))
            if content.pop("version", FORM) != FORM:
                raise ValueError("another form")
            return Stored(self.parse(content), entry.version)
        except (*MISSHAPEN, CertificateError, RecursionError) as error:
            raise DamagedEntry(f"'{self.key}' in {self.store.describe()} is damaged", remedy=self.remedy) from error

    def read(self) -> T | None:
        """As :meth:`load`, the value alone."""
        found = self.load()
        return found.value if found else None

    def usable(self) -> T | None:
        """As :meth:`read`, but None also where it is damaged: for what can be done without.

        :raises StoreError: the store cannot be read.
        """
        try:
            return self.read()
        except DamagedEntry:
            return None

    def put(self, value: T, *, expect: str | None) -> str:
        """Write it unless it changed; arguments, result and errors as :meth:`Store.put`."""
        return self.store.put(self.key, self.text(value), expect=expect)

    def replace(self, value: T) -> None:
        """Write it over whatever is there, where it differs. For whoever holds the lock of what it is about.

        :raises StoreConflict: somebody wrote without the lock.
        """
        entry, text = self.store.get(self.key), self.text(value)
        if entry is None or entry.value != text:
            self.store.put(self.key, text, expect=entry.version if entry else None)

    def text(self, value: T) -> bytes:
        """The entry as it is written."""
        return json.dumps({"version": FORM, **self.dump(value)}, indent=1).encode()
