# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which known name somebody may have meant who wrote another one. Pure."""

from __future__ import annotations

from collections.abc import Iterable

# Below this many characters, two slips make another word of one.
LONG = 8


def meant(name: str, known: Iterable[str], prefix: str = "") -> str | None:
    """The known name that ``name`` is one slip away from, or two where it is long; None: no name is that near.

    :param prefix: what all of them begin with, which tells them apart by nothing.
    """
    slips = 1 if len(name) - len(prefix) < LONG else 2
    near = ((distance(name, each, slips), each) for each in known if abs(len(name) - len(each)) <= slips)
    return min((each for each in near if each[0] <= slips), default=(0, None))[1]


def distance(one: str, other: str, limit: int) -> int:
    """How many letters have to be put in, left out, replaced or swapped with their neighbour; more than ``limit`` is not counted on.

    The restricted Damerau-Levenshtein distance (optimal string alignment).
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        older, before, row = before, row, [place]
        for column, each in enumerate(other, 1):
            best = min(before[column] + 1, row[-1] + 1, before[column - 1] + (letter != each))
            if place > 1 and column > 1 and letter == other[column - 2] and each == one[place - 2]:
                best = min(best, older[column - 2] + 1)
            row.append(best)
        if min(row) > limit:
            return limit + 1
    return row[-1]
