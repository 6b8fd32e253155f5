# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of fleet.tls.deploy, and which of them a host is due for, from what each would come to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# In the playbook's order, in which each part may depend on all before it.
PARTS = ("certificates", "ca", "trust", "session_tickets", "web_server", "publication", "clients", "retire")


@dataclass(frozen=True)
class Outlook:
    """What a part would come to.

    :param why: why it has something to do, in words; None: it has not.
    :param says: it would have something to say (a warning), and changes nothing.
    """

    why: str | None = None
    says: bool = False


def outlook_of(result: Mapping[str, Any]) -> Outlook:
    """That of a part by its task's result, as in check mode."""
    if result.get("changed"):
        return Outlook("it would change something")
    if result.get("missing"):
        return Outlook("the server is not installed")
    if result.get("proven") is False or result.get("unproven") or result.get("unanswered"):
        return Outlook("something is not proven")
    return Outlook(says=bool(result.get("warnings")))


def due_parts(outlooks: Mapping[str, Outlook]) -> list[str]:
    """Which parts have something to do. What comes after one of them may depend on it: so all of that is due too.

    :param outlooks: of the parts that concern the host.
    """
    due: list[str] = []
    for name in in_order(outlooks):
        if outlooks[name].says or any(outlooks[earlier].why for earlier in (*due, name)):
            due.append(name)
    return due


def in_order(names: Iterable[str]) -> list[str]:
    """Parts as they come one after the other."""
    known = set(names)
    return [name for name in PARTS if name in known]


def asks_others(wanted: Collection[str], sites: Iterable[Any]) -> list[str]:
    """Which parts ask other hosts, which may be about to change, so that they are proven at the end, as long as there is anything to do on any host.

    A web server comes with the part from which it knows whose challenges it answers.

    :param wanted: the parts that concern the host.
    :param sites: its ``tls_sites``.
    """
    asks = {"clients"} if "clients" in wanted else set()
    if any(str(each.get("upstream", "")).startswith("https") for each in sites if isinstance(each, Mapping)):
        asks |= {"ca", "web_server"}
    return in_order(asks)
