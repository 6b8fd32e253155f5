# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool's ring of session ticket keys: what it is, what is known of it in public, and how it moves one step. Pure.

[prev, cur, next]: cur encrypts new tickets, all three decrypt. A step makes it [cur, next, new]. Hosts that are one step apart read
each other's tickets, because each one's cur is in the other's ring; hosts that are two apart do not. So every host has to have taken
a step, and shown it, before the next one begins; and a session outlives its ticket's key unless two steps are at least its lifetime
apart.
"""

from __future__ import annotations

import base64
import dataclasses
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import KEY_BYTES, RING_SIZE, KeyId, key_id
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError

PARTS = ("prev", "cur", "next")
# No dots: on a host, "<pool>.json" stands beside "<pool>".
POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
Random = Callable[[int], bytes]


@dataclass(frozen=True)
class Ring:
    """The keys themselves, 80 bytes each, [prev, cur, next]. They are shown nowhere, not even by ``repr``."""

    keys: tuple[bytes, bytes, bytes] = field(repr=False)

    @classmethod
    def new(cls, random: Random = secrets.token_bytes) -> Ring:
        """A ring of which nobody has seen anything."""
        return cls((random(KEY_BYTES), random(KEY_BYTES), random(KEY_BYTES)))

    def rotated(self, random: Random = secrets.token_bytes) -> Ring:
        """The ring one step on: [cur, next, new]."""
        _prev, cur, following = self.keys
        return Ring((cur, following, random(KEY_BYTES)))

    @property
    def ids(self) -> tuple[KeyId, ...]:
        """What may be known of each key."""
        return tuple(key_id(key) for key in self.keys)

    def as_secrets(self) -> dict[str, str]:
        """As a host gets it: place → base64."""
        return {part: base64.b64encode(key).decode() for part, key in zip(PARTS, self.keys)}

    def dump(self) -> bytes:
        """The bytes that are sealed: one key after the other."""
        return b"".join(self.keys)

    @classmethod
    def load(cls, data: bytes) -> Ring:
        """:raises ValueError: not what :meth:`dump` gives."""
        if len(data) != RING_SIZE * KEY_BYTES:
            raise ValueError("no ring")
        prev, cur, following = (data[start : start + KEY_BYTES] for start in range(0, len(data), KEY_BYTES))
        return cls((prev, cur, following))


@dataclass(frozen=True)
class RingProof:
    """A host has shown this generation's current key on the wire; ``at``: seconds since the epoch, when it did first."""

    generation: int
    at: int


@dataclass(frozen=True)
class RingRecord:
    """What may be known of a pool's ring by everybody.

    :param generation: counts the steps from 1.
    :param keys: of [prev, cur, next].
    :param made_at: seconds since the epoch: when this generation came to be.
    :param proven: host → what it has shown. These hosts make up the pool.
    :param left_behind: hosts that a step went on without, with what they had shown last; not of the pool until they show a ring again.
    """

    generation: int
    keys: tuple[KeyId, ...]
    made_at: int
    proven: Mapping[str, RingProof] = field(default_factory=dict)
    left_behind: Mapping[str, RingProof] = field(default_factory=dict)

    @property
    def unproven(self) -> tuple[str, ...]:
        """The hosts of the pool that have not shown this generation: while there are any, its step is not done."""
        return tuple(host for host, proof in self.proven.items() if proof.generation != self.generation)

    @property
    def done_at(self) -> int | None:
        """When the last host had shown this generation; None: the step is not done."""
        if self.unproven:
            return None
        return max([self.made_at, *(proof.at for proof in self.proven.values())])

    def with_proof(self, host: str, now: int) -> RingRecord:
        """The host has shown this generation; itself where that is known."""
        known = self.proven.get(host)
        if known and known.generation == self.generation:
            return self
        return dataclasses.replace(
            self,
            proven={**self.proven, host: RingProof(self.generation, now)},
            left_behind=without(self.left_behind, [host]),
        )

    def leaving(self, hosts: Iterable[str]) -> RingRecord:
        """The pool less these hosts, who are remembered."""
        hosts = [host for host in hosts if host in self.proven]
        behind = {host: self.proven[host] for host in hosts}
        return dataclasses.replace(self, proven=without(self.proven, hosts), left_behind={**self.left_behind, **behind})

    def forgetting(self, hosts: Iterable[str]) -> RingRecord:
        """The pool less these hosts, of whom nothing is remembered; itself where nothing is known of them."""
        gone = [host for host in hosts if host in self.proven or host in self.left_behind]
        if not gone:
            return self
        return dataclasses.replace(self, proven=without(self.proven, gone), left_behind=without(self.left_behind, gone))

    def renewed(self, ring: Ring, now: int, generation: int | None = None) -> RingRecord:
        """The record of the pool's next ring."""
        return dataclasses.replace(self, generation=generation or self.generation + 1, keys=ring.ids, made_at=now)

    def dump(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "generation": self.generation,
            "keys": [[key.name, key.digest] for key in self.keys],
            "made_at": self.made_at,
            "proven": {host: [proof.generation, proof.at] for host, proof in self.proven.items()},
            "left_behind": {host: [proof.generation, proof.at] for host, proof in self.left_behind.items()},
        }

    @classmethod
    def load(cls, raw: Any) -> RingRecord:
        """:raises ValueError, KeyError, TypeError: not what :meth:`dump` gives."""
        keys = tuple(KeyId(str(name), str(digest)) for name, digest in raw["keys"])
        if len(keys) != RING_SIZE:
            raise ValueError("no ring")
        proven, left_behind = (
            {str(host): RingProof(int(generation), int(at)) for host, (generation, at) in raw[each].items()}
            for each in ("proven", "left_behind")
        )
        return cls(int(raw["generation"]), keys, int(raw["made_at"]), proven, left_behind)


def parse_pool_name(value: Any) -> str:
    """A pool's name, which becomes part of file names.

    :raises SpecError: it has other characters than letters, digits, hyphens and underscores.
    """
    name = str(value)
    if not POOL_NAME.fullmatch(name):
        raise SpecError(
            f"'{name}' is not a valid name for a pool of session tickets",
            remedy="up to 64 letters, digits, hyphens and underscores",
        )
    return name


def without(proofs: Mapping[str, RingProof], hosts: Iterable[str]) -> dict[str, RingProof]:
    """The same less these hosts."""
    gone = set(hosts)
    return {host: proof for host, proof in proofs.items() if host not in gone}
