# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rings of all pools of a run, one step on: what every host showed, weighed under the store's lock, and acted on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import refuse_strangers
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.base.windows import Maintenance
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.next_step import (
    BEGIN,
    REFUSE,
    RESUME,
    STRANGER,
    HostLook,
    Step,
    plan_step,
    unreachable,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import RingRecord, parse_pool_name
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore, StoredRing

REPLACE, WAIT = "replace", "wait"


@dataclass(frozen=True)
class PoolObservation:
    """One pool as this run saw it.

    :param generation: the store's when the hosts were looked at; None: no host could be.
    :param lifetime: seconds; the longest that a host of the pool gives its sessions.
    """

    looks: Mapping[str, HostLook]
    generation: int | None
    lifetime: int


def parse_hosts(looks: Mapping[str, Any], pools: Mapping[str, Any]) -> dict[str, PoolObservation]:
    """Pool → what was seen of it.

    :param looks: host → result of ``session_ticket_keys`` in check mode; hosts that were passed over do not count.
    :param pools: host → the pool it says it is of, which a host that cannot be reached does not say.
    :raises SpecError: a host without a look that can be used, and without a pool.
    """
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for host, look in looks.items():
        if not isinstance(look, Mapping) or look.get("skipped"):
            continue
        pool = look.get("pool") or pools.get(host)
        if not pool:
            raise SpecError(f"nobody says which pool {host} is of", remedy="set tls_session_ticket_pool")
        found.setdefault(parse_pool_name(pool), {})[str(host)] = look
    return {pool: parse_pool_looks(each) for pool, each in found.items()}


def parse_pool_looks(looks: Mapping[str, Mapping[str, Any]]) -> PoolObservation:
    """The hosts of one pool."""
    generations = {look["generation"] for look in looks.values() if look.get("generation")}
    return PoolObservation(
        looks={host: parse_host_look(look) for host, look in looks.items()},
        # Another run may have begun a step while this one looked: the older is what some host was compared with.
        generation=min(generations, default=None),
        lifetime=max((int(look.get("lifetime") or 0) for look in looks.values()), default=0),
    )


def parse_host_look(look: Mapping[str, Any]) -> HostLook:
    """One result."""
    found = look.get("found")
    if not isinstance(found, Mapping):
        return HostLook(problem=shortened(look.get("msg") or "no answer"))
    return HostLook(found.get("generation"), bool(found.get("current")), bool(found.get("same", True)))


@dataclass(frozen=True)
class TicketRotation:
    """What the task's options say; ``now``: seconds since the epoch.

    :param replace_older_than: seconds since the epoch: with ``replace``, a ring made since then is left as it is; None: none is.
    """

    store: Store
    leave_behind: tuple[str, ...]
    replace: bool
    check_mode: bool
    now: int
    replace_older_than: int | None = None
    maintenance: Maintenance = Maintenance()

    def result(self, pools: Mapping[str, PoolObservation], *, diff: bool) -> dict[str, Any]:
        """The task's result; a pool that is held back is in it, and the others go on.

        :raises SpecError: a host to be left behind that no pool has.
        """
        everyone = {host for seen in pools.values() for host in seen.looks}
        known = {pool: RingStore(self.store, pool).known() for pool in pools}
        members = {host for each in known.values() if each for host in (*each.record.proven, *each.record.left_behind)}
        # A ring that is replaced is held back by every host that is not named, so a slip of the pen is found anyway.
        if not self.replace:
            refuse_strangers(self.leave_behind, everyone | members, STRANGER)
        steps = {pool: self.step(pool, seen) for pool, seen in pools.items()}
        changed = {pool: step for pool, step in steps.items() if step["step"] in (BEGIN, REPLACE)}
        result: dict[str, Any] = {"changed": bool(changed), "pools": steps}
        if diff and changed:
            result["diff"] = [
                {
                    "before_header": f"ring of {pool}",
                    "after_header": f"ring of {pool}",
                    "before": f"generation {step['before']}\n",
                    "after": f"generation {step['generation']}\n",
                }
                for pool, step in changed.items()
            ]
        return result

    def step(self, pool: str, seen: PoolObservation) -> dict[str, Any]:
        """One pool: its entry in the result."""
        rings = RingStore(self.store, pool)
        try:
            if seen.generation is None:
                return entry(Step(REFUSE, self.without_looks(seen), "run fleet.tls.deploy first"), None, None)
            with rings.exclusive(seen.generation) as known:
                return self.decided(rings, known, seen)
        except TlsError as error:
            return entry(Step(REFUSE, (error.message,), error.remedy), seen.generation, seen.generation)

    @staticmethod
    def without_looks(seen: PoolObservation) -> tuple[str, ...]:
        """Why there is nothing to go by."""
        return tuple(unreachable(seen.looks)) or ("the store has no ring of it yet",)

    def decided(self, rings: RingStore, known: StoredRing, seen: PoolObservation) -> dict[str, Any]:
        """Plan, and do it unless in check mode; inside the store's lock."""
        leave = tuple(host for host in self.leave_behind if host in seen.looks or host in known.record.proven)
        before, record = known.record.generation, known.record
        if self.replace and self.replace_older_than is not None and record.made_at >= self.replace_older_than:
            # By a run before, which may have been killed before every host had it.
            return entry(Step(RESUME, ("all keys were replaced since then",)), before, before)
        if self.replace:
            return self.replaced(rings, known, seen, leave)
        step = plan_step(record, seen.looks, leave, seen.lifetime, self.now)
        wait = self.maintenance.wait(dt.datetime.fromtimestamp(self.now, dt.timezone.utc))
        if step.kind == BEGIN and wait:
            return entry(Step(WAIT, (f"the next step {wait}",)), before, before)
        if step.kind == BEGIN:
            record = record if self.check_mode else rings.rotate(known, leave, self.now)
            return entry(step, before, before + 1)
        if step.kind == RESUME and not self.check_mode and record.leaving(leave) != record:
            rings.put(record.leaving(leave), known.sealed, expect=known.version)
        return entry(step, before, before)

    def replaced(
        self, rings: RingStore, known: StoredRing, seen: PoolObservation, leave: tuple[str, ...]
    ) -> dict[str, Any]:
        """Every key at once. A host that is not there would go on taking the old ones, so it holds this back as well."""
        held = {host: look for host, look in seen.looks.items() if host not in leave}
        missing = [
            f"{host} has the pool's ring and is not in this run"
            for host in known.record.proven
            if host not in {*held, *leave}
        ]
        points = (*unreachable(held), *missing)
        if points:
            return entry(
                Step(REFUSE, points, "bring it back, or continue without it by name with tls_leave_behind"),
                known.record.generation,
                known.record.generation,
            )
        newest = max((look.generation or 0 for look in held.values()), default=0)
        generation = max(known.record.generation, newest) + 1
        if not self.check_mode:
            record: RingRecord = rings.replace(known, leave, newest, self.now)
            generation = record.generation
        why = "all keys are replaced: no earlier session can be resumed"
        return entry(Step(REPLACE, (why,)), known.record.generation, generation)


def entry(step: Step, before: int | None, generation: int | None) -> dict[str, Any]:
    """A pool's part of the result."""
    text = "; ".join(step.why)
    remedy = f". {step.remedy[:1].upper()}{step.remedy[1:]}" if step.remedy else ""
    return {"step": step.kind, "before": before, "generation": generation, "text": f"{text}{remedy}."}
