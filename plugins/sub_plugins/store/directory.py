# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded store: a directory of the controller's.

Files for what people want to read (PEM, JSON), SQLite for the ledger. A file is replaced by rename(2) after fsync(2), so
a kill leaves the old one or the new one; SQLite keeps the same promise for the ledger. Locks are flock(2): the kernel
ends them with their holder. All of it is 0700/0600.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: A directory of the controller
description:
  - The embedded store. Certificates and CRLs are plain PEM files, private keys are sealed with the passphrase, and the ledger is an SQLite file.
  - See L(How a store is backed up, moved and verified, ../stores/care.md).
options:
  path:
    description: The directory, an absolute path. It is made, with mode 0700, when something is first written.
    type: path
    required: true
"""
EXAMPLES = r"""
tls_store:
  type: directory
  path: "{{ inventory_dir }}/tls-store"
  passphrase: "{{ vault_tls_passphrase }}"
"""

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    SpecError,
    StoreBusy,
    StoreConflict,
    StoreError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.whoami import present
from ansible_collections.fleet.tls.plugins.plugin_utils.store import sqlite_ledger
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Record
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import (
    CLOSED_ENTRY,
    KEY,
    Entry,
    Issuance,
    Ledger,
    Revocation,
    Store,
    check_key,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.snapshot import Snapshot
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sqlite_file import BUSY_SECONDS, WRITABLE, LedgerFile
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sqlite_ledger import SqliteLedger

OWN_NAMES = frozenset(
    {
        "acme",
        "ca",
        "closed.json",
        "fetch",
        "keys",
        "ledger.sqlite3",
        "locks",
        "passphrase.json",
        "pools",
        "rotations",
        "tickets",
    }
)


class DirectoryStore(Store):
    """``path``: the directory, made when first written to (a run in check mode makes nothing)."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        path = self.fields.text("path")
        if not path:
            raise SpecError("store: path is missing", remedy="name a directory on the controller that you back up")
        path = os.path.expanduser(path)
        if not os.path.isabs(path):
            # It would be another store, with another CA, in every directory that a playbook is started from.
            # It is not told: what has been typed in the wrong place may be the passphrase.
            raise SpecError("store: path is relative", remedy='write "{{ inventory_dir }}/tls-store"')
        self.root = self.place = Path(os.path.normpath(path))
        self.file = LedgerFile(self.root / "ledger.sqlite3", self.describe())

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("path",)

    def describe(self) -> str:
        return f"the store {self.root}"

    def get(self, key: str) -> Entry | None:
        self.refuse_closed()
        return self.read(key)

    def closed(self) -> str | None:
        # Every use of a store begins with this question, a hundred times in a run with nothing to do, and hardly any store is closed.
        try:
            os.lstat(os.path.join(self.root, CLOSED_ENTRY))
        except FileNotFoundError:
            return None
        except OSError:
            pass  # said below, in words
        return super().closed()

    def read(self, key: str) -> Entry | None:
        try:
            value = self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"{self.describe()}: cannot read '{key}': {error.strerror}",
                remedy="run as the user that owns the store",
            ) from error
        return Entry(value, version_of(value))

    def names(self) -> tuple[str, ...]:
        found: list[str] = []

        def unreadable(error: OSError) -> None:
            raise StoreError(
                f"{self.describe()} cannot be listed: {error.strerror}", remedy="run as the user that owns the store"
            ) from error

        for folder, below, files in os.walk(self.root, onerror=unreadable if self.root.exists() else None):
            if Path(folder) == self.root:
                below[:] = [name for name in below if name != "locks"]
                files = [name for name in files if not name.startswith("ledger.sqlite3")]
            found += (str((Path(folder) / name).relative_to(self.root)) for name in files)
        return tuple(sorted(key for key in found if KEY.fullmatch(key)))

    def put(self, key: str, value: bytes, *, expect: str | None) -> str:
        with self.lock("entries"):
            present = self.get(key)
            if (present.version if present else None) != expect:
                raise StoreConflict(
                    f"{self.describe()}: '{key}' was changed by another run", remedy="run again: nothing was lost"
                )
            try:
                self.write(self.path(key), value)
            except OSError as error:
                raise StoreError(
                    f"{self.describe()}: cannot write '{key}': {error.strerror}", remedy=WRITABLE
                ) from error
        return version_of(value)

    def delete(self, key: str, *, expect: str) -> None:
        with self.lock("entries"):
            if self.version(key) != expect:
                raise StoreConflict(
                    f"{self.describe()}: '{key}' was changed by another run", remedy="run again: nothing was lost"
                )
            path = self.path(key)
            try:
                path.unlink()
                sync(path.parent)
                # That of a host, say, which has no other entry. Whoever writes one has this lock, and makes it again.
                with contextlib.suppress(OSError):
                    path.parent.rmdir()
            except OSError as error:
                raise StoreError(
                    f"{self.describe()}: cannot remove '{key}': {error.strerror}", remedy=WRITABLE
                ) from error

    @contextlib.contextmanager
    def lock(self, name: str, *, wait: float = BUSY_SECONDS) -> Iterator[None]:
        descriptor = self.open_lock(name)
        try:
            acquire(descriptor, name, wait, self.describe())
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        # What is yielded in is ended by whoever asked for the ledger.
        with self.session() as connection:  # pylint: disable=contextmanager-generator-missing-cleanup
            yield SqliteLedger(connection)
            sqlite_ledger.record_new(connection, present(), int(time.time()))

    def session(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """As :meth:`LedgerFile.session`; nobody has one of a store that is closed."""
        self.make_directory(self.root)
        return self.file.session(self.refuse_closed)

    def take_over(self, records: Iterable[Record]) -> None:
        with self.session() as connection:
            sqlite_ledger.take_over(connection, records, self.describe())

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        entries: dict[str, bytes] = {}
        with self.file.copy(self.entries_read(entries)) as copy:
            yield Snapshot(entries, lambda: sqlite_ledger.records(copy), sqlite_ledger.head(copy))

    @contextlib.contextmanager
    def entries_read(self, entries: dict[str, bytes]) -> Iterator[None]:
        """Read all entries to memory. While it lasts, nobody writes any; whoever may only read cannot have that, and reads all the same."""
        with contextlib.ExitStack() as stack:
            if os.access(self.root, os.W_OK):
                stack.enter_context(self.lock("entries"))
            entries.update({key: entry.value for key in self.names() if (entry := self.read(key))})
            yield

    def issuances(self, *, issuer: str | None = None, since: int = 0) -> Iterator[Issuance]:
        return self.file.issuances(issuer, since)

    def revocations(self, issuer: str) -> Iterator[Revocation]:
        return self.file.revocations(issuer)

    def path(self, key: str) -> Path:
        """Where an entry lies.

        :raises StoreError: the key could lead out of the store.
        """
        return self.root / check_key(key)

    def open_lock(self, name: str) -> int:
        """The lock file's descriptor."""
        directory = self.root / "locks"
        try:
            self.make_directory(directory)
            path = directory / f"{name.replace('/', '-')}.lock"
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(f"{self.describe()} cannot be written: {error.strerror}", remedy=WRITABLE) from error

    def make_directory(self, directory: Path) -> None:
        """Make it and what is above it up to the store's root, each 0700 whatever the umask."""
        missing = [directory, *directory.parents]
        for path in reversed(missing[: missing.index(self.root) + 1]):
            try:
                try:
                    path.mkdir(mode=0o700, parents=path == self.root)
                except FileExistsError:
                    if path == self.root:
                        self.make_private()
                if path == self.root:
                    self.keep_out_of_git()
            except OSError as error:
                raise StoreError(f"{self.describe()} cannot be made: {error.strerror}", remedy=WRITABLE) from error

    def keep_out_of_git(self) -> None:
        """A store often lies beside an inventory, which is a checkout: what is pushed once is out for good."""
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(self.root / ".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(
                    "# Keys and the ledger of fleet.tls: not for a repository, though the keys are sealed.\n*\n"
                )

    def make_private(self) -> None:
        """Close a store that others can read (a checkout, a backup that was put back), but no directory of other things.

        :raises StoreError: the path is another thing than a store.
        """
        if not self.root.is_dir():
            raise StoreError(
                f"{self.describe()} is no directory", remedy="set tls_store.path to a directory of its own"
            )
        if self.root.stat().st_mode & 0o077:
            present = set(os.listdir(self.root))
            if present and not present & OWN_NAMES:
                raise StoreError(
                    f"{self.describe()} holds other things than a store, and others may read it",
                    remedy="set tls_store.path to a directory of its own",
                )
            self.root.chmod(0o700)

    def write(self, path: Path, value: bytes) -> None:
        """Replace a file as a whole, durably; mkstemp makes it 0600 before there is content."""
        self.make_directory(path.parent)
        # The caller has the lock: what lies there half-written was left by a run that was killed.
        for leftover in path.parent.glob(".new-*"):
            leftover.unlink(missing_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(value)
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        sync(path.parent)


def sync(directory: Path) -> None:
    """Make what was done in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def version_of(value: bytes) -> str:
    """What a value's version is here: its digest."""
    return hashlib.sha256(value).hexdigest()


def acquire(descriptor: int, name: str, wait: float, store: str) -> None:
    """Take the flock within ``wait`` seconds.

    :raises StoreBusy: not in that time.
    """
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise StoreBusy(
                    f"{store}: the lock '{name}' was held for {wait:g} s by another run",
                    remedy="wait for that run to end, then run again",
                ) from None
            time.sleep(0.02)
        except OSError as error:
            raise StoreError(
                f"{store}: no locks there: {error.strerror}", remedy="use a file system that has flock(2)"
            ) from error


PROVIDER = DirectoryStore
