# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The looks that a check takes at a host, and their results as that of one task. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# In the order in which they are taken. ``site_list`` is whether ``tls_sites`` can be understood.
CERTIFICATES, FILES, LEFT_OVER, SITE_LIST, SITE_CLASHES, SITES, ENDPOINTS = LOOKS = (
    "certificates", "files", "left_over", "site_list", "site_clashes", "sites", "endpoints",
)  # fmt: skip
# Nearly every host is asked for them, so it is they that show whether it can be reached.
FIRST = (CERTIFICATES, FILES)
# At what all hosts have in common: one host looks at it for all.
STORE = "store"
SKIPPED: Mapping[str, Any] = {"changed": False, "skipped": True}
# Of a host's variables: what is of Ansible and not of users, and may have the whole inventory in it.
NOT_OF_USERS = ("hostvars", "vars", "groups", "ansible_facts")


@dataclass(frozen=True)
class Wish:
    """One look at one host, as its variables want it.

    :param options: of the task that looks; None: there is nothing to look at.
    :param refused: that task's result, where it cannot be told what to look at.
    """

    options: Mapping[str, Any] | None = None
    refused: Mapping[str, Any] | None = None

    @property
    def untaken(self) -> Mapping[str, Any]:
        """The result of a look that is not taken."""
        return self.refused or SKIPPED


def asks_host(name: str, wish: Wish) -> bool:
    """Whether a look needs its host."""
    return wish.options is not None and (name != ENDPOINTS or wish.options.get("origin") == "host")


def is_away(results: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the host cannot be reached, so that it is asked nothing more, nor anybody for its endpoints."""
    return any(results[name].get("unreachable") for name in FIRST if name in results)


def changed_wishes(before: Mapping[str, Wish], after: Mapping[str, Wish]) -> list[str]:
    """The looks that are to be taken anew, as their wishes are others now that the host's facts are known. Those come with the certificates."""
    return [name for name in LOOKS if name != CERTIFICATES and before.get(name) != after.get(name)]


def speaks_of(word: str, variables: Mapping[str, Any]) -> bool:
    """Whether a word stands anywhere in a host's variables, as it has to where a template is to ask for what it names."""
    return any(holds(word, value) for name, value in variables.items() if name not in NOT_OF_USERS)


def holds(word: str, value: Any) -> bool:
    """The same of one value."""
    if isinstance(value, str):
        return word in value
    if isinstance(value, dict):
        return any(holds(word, each) for each in value.values())
    return isinstance(value, (list, tuple)) and any(holds(word, each) for each in value)


def one_result(results: Mapping[str, Mapping[str, Any]], sites: Any) -> dict[str, Any]:
    """What the one task returns: of each look what its own task would; facts and warnings where Ansible looks for them.

    :param sites: the endpoints of ``tls_sites``.
    """
    taken = {name: results.get(name, SKIPPED) for name in LOOKS}
    facts: dict[str, Any] = {}
    for each in taken.values():
        facts.update(each.get("ansible_facts") or {})
    warnings = [text for each in taken.values() for text in each.get("warnings") or ()]
    return {
        "changed": False,
        "looks": {name: {key: each[key] for key in each if key != "ansible_facts"} for name, each in taken.items()},
        "wanted": sites,
        **({"ansible_facts": facts} if facts else {}),
        **({"warnings": list(dict.fromkeys(warnings))} if warnings else {}),
    }
