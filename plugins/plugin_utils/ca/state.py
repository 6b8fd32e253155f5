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
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

AUTHORITY_ID = re.compile(r"(root|issuing)-[0-9]{1,9}")


@dataclass(frozen=True)
class CaState:
    """Authorities by their ids (``root-1``).

    :param root, issuing: those that sign now.
    :param trusted: the roots that are trusted.
    :param successor: root and issuing CA that are prepared and sign nothing yet; None: there are none.
    :param made: the highest number of an issuing CA so far; 0: that of ``issuing``.
    """

    root: str
    issuing: str
    trusted: tuple[str, ...]
    successor: tuple[str, str] | None = None
    made: int = 0

    def __post_init__(self) -> None:
        for each in self.ids:
            if not AUTHORITY_ID.fullmatch(each):
                raise ValueError("no id of an authority")
        if not self.made:
            object.__setattr__(self, "made", number_of(self.issuing))

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> CaState:
        """:raises ValueError, KeyError, TypeError, AttributeError: not what :meth:`as_json` gives."""
        successor = raw.get("next")
        return cls(
            root=str(raw["root"]),
            issuing=str(raw["issuing"]),
            trusted=tuple(str(each) for each in raw["trusted"]),
            successor=(str(successor["root"]), str(successor["issuing"])) if successor else None,
            made=int(raw.get("made", 0)),
        )

    def as_json(self) -> dict[str, Any]:
        """The form it is kept in."""
        state: dict[str, Any] = {"root": self.root, "issuing": self.issuing, "trusted": list(self.trusted)}
        if self.successor:
            state["next"] = dict(zip(("root", "issuing"), self.successor))
        if self.made != number_of(self.issuing):
            state["made"] = self.made
        return state

    @property
    def ids(self) -> tuple[str, ...]:
        """All that it names, sorted."""
        return tuple(sorted({self.root, self.issuing, *self.trusted, *(self.successor or ())}))

    @property
    def old_roots(self) -> tuple[str, ...]:
        """Roots that are trusted still, though another one signs."""
        return tuple(each for each in self.trusted if each not in (self.root, *(self.successor or ())[:1]))

    def prepared(self, root: str, issuing: str) -> CaState:
        """A successor stands ready, and is trusted."""
        return replace(
            self, trusted=(*self.trusted, root), successor=(root, issuing), made=max(self.made, number_of(issuing))
        )

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


def number_of(authority_id: str) -> int:
    """The number in an id."""
    return int(authority_id.rpartition("-")[2])
