# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as a pattern for a play's ``hosts``, and what people are told of the choice. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.due import REASONS

# In a pattern, these stand between patterns or begin a range.
SEPARATORS = {":": r"\x3a", ",": r"\x2c", "\\[": r"\x5b", "\\]": r"\x5d"}


def restriction(chosen: Collection[str], everyone: int) -> str:
    """What follows a pattern, in a list of patterns, to leave only these of its hosts.

    One regular expression: Ansible goes through the inventory once for each pattern.

    :param everyone: how many hosts there are.
    """
    if not chosen:
        return "!all"
    if len(chosen) == everyone:
        return "&all"
    names = "|".join(literal(name) for name in sorted(chosen))
    return rf"&~({names})\Z"


def literal(name: str) -> str:
    """A host's name in such an expression."""
    text = re.escape(name)
    for separator, written in SEPARATORS.items():
        text = text.replace(separator, written)
    return text


def summary(chosen: Mapping[str, str], left_out: int) -> str:
    """How many hosts are visited, and why; how many are left out.

    :param chosen: host → code.
    """
    counts = Counter(chosen.values())
    why = ", ".join(f"{counts[code]} ({words})" for code, words in REASONS.items() if counts[code])
    return f"{len(chosen)} hosts are visited{': ' if why else ''}{why}; {left_out} are left out"
