# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool's ring on one host: looked at, brought up to the store's, proven and noted. Ansible reaches it as two callables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.host_answers import (
    HostRing,
    TicketServer,
    as_pairs,
    parse_look,
    parse_wire,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.next_step import newer
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import RingRecord
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore, StoredRing


@dataclass(frozen=True)
class TicketSettings:
    """What the task's options say.

    :param memory: keys live in memory rather than on disk.
    :param lifetime: seconds that a session lives.
    :param defer_proof: a server that does not use the ring yet is no failure.
    :param notes: what a host has shown may be noted in the store; None: unless it is check mode.
    :param keeps_configuration: until then, the servers' configuration is added to, not replaced.
    """

    directory: str
    memory: bool
    owner: str | None
    group: str | None
    lifetime: int
    defer_proof: bool
    keeps_configuration: bool
    prove_timeout: float
    check_mode: bool
    notes: bool | None = None

    @property
    def may_note(self) -> bool:
        """Whether what was seen may be noted."""
        return not self.check_mode if self.notes is None else self.notes


@dataclass(frozen=True)
class TicketRun:
    """One host's part.

    :param look: request → answer of a step without secrets.
    :param install: request, secrets → answer.
    :param now: seconds since the epoch.
    """

    host: str
    rings: RingStore
    servers: tuple[TicketServer, ...]
    settings: TicketSettings
    look: Callable[[dict[str, Any]], Mapping[str, Any]]
    install: Callable[[dict[str, Any], dict[str, str]], Mapping[str, Any]]
    now: int

    def result(self) -> dict[str, Any]:
        """Look, install where needed, note what was proven; the task's result.

        :raises TlsError: it cannot be done; ``result`` of the error holds what the look showed.
        """
        known = self.rings.known()
        found = parse_look(self.look(self.request(known.record if known else None)))
        if known is None:
            if found.generation is not None:
                raise told(
                    StoreError(
                        f"the host has generation {found.generation} of the ring of '{self.rings.pool}', and the store has none",
                        remedy="is this the right tls_store, or a copy of before the ring was made? Nothing was changed",
                    ),
                    self.shown(None, found),
                )
            if self.settings.check_mode:
                return {**self.shown(None, found), "changed": True, "diff": diff(found, None)}
            known = self.rings.create(self.now)
        shown = self.shown(known.record, found)
        problem = newer(self.host, found.compared_with(known.record), known.record)
        if problem:
            raise told(
                StoreError(
                    problem,
                    remedy="restore the newest copy of the store; where it is the newest, and the host says what is not so, replace the"
                    " ring with tls_replace_ring: true. Nothing was changed",
                ),
                shown,
            )
        if found.in_place(known.record) and found.shows(known.record):
            record = self.proven(known.record)
            return {**shown, "changed": False, "proven": True, **notes_of(self.host, record, [])}
        if self.waits(known.record, found):
            return {**shown, "changed": False, "proven": False}
        if self.settings.check_mode:
            return {**shown, "changed": True, "proven": False, "diff": diff(found, known.record)}
        return {**shown, **self.installed(known, found)}

    def waits(self, record: RingRecord, found: HostRing) -> bool:
        """Whether everything is ready for a server whose configuration does not use the ring yet."""
        pairs = as_pairs(record)
        ready = found.generation == record.generation and found.known == pairs and found.present == pairs
        return self.settings.defer_proof and ready and not found.drift and not found.settled and not found.shows(record)

    def installed(self, known: StoredRing, found: HostRing) -> dict[str, Any]:
        """The ring on the host; errors as :meth:`result`."""
        record = known.record
        try:
            answer = self.install(self.request(record), self.rings.ring(known).as_secrets())
        except HostError as error:
            raise told(error, self.shown(record, found)) from None
        proven = bool(answer.get("proven"))
        notes = [shortened(each) for each in answer.get("notes") or ()]
        lost = lost_sessions(found, record)
        record = self.proven(record) if proven else record
        return {
            "changed": True,
            "proven": proven,
            "servers": {str(kind): shortened(how) for kind, how in dict(answer.get("how") or {}).items()},
            "wire": [each.text for each in parse_wire(answer.get("wire"))],
            "diff": diff(found, record),
            **notes_of(self.host, record, [*notes, *lost]),
        }

    def proven(self, record: RingRecord) -> RingRecord:
        """Note in the store that the host has shown the ring; nothing in check mode."""
        if record.with_proof(self.host, self.now) == record or not self.settings.may_note:
            return record
        return self.rings.note(lambda each: each.with_proof(self.host, self.now), record.generation)

    def request(self, record: RingRecord | None) -> dict[str, Any]:
        """Step ``tickets``."""
        return {
            "directory": self.settings.directory,
            "pool": self.rings.pool,
            "memory": self.settings.memory,
            "owner": self.settings.owner,
            "group": self.settings.group,
            "generation": record.generation if record else None,
            "keys": as_pairs(record) if record else None,
            "servers": [server.as_request() for server in self.servers],
            "defer_proof": self.settings.defer_proof,
            "keeps_configuration": self.settings.keeps_configuration,
            "prove_timeout": self.settings.prove_timeout,
        }

    def shown(self, record: RingRecord | None, found: HostRing) -> dict[str, Any]:
        """The parts of the result that do not depend on what is done."""
        look = found.compared_with(record) if record else None
        return {
            "pool": self.rings.pool,
            "generation": record.generation if record else None,
            "lifetime": self.settings.lifetime,
            "found": {
                "generation": look.generation if look else found.generation,
                "current": bool(look and look.current),
                "same": look.same if look else True,
            },
            "wire": [each.text for each in found.wire],
        }


def told(error: Any, result: dict[str, Any]) -> Any:
    """The error with the result that the failing task has beside it."""
    error.result = result
    return error


def lost_sessions(found: HostRing, record: RingRecord) -> list[str]:
    """What a host's jump to the store's ring costs, for people."""
    if found.generation is not None and record.generation - found.generation > 1:
        return [
            f"it was {record.generation - found.generation} steps behind its pool: sessions that it began cannot be resumed"
        ]
    return []


def notes_of(host: str, record: RingRecord, notes: list[str]) -> dict[str, Any]:
    """``warnings``, where there is something to say."""
    others = [each for each in record.left_behind if each != host]
    if others:
        notes = [*notes, f"left behind, until fleet.tls.deploy has been there: {', '.join(sorted(others))}"]
    return {"warnings": notes} if notes else {}


def diff(found: HostRing, record: RingRecord | None) -> list[dict[str, str]]:
    """Generations and names; no key."""
    after = f"generation {record.generation}, encrypts with {record.keys[1].name}\n" if record else "generation 1\n"
    had = f"generation {found.generation}" if found.generation is not None else "no ring"
    before = "".join(f"{line}\n" for line in (had, *(each.text for each in found.wire), *found.drift))
    return [
        {
            "before_header": "session ticket keys",
            "after_header": "session ticket keys",
            "before": before,
            "after": after,
        }
    ]
