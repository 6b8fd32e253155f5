# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A large inventory with its store, of which some hosts have pairs that were issued so long ago that they are due."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.due import is_week_over
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair, LastLook
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import KeepsCrls
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.handed_out import handed_out
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.upkeep import shown
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.wishes import digest_of_wishes
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.wanted import names_read
from ansible_collections.fleet.tls.tests.unit.support.looks import note_looks
from bench.local_hosts import folder_of, installed, variables

DAY = 86400
LIFETIME_DAYS = 47
# Two thirds of it and a little: past the moment of every host.
AGE = dt.timedelta(days=LIFETIME_DAYS * 0.7)
ISSUERS = {"internal": {"type": "ca", "duration": f"{LIFETIME_DAYS}d"}}


class DueFleet:
    """So many hosts below ``folder``, so many of them due ``now``."""

    def __init__(self, folder: Path, hosts: int, due: int, now: dt.datetime) -> None:
        self.folder, self.now = folder, now
        self.inventory = folder / "inventory.json"
        names = self.calm_names()
        self.names = [next(names) for _number in range(hosts)]
        # Not the first ones: whatever stands at the beginning is found fast.
        self.due = self.names[-due:]
        self.shared = variables(folder, ISSUERS, ["www"])

    def calm_names(self) -> Iterator[str]:
        """Names of hosts whose moment of the week is not within the next six hours, so that nobody is visited for that."""
        now, number = seconds(self.now), 0
        while True:
            number += 1
            name = f"web{number:05}"
            if not is_week_over(name, now, now + DAY // 4):
                yield name

    def make(self) -> None:
        """Inventory, store, the pairs of the hosts that are due, and what is known of all of them."""
        groups = {"today": {"hosts": dict.fromkeys(self.due)}}
        document = {"all": {"vars": self.shared, "hosts": dict.fromkeys(self.names, {}), "children": groups}}
        self.inventory.write_text(json.dumps(document), encoding="utf-8")
        store = load_store(self.shared["tls_store"])
        issuers = load_issuers(ISSUERS, store)
        then = self.now - AGE
        pairs = {
            host: installed(folder_of(self.folder, host), host, ["www"], issuers, then)["www"] for host in self.due
        }
        rows = {row.host: row for row in store.issuances()}
        calm = dict(self.calm_rows(rows[self.due[0]]))
        with store.ledger() as ledger:
            for row, _pair in calm.values():
                ledger.add(row)
        pairs |= {host: pair for host, (_row, pair) in calm.items()}
        for issuer in issuers.values():
            if isinstance(issuer, KeepsCrls):
                # A month has passed since then.
                issuer.crls(self.now)
        trust = handed_out({name: shown(issuer, self.now) for name, issuer in issuers.items()})["trust"]
        at = seconds(self.now)
        note_looks(
            store, {host: LastLook(at, self.wishes(host), trust, None, {"www": pairs[host]}) for host in self.names}
        )

    def wishes(self, host: str) -> str:
        """The digest of what the inventory says about a host."""
        return digest_of_wishes({**self.shared, "inventory_hostname": host}, names_read(), lambda _value: None)

    def calm_rows(self, model: Issuance) -> Iterator[tuple[str, tuple[Issuance, KnownPair]]]:
        """Rows of the ledger for all others, evenly over the last month, and what is noted of them."""
        due, now = set(self.due), seconds(self.now)
        calm = [name for name in self.names if name not in due]
        for number, host in enumerate(calm):
            begins = now - int(LIFETIME_DAYS * 0.6 * DAY * number / len(calm))
            mark = hashlib.sha256(host.encode()).hexdigest()
            row = dataclasses.replace(
                model,
                request_id=mark[:32],
                host=host,
                serial=mark[:32],
                fingerprint=mark,
                key_id=mark,
                names=(f"www.{host}.example.com",),
                not_before=begins,
                not_after=begins + LIFETIME_DAYS * DAY,
                issued_at=begins,
            )
            yield host, (row, KnownPair(mark, begins, begins + int(LIFETIME_DAYS * 0.63 * DAY)))

    def live(self) -> dict[str, str]:
        """Of each host that is due, the generation that is live."""
        return {host: os.readlink(self.folder / "hosts" / host / "live" / "www") for host in self.due}
