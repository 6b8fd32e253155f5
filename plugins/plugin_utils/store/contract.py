# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of a store: what the controllers of one fleet share.

Entries are small files of text (PEM, JSON) under names such as ``ca/internal/root-1.pem``. The ledger has a row for
everything that was issued. Secrets are sealed before they come here (see ``sealing.py``): a store never holds a
private key in the clear.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import load_provider

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Record
    from ansible_collections.fleet.tls.plugins.plugin_utils.store.snapshot import Snapshot

# No component begins with a dot: in a directory it would lead out, or to a file that is being written.
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]*(/[A-Za-z0-9][A-Za-z0-9._:@-]*)*")
# Says that nobody is to use the store, and why: {"version": 1, "why": "it was moved to ..."}; null: it is open again.
CLOSED_ENTRY = "closed.json"


@dataclass(frozen=True)
class Entry:
    """The value under a key; ``version`` names this very value for :meth:`Store.put`."""

    value: bytes
    version: str


@dataclass(frozen=True)
class Issuance:
    """A row of the ledger. Moments are seconds since the epoch; ``chain`` is PEM, leaf first; no secret is in it."""

    request_id: str
    issuer: str
    host: str
    certificate: str
    serial: str
    fingerprint: str
    key_id: str
    names: tuple[str, ...]
    not_before: int
    not_after: int
    issued_at: int
    reason: str
    chain: str


@dataclass(frozen=True)
class Revocation:
    """A certificate that nobody is to accept any more.

    :param reason: one of ``REASONS`` in ``crl.py``.
    :param revoked_at: seconds since the epoch.
    """

    issuance: Issuance
    reason: str
    revoked_at: int


class Ledger(ABC):
    """A session of the ledger; what was added and revoked is there when it ends without an exception.

    After one, nothing is revoked; rows may be there, as they tell of what was signed.
    Nobody adds to a request that was looked up in a session unseen: either others wait, or :meth:`add` meets a conflict.
    """

    @abstractmethod
    def find(self, issuer: str, request_id: str, key_id: str) -> Issuance | None:
        """The newest row of this request for this key: a host that names another's request finds nothing.

        What was revoked is not found: it is never handed out again.
        """

    @abstractmethod
    def add(self, issuance: Issuance) -> None:
        """Record one.

        :raises StoreConflict: another run recorded one for the same request and key since this session looked for it.
        """

    @abstractmethod
    def revoke(self, which: str, reason: str, now: int) -> tuple[Revocation, ...]:
        """Record that a certificate is not to be accepted any more; empty: the ledger does not know it.

        The first record stands: what was revoked before comes back as it was. More than one comes back where two
        issuers gave the same serial number.

        :param which: a serial number or a SHA-256 fingerprint, lower-case hex, as the ledger has them.
        :param now: seconds since the epoch.
        """


class Store(ABC):
    """Get, put-if-unchanged, lock, ledger.

    :param options: what the user wrote about it, less ``type``.
    :raises SpecError: (constructor) an option that is unknown or does not fit.
    """

    # Whether the user has said that a ledger that is gone stays so; see ``Issuer.ledger_lost``.
    accepts_lost_ledger = False
    # Whether it is used though it is closed: by whoever closed it.
    uses_closed = False
    # Seconds that a write which began before the store was closed may still take.
    longest_write = 0.0
    # The directory on the controller that it is; None: it is elsewhere.
    place: Path | None = None

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.fields = Fields(options, ("passphrase", *self.option_names()), "store")
        self.passphrase = self.fields.text("passphrase")

    @classmethod
    @abstractmethod
    def option_names(cls) -> tuple[str, ...]:
        """The options it takes besides ``type`` and ``passphrase``."""

    @abstractmethod
    def get(self, key: str) -> Entry | None:
        """The entry, None where there is none.

        :raises StoreError: it cannot be read.
        """

    @abstractmethod
    def put(self, key: str, value: bytes, *, expect: str | None) -> str:
        """Write an entry unless it changed; returns the new version. Durable when it returns.

        :param expect: the version it must still have, None: it must not exist.
        :raises StoreConflict: somebody else was faster.
        """

    @abstractmethod
    def delete(self, key: str, *, expect: str) -> None:
        """Remove an entry unless it changed, with whatever it was before; its key is free again. The caller holds the lock of what it is about.

        :param expect: the version it must still have.
        :raises StoreConflict: somebody else was faster.
        """

    def discard(self, key: str) -> bool:
        """:meth:`delete` whatever is there; whether anything was."""
        entry = self.get(key)
        if entry is not None:
            self.delete(key, expect=entry.version)
        return entry is not None

    def version(self, key: str) -> str | None:
        """What :meth:`put` expects of whoever holds the lock and writes over whatever is there.

        :raises StoreError: it cannot be read.
        """
        entry = self.get(key)
        return entry.version if entry else None

    def names(self) -> tuple[str, ...]:
        """The keys of all entries, sorted.

        :raises StoreError: it cannot be read, or is a store that cannot tell.
        """
        raise self.unable("list its entries")

    def closed(self) -> str | None:
        """Why nobody is to use it; None: everybody may.

        :raises StoreError: it cannot be read.
        """
        return why_closed(self.read(CLOSED_ENTRY))

    def read(self, key: str) -> Entry | None:
        """As :meth:`get`, whether it is closed or not."""
        return self.get(key)

    def refuse_closed(self) -> None:
        """:raises StoreError: it is closed, and not to him who asks."""
        why = None if self.uses_closed else self.closed()
        if why:
            raise StoreError(
                f"{self.describe()} is closed: {why}",
                remedy="set tls_store to the one that is in use, see docs/stores/care.md",
            )

    def unable(self, what: str) -> StoreError:
        """A store of somebody else's that has not learned something."""
        return StoreError(
            f"{self.describe()} cannot {what}",
            remedy="ask who maintains this type of store to add it, see docs/issuers/own.md",
        )

    @abstractmethod
    def lock(self, name: str, *, wait: float = 60.0) -> AbstractContextManager[None]:
        """Hold the lock ``name``; it ends with its holder, even a killed one.

        :param wait: seconds.
        :raises StoreBusy: not to be had in that time.
        """

    @abstractmethod
    def ledger(self) -> AbstractContextManager[Ledger]:
        """A session of the ledger.

        :raises StoreBusy: another session held it for too long.
        """

    @abstractmethod
    def issuances(self, *, issuer: str | None = None, since: int = 0) -> Iterator[Issuance]:
        """The rows, oldest first, without locking anybody out.

        :param issuer: only those of this one.
        :param since: only those issued then or later, seconds since the epoch.
        """

    @abstractmethod
    def revocations(self, issuer: str) -> Iterator[Revocation]:
        """What was revoked of an issuer's, oldest revocation first, without locking anybody out."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """All of it at one moment, while other runs go on; good until the block ends.

        :raises StoreBusy: others change it all the time; :raises StoreError: it cannot be read, or is a store that cannot tell.
        """
        raise self.unable("tell all of itself at one moment")

    def take_over(self, records: Iterable[Record]) -> None:
        """Have the ledger of another store. Records that are here already have to be the same; again is fine.

        :raises StoreError: they are others, it cannot be written, or is a store that cannot.
        """
        raise self.unable("take over another store's ledger")

    @abstractmethod
    def describe(self) -> str:
        """Which store this is, for messages."""


def check_key(key: str) -> str:
    """A key that can be one in every store.

    :raises StoreError: it could lead out of one.
    """
    if not KEY.fullmatch(key):
        raise StoreError(f"'{key}' is not a valid store key")
    return key


def why_closed(entry: Entry | None) -> str | None:
    """What ``closed.json`` says. One that cannot be understood closes the store as well."""
    if entry is None:
        return None
    try:
        why = json.loads(entry.value)["why"]
    except (ValueError, KeyError, TypeError):
        return f"its entry '{CLOSED_ENTRY}' is damaged"
    return None if why is None else str(why)


def load_store(raw: Any) -> Store:
    """``tls_store`` as a store.

    :raises SpecError: not a mapping, no such type, or what the store itself refuses.
    """
    if not isinstance(raw, Mapping):
        raise SpecError("store must be a mapping", remedy="write store: {type: directory, path: …, passphrase: …}")
    rest = {key: value for key, value in raw.items() if key != "type"}
    return load_provider("store", raw.get("type") or "directory")(rest)
