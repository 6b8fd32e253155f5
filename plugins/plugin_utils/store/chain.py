# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger's chain: a record of every row and revocation, who wrote it and when, each bound to the one before. Pure.

A record's digest is SHA-256 over the digest before it, its number, kind, content, who and when, so whoever changes, removes or inserts a
row breaks the chain from there on. Cutting off its end breaks nothing: a :class:`Head` that was kept elsewhere shows it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.whoami import Who
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Revocation

ISSUED, REVOKED = "issued", "revoked"
HEAD = re.compile(r"(?P<number>[0-9]{1,12}):(?P<digest>[0-9a-f]{64})")


@dataclass(frozen=True)
class Head:
    """The end of a chain: the number of its last record, and its digest. ``Head()``: there is no record."""

    number: int = 0
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}" if self.number else ""


@dataclass(frozen=True)
class Record:
    """One record, as it is kept.

    :param what: the row or revocation it is about; None: that is gone.
    :param content: the digest of what it was about when it was written.
    :param who: None: a release wrote it that did not note who, or somebody by hand.
    :param recorded_at: seconds since the epoch; 0: nobody knows.
    """

    number: int
    kind: str
    what: Issuance | Revocation | None
    content: str
    who: Who | None
    recorded_at: int
    digest: str

    @property
    def head(self) -> Head:
        """The chain's head as long as this was its last one."""
        return Head(self.number, self.digest)

    def follows(self, previous: Head) -> bool:
        """Whether it is what was written after ``previous``."""
        return self == chained(previous, self.kind, self.what, self.content, self.who, self.recorded_at)


def parse_head(text: str) -> Head:
    """A head that somebody kept.

    :raises SpecError: it is none.
    """
    found = HEAD.fullmatch(text.strip())
    if not found:
        raise SpecError(
            "tls_store_head is not the head of a ledger", remedy="give it as the result has it, 1234:9f86d0…"
        )
    return Head(int(found["number"]), found["digest"])


def next_record(previous: Head, what: Issuance | Revocation, who: Who | None, recorded_at: int) -> Record:
    """The record that follows ``previous``."""
    kind = ISSUED if isinstance(what, Issuance) else REVOKED
    return chained(previous, kind, what, content_digest(what), who, recorded_at)


def chained(
    previous: Head, kind: str, what: Issuance | Revocation | None, content: str, who: Who | None, recorded_at: int
) -> Record:
    """As :func:`next_record`, of what is known by its digest."""
    number = previous.number + 1
    names = [who.user, who.job, who.controller] if who else None
    digest = sha256([previous.digest, number, kind, content, names, recorded_at])
    return Record(number, kind, what, content, who, recorded_at, digest)


def content_digest(what: Issuance | Revocation) -> str:
    """The digest of a row or a revocation. A revocation's row has a record of its own."""
    if isinstance(what, Issuance):
        return sha256({**asdict(what), "names": list(what.names)})
    return sha256([what.issuance.fingerprint, what.reason, what.revoked_at])


def sha256(value: Any) -> str:
    """SHA-256 of a value as JSON, in one form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def breaks(records: Iterable[Record]) -> Iterator[str]:
    """Where the chain is broken, in words; nothing: it is whole.

    :param records: all of a ledger, in their order.
    """
    previous = Head()
    for each in records:
        yield from record_breaks(previous, each)
        previous = each.head


def record_breaks(previous: Head, each: Record) -> Iterator[str]:
    """What is wrong with a record, seen from the one before."""
    if each.number != previous.number + 1:
        yield f"the records {previous.number + 1} to {each.number - 1} are missing"
    elif not each.follows(previous):
        yield f"record {each.number} was changed, or put in between"
    if each.what is None:
        yield f"the row of record {each.number} was removed"
    elif content_digest(each.what) != each.content:
        yield f"the row of record {each.number} was changed ({title(each.what)})"


def title(what: Issuance | Revocation) -> str:
    """What a record is about, for people."""
    row = what if isinstance(what, Issuance) else what.issuance
    return f"{row.host}, {row.certificate}, serial {row.serial}"
