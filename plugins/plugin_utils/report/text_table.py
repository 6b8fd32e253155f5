# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows as aligned lines of text, for terminals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import printable

NUMBERS = frozenset({"DAYS LEFT", "AGE (DAYS)", "GENERATION"})
WIDEST_CELL = 60


def text_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Aligned lines without trailing blanks, the headings first.

    :param columns: the headings; those of :data:`NUMBERS` stand to the right.
    :param rows: heading → value. What is missing or None is shown as ``-``; what is too long is cut, but in the last column,
        which pushes nothing aside.
    """
    last = columns[-1]
    lines = [list(columns), *([cell(row.get(each), cut=each != last) for each in columns] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return [aligned(line, columns, widths) for line in lines]


def aligned(line: Sequence[str], columns: Sequence[str], widths: Sequence[int]) -> str:
    """One line; numbers to the right."""
    cells = [
        text.rjust(width) if column in NUMBERS else text.ljust(width)
        for text, width, column in zip(line, widths, columns)
    ]
    return "  ".join(cells).rstrip()


def cell(value: Any, *, cut: bool = True) -> str:
    """One cell, on one line: some of it was said by hosts and servers."""
    text = "-" if value is None or value == "" else str(value)
    return f"{printable(text[: WIDEST_CELL - 1])}…" if cut and len(text) > WIDEST_CELL else printable(text)
