# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An internal CA in the store. For an issuer named ``internal``::

ca/internal/ca.json           which of them issue, and which roots are trusted (see ``state.py``)
ca/internal/root-1.pem        certificates, PEM
ca/internal/root-1.key        keys, sealed under the passphrase
ca/internal/root-1.crl        what each has revoked, PEM (see ``crls.py``)
ca/internal/issuing-2.csr     what waits for the signature of a root whose key is elsewhere (see ``signing_request.py``)
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, IssuerError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import CaState
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import Authority
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import is_issued_by, key_id, parse_pem_chain, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP, JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key


class CaFiles:
    """The entries of the CA ``name`` in ``store``."""

    name: str
    store: Any

    def keep(self, authority_id: str, authority: Authority) -> None:
        """Key first, then certificate. A leftover of a killed creation is overwritten: ``ca.json`` never named it."""
        self.keep_key(authority_id, authority.private_key)
        self.keep_certificate(authority_id, authority.certificate)

    def keep_key(self, authority_id: str, private_key: Any) -> None:
        """A key, sealed."""
        key = self.entry(f"{authority_id}.key")
        put_key(self.store, key, private_key, expect=self.store.version(key))

    def keep_certificate(self, authority_id: str, certificate: x509.Certificate) -> None:
        """A certificate, whose key may be elsewhere."""
        pem = self.entry(f"{authority_id}.pem")
        self.store.put(pem, to_pem(certificate).encode(), expect=self.store.version(pem))

    def has_key(self, authority_id: str) -> bool:
        """Whether an authority's key is in the store."""
        return self.store.get(self.entry(f"{authority_id}.key")) is not None

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
        private_key = get_key(self.store, self.entry(f"{authority_id}.key"))
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
