# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.due_hosts``: which hosts of its play a deployment has to visit. One task for all of them, on the controller alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from ansible.errors import AnsibleError

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_boolean, parse_force
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.due import (
    KnownHost,
    StoreView,
    due_hosts,
    wanted_early,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair, LastLook, known_looks
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.selection import restriction, summary
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.store_view import (
    rows_of,
    view_of,
    wanted_by_their_cas,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.openable_store import openable_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.user_variables import Watch
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.wanted import CONCERNING, digest_of, raw_variables

Load = Callable[[], dict[str, Issuer]]
STORE_NAMES = frozenset({"tls_store", "tls_issuers"})


@dataclass
class Fleet:
    """Hosts that share a store and its issuers.

    :param first: one of them, whose variables name the store.
    :param wishes: host → the digest of what the inventory says about it.
    :param unconcerned: those of whom the inventory wants nothing.
    :param pools: of session ticket keys, with their hosts.
    """

    first: str
    wishes: dict[str, str] = field(default_factory=dict)
    unconcerned: set[str] = field(default_factory=set)
    pools: dict[str, set[str]] = field(default_factory=dict)
    looks: Mapping[str, LastLook] = field(default_factory=dict)
    view: StoreView | None = None

    def hosts(self) -> list[KnownHost]:
        """All of them, with what is known."""
        return [
            KnownHost(name, wishes, self.looks.get(name), self.view, name not in self.unconcerned)
            for name, wishes in self.wishes.items()
        ]


class ActionModule(TlsAction):
    """Read the inventory and the stores, and judge."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {"force": {"type": "raw", "default": False}}
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        force, now = parse_force(options["force"]), self.now()
        # Those that --limit leaves out are not there, and cannot be the ones that see to a CA.
        everyone = [str(name) for name in variables["ansible_play_hosts_all"]]
        fleets = self.fleets(everyone, variables)
        chosen: dict[str, str] = {}
        for fleet in fleets:
            load = partial(self.loaded, fleet.first, variables)
            try:
                self.read(fleet, load, variables, now)
            except (AnsibleError, TlsError):
                # Its hosts are visited, and say what is wrong.
                fleet.view = None
            hosts = fleet.hosts()
            found = due_hosts(hosts, seconds(now), force)
            chosen |= found | self.early(fleet, [each for each in hosts if each.name not in found], load, now)
        left_out = len(everyone) - len(chosen)
        return {
            "changed": False,
            "hosts": chosen,
            "left_out": left_out,
            "restriction": restriction(chosen, len(everyone)),
            "msg": summary(chosen, left_out),
        }

    def fleets(self, everyone: list[str], variables: Mapping[str, Any]) -> list[Fleet]:
        """The hosts that have to do with TLS, or had, by their stores. Those that fleet.tls.deploy passes over are not there."""
        found: dict[str, Fleet] = {}
        watch = Watch()
        for name in everyone:
            raw = raw_variables(variables, name)
            watch.over(raw)
            concerned = not CONCERNING.isdisjoint(raw)
            if not concerned and "tls_store" not in raw:
                continue
            fleet = found.setdefault(digest_of(raw, STORE_NAMES), Fleet(name))
            fleet.wishes[name] = digest_of(raw)
            if not concerned:
                fleet.unconcerned.add(name)
            known = partial(self.rendered, name, raw, variables)
            if is_true(known("tls_session_tickets", False)):
                fleet.pools.setdefault(str(known("tls_session_ticket_pool", "default")), set()).add(name)
        return list(found.values())

    @staticmethod
    def rendered(host: str, raw: Mapping[str, Any], variables: Mapping[str, Any], name: str, default: Any) -> Any:
        """One variable of a host, as it stands in the inventory; the default where there is none, or none that can be rendered."""
        value = raw.get(name, default)
        try:
            return variables["hostvars"][host][name] if "{{" in str(value) else value
        except AnsibleError:
            return default

    def loaded(self, host: str, variables: Mapping[str, Any]) -> dict[str, Issuer]:
        """The issuers of a host, with their store.

        :raises AnsibleError: its variables cannot be rendered; :raises TlsError: they are refused.
        """
        known = variables["hostvars"][host]
        return dict(load_issuers(known.get("tls_issuers"), load_store(self.store_options(host, variables))))

    def store_options(self, host: str, variables: Mapping[str, Any]) -> Any:
        """A host's ``tls_store``, without a passphrase that nobody can tell.

        :raises AnsibleError: it cannot be rendered.
        """
        raw = raw_variables(variables, host)
        templar = self._templar.copy_with_new_env(available_variables={**raw, "hostvars": variables["hostvars"]})
        return openable_store(raw.get("tls_store"), templar.template)

    def read(self, fleet: Fleet, load: Load, variables: Mapping[str, Any], now: dt.datetime) -> None:
        """What the fleet's store says.

        :raises AnsibleError, TlsError: it cannot be read.
        """
        # Also where there are no issuers (any more).
        store = load_store(self.store_options(fleet.first, variables))
        fleet.looks = known_looks(store)
        issuers = load()
        if issuers:
            fleet.view = view_of(store, issuers, fleet.pools, pairs_of(fleet), now)

    @staticmethod
    def early(fleet: Fleet, hosts: list[KnownHost], load: Load, now: dt.datetime) -> dict[str, str]:
        """Of hosts that would be left out, those with a certificate whose CA wants it renewed now."""
        if not hosts or fleet.view is None:
            return {}
        pairs = [pair for each in hosts if each.look for pair in each.look.certificates.values()]
        store = next(iter(load().values())).store
        return wanted_early(hosts, wanted_by_their_cas(rows_of(store, pairs), load, now))


def pairs_of(fleet: Fleet) -> list[KnownPair]:
    """All certificates that are noted of its hosts."""
    return [pair for name in fleet.wishes if name in fleet.looks for pair in fleet.looks[name].certificates.values()]


def is_true(value: Any) -> bool:
    """Whether a variable says yes; one that says neither is refused by its role."""
    try:
        return parse_boolean(value, "")
    except SpecError:
        return False
