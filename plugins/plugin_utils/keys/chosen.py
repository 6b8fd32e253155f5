# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which provider a CA's keys are made by, and which one has a key that was made: the option ``keys`` of the issuer ``ca``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import KeyUnavailable, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import (
    KeyProvider,
    KeyRecord,
    KeysElsewhere,
    load_key_provider,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store

ROLES = ("root", "issuing")


@dataclass(frozen=True)
class ChosenKeys:
    """Providers of one CA.

    :param by_role: ``root`` and ``issuing``, as far as they are not the store.
    :param earlier: those of keys that were made before.
    :param where: whose these are, for messages.
    """

    by_role: Mapping[str, KeyProvider] = field(default_factory=dict)
    earlier: tuple[KeyProvider, ...] = ()
    where: str = ""
    _asked: dict[tuple[str, str], KeysElsewhere] = field(default_factory=dict, compare=False, repr=False)

    def of(self, authority_id: str) -> KeyProvider | None:
        """What makes the key of ``root-2`` or ``issuing-3``; None: the store has it."""
        return self.by_role.get(authority_id.partition("-")[0])

    def holder(self, authority_id: str, record: KeyRecord) -> KeysElsewhere:
        """The provider that has the key of ``root-2`` or ``issuing-3``.

        :raises KeyUnavailable: the inventory names none that has.
        """
        found: list[KeysElsewhere] = []
        own = self.of(authority_id)
        for each in (*([own] if own else []), *self):
            # One that is named for both roles is one.
            if has(each, record) and each.fields.raw not in [other.fields.raw for other in found]:
                found.append(each)
        if found:
            return found[0] if len(found) == 1 or found[0].knows_its_own else self.asked(found, record)
        raise KeyUnavailable(
            f"{self.where}: a key was made by '{record.provider}' ({', '.join(record.reference.values())}), which keys does not name",
            remedy="name it again, or under keys.earlier where new keys are made elsewhere",
        )

    def asked(self, several: Sequence[KeysElsewhere], record: KeyRecord) -> KeysElsewhere:
        """Which of several it is, where no reference tells one from the other: two programs, or two servers with a mount of one name.

        Each is asked for the public key, once in a process; where none knows it, it is the first.
        """
        key = (record.provider, record.public_key)
        if key not in self._asked:
            for each in several:
                with contextlib.suppress(TlsError):
                    if each.record(record.reference).public_key == record.public_key:
                        self._asked[key] = each
                        break
        return self._asked.get(key, several[0])

    def __iter__(self) -> Iterator[KeyProvider]:
        return iter((*self.by_role.values(), *self.earlier))


def has(provider: KeyProvider, record: KeyRecord) -> TypeGuard[KeysElsewhere]:
    """Whether a key is in the place of a provider."""
    if not isinstance(provider, KeysElsewhere) or provider.type_name != record.provider:
        return False
    return provider.holds(record.reference)


def parse_keys(fields: Fields, where: str, store: Store, algorithm: str) -> ChosenKeys:
    """The option ``keys``.

    :param algorithm: of the keys that are to be made.
    :raises SpecError: it does not fit, or a provider makes no such keys.
    """
    raw = fields.get("keys")
    if raw is None:
        return ChosenKeys(where=where)
    options = Fields(raw, (*ROLES, "earlier"), f"{where}: keys")
    chosen = {each: load_key_provider(options.get(each, "store"), f"{where}: keys: {each}") for each in ROLES}
    earlier = tuple(load_key_provider(each, f"{where}: keys: earlier") for each in options.items("earlier"))
    for provider in (*chosen.values(), *earlier):
        provider.keep_in(store)
    for role, provider in chosen.items():
        if provider.algorithms and algorithm not in provider.algorithms:
            raise SpecError(
                f"{where}: keys: {role}: '{provider.type_name}' makes no keys of the algorithm {algorithm}",
                remedy=f"set key_algorithm to one of {', '.join(provider.algorithms)}",
            )
    return ChosenKeys({role: each for role, each in chosen.items() if not each.in_store}, earlier, where)
