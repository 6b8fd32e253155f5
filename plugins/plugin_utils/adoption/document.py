# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found on hosts, as YAML to review and as lines to read. Pure.

The results come from several hosts' tasks; what is written here was judged on the controller, see ``candidates.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError

WIDTH = 150
HEAD = """\
---
# What fleet.tls.adopt found on this host, to be reviewed: it becomes part of the host's variables. Nothing was changed on the host.
# Then take it over as it is:  ansible-playbook -i inventory fleet.tls.adopt -e tls_adopt=true
"""
SHARED = (
    "the same pair is on {others}: each takes its own copy, and is issued its own at the next renewal;"
    " for one pair for all of them, write scope: pool and leave adopt out, and one is issued"
)


def documents(results: Mapping[str, Any]) -> dict[str, str]:
    """Host → its YAML; hosts where nothing can be taken over have none.

    :param results: host → the result of ``fleet.tls.adoption_info``.
    :raises SpecError: this is not what that module returned.
    """
    shared = holders(results)
    return {
        host: document(entries, host, shared)
        for host, result in results.items()
        if (entries := listed(host, result, "adoptable"))
    }


def document(found: Sequence[Mapping[str, Any]], host: str, shared: Mapping[str, Sequence[str]]) -> str:
    """One host's YAML: a comment before each entry has what to know of it."""
    parts = [HEAD, "tls_certificates:\n"]
    for each in found:
        notes = [f"valid until {each['not_after']}", *each["notes"], *shared_note(each, host, shared)]
        parts += [f"  # {line}\n" for line in notes]
        text = yaml.safe_dump([plain(each["entry"])], default_flow_style=False, sort_keys=False, width=WIDTH)
        parts += [f"  {line}\n" for line in text.splitlines()]
    return "".join(parts)


def table(results: Mapping[str, Any]) -> list[str]:
    """What can be taken over and what cannot, for people: a line each. Errors as :func:`documents`."""
    shared, lines = holders(results), []
    for host, result in results.items():
        found = listed(host, result, "adoptable")
        for each in found:
            entry = each["entry"]
            services = ", ".join(entry.get("services", ())) or "no service that is known"
            lines.append(
                f"{host}: {entry['name']}: {entry['adopt']['certificate']}, used by {services}, valid until {each['not_after']}"
            )
            lines += [f"{host}: {entry['name']}: {note}" for note in (*each["notes"], *shared_note(each, host, shared))]
        refused = listed(host, result, "refused")
        lines += [f"{host}: not {each['path']}: {each['why']}" for each in refused]
        if not found and not refused:
            lines.append(f"{host}: nothing that is not managed already")
    return lines


def holders(results: Mapping[str, Any]) -> dict[str, list[str]]:
    """Public key's digest → the hosts that have it."""
    found: dict[str, list[str]] = {}
    for host, result in results.items():
        for each in listed(host, result, "adoptable"):
            hosts = found.setdefault(str(each["public_key_sha256"]), [])
            if host not in hosts:
                hosts.append(host)
    return found


def shared_note(each: Mapping[str, Any], host: str, shared: Mapping[str, Sequence[str]]) -> list[str]:
    """Whether other hosts have the same pair."""
    others = [other for other in shared.get(str(each["public_key_sha256"]), ()) if other != host]
    return [SHARED.format(others=", ".join(others[:5]) + (" and others" if len(others) > 5 else ""))] if others else []


def listed(host: str, result: Any, what: str) -> Sequence[Mapping[str, Any]]:
    """One of the lists of a result; none of a host that failed."""
    found = result.get(what, ()) if isinstance(result, Mapping) else None
    if not isinstance(found, (list, tuple)) or not all(isinstance(each, Mapping) for each in found):
        raise SpecError(
            f"{host}: this is not what fleet.tls.adoption_info returned", remedy="give its registered result"
        )
    return found


def plain(value: Any) -> Any:
    """The same of plain types, which is all that YAML is written of: Ansible's texts are more than texts."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return str(value)
