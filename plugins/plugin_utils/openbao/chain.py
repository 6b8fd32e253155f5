# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain of the ledger in OpenBao's KV engine.

::

    ledger/chain/000001/000001234     {"kind", "of", "place", "content", "who", "recorded_at", "digest"}: one record; a folder has a thousand

A record is written after what it is about, check-and-set on its number: of two runs that record at once, one takes the next number. Of a
run that was killed in between, the row counts and has no record; :meth:`Chain.all` has it at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreBusy, StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.whoami import Who
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.kv import NEVER, KeyValues, Moment
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import Head, Record, next_record
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Revocation

A_FOLDER = 1000
TRIES = 100


@dataclass(frozen=True)
class Link:
    """A record as it lies there.

    :param of: the path of what it is about, below the ledger's folder.
    :param place: of a row: its place in the entry, from 1; 0: of a revocation.
    :param created: when it was written, by the leader's clock.
    """

    number: int
    kind: str
    of: str
    place: int
    content: str
    who: Who | None
    recorded_at: int
    digest: str
    created: Moment = NEVER

    @classmethod
    def of_record(cls, each: Record, of: str, place: int) -> Link:
        """The same, with where it leads."""
        return cls(each.number, each.kind, of, place, each.content, each.who, each.recorded_at, each.digest)

    @classmethod
    def from_values(cls, number: int, raw: Mapping[str, Any], created: Moment) -> Link:
        """:raises KeyError, TypeError, ValueError: it is none."""
        who = raw["who"]
        return cls(
            number,
            str(raw["kind"]),
            str(raw["of"]),
            int(raw["place"]),
            str(raw["content"]),
            Who(str(who["user"]), str(who["job"]), str(who["controller"])) if who else None,
            int(raw["recorded_at"]),
            str(raw["digest"]),
            created,
        )

    def values(self) -> dict[str, Any]:
        """As it lies there; its number is its name."""
        values = asdict(self)
        del values["number"], values["created"]
        return values

    def about(self, what: Issuance | Revocation | None) -> Record:
        """The record, with what was found where it leads."""
        return Record(self.number, self.kind, what, self.content, self.who, self.recorded_at, self.digest)

    @property
    def head(self) -> Head:
        """The chain's head as long as it is the last one."""
        return Head(self.number, self.digest)


class Chain:
    """The records of one ledger.

    :param root: the folder of the ledger.
    """

    def __init__(self, entries: KeyValues, root: str) -> None:
        self.entries = entries
        self.root = root
        self.last: Head | None = None

    def append(self, what: Issuance | Revocation, of: str, place: int, who: Who | None, now: int) -> None:
        """Record what was written.

        :raises StoreBusy: other runs are faster all the time.
        """
        last = self.last or self.head()
        for _try in range(TRIES):
            made = next_record(last, what, who, now)
            try:
                self.put(Link.of_record(made, of, place))
            except StoreConflict:
                other = self.read(last.number + 1)
                if other is None:
                    raise
                last = other.head
            else:
                self.last = made.head
                return
        raise StoreBusy("other runs write to the ledger all the time", remedy="run again later")

    def put(self, link: Link) -> None:
        """Write a record.

        :raises StoreConflict: its number is taken.
        """
        self.entries.write(self.path(link.number), link.values(), expect=0)

    def head(self) -> Head:
        """The present end."""
        found = self.newest()
        return found.head if found else Head()

    def newest(self) -> Link | None:
        """The last record; None: there is none."""
        numbers = self.numbers(last=True)
        return self.read(numbers[-1]) if numbers else None

    def read(self, number: int) -> Link | None:
        """A record; None: there is none.

        :raises StoreError: it is damaged.
        """
        return next(self.read_all((number,)))

    def read_all(self, numbers: Iterable[int]) -> Iterator[Link | None]:
        """Many of them, in the order of their numbers."""
        paths = {self.path(number): number for number in numbers}
        for (path, number), kept in zip(paths.items(), self.entries.read_all(tuple(paths))):
            try:
                yield Link.from_values(number, kept.values, kept.created) if kept.values else None
            except (KeyError, TypeError, ValueError) as error:
                raise StoreError(
                    f"the ledger's entry '{path}' is damaged", remedy="restore it (bao kv rollback)"
                ) from error

    def numbers(self, *, last: bool = False) -> list[int]:
        """Those of all records, or of the last ones."""
        folders = [name.rstrip("/") for name in self.entries.names(f"{self.root}/chain")]
        names = (self.entries.names(f"{self.root}/chain/{folder}") for folder in (folders[-1:] if last else folders))
        return [int(name) for each in names for name in each if name.isdecimal()]

    def path(self, number: int) -> str:
        """Where a record lies."""
        return f"{self.root}/chain/{number // A_FOLDER:06}/{number:09}"
