# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of the embedded store, in SQLite: tables, sessions, and its chain.

The tables ``issuance`` and ``revocation`` are those of every release; ``record`` is beside them, so that an earlier release can write to a
ledger of this one. What it wrote is taken into the chain by the next session.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple, fields
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.whoami import Who
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import ISSUED, Head, Record, next_record
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import REVOKED as REVOKED_KIND
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Ledger, Revocation

COLUMNS = tuple(field.name for field in fields(Issuance))
SCHEMA = (
    f"CREATE TABLE IF NOT EXISTS issuance (id INTEGER PRIMARY KEY, {', '.join(COLUMNS)})",
    "CREATE INDEX IF NOT EXISTS issuance_request ON issuance (issuer, request_id)",
    "CREATE INDEX IF NOT EXISTS issuance_fingerprint ON issuance (fingerprint)",
    # Ledgers of before revocation get the table when they are next written to.
    "CREATE TABLE IF NOT EXISTS revocation (id INTEGER PRIMARY KEY, fingerprint UNIQUE, reason, revoked_at)",
    # As do those of before the chain. "source" is the id in the table of its kind; user is null where nobody knows who wrote it.
    "CREATE TABLE IF NOT EXISTS record"
    " (number INTEGER PRIMARY KEY, kind, source, content, user, job, controller, recorded_at, digest)",
    "CREATE INDEX IF NOT EXISTS record_source ON record (kind, source)",
)
SELECT = f"SELECT {', '.join(COLUMNS)} FROM issuance"
PAGE_OF_ROWS = (
    f"SELECT id, {', '.join(COLUMNS)} FROM issuance WHERE id > ? AND id <= ? AND (? IS NULL OR issuer = ?) AND issued_at >= ?"
    " ORDER BY id LIMIT ?"
)
REVOKED = (
    f"SELECT {', '.join(f'issuance.{column}' for column in COLUMNS)}, revocation.reason, revocation.revoked_at"
    " FROM revocation JOIN issuance ON issuance.fingerprint = revocation.fingerprint"
)
IN_ORDER = "ORDER BY revocation.id"
NEW_ROWS = f"SELECT id, {', '.join(COLUMNS)} FROM issuance WHERE id > ? ORDER BY id LIMIT ?"
NEW_REVOCATIONS = "SELECT id, fingerprint, reason, revoked_at FROM revocation WHERE id > ? ORDER BY id LIMIT ?"
AT_A_TIME = 1000
PUT_ROW = f"INSERT INTO issuance ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
PUT_RECORD = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
RECORDS = "SELECT number, kind, source, content, user, job, controller, recorded_at, digest FROM record ORDER BY number"


class SqliteLedger(Ledger):
    """A session inside one SQLite transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def find(self, issuer: str, request_id: str, key_id: str) -> Issuance | None:
        query = (
            f"{SELECT} WHERE issuer = ? AND request_id = ? AND key_id = ?"
            " AND fingerprint NOT IN (SELECT fingerprint FROM revocation) ORDER BY id DESC LIMIT 1"
        )
        row = self.connection.execute(query, (issuer, request_id, key_id)).fetchone()
        return issuance(row) if row else None

    def add(self, issuance: Issuance) -> None:
        self.connection.execute(PUT_ROW, columns_of(issuance))

    def revoke(self, which: str, reason: str, now: int) -> tuple[Revocation, ...]:
        self.connection.execute(
            "INSERT OR IGNORE INTO revocation (fingerprint, reason, revoked_at)"
            " SELECT DISTINCT fingerprint, ?, ? FROM issuance WHERE ? IN (serial, fingerprint)",
            (reason, now, which),
        )
        query = f"{REVOKED} WHERE ? IN (issuance.serial, issuance.fingerprint) {IN_ORDER}"
        return tuple(revocation(row) for row in self.connection.execute(query, (which,)))


def make_tables(connection: sqlite3.Connection) -> None:
    """Make what is missing, and take what has no record into the chain."""
    for statement in SCHEMA:
        connection.execute(statement)
    record_new(connection, None, 0)


def record_new(connection: sqlite3.Connection, who: Who | None, now: int) -> None:
    """Record what was written since the last record.

    :param who: None: nobody knows.
    :param now: seconds since the epoch.
    """
    last = head(connection)
    for kind, query, read in (
        (ISSUED, NEW_ROWS, readable),
        (REVOKED_KIND, NEW_REVOCATIONS, lambda row: revocation_of(connection, *row)),
    ):
        for source, row in new_of(connection, kind, query):
            what = read(row)
            if what is not None:
                made = next_record(last, what, who, now)
                put_record(connection, made, source)
                last = made.head


def new_of(connection: sqlite3.Connection, kind: str, query: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The rows of a table that have no record, with their ids; so many at a time, as a ledger of an earlier release may be large."""
    last = int(connection.execute("SELECT COALESCE(MAX(source), 0) FROM record WHERE kind = ?", (kind,)).fetchone()[0])
    while rows := connection.execute(query, (last, AT_A_TIME)).fetchall():
        yield from ((row[0], row[1:]) for row in rows)
        last = rows[-1][0]


def head(connection: sqlite3.Connection) -> Head:
    """The chain's present end."""
    row = connection.execute("SELECT number, digest FROM record ORDER BY number DESC LIMIT 1").fetchone()
    return Head(*row) if row else Head()


def records(connection: sqlite3.Connection) -> Iterator[Record]:
    """All records, with what they are about."""
    for number, kind, source, content, user, job, controller, recorded_at, digest in connection.execute(RECORDS):
        who = None if user is None else Who(user, job, controller)
        yield Record(number, kind, subject(connection, kind, source), content, who, recorded_at, digest)


def subject(connection: sqlite3.Connection, kind: str, source: int) -> Issuance | Revocation | None:
    """What a record is about; None: it is gone, or cannot be understood."""
    if kind == ISSUED:
        row = connection.execute(f"{SELECT} WHERE id = ?", (source,)).fetchone()
        return readable(row) if row else None
    row = connection.execute(
        "SELECT fingerprint, reason, revoked_at FROM revocation WHERE id = ?", (source,)
    ).fetchone()
    return revocation_of(connection, *row) if row else None


def take_over(connection: sqlite3.Connection, others: Iterable[Record], ours: str) -> None:
    """Have the records of another ledger, and what they are about. Those that are here already have to be the same.

    :param ours: the store, for the message.
    :raises StoreError: they are others.
    """
    present = dict(connection.execute("SELECT number, digest FROM record"))
    for each in others:
        if each.number in present:
            if present[each.number] != each.digest:
                raise another_ledger(ours)
            continue
        put_record(connection, each, put_subject(connection, each))


def put_subject(connection: sqlite3.Connection, each: Record) -> int:
    """Write what a record is about; its id."""
    if isinstance(each.what, Issuance):
        return int(connection.execute(PUT_ROW, columns_of(each.what)).lastrowid or 0)
    if each.what is None:
        # What is gone stays gone: a copy is broken where its original is. No row has such a number.
        return -each.number
    values = (each.what.issuance.fingerprint, each.what.reason, each.what.revoked_at)
    answer = connection.execute("INSERT INTO revocation (fingerprint, reason, revoked_at) VALUES (?, ?, ?)", values)
    return int(answer.lastrowid or 0)


def put_record(connection: sqlite3.Connection, each: Record, source: int) -> None:
    """Write a record."""
    names = (each.who.user, each.who.job, each.who.controller) if each.who else (None, None, None)
    connection.execute(
        PUT_RECORD, (each.number, each.kind, source, each.content, *names, each.recorded_at, each.digest)
    )


def another_ledger(ours: str) -> StoreError:
    """Two ledgers that do not begin alike."""
    return StoreError(f"{ours} has another ledger", remedy="use an empty store")


def revocation_of(connection: sqlite3.Connection, fingerprint: str, reason: str, revoked_at: int) -> Revocation | None:
    """A row of the table as a value; None: nothing was issued that has this fingerprint."""
    row = connection.execute(f"{SELECT} WHERE fingerprint = ? ORDER BY id LIMIT 1", (fingerprint,)).fetchone()
    what = readable(row) if row else None
    return Revocation(what, reason, revoked_at) if what else None


def columns_of(issuance: Issuance) -> list[Any]:
    """A value as a row."""
    return [json.dumps(value) if isinstance(value, tuple) else value for value in astuple(issuance)]


def readable(row: tuple[Any, ...]) -> Issuance | None:
    """A row as a value; None: it is damaged, which must cost no other row anything."""
    try:
        return issuance(row)
    except (ValueError, TypeError):
        return None


def issuance(row: tuple[Any, ...]) -> Issuance:
    """A row as a value."""
    values = dict(zip(COLUMNS, row))
    values["names"] = tuple(json.loads(values["names"]))
    return Issuance(**values)


def revocation(row: tuple[Any, ...]) -> Revocation:
    """A row of ``REVOKED`` as a value."""
    *columns, reason, revoked_at = row
    return Revocation(issuance(tuple(columns)), reason, revoked_at)
