# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts could get by the rules of their issuers, in lines for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# So many hosts are named in a line; the document has all.
MOST_HOSTS = 6


def permit_lines(document: Mapping[str, Any]) -> list[str]:
    """One line for an issuer and the hosts with the same rules of it; empty where no issuer has rules."""
    rows = [each for each in document.get("permits") or () if each["rules"] is not None]
    lines = []
    for each in rows:
        hosts = each["hosts"]
        who = ", ".join(hosts[:MOST_HOSTS]) + (
            f" and {len(hosts) - MOST_HOSTS} more" if len(hosts) > MOST_HOSTS else ""
        )
        rules = [rule_text(rule) for rule in each["rules"]]
        lines.append(f"{each['issuer']} permits {who}: {' | '.join(rules) or 'nothing'}")
    return lines


def rule_text(rule: Mapping[str, Any]) -> str:
    """One rule in a line."""
    texts = [f"{name} {value_text(value)}" for name, value in rule.items()]
    return "; ".join(texts) or "everything"


def value_text(value: Any) -> str:
    """What a rule says of one thing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{part}={each}" for part, values in value.items() for each in values)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
