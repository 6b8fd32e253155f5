# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of ours is on a host and in the inventory no more, with the entry that takes it away. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.wishes import absent_names, mappings
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.absent import absent, present

NEXT_RUN = "the next fleet.tls.deploy takes it away"


@dataclass(frozen=True)
class LeftOver:
    """One thing.

    :param kind: ``certificate``, ``client``, ``bundle``, ``pool`` or ``sites``.
    :param name: its name, its path, or of sites the server's.
    :param remedy: what takes it away, for people.
    """

    kind: str
    name: str
    remedy: str

    def as_result(self) -> dict[str, str]:
        """JSON-ready."""
        return {"kind": self.kind, "name": self.name, "remedy": self.remedy}


@dataclass(frozen=True)
class Inventory:
    """What the inventory says of a host, as it stands there.

    :param sites: whether the host has a list of sites, be it empty: then a deployment takes out what is not in it.
    :param pool: of session ticket keys; None: it is to use none.
    """

    certificates: Sequence[Any] = ()
    clients: Sequence[Any] = ()
    bundles: Sequence[Any] = ()
    sites: bool = True
    pool: str | None = None
    pool_is_absent: bool = False


def left_over(there: Mapping[str, Iterable[str]], inventory: Inventory) -> list[LeftOver]:
    """What is there and not wanted.

    :param there: by kinds, as step ``retire`` tells it (docs/host-protocol.md).
    :raises SpecError: an entry with a state that is none.
    """
    return [
        *unwanted("certificate", there["certificates"], *certificates_of(inventory)),
        *unwanted("client", there["clients"], *clients_of(inventory)),
        *unwanted("bundle", there["bundles"], *bundles_of(inventory)),
        *pools(there["pools"], inventory),
        *sites(there["configured"], inventory),
    ]


REMEDIES = {
    "certificate": "add {{name: {name}, state: absent}} to tls_certificates, with the services that had it",
    "client": "add {{name: {name}, certificate: {name}, state: absent}} to tls_clients",
    "bundle": "add {{path: {name}, state: absent}} to tls_trust_bundles",
}


def unwanted(kind: str, there: Iterable[str], wanted: set[str], going: set[str]) -> list[LeftOver]:
    """Those of a kind that are neither wanted, nor on their way out without anybody having to do anything."""
    remedies = {name: NEXT_RUN if name in going else REMEDIES[kind].format(name=name) for name in there}
    return [LeftOver(kind, name, remedy) for name, remedy in remedies.items() if name not in wanted]


def certificates_of(inventory: Inventory) -> tuple[set[str], set[str]]:
    """Names: those that are wanted, those that are to go."""
    wanted = {str(entry.get("name")) for entry in mappings(present(inventory.certificates, "certificates"))}
    return wanted, absent_names(inventory.certificates)


def clients_of(inventory: Inventory) -> tuple[set[str], set[str]]:
    """The same of clients."""
    wanted, going = (
        {str(entry.get("name") or entry.get("certificate")) for entry in mappings(some(inventory.clients, "clients"))}
        for some in (present, absent)
    )
    return wanted, going


def bundles_of(inventory: Inventory) -> tuple[set[str], set[str]]:
    """The same of bundles, by their paths."""
    wanted, going = (
        {os.path.normpath(str(entry.get("path"))) for entry in mappings(some(inventory.bundles, "bundles"))}
        for some in (present, absent)
    )
    return wanted, going


def pools(there: Iterable[str], inventory: Inventory) -> list[LeftOver]:
    """Rings of session ticket keys that no server of the host is to use."""
    found = [pool for pool in there if pool != inventory.pool or inventory.pool_is_absent]
    remedy = "set tls_session_tickets: false, tls_session_ticket_state: absent and tls_session_ticket_pool: {}"
    return [LeftOver("pool", pool, NEXT_RUN if inventory.pool_is_absent else remedy.format(pool)) for pool in found]


def sites(there: Iterable[str], inventory: Inventory) -> list[LeftOver]:
    """Servers that are left alone, as the host has no list of sites, and still have files of ours."""
    if inventory.sites:
        return []
    return [LeftOver("sites", name, "set tls_sites: [] and run fleet.tls.deploy") for name in there]
