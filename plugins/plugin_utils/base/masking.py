# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others say, without the secrets that they were given: programs and servers repeat them, whole, line by line, or cut. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import printable

# Characters. A shorter secret would blacken every text; of a longer one no piece of so many is shown.
SHORTEST_SECRET = 4
SHORTEST_PIECE = 8
MASK = "***"
SECRET_VARIABLE = re.compile(
    r"token|secret|passw|passphrase|credential|private|api_?key|(?<![a-z])pin(?![a-z])", re.IGNORECASE
)


def one_line(text: str) -> str:
    """A text as one line that plays no tricks on a terminal; every run of blanks and line breaks is one blank."""
    return " ".join(printable(text).split())


def masked(text: str, secrets: Iterable[str]) -> str:
    """One line of somebody's words, with ``***`` in place of what is in ``secrets``.

    Each line of a secret counts for itself, and so does every piece of it: whoever repeats a secret may wrap or cut it.
    """
    lines = {one_line(line) for secret in secrets for line in str(secret).splitlines()}
    pieces = {line[start : start + SHORTEST_PIECE] for line in lines for start in range(len(line) - SHORTEST_PIECE + 1)}
    whole = [line for line in lines if SHORTEST_SECRET <= len(line) < SHORTEST_PIECE]
    hidden = bytearray(len(text))
    for start in range(len(text)):
        if text[start : start + SHORTEST_PIECE] in pieces:
            hidden[start : start + SHORTEST_PIECE] = b"\1" * SHORTEST_PIECE
        for line in whole:
            if text.startswith(line, start):
                hidden[start : start + len(line)] = b"\1" * len(line)
    return re.sub("\0+", MASK, "".join("\0" if hide else letter for letter, hide in zip(text, hidden)))


def secret_variables(environment: Mapping[str, str]) -> Collection[str]:
    """The values of those variables whose names say that they are secrets."""
    return [value for name, value in environment.items() if SECRET_VARIABLE.search(name)]
