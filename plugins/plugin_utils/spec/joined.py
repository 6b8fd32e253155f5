# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One list of several variables, as a host has them that is in several groups. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError

# What an entry is called, the first that it has.
NAMES = ("name", "certificate")


def parts_of(whole: str, variables: Iterable[str], known: Collection[str] = ()) -> list[str]:
    """The variables whose lists make up ``whole``, in the order in which they are joined: that of their names.

    :param known: variables that have a meaning of their own.
    """
    return sorted(name for name in variables if name.startswith(f"{whole}_") and name not in known)


def joined(parts: Mapping[str, Any]) -> list[Any]:
    """The entries of all these lists, one after the other.

    :param parts: variable → its value.
    :raises SpecError: one is not a list, or two have an entry of the same name.
    """
    found: list[Any] = []
    names: dict[str, str] = {}
    for variable, entries in parts.items():
        if not isinstance(entries, (list, tuple)):
            raise SpecError(f"{variable} is not a list", remedy="write a list of entries, [] where there are none")
        mine = [name for name in map(name_of, entries) if name is not None]
        for name in mine:
            if name in names:
                raise SpecError(
                    f"'{name}' is in both {names[name]} and {variable}", remedy="rename or remove one of them"
                )
        names.update(dict.fromkeys(mine, variable))
        found.extend(entries)
    return found


def name_of(entry: Any) -> str | None:
    """What an entry is called; None: it has no name."""
    if not isinstance(entry, Mapping):
        return None
    return next((str(entry[each]) for each in NAMES if entry.get(each) is not None), None)
