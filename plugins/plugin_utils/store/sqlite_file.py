# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of the embedded store's ledger: opened, read without keeping writers waiting, written in one transaction, copied."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreBusy, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Revocation
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sqlite_ledger import (
    IN_ORDER,
    PAGE_OF_ROWS,
    REVOKED,
    issuance,
    make_tables,
    revocation,
)

BUSY_SECONDS = 60.0
PAGE = 1000
# SQLite's locks are POSIX locks: a process loses all of a file's as soon as one of its threads closes the file (sqlite.org/howtocorrupt.html,
# 2.2). So one thread at a time has it open.
ONE_THREAD = threading.RLock()
WRITABLE = "see that the user who runs the playbook owns it, and that its file system has room and is not read-only"


class LedgerFile:
    """One SQLite file.

    :param store: whose it is, for messages.
    """

    def __init__(self, path: Path, store: str) -> None:
        self.path, self.store = path, store

    def connect(self) -> sqlite3.Connection:
        """A connection in autocommit mode, waiting for other writers, durable at commit; it makes no file."""
        uri = f"{self.path.as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def issuances(self, issuer: str | None, since: int) -> Iterator[Issuance]:
        """As :meth:`Store.issuances`."""
        # Page by page: a large ledger has its certificates in it, and an open query would keep writers waiting for whoever reads.
        last, end = 0, max((row[0] or 0 for row in self.rows("issuance", "SELECT MAX(id) FROM issuance")), default=0)
        while last < end:
            page = self.rows("issuance", PAGE_OF_ROWS, last, end, issuer, issuer, since, PAGE)
            yield from (issuance(row[1:]) for row in page)
            last = page[-1][0] if len(page) == PAGE else end

    def revocations(self, issuer: str) -> Iterator[Revocation]:
        """As :meth:`Store.revocations`."""
        yield from (
            revocation(row) for row in self.rows("revocation", f"{REVOKED} WHERE issuer = ? {IN_ORDER}", issuer)
        )

    def rows(self, table: str, query: str, *values: str | int | None) -> list[tuple[Any, ...]]:
        """All rows of a query at once: an open query would keep writers waiting for whoever reads."""
        if not self.path.exists():
            return []
        with ONE_THREAD, self.translated(), contextlib.closing(self.connect()) as connection:
            # A run that was killed while it made the ledger leaves one without tables.
            made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
            return connection.execute(query, values).fetchall() if made else []

    @contextlib.contextmanager
    def session(self, allowed: Callable[[], None]) -> Iterator[sqlite3.Connection]:
        """A transaction that nobody else writes beside; what was written is there when it ends without an exception.

        :param allowed: called when nobody else writes any more; what it raises ends the session.
        :raises StoreError: it cannot be used; :raises StoreBusy: another session held it for too long.
        """
        with ONE_THREAD:
            with self.translated():
                # SQLite would create the file with the umask's mode.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with self.translated(), self.held() as connection:
                allowed()
                make_tables(connection)
                yield connection
                connection.execute("COMMIT")

    @contextlib.contextmanager
    def held(self) -> Iterator[sqlite3.Connection]:
        """While it lasts nobody else writes. What was written and not committed is taken back."""
        with contextlib.closing(self.connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            finally:
                # SQLite rolls back by itself where the disk fails.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def copy(self, meanwhile: contextlib.AbstractContextManager[None]) -> Iterator[sqlite3.Connection]:
        """A copy of its own, by SQLite's backup API, as this release has it. It goes with the block.

        :param meanwhile: entered while nobody writes to the ledger, for the time of copying.
        """
        # A database without a name is a temporary file that has no name either.
        with contextlib.closing(sqlite3.connect("", isolation_level=None)) as copy:
            with ONE_THREAD, self.translated(), self.still(), meanwhile:
                if self.path.exists():
                    with contextlib.closing(self.connect()) as connection:
                        connection.backup(copy)
                make_tables(copy)
            yield copy

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """While it lasts nobody writes. Whoever may only read cannot have that, and reads all the same."""
        with contextlib.ExitStack() as stack:
            if self.path.exists() and os.access(self.path.parent, os.W_OK):
                stack.enter_context(self.held())
            yield

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """SQLite's and the system's errors in our words."""
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self.store}: the ledger cannot be used: {error.strerror}", remedy=WRITABLE) from error
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise StoreBusy(f"{self.store}: the ledger is in use", remedy="run again later") from error
            raise StoreError(f"{self.store}: the ledger cannot be used: {error}", remedy=WRITABLE) from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.store}: the ledger is damaged: {error}", remedy=BACKUP) from error
