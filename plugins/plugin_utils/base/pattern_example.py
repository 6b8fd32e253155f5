# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A text that a regular expression matches, for the simple ones that people write for names of hosts. Pure."""

from __future__ import annotations

import re

# What is tried for a class of characters, in this order.
CANDIDATES = "a1-._~"
CLASSES = {"d": "1", "w": "a", "S": "a", "D": "a", "b": "", "A": "", "z": "", "Z": ""}
GROUP = re.compile(r"\((?:\?(?:P?<[A-Za-z_]\w*>|:))?")
SET = re.compile(r"\[\^?\]?[^\]]*\]")
QUANTIFIER = re.compile(r"([*+?]|\{(\d+)(?:,\d*)?\})[?+]?")


class Unknown(Exception):
    """More than the simple ones have."""


def example_of(pattern: str) -> str | None:
    """The shortest text, or nearly, that ``pattern`` (PCRE) matches; None: it is not one of the simple ones."""
    try:
        example = Reader(pattern).read()
        matches = re.search(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", pattern), example, re.IGNORECASE)
    except (Unknown, re.error):
        return None
    return example if matches else None


class Reader:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self.rest = pattern

    def read(self) -> str:
        """The example for all of it."""
        example = self.alternatives()
        if self.rest:
            raise Unknown
        return example

    def alternatives(self) -> str:
        """The first of several, up to the end of their group."""
        first = self.sequence()
        while self.rest.startswith("|"):
            self.rest = self.rest[1:]
            self.sequence()
        return first

    def sequence(self) -> str:
        """One thing after the other."""
        parts = []
        while self.rest and self.rest[0] not in "|)":
            part = self.one()
            match = QUANTIFIER.match(self.rest)
            if match:
                self.rest = self.rest[match.end() :]
                part = "" if match[1] in "*?" else part if match[1] == "+" else part * int(match[2])
            parts.append(part)
        return "".join(parts)

    def one(self) -> str:
        """A character, a class or a group."""
        group, chosen = GROUP.match(self.rest), SET.match(self.rest)
        if group:
            self.rest = self.rest[group.end() :]
            example = self.alternatives()
            if not self.rest.startswith(")"):
                raise Unknown
            self.rest = self.rest[1:]
            return example
        if chosen:
            self.rest = self.rest[chosen.end() :]
            return next((each for each in CANDIDATES if re.fullmatch(chosen[0], each)), "")
        first, self.rest = self.rest[0], self.rest[1:]
        if first == "\\" and self.rest:
            second, self.rest = self.rest[0], self.rest[1:]
            return CLASSES.get(second, second)
        return {"^": "", "$": "", ".": "a"}.get(first, first)
