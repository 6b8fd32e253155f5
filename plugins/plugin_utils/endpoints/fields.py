# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of one endpoint, field by field: its shape is not taken on trust. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_PLACES = 1000


def read_resumption(said: Any) -> dict[str, Any] | None:
    """How resuming the session went, as documented; None: that was not asked for."""
    if not isinstance(said, Mapping):
        return None
    places = said.get("at")
    return {
        "offered": said.get("offered") is True,
        "resumed": boolean_or_none(said.get("resumed")),
        "error": text_or_none(said.get("error")),
        "at": [
            {
                "endpoint": text_or_none(each.get("endpoint")),
                "resumed": boolean_or_none(each.get("resumed")),
                "error": text_or_none(each.get("error")),
            }
            for each in (places if isinstance(places, list) else [])[:MOST_PLACES]
            if isinstance(each, Mapping)
        ],
    }


def read_staple(said: Any) -> dict[str, Any] | None:
    """The stapled OCSP answer, as documented; None: it was not asked for."""
    if not isinstance(said, Mapping):
        return None
    texts = {field: text_or_none(said.get(field)) for field in ("status", "this_update", "next_update", "error")}
    return {"present": boolean_or_none(said.get("present")), **texts}


def text_or_none(value: Any) -> str | None:
    """Plain text, cut where nobody would go on reading."""
    return None if value is None else printable(str(value)[:500])


def number_or_none(value: Any) -> float | int | None:
    """A number, and nothing that only looks like one."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def boolean_or_none(value: Any) -> bool | None:
    """Yes, no, or nobody knows."""
    return value if isinstance(value, bool) else None


def printable(text: str) -> str:
    """A server's words, without what would steer a terminal."""
    text = text[:2000]
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
