# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which authorities an internal CA has: what ca.json says, and what a rollover makes of it. Pure.

::

    {"version": 1, "root": "root-1", "issuing": "issuing-1", "trusted": ["root-1"]}
    {"version": 1, "root": "root-1", "issuing": "issuing-1", "trusted": ["root-1", "root-2"],
     "next": {"root": "root-2", "issuing": "issuing-2"}, "made": 2}                                   while it is prepared
    {"version": 1, "root": "root-2", "issuing": "issuing-2", "trusted": ["root-2", "root-1"]}         activated
    {"version": 1, "root": "root-2", "issuing": "issuing-2", "trusted": ["root-2"]}                   the old one retired

    {"version": 1, "root": "root-1", "issuing": "root-1", "trusted": ["root-1"], "adopted": {"root-1": "/etc/ca.crt"}}   a root that issues by itself
    {"version": 1, "root": "root-1", "issuing": "", "trusted": ["root-1"], "adopted": {"root-1": "/etc/corp.pem"},
     "waiting": {"root": "root-1", "issuing": "issuing-1"}, "made": 1}            a CSR waits for whoever has the root's key
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

AUTHORITY_ID = re.compile(r"(root|issuing)-[0-9]{1,9}")


@dataclass(frozen=True)
class CaState:
    """Authorities by their ids (``root-1``).

    :param root, issuing: those that sign now; they may be the same. No ``issuing`` (empty) where the first one is not signed yet.
    :param trusted: the roots that are trusted.
    :param successor: root and issuing CA that are prepared and sign nothing yet; None: there are none.
    :param made: the highest number of an issuing CA so far; 0: that of ``issuing``.
    :param adopted: the roots that somebody else has made, and what the inventory named them by.
    :param waiting: a root whose key is elsewhere, and the issuing CA whose CSR waits for its signature; None: there is none.
    """

    root: str
    issuing: str
    trusted: tuple[str, ...]
    successor: tuple[str, str] | None = None
    made: int = 0
    adopted: Mapping[str, str] = field(default_factory=dict)
    waiting: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        for each in {*self.ids, *self.adopted, *(self.waiting or ())}:
            if not AUTHORITY_ID.fullmatch(each):
                raise ValueError("no id of an authority")
        if not self.made:
            object.__setattr__(self, "made", self.least_made)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> CaState:
        """:raises ValueError, KeyError, TypeError, AttributeError: not what :meth:`as_json` gives."""
        return cls(
            root=str(raw["root"]),
            issuing=str(raw["issuing"]),
            trusted=tuple(str(each) for each in raw["trusted"]),
            successor=pair_of(raw.get("next")),
            made=int(raw.get("made", 0)),
            adopted={str(each): str(place) for each, place in raw.get("adopted", {}).items()},
            waiting=pair_of(raw.get("waiting")),
        )

    def as_json(self) -> dict[str, Any]:
        """The form it is kept in."""
        state: dict[str, Any] = {"root": self.root, "issuing": self.issuing, "trusted": list(self.trusted)}
        for name, pair in (("next", self.successor), ("waiting", self.waiting)):
            if pair:
                state[name] = dict(zip(("root", "issuing"), pair))
        if self.made != self.least_made:
            state["made"] = self.made
        if self.adopted:
            state["adopted"] = dict(self.adopted)
        return state

    @property
    def least_made(self) -> int:
        """What ``made`` is at least."""
        return number_of(self.issuing) if self.issuing else 0

    @property
    def ids(self) -> tuple[str, ...]:
        """All that it names and that has a certificate, sorted."""
        return tuple(sorted({self.root, self.issuing, *self.trusted, *(self.successor or ())} - {""}))

    @property
    def old_roots(self) -> tuple[str, ...]:
        """Roots that are trusted still, though another one signs."""
        return tuple(each for each in self.trusted if each not in (self.root, *(self.successor or ())[:1]))

    def prepared(self, root: str, issuing: str) -> CaState:
        """A successor stands ready, and is trusted."""
        return replace(
            self,
            trusted=(*self.trusted, root),
            successor=(root, issuing),
            made=max(self.made, number_of(issuing)),
            waiting=None,
        )

    def adopting(self, root: str, place: str) -> CaState:
        """``root`` was made by somebody else, and is named so in the inventory."""
        return replace(self, adopted={**self.adopted, root: place})

    def asking(self, root: str, issuing: str) -> CaState:
        """The CSR of an issuing CA waits for a root's signature; what waited before is asked for no more."""
        return replace(self, waiting=(root, issuing), made=max(self.made, number_of(issuing)))

    def renewed(self, issuing: str) -> CaState:
        """Another issuing CA below the same root signs from now on."""
        return replace(self, issuing=issuing, made=max(self.made, number_of(issuing)), waiting=None)

    def activated(self) -> CaState:
        """The successor signs, and both are trusted.

        :raises ValueError: there is no successor.
        """
        if self.successor is None:
            raise ValueError("no successor is prepared")
        root, issuing = self.successor
        others = tuple(each for each in self.trusted if each != root)
        return replace(self, root=root, issuing=issuing, trusted=(root, *others), successor=None)

    def retired(self) -> CaState:
        """Only what signs is trusted (and what is prepared)."""
        return replace(self, trusted=tuple(each for each in self.trusted if each not in self.old_roots))


def pair_of(raw: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Root and issuing CA of ``next`` or ``waiting``."""
    return (str(raw["root"]), str(raw["issuing"])) if raw else None


def number_of(authority_id: str) -> int:
    """The number in an id."""
    return int(authority_id.rpartition("-")[2])
