# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a CA takes an account no more: what has become of it, and the way out."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account import ANOTHER, Account
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.client import AcmeClient
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.network import AcmeError

# How CAs refuse a deactivated account, and one whose key signs no more (RFC 8555, 6.2 and 7.3.6).
OF_ACCOUNTS = frozenset({"unauthorized", "malformed"})


def explained(error: AcmeError, client: AcmeClient, account: Account, issuer: str) -> AcmeError:
    """A refusal, in other words where it is the account itself that the CA does not take any more.

    :param client: signs for the account; it does afterwards, too.
    """
    if error.problem not in OF_ACCOUNTS or not account.url:
        return error
    try:
        found = client.find()
    except AcmeError as refusal:
        if refusal.problem not in OF_ACCOUNTS:
            return error
        what = "it was deactivated or revoked"
    else:
        if found is not None and found[0] == account.url:
            return error
        what = "its key is not the account's any more"
    finally:
        client.use(account.url)
    return AcmeError(
        f"the CA no longer takes the ACME account of '{issuer}', {what}: {error.message.removeprefix('the CA refuses: ')}",
        problem=error.problem,
        status=error.status,
        remedy=f"have another account made: {ANOTHER.format(issuer)}. Where its key was changed elsewhere, give that one with account_key",
    )
