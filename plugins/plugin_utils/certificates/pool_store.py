# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools in the store: one pair for many hosts.

In the store, for a pool named ``www``::

    pools/www.json      what all may know: the chain, who issued it, for which wish; which of the two keys is its own
    pools/www-a.key     two places for keys, sealed: that of the present pair, and the one that waits for the next certificate
    pools/www-b.key

The json is written last, so a run that is killed leaves the present pair whole, and the key of the next one where the next run finds it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import PairReport
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import ControllerKey, plain_pem, request_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    fingerprint,
    key_algorithm,
    key_id,
    parse_pem_chain,
    seconds,
    to_pem,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key
from ansible_collections.fleet.tls.plugins.plugin_utils.store.upkeep import reseal

# Seconds that a host waits while another one has the pair issued: a DNS challenge takes minutes.
LONGEST_ISSUE = 900.0
SLOTS = ("a", "b")


@dataclass(frozen=True)
class PoolPair:
    """A pool's pair, less its key.

    :param wish: what it was issued for, in words; ``request_digest`` says it exactly.
    :param slot: where its key is.
    :param run: the run that had it issued, for ``host``, at ``issued_at`` (seconds since the epoch).
    """

    chain: tuple[x509.Certificate, ...]
    issuer: str
    request_id: str
    request_digest: str
    wish: str
    slot: str
    host: str
    run: str
    issued_at: float

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]

    def as_found(self) -> PairReport:
        """What a host that has it would show, so that one judge judges both."""
        manifest = {"issuer": self.issuer, "request_digest": self.request_digest, "settled": seconds(self.begin)}
        return PairReport(manifest=manifest, chain=self.chain)

    @property
    def begin(self) -> dt.datetime:
        """Valid from."""
        return self.leaf.not_valid_before_utc


@dataclass(frozen=True)
class Waiting:
    """A key that waits for its certificate."""

    key_id: str
    request_digest: str
    slot: str


@dataclass(frozen=True)
class PoolState:
    """What the json says; ``version`` is the store's word for it."""

    current: PoolPair | None = None
    waiting: Waiting | None = None
    version: str | None = None


class Pool:
    """One pool of a store."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self.entry = JsonEntry(store, f"pools/{name}.json", parse_state, dump_state)

    def lock(self) -> AbstractContextManager[None]:
        """For whoever changes it."""
        return self.store.lock(f"pools/{self.name}", wait=LONGEST_ISSUE)

    def load(self) -> PoolState:
        """What is there; no secret is needed.

        :raises DamagedEntry: it is damaged.
        """
        found = self.entry.load()
        return replace(found.value, version=found.version) if found else PoolState()

    def key_of(self, pair: PoolPair) -> str:
        """The pair's private key as it travels.

        :raises StoreError, PassphraseError: it cannot be had, or is another one.
        """
        private_key = get_key(self.store, self.key_entry(pair.slot))
        if key_id(private_key.public_key()) != key_id(pair.leaf.public_key()):
            raise StoreError(
                f"key and certificate of the pool '{self.name}' in {self.store.describe()} do not belong together",
                remedy="restore both from the store's backup, or name the certificate in tls_force for a new pair",
            )
        return plain_pem(private_key)

    def next_key(self, state: PoolState, spec: CertificateSpec) -> tuple[ControllerKey, PoolState]:
        """The key for the next certificate: the one that waits, the present one where it is to stay, or a new one.

        :raises StoreError, PassphraseError: the store does not give or take it.
        """
        live = state.current.leaf if state.current else None
        slot, private_key = self.waiting_key(state, spec)
        if private_key is None:
            slot, private_key = self.kept_key(state, spec)
        if private_key is None:
            slot, private_key = other(state.current), generate_key(spec.private_key.algorithm)
            self.put_key(slot, private_key)
        key = request_key(private_key, spec, live)
        return key, self.write(replace(state, waiting=Waiting(key.key_id, spec.request_digest, slot)))

    def waiting_key(self, state: PoolState, spec: CertificateSpec) -> tuple[str, Any]:
        """Its slot and the key that waits for what is wanted now; None: there is none."""
        waiting = state.waiting
        if waiting is None or waiting.request_digest != spec.request_digest:
            return "", None
        private_key = self.get_key(waiting.slot)
        fits = private_key is not None and key_id(private_key.public_key()) == waiting.key_id
        return waiting.slot, private_key if fits else None

    def kept_key(self, state: PoolState, spec: CertificateSpec) -> tuple[str, Any]:
        """The present key, where the policy says so and it is of the wanted kind."""
        current = state.current
        if current is None or spec.private_key.rotation_policy != "never":
            return "", None
        if key_algorithm(current.leaf.public_key()) != spec.private_key.algorithm:
            return "", None
        return current.slot, self.get_key(current.slot)

    def keep(self, state: PoolState, pair: PoolPair, brought: Any | None) -> PoolState:
        """Make ``pair`` the present one.

        :param brought: its private key, where the issuer brought one; else it is the one that waits.
        """
        slot = other(state.current) if brought else state.waiting.slot if state.waiting else ""
        if brought:
            self.put_key(slot, brought)
        return self.write(replace(state, current=replace(pair, slot=slot), waiting=None))

    def write(self, state: PoolState) -> PoolState:
        """The state as it is from now on.

        :raises StoreConflict: somebody wrote without the lock.
        """
        return replace(state, version=self.entry.put(state, expect=state.version))

    def get_key(self, slot: str) -> Any | None:
        """The key in a slot, None: it is empty. The caller has the lock, and writes."""
        name = self.key_entry(slot)
        reseal(self.store, name)
        return get_key(self.store, name) if self.store.get(name) else None

    def put_key(self, slot: str, private_key: Any) -> None:
        """Seal a key into a slot; the caller has the lock."""
        entry = self.key_entry(slot)
        put_key(self.store, entry, private_key, expect=self.store.version(entry))

    def remove(self) -> list[str]:
        """Remove the pool; its name is free again. The entries that were there. The caller has the lock.

        What says that there is one goes last, so what a kill leaves is removed by the next run.
        """
        names = [*(self.key_entry(slot) for slot in SLOTS), self.entry.key]
        return [name for name in names if self.store.discard(name)]

    def entries(self) -> list[str]:
        """Those that are there."""
        names = [*(self.key_entry(slot) for slot in SLOTS), self.entry.key]
        return [name for name in names if self.store.version(name) is not None]

    def key_entry(self, slot: str) -> str:
        """A slot's key of the store."""
        return f"pools/{self.name}-{slot}.key"


def other(current: PoolPair | None) -> str:
    """The slot that the present pair does not need."""
    return SLOTS[1] if current and current.slot == SLOTS[0] else SLOTS[0]


def parse_state(raw: Mapping[str, Any]) -> PoolState:
    """A pool's entry; errors as :class:`JsonEntry` expects them."""
    return PoolState(parse_pair(raw["current"]), parse_waiting(raw["waiting"]))


def dump_state(state: PoolState) -> dict[str, Any]:
    """The reverse."""
    return {
        "current": dump_pair(state.current) if state.current else None,
        "waiting": asdict(state.waiting) if state.waiting else None,
    }


def dump_pair(pair: PoolPair) -> dict[str, Any]:
    """``current``; its last two fields are for people and other programs."""
    return {
        **vars(pair),
        "chain": "".join(to_pem(each) for each in pair.chain),
        "fingerprint": fingerprint(pair.leaf),
        "not_after": seconds(pair.leaf.not_valid_after_utc),
    }


def parse_pair(raw: Any) -> PoolPair | None:
    """``current``, read; errors as :func:`parse_state`."""
    if raw is None:
        return None
    texts = {name: str(raw[name]) for name in ("issuer", "request_id", "request_digest", "wish", "slot", "host", "run")}
    if texts["slot"] not in SLOTS:
        raise ValueError("slot")
    return PoolPair(chain=parse_pem_chain(raw["chain"]), issued_at=float(raw["issued_at"]), **texts)


def parse_waiting(raw: Any) -> Waiting | None:
    """``waiting``; the same."""
    if raw is None:
        return None
    waiting = Waiting(str(raw["key_id"]), str(raw["request_digest"]), str(raw["slot"]))
    if waiting.slot not in SLOTS:
        raise ValueError("slot")
    return waiting
