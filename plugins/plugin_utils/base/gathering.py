# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each host has of a variable, as one mapping: how playbooks hand many hosts to one task. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of

# A failure is for people; a host's own words may be long.
MESSAGE_LIMIT = 600


def gathered(
    known: Any, variables: str | Iterable[str], hosts: Iterable[str], part: str = "value", default: Any = None
) -> dict[str, Any]:
    """What each of ``hosts`` has; a host that ``known`` does not have is left out.

    :param known: ``hostvars``.
    :param variables: the name of a variable, or several: the first that has the part counts.
    :param part: ``value``; ``names``, which a mapping has as keys and a list in its entries' ``name``; ``failure``, why a task that
        was registered failed, in words.
    :param default: of a host that has none of the variables, with ``value`` only; None: an empty mapping. The other parts are an
        empty list and an empty text then.
    :raises SpecError: no mapping of hosts, or an unknown part.
    """
    if not isinstance(known, Mapping):
        raise SpecError("it needs hostvars")
    wanted = [variables] if isinstance(variables, str) else list(variables)
    read = PARTS[one_of(part, PARTS, "part")]
    empty = ({} if default is None else default) if part == "value" else read(None)
    return {
        str(host): next((found for found in found_on(known[host], wanted, read) if found), empty)
        for host in hosts
        if host in known
    }


def found_on(values: Mapping[str, Any], variables: Iterable[str], read: Callable[[Any], Any]) -> Iterable[Any]:
    """The part of each variable that a host has. One after the other: reading a variable is templating it."""
    return (read(values[name]) for name in variables if name in values)


def names(value: Any) -> list[str]:
    """The keys of a mapping, or the ``name`` of each entry of a list; of anything else none."""
    if isinstance(value, Mapping):
        return [str(each) for each in value]
    if isinstance(value, (list, tuple)):
        return [str(each["name"]) for each in value if isinstance(each, Mapping) and each.get("name") is not None]
    return []


def failure(result: Any) -> str:
    """Why a registered task failed; an empty text where it did not."""
    if not isinstance(result, Mapping):
        return ""
    word = "unreachable" if result.get("unreachable") else "failed" if result.get("failed") else ""
    return f"{word}: {str(result.get('msg', ''))[:MESSAGE_LIMIT].strip()}" if word else ""


PARTS: dict[str, Callable[[Any], Any]] = {"value": lambda value: value, "names": names, "failure": failure}
