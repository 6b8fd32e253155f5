# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts from outside, made fit for one line that people read."""

from __future__ import annotations

import re
from typing import Any

LONGEST_TEXT = 2000
WORD = re.compile(r"[\w.:%-]{0,16}")


MISSHAPEN = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


def printable(value: Any) -> str:
    """A host's text as one line that plays no tricks on a terminal."""
    text = str(value)
    # Nearly every text is, and one look at all of it is a hundred times faster.
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def shortened(value: Any) -> str:
    """The same, cut where it is longer than anybody reads; before it is cleaned, as a host may say megabytes."""
    text = str(value)
    return printable(text) if len(text) <= LONGEST_TEXT else f"{printable(text[:LONGEST_TEXT])}…"


def named(value: Any) -> str:
    """What a user wrote, for a message: only what looks like a word, as a secret may have been typed in the wrong place."""
    return f"'{value}'" if WORD.fullmatch(str(value)) else "what is written there"


def text_or_none(value: Any) -> str | None:
    """The same, None for nothing."""
    return shortened(value) if value else None
