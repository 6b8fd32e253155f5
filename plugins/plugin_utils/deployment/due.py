# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a deployment has to visit, from what is known of them. Pure, and linear in the number of hosts.

A host is left out only where everything that is known says that a visit would find nothing to do. In doubt it is visited.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import KnownPair, LastLook

WEEK = 7 * 86400

# Code → why a host is visited, in the order in which they are asked.
REASONS = {
    "forced": "named in tls_force",
    "rotation": "a rotation is under way",
    "unknown": "not known to be in order",
    "inventory": "its inventory has changed",
    "ledger": "a certificate that is not in the ledger",
    "pool": "its pool has another certificate",
    "revoked": "a revoked certificate waits no longer",
    "renewal": "a certificate is due",
    "early": "the CA wants a certificate renewed",
    "tickets": "session ticket keys that it has not shown",
    "trust": "what is to be trusted has changed",
    "lists": "revocation lists have changed, or are due",
    "ca": "a CA or its revocation list is due",
    "week": "not looked at for a week",
}


@dataclass(frozen=True)
class StoreView:
    """What a store says, for all hosts that share it.

    :param issued: SHA-256 fingerprints of certificates in the ledger.
    :param revoked: those of revoked ones, among the certificates that wait for a maintenance window.
    :param trust, lists: by the issuer's name, the digests of what hosts are given to trust, and of its revocation lists. An issuer that
        cannot be read is not there, and says nothing against a host.
    :param pools: by the name of a pool of certificates, the fingerprint of its present one; empty: it has none that can be read.
    :param ca_due: an issuer has something to be made or renewed, or cannot be read. It takes any host to see to that.
    :param lists_due: its revocation lists will be others after that.
    :param rotating: a rotation of CAs or keys is under way.
    :param behind: hosts that have not shown the present session ticket keys of their pool.
    """

    issued: Collection[str]
    revoked: Collection[str]
    trust: Mapping[str, str]
    lists: Mapping[str, str]
    pools: Mapping[str, str] = field(default_factory=dict)
    ca_due: bool = False
    lists_due: bool = False
    rotating: bool = False
    behind: Collection[str] = ()


@dataclass(frozen=True)
class KnownHost:
    """A host that has something to do with TLS.

    :param wishes: the digest of what the inventory says now.
    :param look: what is noted of it; None: nothing.
    :param view: its store; None: it has none that can be read.
    :param concerned: the inventory wants something of it. If not, there may be something of ours to be removed.
    """

    name: str
    wishes: str
    look: LastLook | None = None
    view: StoreView | None = field(default=None, repr=False)
    concerned: bool = True


def due_hosts(hosts: Collection[KnownHost], now: int, force: bool | Collection[str] = False) -> dict[str, str]:
    """Host → the code of its reason; those that are not here are left out.

    :param now: the controller's clock, seconds since the epoch.
    :param force: as ``tls_force``: names of certificates and pools, or all.
    """
    found = {host.name: code for host in hosts if (code := reason(host, now, force))}
    # Somebody's run has to renew it, and where a store's hosts are all in order there would be nobody. The one that was seen last is the
    # one most likely to answer: those that are visited for other reasons may be dead.
    latest: dict[int, KnownHost] = {}
    for host in hosts:
        if host.view and host.view.ca_due and host.look:
            latest[id(host.view)] = max(latest.get(id(host.view), host), host, key=lambda each: seen(each, found))
    return {**{host.name: "ca" for host in latest.values()}, **found}


def seen(host: KnownHost, found: Collection[str]) -> tuple[int, bool]:
    """When it was; of hosts that were seen at the same moment, one that is visited anyway comes after the others."""
    return host.look.at if host.look else 0, host.name in found


def reason(host: KnownHost, now: int, force: bool | Collection[str]) -> str | None:
    """The code of why a host is visited; None: it is left out."""
    look, view = host.look, host.view
    if not host.concerned:
        return "inventory" if look and look.wishes != host.wishes else None
    if look is None or view is None:
        return "forced" if force is True else "unknown"
    pairs = look.certificates.values()
    shown = {each.fingerprint for each in pairs}
    names = {*look.certificates, *(each.pool for each in pairs if each.pool)}
    answers = {
        "forced": force is True or (bool(force) and not names.isdisjoint(force or ())),
        "rotation": view.rotating,
        # Noted by a clock that was ahead: nothing that was noted then can be relied on.
        "unknown": look.at > now,
        "inventory": look.wishes != host.wishes,
        "ledger": not shown.issubset(view.issued),
        "pool": any(takes_another(each, view) for each in pairs),
        # Before it is due, a deployment leaves it where it is.
        "revoked": any(each.waits and each.fingerprint in view.revoked for each in pairs),
        "renewal": any(each.due_at <= now for each in pairs),
        "tickets": host.name in view.behind,
        "trust": differs(look.trust, view.trust),
        "lists": look.lists is not None and (view.lists_due or differs(look.lists, view.lists)),
        "week": is_week_over(host.name, look.at, now),
    }
    return next((code for code in REASONS if answers.get(code)), None)


def takes_another(pair: KnownPair, view: StoreView) -> bool:
    """Whether a host takes another certificate from its pool: at once, unless its own waits for a maintenance window."""
    return pair.pool is not None and not pair.waits and view.pools.get(pair.pool) != pair.fingerprint


def differs(noted: Mapping[str, str], present: Mapping[str, str]) -> bool:
    """Whether something else is handed out than a host was given."""
    return any(noted.get(name) != digest for name, digest in present.items())


def wanted_early(hosts: Iterable[KnownHost], early: Collection[str]) -> dict[str, str]:
    """Host → the code, of hosts with a certificate whose CA wants it renewed now, whatever was noted.

    :param early: fingerprints of such certificates.
    """
    return {
        host.name: "early"
        for host in hosts
        if host.look and any(each.fingerprint in early for each in host.look.certificates.values())
    }


def is_week_over(host: str, at: int, now: int) -> bool:
    """Whether a host's moment of the week has come since it was looked at.

    Each host has a moment of its own, and those of all hosts are spread evenly over the week: hosts that were all looked at in one run do not
    all come again in one run.
    """
    moment = int.from_bytes(hashlib.sha256(host.encode()).digest()[:8], "big") % WEEK
    return (now - moment) // WEEK > (at - moment) // WEEK
