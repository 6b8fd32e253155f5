# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a pool's ring may move a step now. Pure: a record, what every host showed, a clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import duration_text
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import refuse_strangers
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import RingRecord

BEGIN, RESUME, REFUSE = "begin", "resume", "refuse"
STRANGER = "tls_leave_behind: no host of the pool is called"


@dataclass(frozen=True)
class HostLook:
    """What a look showed of one host.

    :param generation: the ring that it has, None: none yet.
    :param current: it has the store's ring in its files and shows the current key on the wire.
    :param same: its ring, where it is of the store's generation, has the store's keys.
    :param problem: why there was no look (it cannot be reached, say); None: there was one.
    """

    generation: int | None = None
    current: bool = False
    same: bool = True
    problem: str | None = None


@dataclass(frozen=True)
class Step:
    """What is to be done with a pool: ``kind`` begin, resume or refuse; ``why`` for people, a sentence a point."""

    kind: str
    why: tuple[str, ...]
    remedy: str | None = None


def plan_step(
    record: RingRecord, looks: Mapping[str, HostLook], leave_behind: Sequence[str], lifetime: int, now: int
) -> Step:
    """Begin the next step, bring the hosts that are behind to this one, or refuse and say what holds it back.

    :param looks: every host of this run that has the pool's ring or is to have it.
    :param leave_behind: hosts to go on without.
    :param lifetime: seconds that a session lives.
    :param now: seconds since the epoch.
    :raises SpecError: a host to be left behind that the pool does not have.
    """
    refuse_strangers(leave_behind, {*record.proven, *record.left_behind, *looks}, STRANGER)
    held = {host: look for host, look in looks.items() if host not in leave_behind}
    missing = [host for host in record.proven if host not in looks and host not in leave_behind]
    for points, remedy in (
        ([f"{host} has the pool's ring and is not in this run" for host in missing], "take it into the run"),
        (unreachable(held), "bring it back"),
    ):
        if points:
            return Step(REFUSE, tuple(points), f"{remedy}, or continue without it by name with tls_leave_behind")
    ahead = [point for host, look in held.items() if (point := newer(host, look, record))]
    if ahead:
        return Step(
            REFUSE,
            tuple(ahead),
            "restore the newest copy of the store, replace the ring with tls_replace_ring: true, or continue without the host by name"
            " with tls_leave_behind",
        )
    far = [point for host, look in held.items() if (point := too_far(host, look, record))]
    if far:
        return Step(
            REFUSE, tuple(far), "run fleet.tls.deploy there first, or continue without it with tls_leave_behind"
        )
    behind = sorted({host for host, look in held.items() if not look.current} | (set(record.unproven) & set(held)))
    if behind:
        return Step(RESUME, (f"the step to generation {record.generation} is finished first on {', '.join(behind)}",))
    return interval(record.leaving(leave_behind), lifetime, now)


def unreachable(looks: Mapping[str, HostLook]) -> list[str]:
    """Hosts without a look, and why."""
    return [f"{host} could not be looked at ({look.problem})" for host, look in looks.items() if look.problem]


def newer(host: str, look: HostLook, record: RingRecord) -> str | None:
    """Whether the host knows of a ring that the store does not: the store is a copy of an earlier day, or another one."""
    if look.generation is not None and look.generation > record.generation:
        return f"{host} has generation {look.generation} of the ring, the store knows no newer than {record.generation}"
    if not look.same:
        return f"{host} has other keys for generation {record.generation} of the ring than the store"
    return None


def too_far(host: str, look: HostLook, record: RingRecord) -> str | None:
    """Whether the host is more than one step from the store's ring, so that going on would leave it alone with its sessions."""
    if look.generation is None:
        return f"{host} has no ring yet"
    steps = record.generation - look.generation
    return (
        f"{host} is {steps} steps behind (generation {look.generation} of {record.generation})" if steps > 1 else None
    )


def interval(record: RingRecord, lifetime: int, now: int) -> Step:
    """Whether the last step is long enough ago for a session from before it to have ended."""
    done = record.done_at
    passed = now - (record.made_at if done is None else done)
    if passed < lifetime:
        return Step(
            REFUSE,
            (
                f"the last step was done {passed} s ago, and sessions live {lifetime} s ({duration_text(lifetime)}): those from"
                f" before it would be lost",
            ),
            f"run again in {lifetime - passed} s, or shorten tls_session_timeout on all servers and wait for the old sessions to end",
        )
    return Step(BEGIN, (f"generation {record.generation} gives way to {record.generation + 1}",))
