# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of many hosts, as their deployments have made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import LastLook, entry, place
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store


def note_looks(store: Store, looks: Mapping[str, LastLook]) -> None:
    """Note them, each entry once."""
    by_entry: dict[int, dict[str, Any]] = {}
    for host, look in looks.items():
        by_entry.setdefault(place(host), {})[host] = look.as_json()
    for number, hosts in by_entry.items():
        kept = entry(store, number)
        present = kept.load()
        kept.put({**(present.value if present else {}), **hosts}, expect=present.version if present else None)
