# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ACME account in the store: its key, sealed, and beside it in the clear what runs need that have nothing to order.

For an issuer named ``public``::

    acme/public/account.key    PKCS#8 PEM under the passphrase; P-256, or of the kind that was given
    acme/public/next.key       the same, of the key that takes over, or took over last
    acme/public/account.json   {"version": 1, "thumbprint", "directory", "url", "contact": [...], "renewal_info", "imported", "successor"}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account_key import thumbprint
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.key_change import KeyChange
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP, JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.client import AcmeClient


# What has another account made.
ANOTHER = "ansible-playbook fleet.tls.rotate_acme_account -e tls_rotate_issuer={} -e tls_new_acme_account=true"


@dataclass(frozen=True)
class Account:
    """What is known of an account without its key.

    :param thumbprint: of its key (RFC 7638): what servers answer http-01 challenges with.
    :param directory: the CA it is registered with.
    :param url: None: not registered yet.
    :param renewal_info: where that CA has renewal information (RFC 9773).
    :param imported: thumbprint of the key that was given with ``account_key``; it may have been changed since.
    :param successor: thumbprint of the key that is about to take over; None: no change is under way.
    """

    thumbprint: str
    directory: str
    url: str | None
    contact: tuple[str, ...]
    renewal_info: str | None = None
    imported: str | None = None
    successor: str | None = None

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Account:
        """:raises ValueError, KeyError, TypeError: not the fields of one."""
        url, renewal_info = (None if raw[key] is None else str(raw[key]) for key in ("url", "renewal_info"))
        contact = tuple(str(each) for each in raw["contact"])
        imported, successor = (None if raw.get(key) is None else str(raw[key]) for key in ("imported", "successor"))
        return cls(str(raw["thumbprint"]), str(raw["directory"]), url, contact, renewal_info, imported, successor)


class AccountKeeper:
    """The account of one issuer.

    :param connect: a client of the CA for a private key.
    :param register: see :meth:`Client.register`, less the client.
    :param given: reads the key of ``account_key``; None: there is none.
    """

    def __init__(
        self,
        store: Store,
        issuer: str,
        directory: str,
        contact: tuple[str, ...],
        connect: Callable[[Any], AcmeClient],
        register: Callable[[AcmeClient], str],
        given: Callable[[], Any] = lambda: None,
    ) -> None:
        self.store, self.issuer, self.directory, self.contact = store, issuer, directory, contact
        self.connect, self.register, self.given = connect, register, given
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
        if self.importable(account) is not None:
            return f"the ACME account of '{self.issuer}' is to be that of account_key: its key is taken over"
        if account is None:
            return f"the ACME account of '{self.issuer}' does not exist yet: its key is made, and it is registered"
        if account.successor is not None:
            return f"the key of the ACME account of '{self.issuer}' is being changed: that is finished"
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
            client, account = self.connect(self.kept_key()), self.kept()
            if account and account.url:
                client.use(account.url)
                if account.renewal_info != client.renewal_info:
                    account = replace(account, renewal_info=client.renewal_info)
                    with self.store.lock(f"acme/{self.issuer}"):
                        self.record.replace(account)
                return client, account
        with self.store.lock(f"acme/{self.issuer}"):
            return self.settle(again)

    def importable(self, account: Account | None) -> Any:
        """The key of ``account_key``, where it is to become the account's; None: there is none, or it has been taken over.

        :raises SpecError, StoreError: it is no key, or not to be had. A file is not needed any more once it was taken over.
        """
        try:
            key = self.given()
        except StoreError:
            if account is not None and account.imported is not None:
                return None
            raise
        known = (account.imported, account.thumbprint) if account else ()
        return None if key is None or thumbprint(key) in known else key

    def adopt(self, key: Any) -> None:
        """Take over an account that there is already, by its key. It is in the store before anything says so.

        :raises IssuerError: the CA has none.
        """
        client = self.connect(key)
        found = client.find()
        if found is None:
            raise IssuerError(
                f"{self.directory} has no account for the key in account_key",
                remedy="give the key of an account with this very CA, or leave account_key out to have a new account made",
            )
        url, contact = found
        self.keep_key("account.key", key)
        own = self.contact if set(contact) == set(self.contact) or not self.contact else contact
        mark = thumbprint(key)
        self.record.replace(Account(mark, self.directory, url, own, client.renewal_info, imported=mark))

    def settle(self, again: bool) -> tuple[AcmeClient, Account]:
        """Key, then its thumbprint for the servers, then the account: what a CA that is down cannot give is done last."""
        given = self.importable(self.kept())
        if given is not None:
            self.adopt(given)
        account = self.kept()
        if account is not None and account.successor is not None:
            account = KeyChange(self, account).finished()
        key = self.key(account)
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

    def key(self, account: Account | None) -> Any:
        """The account's private key, made where there is neither it nor an account.

        :raises StoreError: it is lost.
        """
        if account is not None:
            return self.kept_key()
        name = self.entry("account.key")
        if self.store.get(name) is None:
            put_key(self.store, name, generate_key("ecdsa-p256"), expect=None)
        return get_key(self.store, name)

    def kept_key(self) -> Any:
        """The private key of the account that there is.

        :raises StoreError: it is lost, or damaged; :raises PassphraseError: it cannot be opened.
        """
        name = self.entry("account.key")
        if self.store.get(name) is None:
            raise StoreError(
                f"the key of the ACME account of '{self.issuer}', '{name}', is not in {self.store.describe()}",
                remedy=f"{BACKUP}, give it with account_key, or have another account made: {ANOTHER.format(self.issuer)}",
            )
        return get_key(self.store, name)

    def keep_key(self, name: str, key: Any) -> None:
        """Seal a key over whatever is there."""
        entry = self.entry(name)
        put_key(self.store, entry, key, expect=self.store.version(entry))

    def rotate(self) -> Account:
        """Give the account a new key (RFC 8555, 7.3.5). One that a killed run has begun is finished, and no other begun.

        :raises TlsError: as :meth:`client`; :raises AcmeError: the CA refuses the change.
        """
        from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.library import require_acme

        require_acme()
        # One lock from reading to writing: of two runs at once, the second one would sign with the key that the first has replaced.
        with self.store.lock(f"acme/{self.issuer}"):
            before = self.kept()
            client, account = self.settle(False)
            if before and before.successor is not None and account.thumbprint == before.successor:
                return account
            return KeyChange(self, account).made(client)

    def renew(self) -> Account:
        """Another account with another key; the old one is forgotten. For one that is deactivated, or whose key is lost."""
        with self.store.lock(f"acme/{self.issuer}"):
            old, key = self.record.usable(), generate_key("ecdsa-p256")
            given = self.importable(old)
            # What account_key gives is not taken over again.
            mark = thumbprint(given) if given is not None else old.imported if old else None
            self.keep_key("account.key", key)
            self.record.replace(Account(thumbprint(key), self.directory, None, self.contact, imported=mark))
            return self.settle(False)[1]

    def entry(self, name: str) -> str:
        """A key of the store."""
        return f"acme/{self.issuer}/{name}"
