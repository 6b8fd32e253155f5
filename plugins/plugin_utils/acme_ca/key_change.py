# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ACME account's key gives way to another (RFC 8555, 7.3.5), whatever ends the run in the middle of it.

The new key is in the store, and the record names it, before the CA hears of it. A run that finds such a record asks the CA which of
the two the account belongs to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account_key import thumbprint
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account import Account, AccountKeeper
    from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.client import AcmeClient

NEXT = "next.key"


class KeyChange:
    """The change of one account's key, for whoever holds the account's lock.

    :param account: as it is recorded.
    """

    def __init__(self, keeper: AccountKeeper, account: Account) -> None:
        self.keeper, self.account = keeper, account

    def made(self, client: AcmeClient) -> Account:
        """The account with a new key.

        :param client: signs with the present one.
        :raises AcmeError: the CA refuses; the present key stays, unless no answer came: the next run asks then.
        """
        key = generate_key("ecdsa-p256")
        self.keeper.keep_key(NEXT, key)
        self.keeper.record.replace(replace(self.account, successor=thumbprint(key)))
        try:
            client.change_key(str(self.account.url), key)
        except IssuerError as error:
            if getattr(error, "lost", False):
                raise
            if not self.took_over(key):
                self.keeper.record.replace(self.account)
                raise
        return self.settled(key)

    def finished(self) -> Account:
        """The account after a run that was killed: with the new key where that took over, else with the one before.

        :raises StoreError, PassphraseError: the new key is not to be had; :raises AcmeError: the CA does not say.
        """
        key = get_key(self.keeper.store, self.keeper.entry(NEXT))
        if self.took_over(key):
            return self.settled(key)
        before = replace(self.account, successor=None)
        self.keeper.record.replace(before)
        return before

    def took_over(self, key: Any) -> bool:
        """Whether the CA knows the account by this key."""
        found = self.keeper.connect(key).find()
        return found is not None and found[0] == self.account.url

    def settled(self, key: Any) -> Account:
        """Key first, then the record: until then the next run comes here again."""
        self.keeper.keep_key("account.key", key)
        account = replace(self.account, thumbprint=thumbprint(key), successor=None)
        self.keeper.record.replace(account)
        return account
