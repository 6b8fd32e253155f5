# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation in recorded stages. Pure: what is known, who holds it back, what comes next.

A CA: ``prepare`` (the new one is made, and trusted beside the old), ``activate`` (the new one issues, everything is issued anew),
``retire`` (the old one is trusted no more), ``done``. Keys: ``rekey``, ``done``. The next stage begins when every host has
proven the present one, or was left behind by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import RotationError, SpecError

DONE = "done"
STAGES: dict[str, tuple[str, ...]] = {"ca": ("prepare", "activate", "retire", DONE), "keys": ("rekey", DONE)}
# A run on another machine counts as alive for so long after it was last heard of, in seconds.
LEASE = 600


@dataclass(frozen=True)
class Runner:
    """The process that drives a rotation.

    :param started: what tells it from a later process of the same number.
    """

    machine: str
    process: int
    started: str


@dataclass(frozen=True)
class Rotation:
    """What the store has of a rotation. Moments are seconds since the epoch.

    :param subject: what it is about: a CA's name, ``keys``.
    :param hosts: those that it began with.
    :param proven: host → when it proved the present stage.
    :param left_behind: host → the stage at which the user said to go on without it.
    :param runner: who drives it, last heard of at ``seen``.
    :param names: of certificates, where it is about some only.
    :param target: the root that is to take over.
    :param entered: stage → when it began.
    """

    kind: str
    subject: str
    stage: str
    begun_at: int
    seen: int
    hosts: tuple[str, ...] = ()
    proven: Mapping[str, int] = field(default_factory=dict)
    left_behind: Mapping[str, str] = field(default_factory=dict)
    runner: Runner | None = None
    names: tuple[str, ...] = ()
    target: str = ""
    entered: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Rotation:
        """:raises ValueError, KeyError, TypeError, AttributeError: not the fields of one."""
        raw = dict(fields)
        if raw["stage"] not in STAGES[raw["kind"]]:
            raise ValueError("no record of a rotation")
        raw.update({each: tuple(str(one) for one in raw[each]) for each in ("hosts", "names")})
        raw["proven"] = {str(host): int(moment) for host, moment in raw["proven"].items()}
        raw["entered"] = {str(stage): int(moment) for stage, moment in raw.get("entered", {}).items()}
        raw["left_behind"] = {str(host): str(stage) for host, stage in raw["left_behind"].items()}
        raw["runner"] = Runner(**raw["runner"]) if raw["runner"] else None
        return cls(**raw)

    @property
    def is_done(self) -> bool:
        """Whether it has come to its end."""
        return self.stage == DONE

    @property
    def next_stage(self) -> str:
        """What follows the present stage; ``done`` after ``done``."""
        stages = STAGES[self.kind]
        return stages[min(stages.index(self.stage) + 1, len(stages) - 1)]

    @property
    def known_hosts(self) -> frozenset[str]:
        """All hosts of the record."""
        return frozenset({*self.hosts, *self.proven, *self.left_behind})

    def holding_back(self, inventory: Iterable[str]) -> tuple[str, ...]:
        """The hosts, of the record and of the inventory, that have neither proven the present stage nor been left behind."""
        passed = {*self.proven, *self.left_behind}
        return tuple(sorted({*self.hosts, *inventory} - passed))

    def proved(self, host: str, now: int) -> Rotation:
        """``host`` has proven the present stage; it is left behind no more."""
        others = {name: stage for name, stage in self.left_behind.items() if name != host}
        return replace(self, proven={**self.proven, host: now}, left_behind=others, seen=now)

    def disproved(self, host: str) -> Rotation:
        """What ``host`` proved before counts no more."""
        return replace(self, proven={name: moment for name, moment in self.proven.items() if name != host})

    def leaving(self, hosts: Iterable[str]) -> Rotation:
        """The user goes on without these, unless they have proven the stage."""
        named = {host: self.stage for host in hosts if host not in self.proven}
        return replace(self, left_behind={**named, **self.left_behind})

    def advanced(self, inventory: Iterable[str], now: int, why: Mapping[str, str] | None = None) -> Rotation:
        """The next stage, which nobody has proven yet.

        :param why: what is known of hosts that hold it back, in words.
        :raises RotationError: a host holds it back.
        """
        inventory = tuple(inventory)
        waiting = self.holding_back(inventory)
        if waiting:
            raise RotationError(
                f"the {self.title} stays at '{self.stage}', held back by {listing(waiting, why or {})}",
                remedy="put that right and run again, or continue without a host by name:"
                f' -e \'{{"tls_leave_behind": ["{waiting[0]}"]}}\'',
            )
        # A host that has left the inventory keeps being named, as one that is left behind does.
        hosts = tuple(sorted({*self.hosts, *inventory}))
        entered = {**self.entered, self.next_stage: now}
        return replace(self, stage=self.next_stage, hosts=hosts, proven={}, seen=now, entered=entered)

    def taken_by(self, runner: Runner, now: int) -> Rotation:
        """The same, driven by ``runner``."""
        return replace(self, runner=runner, seen=now)

    def lasts_elsewhere(self, me: Runner, alive: bool | None, now: int) -> bool:
        """Whether another run drives it at the moment.

        :param alive: whether the process that drives it runs on this machine; None: it is another machine's.
        """
        if self.is_done or self.runner is None or self.runner == me:
            return False
        return now - self.seen < LEASE if alive is None else alive

    @property
    def stage_seconds(self) -> dict[str, int]:
        """How long each stage took that has come to its end, as far as it is known."""
        stages = STAGES[self.kind]
        return {
            stage: self.entered[following] - self.entered[stage]
            for stage, following in zip(stages, stages[1:], strict=False)
            if stage in self.entered and following in self.entered
        }

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"rotation of the CA '{self.subject}'" if self.kind == "ca" else "rotation of the keys"


def listing(hosts: Iterable[str], why: Mapping[str, str]) -> str:
    """Hosts with what is known of them."""
    return ", ".join(f"{host} ({why.get(host, 'not proven yet')})" for host in hosts)


def begin(
    kind: str, subject: str, hosts: Iterable[str], now: int, names: Iterable[str] = (), target: str = ""
) -> Rotation:
    """A rotation at its first stage.

    :raises SpecError: an unknown kind, or no host.
    """
    if kind not in STAGES:
        raise SpecError(f"rotation: '{kind}' is unknown", remedy=f"known: {', '.join(STAGES)}")
    chosen = tuple(sorted(set(hosts)))
    if not chosen:
        raise SpecError(
            "no host of the inventory has to do with this rotation", remedy="check tls_issuers and tls_hosts"
        )
    stage, names = STAGES[kind][0], tuple(sorted(set(names)))
    return Rotation(kind, subject, stage, now, now, hosts=chosen, names=names, target=target, entered={stage: now})


def position(rotation: Rotation) -> dict[str, Any]:
    """Where a rotation is, as it stands in results."""
    return {"stage": rotation.stage, "next": rotation.next_stage, "begun_at": rotation.begun_at}


def as_result(rotation: Rotation, inventory: Iterable[str] = ()) -> dict[str, Any]:
    """A rotation with all its hosts, as it stands in results."""
    return {
        **position(rotation),
        "names": list(rotation.names),
        "proven": sorted(rotation.proven),
        "held_back_by": [] if rotation.is_done else list(rotation.holding_back(inventory)),
        "left_behind": dict(rotation.left_behind),
        "stage_seconds": rotation.stage_seconds,
    }
