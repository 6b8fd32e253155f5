# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a deployment last found, or left, everything on a host as it should be, and until when that holds; kept in the store.

The notes of many hosts share an entry, so that a run reads those of ten thousand hosts with few requests, and writes little for one of them.
Only what the controller knows for certain is noted. What a host says can change its own note and no other.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DamagedEntry, StoreConflict, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry

ENTRIES = 64
TRIES, LONGEST_PAUSE = 30, 0.2
# A look of so many seconds later that has found the same is not noted: hourly runs need not write as often.
SOON = 6 * 3600
# A note that is older than so many seconds is of no use: its host is visited with and without it. It is that of a host that is gone, most likely.
# Which hosts there are cannot be asked: several inventories may share a store.
LONGEST = 30 * 86400


@dataclass(frozen=True)
class KnownPair:
    """A certificate that a host has. Moments are seconds since the epoch.

    :param fingerprint: SHA-256, as the ledger has it.
    :param begins: its notBefore.
    :param due_at: when it is to be renewed; later, where it waits for a maintenance window.
    :param waits: it does, and would not if it were revoked.
    """

    fingerprint: str
    begins: int
    due_at: int
    pool: str | None = None
    waits: bool = False


@dataclass(frozen=True)
class LastLook:
    """What was known when all was as it should be.

    :param at: when the host was looked at, seconds since the epoch.
    :param wishes: the digest of what the inventory said, see ``wishes.py``.
    :param trust: by the issuer's name, the digest of what the host was given to trust.
    :param lists: the same of revocation lists; None: it needs none.
    :param certificates: by their names.
    """

    at: int
    wishes: str
    trust: Mapping[str, str]
    lists: Mapping[str, str] | None
    certificates: Mapping[str, KnownPair]

    def as_json(self) -> dict[str, Any]:
        """The form it is kept in."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> LastLook:
        """:raises TypeError, ValueError, KeyError, AttributeError: not what :meth:`as_json` gives."""
        certificates = {
            str(name): KnownPair(
                str(each["fingerprint"]),
                int(each["begins"]),
                int(each["due_at"]),
                text_or_none(each["pool"]),
                bool(each["waits"]),
            )
            for name, each in raw["certificates"].items()
        }
        lists = None if raw["lists"] is None else texts(raw["lists"])
        return cls(int(raw["at"]), str(raw["wishes"]), texts(raw["trust"]), lists, certificates)


def text_or_none(value: Any) -> str | None:
    """None, or a text."""
    return None if value is None else str(value)


def texts(raw: Mapping[str, Any]) -> dict[str, str]:
    """A mapping of texts."""
    return {str(name): str(value) for name, value in raw.items()}


def place(host: str) -> int:
    """The number of the entry that a host's note is in."""
    return hashlib.sha256(host.encode()).digest()[0] % ENTRIES


def entry(store: Store, number: int) -> JsonEntry[dict[str, Any]]:
    """One of the entries, host → note. The notes are as they were read: who writes one leaves the others alone."""
    return JsonEntry(
        store,
        f"looks/{number:02}.json",
        lambda raw: {str(host): dict(each) for host, each in raw["hosts"].items()},
        lambda hosts: {"hosts": hosts},
    )


def known_looks(store: Store) -> dict[str, LastLook]:
    """Host → its note. A host whose note cannot be understood has none.

    :raises StoreError: the store cannot be read.
    """
    found = {}
    for number in range(ENTRIES):
        for host, raw in (entry(store, number).usable() or {}).items():
            try:
                found[host] = LastLook.from_json(raw)
            except (TypeError, ValueError, KeyError, AttributeError):
                continue
    return found


def note_look(store: Store, host: str, look: LastLook | None) -> None:
    """Note a host's, or (None) forget it. Where that cannot be, the host keeps what it had.

    Hosts that share an entry may be noted at the same moment.
    """
    kept = entry(store, place(host))
    for _attempt in range(TRIES):
        try:
            present = kept.load()
        except DamagedEntry:
            # It is only notes: the hosts in it are looked at again.
            present = None
        except TlsError:
            return
        hosts = dict(present.value) if present else {}
        raw = look.as_json() if look else None
        if is_same(hosts.get(host), raw):
            return
        hosts = hosts if look is None else younger(hosts, look.at - LONGEST)
        if raw is None:
            del hosts[host]
        else:
            hosts[host] = raw
        try:
            kept.put(hosts, expect=present.version if present else store.version(kept.key))
            return
        except StoreConflict:
            time.sleep(random.uniform(0, LONGEST_PAUSE))
        except TlsError:
            return


def younger(hosts: Mapping[str, dict[str, Any]], moment: int) -> dict[str, dict[str, Any]]:
    """The notes of hosts that were looked at since then."""
    return {host: each for host, each in hosts.items() if isinstance(at := each.get("at"), int) and at >= moment}


def is_same(before: dict[str, Any] | None, after: dict[str, Any] | None) -> bool:
    """Whether a note would say nothing new."""
    if before is None or after is None:
        return before is after
    at = before.get("at")
    return {**before, "at": after["at"]} == after and isinstance(at, int) and 0 <= after["at"] - at < SOON
