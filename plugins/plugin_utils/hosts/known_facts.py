# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts said of themselves last, kept in the store: a run can render their configuration before it has asked them."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.facts import HostFacts, parse_host_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.entry_names import safe
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry


def entry(store: Store, host: str) -> JsonEntry[HostFacts]:
    """A host's entry."""
    return JsonEntry(store, f"hosts/{safe(host)}.json", parse, dataclasses.asdict)


def parse(raw: Any) -> HostFacts:
    """:raises TypeError: it does not have the form that :func:`note_facts` writes."""
    try:
        return parse_host_facts(raw)
    except TlsError as error:
        raise TypeError(str(error)) from None


def known_facts(store: Store, host: str) -> HostFacts | None:
    """What a host said last; None: nothing, or nobody can tell."""
    with contextlib.suppress(TlsError):
        return entry(store, host).usable()
    return None


def note_facts(store: Store, host: str, facts: HostFacts) -> None:
    """Keep what a host says. Where that cannot be, the next run asks it first."""
    with contextlib.suppress(TlsError):
        entry(store, host).replace(facts)
