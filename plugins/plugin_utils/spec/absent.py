# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``state: absent``: entries of lists that are wanted no more. They stay as they were written, so that it is known what has to go. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of

STATES = ("present", "absent")


def is_absent(entry: Any, where: str) -> bool:
    """Whether an entry is wanted no more; what is no mapping is refused by whoever reads it.

    :param where: what it is one of, for the error.
    :raises SpecError: another state.
    """
    if not isinstance(entry, Mapping) or entry.get("state") is None:
        return False
    return one_of(entry["state"], STATES, f"{where}: state") == "absent"


def present(raw: Iterable[Any], where: str) -> list[Any]:
    """The entries that are wanted; errors as :func:`is_absent`."""
    return [entry for entry in raw if not is_absent(entry, where)]


def absent(raw: Iterable[Any], where: str) -> list[Any]:
    """The others."""
    return [entry for entry in raw if is_absent(entry, where)]
