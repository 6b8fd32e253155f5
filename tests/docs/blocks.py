# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fenced blocks of a Markdown page, and what the suite is to do with each. Pure: no file is read here."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

OPENING = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>.*)$")
# The first line of a block that is a file: "# group_vars/web.yml", or "# add to inventory.yml".
FILE = re.compile(r"^# (?P<added>add to )?(?P<name>[\w.-]+(?:/[\w.-]+)*\.\w+)$")
CONTINUES = re.compile(r"^<!-- continues: (?P<page>\S+?)(?P<last>, at the end)? -->$", re.MULTILINE)
PROMPT = "$ "


class BlockError(Exception):
    """The page has a block that cannot be understood; the text says where and why."""


@dataclass(frozen=True)
class Command:
    """A command of a console block.

    :param text: what to type, with the lines that continue it.
    :param shown: the lines that the page shows as its output.
    """

    text: str
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """A fenced block.

    :param page: the page, as a path below the checkout.
    :param line: of its first line of text, from 1.
    :param language: the first word after the fence; "" for none.
    :param words: those after it, which readers do not see.
    """

    page: str
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that this block is, None: it is none."""
        found = FILE.match(self.text.partition("\n")[0])
        return found["name"] if found and self.language != "console" else None

    @property
    def added(self) -> bool:
        """Whether it is added to a file that is there."""
        found = FILE.match(self.text.partition("\n")[0])
        return bool(found and found["added"])

    @property
    def fails(self) -> bool:
        """Whether its last command ends with an error."""
        return "fails" in self.words

    def commands(self) -> tuple[Command, ...]:
        """What a console block has to type, and what it shows.

        :raises BlockError: it begins with something else than a command.
        """
        if not self.text.startswith(PROMPT):
            raise BlockError(f"{self.where}: a console block begins with '$ '")
        found = []
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            lines = part.rstrip("\n").split("\n")
            last = next(number for number, line in enumerate(lines) if not line.endswith("\\"))
            found.append(
                Command("\n".join(lines[: last + 1]), tuple(line for line in lines[last + 1 :] if line.strip()))
            )
        return tuple(found)


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page, in order, with the indentation of a list taken away.

    :raises BlockError: one has no end.
    """
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        opening = OPENING.match(lines[number])
        number += 1
        if not opening:
            continue
        start = number
        while number < len(lines) and lines[number].strip() != opening["fence"]:
            number += 1
        if number == len(lines):
            raise BlockError(f"{page}:{start}: the block has no end")
        words = opening["info"].split()
        body = textwrap.dedent("\n".join(lines[start:number]) + "\n")
        yield Block(page, start + 1, words[0] if words else "", tuple(words[1:]), body)
        number += 1


@dataclass(frozen=True)
class Continued:
    """The page that another one goes on from.

    :param page: as it is named there.
    :param last: whether after all others that go on from it.
    """

    page: str
    last: bool


def continues(text: str) -> Continued | None:
    """The page that this one goes on from, None: it begins with hosts of its own."""
    found = CONTINUES.search(text)
    return Continued(found["page"], bool(found["last"])) if found else None


def differences(shown: tuple[str, ...], said: str) -> list[str]:
    """The shown lines that the output does not have, in this order.

    Spaces count once, ``…`` stands for anything within a line, and a line ``…`` for any lines; other lines may come in between.
    """
    lines = [" ".join(line.split()) for line in said.splitlines()]
    missing, at = [], 0
    for line in shown:
        wanted = " ".join(line.split())
        pattern = re.compile(".*".join(map(re.escape, re.split(" ?… ?", wanted))))
        position = next((each for each in range(at, len(lines)) if pattern.fullmatch(lines[each])), None)
        if wanted == "…":
            continue
        if position is None:
            missing.append(line)
        else:
            at = position + 1
    return missing
