# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An internal CA in the store. For an issuer named ``internal``::

ca/internal/ca.json           which of them issue, and which roots are trusted (see ``state.py``)
ca/internal/root-1.pem        certificates, PEM
ca/internal/root-1.key        keys, sealed under the passphrase
ca/internal/root-1.key.json   instead: where a key is that is not in the store (see ``keys/contract.py``)
ca/internal/root-1.crl        what each has revoked, PEM (see ``crls.py``)
ca/internal/issuing-2.csr     what waits for the signature of a root whose key is elsewhere (see ``signing_request.py``)
"""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    CertificateError,
    DamagedEntry,
    IssuerError,
    KeyUnavailable,
    StoreError,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import CaState
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.chosen import ChosenKeys, has
from ansible_collections.fleet.tls.plugins.plugin_utils.keys.contract import KeyRecord
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import Authority, generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    is_issued_by,
    key_algorithm,
    key_id,
    parse_pem_chain,
    to_pem,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP, JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key


class CaFiles:
    """The entries of the CA ``name`` in ``store``."""

    name: str
    store: Any
    keys = ChosenKeys()

    def keep(self, authority_id: str, authority: Authority) -> None:
        """Key first, then certificate. A leftover of a killed creation is overwritten: ``ca.json`` never named it."""
        self.keep_key(authority_id, authority.private_key)
        self.keep_certificate(authority_id, authority.certificate)

    def new_key(self, authority_id: str, algorithm: str) -> Any:
        """A key for an authority that ``ca.json`` does not name yet, made where the inventory says.

        One that is not in the store is noted at once; what a killed run has left of it is taken.

        :raises KeyUnavailable: it cannot be made now.
        """
        provider = self.keys.of(authority_id)
        if provider is None:
            return generate_key(algorithm)
        with contextlib.suppress(KeyUnavailable, DamagedEntry):
            record = self.key_record(authority_id)
            if record and has(provider, record):
                left = provider.open_key(record)
                if key_algorithm(left.public_key()) == algorithm and self.has_key(authority_id):
                    return left
        private_key = provider.new_key(f"fleet-tls-{self.name}-{authority_id}", algorithm)
        self.keep_key(authority_id, private_key)
        return private_key

    def keep_key(self, authority_id: str, private_key: Any) -> None:
        """A key, sealed, or where it is."""
        sealed, noted = self.entry(f"{authority_id}.key"), self.key_record_entry(authority_id)
        record = getattr(private_key, "record", None)
        if record is None:
            put_key(self.store, sealed, private_key, expect=self.store.version(sealed))
            self.store.discard(noted.key)
        else:
            noted.replace(record)
            self.store.discard(sealed)

    def private_key(self, authority_id: str) -> Any:
        """A key, opened, or as it is used where it is.

        :raises StoreError, PassphraseError: it cannot be opened; :raises KeyUnavailable: nobody is named who has it.
        """
        record = self.key_record(authority_id)
        if record is None:
            return get_key(self.store, self.entry(f"{authority_id}.key"))
        return self.keys.holder(authority_id, record).open_key(record)

    def key_record(self, authority_id: str) -> KeyRecord | None:
        """Where a key is; None: in the store, or nobody knows.

        :raises DamagedEntry: it cannot be understood.
        """
        return self.key_record_entry(authority_id).read()

    def key_record_entry(self, authority_id: str) -> JsonEntry[KeyRecord]:
        """The entry of :meth:`key_record`."""
        return JsonEntry(self.store, self.entry(f"{authority_id}.key.json"), KeyRecord.from_json, KeyRecord.as_json)

    def keep_certificate(self, authority_id: str, certificate: x509.Certificate) -> None:
        """A certificate, whose key may be elsewhere."""
        pem = self.entry(f"{authority_id}.pem")
        self.store.put(pem, to_pem(certificate).encode(), expect=self.store.version(pem))

    def knows_key(self, authority_id: str) -> bool:
        """Whether an authority's key is in the store, or the store knows where it is."""
        names = (f"{authority_id}.key", f"{authority_id}.key.json")
        return any(self.store.get(self.entry(each)) is not None for each in names)

    def has_key(self, authority_id: str) -> bool:
        """Whether an authority's key can be had now, as far as that is known without using it."""
        return self.key_problem(authority_id) is None

    def key_problem(self, authority_id: str) -> str | None:
        """Why an authority's key cannot be had now, in words; None: it can, as far as that is known without using it."""
        if self.store.get(self.entry(f"{authority_id}.key")) is not None:
            return None
        try:
            record = self.key_record(authority_id)
            if record is None:
                return f"the key of {authority_id} is not in the store"
            return self.keys.holder(authority_id, record).problem(record.reference)
        except (KeyUnavailable, DamagedEntry) as error:
            return error.message

    def key_remedy(self, authority_id: str) -> str:
        """What lets a key be had that cannot be had now."""
        if self.key_record_entry(authority_id).usable() is None:
            return f"put the key of {authority_id} into the store"
        return f"let the key of {authority_id} be used ({self.key_problem(authority_id) or 'it did not sign'})"

    def key_place(self, authority_id: str) -> str | None:
        """Where an authority's key is: ``store``, or the type of what has it and what that finds it by; None: elsewhere."""
        record = self.key_record_entry(authority_id).usable()
        if record is not None:
            return " ".join((record.provider, *record.reference.values()))
        return "store" if self.knows_key(authority_id) else None

    def keep_state(self, state: CaState) -> None:
        """Let ``state`` count from now on. The caller holds the CA's lock."""
        self.state_entry().replace(state)

    def state(self) -> CaState | None:
        """What ``ca.json`` says.

        :raises DamagedEntry: it is damaged.
        """
        return self.state_entry().read()

    def state_entry(self) -> JsonEntry[CaState]:
        """``ca.json``."""
        return JsonEntry(self.store, self.entry("ca.json"), CaState.from_json, CaState.as_json)

    def certificate(self, authority_id: str) -> x509.Certificate:
        """An authority's certificate.

        :raises StoreError: it is missing or damaged.
        """
        entry = self.store.get(self.entry(f"{authority_id}.pem"))
        try:
            return parse_pem_chain(entry.value.decode() if entry else "")[0]
        except (CertificateError, UnicodeDecodeError) as error:
            raise StoreError(
                f"'{self.entry(authority_id)}.pem' in {self.store.describe()} is missing or damaged", remedy=BACKUP
            ) from error

    def authority(self, authority_id: str) -> Authority:
        """An authority with its key.

        :raises StoreError, PassphraseError: it cannot be opened; :raises IssuerError: key and certificate differ.
        """
        certificate = self.certificate(authority_id)
        private_key = self.private_key(authority_id)
        if key_id(private_key.public_key()) != key_id(certificate.public_key()):
            raise IssuerError(
                f"key and certificate of '{authority_id}' of the CA '{self.name}' do not belong together",
                remedy="restore both from the store's backup",
            )
        return Authority(certificate, private_key)

    def issuing_authorities(self, state: CaState) -> dict[str, x509.Certificate]:
        """Every issuing CA so far, by its id. One beyond the present number is a leftover of a killed run, as is the answer to a CSR
        that waits."""
        waiting = state.waiting[1] if state.waiting else None
        numbers = (f"issuing-{number}" for number in range(1, state.made + 1))
        present = [each for each in numbers if each == state.issuing or self.store.get(self.entry(f"{each}.pem"))]
        return {each: self.certificate(each) for each in present if each != waiting}

    def in_use(self, now: dt.datetime, state: CaState | None = None) -> dict[str, x509.Certificate]:
        """The trusted roots and every issuing CA below them, by their ids, as long as they are valid.

        What an earlier issuing CA signed may be in use still.

        :param state: where it was read already.
        """
        state = state or self.state()
        if state is None:
            return {}
        roots = {each: self.certificate(each) for each in dict.fromkeys((state.root, *state.trusted))}
        issuing = self.issuing_authorities(state)
        below = {each: ca for each, ca in issuing.items() if any(is_issued_by(ca, root) for root in roots.values())}
        return {each: ca for each, ca in {**roots, **below}.items() if ca.not_valid_after_utc > now}

    def entry(self, name: str) -> str:
        """A key of the store."""
        return f"ca/{self.name}/{name}"
