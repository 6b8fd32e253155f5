# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ACME account in the store: its key, sealed, and beside it in the clear what runs need that have nothing to order.

For an issuer named ``public``::

    acme/public/account.key    P-256, PKCS#8 PEM under the passphrase
    acme/public/account.json   {"version": 1, "thumbprint", "directory", "url", "contact": [...], "renewal_info"}
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.renewal_window import unpadded
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP, JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.client import AcmeClient


@dataclass(frozen=True)
class Account:
    """What is known of an account without its key.

    :param thumbprint: of its key (RFC 7638): what servers answer http-01 challenges with.
    :param directory: the CA it is registered with.
    :param url: None: not registered yet.
    :param renewal_info: where that CA has renewal information (RFC 9773).
    """

    thumbprint: str
    directory: str
    url: str | None
    contact: tuple[str, ...]
    renewal_info: str | None = None

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Account:
        """:raises ValueError, KeyError, TypeError: not the fields of one."""
        url, renewal_info = (None if raw[key] is None else str(raw[key]) for key in ("url", "renewal_info"))
        contact = tuple(str(each) for each in raw["contact"])
        return cls(str(raw["thumbprint"]), str(raw["directory"]), url, contact, renewal_info)


class AccountKeeper:
    """The account of one issuer.

    :param connect: a client of the CA for a private key.
    :param register: see :meth:`Client.register`, less the client.
    """

    def __init__(
        self,
        store: Store,
        issuer: str,
        directory: str,
        contact: tuple[str, ...],
        connect: Callable[[Any], AcmeClient],
        register: Callable[[AcmeClient], str],
    ) -> None:
        self.store, self.issuer, self.directory, self.contact = store, issuer, directory, contact
        self.connect, self.register = connect, register
        remedy = f"{BACKUP}, or remove it: the account is found again by its key"
        self.record = JsonEntry(store, self.entry("account.json"), Account.from_json, asdict, remedy)

    def kept(self) -> Account | None:
        """The account as the store has it; no secret is needed.

        :raises DamagedEntry: it is damaged.
        """
        return self.record.read()

    def lacks(self) -> str | None:
        """What is still to be done before anything can be ordered, in words."""
        account = self.kept()
        if account is None:
            return f"the ACME account of '{self.issuer}' does not exist yet: its key is made, and it is registered"
        if account.url is None or account.directory != self.directory:
            return f"the ACME account of '{self.issuer}' is not registered with {self.directory} yet: it is registered"
        if account.contact != self.contact:
            return f"the contact of the ACME account of '{self.issuer}' is changed"
        return None

    def client(self, *, again: bool = False) -> tuple[AcmeClient, Account]:
        """A client that signs for the account; key and account are made where they are missing.

        :param again: register even so: the CA says that it does not know the account.
        :raises DependencyError, SpecError, AcmeError: it could not be registered.
        :raises StoreError, PassphraseError: the key is not to be had.
        """
        # Late: the library is not for those who have nothing to order. Before anything is made.
        from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.library import require_acme

        require_acme()
        if not again and self.lacks() is None:
            client, account = self.connect(get_key(self.store, self.entry("account.key"))), self.kept()
            if account and account.url:
                client.use(account.url)
                if account.renewal_info != client.renewal_info:
                    account = replace(account, renewal_info=client.renewal_info)
                    with self.store.lock(f"acme/{self.issuer}"):
                        self.record.replace(account)
                return client, account
        with self.store.lock(f"acme/{self.issuer}"):
            return self.settle(again)

    def settle(self, again: bool) -> tuple[AcmeClient, Account]:
        """Key, then its thumbprint for the servers, then the account: what a CA that is down cannot give is done last."""
        key = self.key()
        account = self.kept()
        if account is None:
            account = Account(thumbprint(key), self.directory, None, self.contact)
            self.record.replace(account)
        client = self.connect(key)
        if again or account.url is None or account.directory != self.directory:
            url = self.register(client)
            account = replace(account, url=url, directory=self.directory, contact=self.contact)
        else:
            client.use(account.url)
            if account.contact != self.contact:
                client.set_contact(account.url, self.contact)
                account = replace(account, contact=self.contact)
        account = replace(account, renewal_info=client.renewal_info)
        self.record.replace(account)
        return client, account

    def key(self) -> Any:
        """The account's private key, made where there is none."""
        name = self.entry("account.key")
        if self.store.get(name) is None:
            put_key(self.store, name, generate_key("ecdsa-p256"), expect=None)
        return get_key(self.store, name)

    def entry(self, name: str) -> str:
        """A key of the store."""
        return f"acme/{self.issuer}/{name}"


def thumbprint(private_key: Any) -> str:
    """The JWK thumbprint (RFC 7638) of a P-256 key, base64url."""
    numbers = private_key.public_key().public_numbers()
    x, y = (unpadded(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
    # The members in alphabetical order, without blanks.
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    return unpadded(hashlib.sha256(canonical.encode()).digest())
