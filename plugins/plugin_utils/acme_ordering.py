# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to a chain and its row in the ledger: the order of an earlier run finished, or a new one made where there is room."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_account import Account, AccountKeeper
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_budget import Budget, wanted
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_client import Client
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_network import AcmeError
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_options import AcmeOptions
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_order import (
    Order,
    OrderEnded,
    ValidationError,
    download,
    identifiers_of,
    same_identifiers,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_records import Records
from ansible_collections.fleet.tls.plugins.plugin_utils.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.errors import Deferred, IssuerError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuance import earlier_answer, issuance
from ansible_collections.fleet.tls.plugins.plugin_utils.issuer import Issued, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.keys import safe
from ansible_collections.fleet.tls.plugins.plugin_utils.x509 import must_staple, seconds

# The CA's words for "your certificate cannot be replaced by this order": it is then ordered without (RFC 9773, section 5).
NOT_REPLACEABLE = frozenset({"alreadyReplaced", "malformed", "unauthorized", "conflict"})
# The same for "no order of yours is there", by status and by word; the last: the CA has forgotten the account itself.
GONE = frozenset({403, 404, 410})
GONE_WORDS = frozenset({"malformed", "unauthorized", "accountDoesNotExist"})


@dataclass
class Ordering:
    """All requests of one host and run to one CA.

    :param issuer: its name.
    :param anchors: what its chains lead to.
    """

    issuer: str
    options: AcmeOptions
    records: Records
    budget: Budget
    accounts: AccountKeeper
    anchors: tuple[x509.Certificate, ...]
    client: Client
    account: Account
    now: dt.datetime

    def __call__(self, request: IssueRequest) -> Issued:
        """One request; two runs at once do not order the same twice.

        :raises TlsError: it is not to be had, or (Deferred) not now.
        """
        self.client.network.begin()
        where = f"order/{safe(request.host)}/{safe(request.certificate)}"
        with self.records.lock(where, wait=2.0 * self.options.timeout):
            with self.records.store.ledger() as ledger:
                earlier = earlier_answer(ledger, self.issuer, request, self.anchors, self.now)
            if earlier:
                return earlier
            try:
                chain = self.obtain(request)
            except ValidationError as error:
                self.budget.failed(error.domains, seconds(self.now))
                raise
            except AcmeError as error:
                if error.problem == "rateLimited":
                    raise Deferred(error.message, remedy=error.remedy) from None
                raise
            with self.records.store.ledger() as ledger:
                ledger.add(issuance(self.issuer, request, chain, self.now))
            self.budget.settle(request.request_id)
        notes, self.client.notes = tuple(self.client.notes), []
        return Issued(chain, notes=notes)

    def obtain(self, request: IssueRequest) -> tuple[x509.Certificate, ...]:
        """The chain of the order that was begun for this request, or of a new one."""
        resumed = self.resumable(request)
        url = resumed or self.new_order(request)
        order = Order(
            self.client, self.options.solver, self.account.thumbprint, url, request.host_step, resumed is not None
        )
        try:
            certificate = order.finish(request.csr)
        except (OrderEnded, ValidationError):
            self.budget.settle(request.request_id)
            raise
        chain = download(self.client, certificate, self.options.preferred_chain, self.anchors, self.now)
        if must_staple(request.csr) and not must_staple(chain[0]):
            raise IssuerError("the CA leaves out must_staple", remedy="leave it out too: most CAs no longer offer it")
        return chain

    def resumable(self, request: IssueRequest) -> str | None:
        """URL of the order that an earlier run began for this request, while the CA has it and it is not over."""
        url = self.records.pending_order(request, str(self.account.url))
        if url is None:
            return None
        try:
            order, _headers = self.client.order(url)
        except AcmeError as error:
            if error.status in GONE or error.problem in GONE_WORDS:
                return None
            raise
        over = order["status"] in ("invalid", "expired") or not same_identifiers(order, request.names)
        return None if over else url

    def new_order(self, request: IssueRequest) -> str:
        """A new order, written down before anything else is done with it; returns its URL."""
        self.client.profiles_checked(self.options.profile)
        domains = sorted({value.removeprefix("*.") for _kind, value in identifiers_of(request.names)})
        self.options.solver.rehearse(domains, self.account.thumbprint)
        ari = self.client.renewal_info is not None
        replaces = self.records.replaceable(request.present, self.now) if ari and request.present else None
        url = self.place(request, replaces)
        self.records.keep_order(request, str(self.account.url), url)
        return url

    def place(self, request: IssueRequest, replaces: str | None, *, registered: bool = False) -> str:
        """newOrder, without ``replaces`` where the CA does not take it.

        :param registered: whether the account has just been registered again.
        """
        self.budget.take(
            request.request_id,
            wanted(request.names, request.present),
            (request.host, request.certificate),
            exempt=replaces is not None,
            ari=self.client.renewal_info is not None,
            now=seconds(self.now),
        )
        try:
            url, order = self.client.new_order(identifiers_of(request.names), self.options.profile, replaces)
        except AcmeError as error:
            self.budget.settle(request.request_id)
            if error.problem == "accountDoesNotExist" and not registered:
                # The CA has forgotten it: a new one for the same key.
                self.client, self.account = self.accounts.client(again=True)
                return self.place(request, replaces, registered=True)
            if request.present is None or replaces is None:
                raise
            if error.status != 409 and error.problem not in NOT_REPLACEABLE:
                raise
            self.records.keep_replaced(replaces, request.present, self.now)
            return self.place(request, None, registered=registered)
        if not same_identifiers(order, request.names):
            raise AcmeError("the CA's answer makes no sense: its order is for other names")
        return url
