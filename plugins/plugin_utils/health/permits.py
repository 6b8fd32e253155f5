# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory could get of its issuers, for the health document: hosts with the same rules together. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import HostInput


def permit_rows(seen: Iterable[HostInput]) -> list[dict[str, Any]]:
    """``permits``: an issuer, the rules of it that are for the same hosts (None: it has none, and issues everything), and these hosts."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in seen:
        for issuer, rules in each.permits.items():
            found.setdefault((str(issuer), json.dumps(rules)), []).append(each.host)
    return [
        {"issuer": issuer, "rules": json.loads(rules), "hosts": hosts}
        for (issuer, rules), hosts in sorted(found.items())
    ]
