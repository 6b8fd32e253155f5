# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to a chain: the order of an earlier run finished, or a new one made where there is room."""

from __future__ import annotations

import datetime as dt
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account import Account, AccountKeeper
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.budget import Budget, wanted
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.client import AcmeClient
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.network import AcmeError
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.options import AcmeOptions
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.order import (
    Order,
    OrderEnded,
    ValidationError,
    download,
    identifiers_of,
    same_identifiers,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.records import Records
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.refusals import explained
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.side_by_side import HomeThread, Turns, rounds
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import Deferred, IssuerError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.caa import Asking, check_caa
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.issue_once import issue_once
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, HostStep, Solver
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, must_staple, seconds

# The CA's words for "your certificate cannot be replaced by this order": it is then ordered without (RFC 9773, section 5).
NOT_REPLACEABLE = frozenset({"alreadyReplaced", "malformed", "unauthorized", "conflict"})
# The same for "no order of yours is there", by status and by word; the last: the CA has forgotten the account itself.
GONE = frozenset({403, 404, 410})
GONE_WORDS = frozenset({"malformed", "unauthorized", "accountDoesNotExist"})
# So many orders of one host are under way at a time. Most of an order is waiting for the CA.
MOST_AT_A_TIME = 8


class SolvedAtHome(Solver):
    """A solver that leaves traces, for orders in other threads: it is asked in the thread that has the host's connection."""

    def __init__(self, solver: Solver, home: HomeThread) -> None:
        self.solver, self.home = solver, home
        self.challenge_type = solver.challenge_type

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ()

    @property
    def stateless(self) -> bool:
        return self.solver.stateless

    def challenge(
        self, authorization: Mapping[str, Any], raw: Mapping[str, Any], thumbprint: str, account: str
    ) -> Challenge | None:
        return self.home.do(lambda: self.solver.challenge(authorization, raw, thumbprint, account))

    def rehearse(self, domains: Sequence[str], thumbprint: str) -> None:
        self.home.do(lambda: self.solver.rehearse(domains, thumbprint))

    def present(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        self.home.do(lambda: self.solver.present(challenges, host))

    def cleanup(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        self.home.do(lambda: self.solver.cleanup(challenges, host))


def domains_of(names: Names) -> list[str]:
    """What a CA validates, sorted: a wildcard's name counts without its ``*.``."""
    return sorted({value.removeprefix("*.") for _kind, value in identifiers_of(names)})


def no_turn() -> None:
    """Nobody else orders."""


@dataclass
class OrderRound:
    """All requests of one host and run to one CA.

    :param account: signs for the client.
    :param called_at, called: when the issuer was asked, by the controller's clock and by ``time.monotonic``.
    :param await_turn, pass_on: what there is room for is decided in the order of the requests.
    """

    issuer: Issuer
    options: AcmeOptions
    records: Records
    budget: Budget
    accounts: AccountKeeper
    client: AcmeClient
    account: Account
    called_at: dt.datetime
    called: float
    await_turn: Callable[[], None] = field(default=no_turn)
    pass_on: Callable[[], None] = field(default=no_turn)

    def all(self, requests: Sequence[IssueRequest]) -> list[Issued | TlsError]:
        """The answers to all of them. Their orders overlap, but for those with a name in common.

        An answer to a challenge may take the place of another one there, and the CA need not validate a name twice.
        """
        answers: dict[int, Issued | TlsError] = {}
        for numbers in rounds(requests, self.places):
            answers |= zip(numbers, self.overlapping([requests[number] for number in numbers]))
        return [answers[number] for number in range(len(requests))]

    def places(self, request: IssueRequest) -> set[str]:
        """Where the answers to an order's challenges are put."""
        return {self.options.solver.place(each) for each in domains_of(request.names)}

    def overlapping(self, requests: Sequence[IssueRequest]) -> list[Issued | TlsError]:
        """The answers to requests that have no name in common."""
        width = min(len(requests), MOST_AT_A_TIME)
        if width < 2:
            return [self(each) for each in requests]
        home, turns = HomeThread(), Turns(len(requests))
        options = self.options
        if not options.solver.stateless:
            options = replace(options, solver=SolvedAtHome(options.solver, home))
        # Each with a client of its own.
        free: queue.SimpleQueue[OrderRound] = queue.SimpleQueue()
        for number in range(width):
            free.put(replace(self, options=options, client=self.client.another() if number else self.client))

        def one(number: int, request: IssueRequest) -> Issued | TlsError:
            mine = free.get()
            mine.await_turn = partial(turns.await_turn, number)
            mine.pass_on = partial(turns.pass_on, number)
            try:
                return mine(request)
            finally:
                turns.pass_on(number)
                free.put(mine)

        return home.work(one, requests, width)

    @property
    def now(self) -> dt.datetime:
        """The controller's clock: a CA that dates nothing back issues after the call."""
        return self.called_at + dt.timedelta(seconds=time.monotonic() - self.called)

    def __call__(self, request: IssueRequest) -> Issued | TlsError:
        """One request's answer; two runs at once do not order the same twice."""
        self.client.network.begin()
        answer = issue_once(self.issuer, request, self.now, lambda: self.order(request))
        if isinstance(answer, Issued) and not answer.reused:
            self.budget.settle(request.request_id)
            answer = replace(answer, notes=tuple(self.client.notes))
        self.client.notes = []
        return answer

    def order(self, request: IssueRequest) -> tuple[x509.Certificate, ...]:
        """The chain.

        :raises TlsError: it is not to be had, or (Deferred) not now.
        """
        try:
            return self.obtain(request)
        except ValidationError as error:
            self.budget.failed(error.domains, seconds(self.now))
            raise
        except AcmeError as error:
            if error.problem == "rateLimited":
                raise Deferred(error.message, remedy=error.remedy) from None
            raise explained(error, self.client, self.account, self.issuer.name) from None

    def obtain(self, request: IssueRequest) -> tuple[x509.Certificate, ...]:
        """The chain of the order that was begun for this request, or of a new one."""
        resumed = self.resumable(request)
        if resumed:
            # It needs no room, and may take long.
            self.pass_on()
        order = self.order_at(resumed or self.new_order(request), request, resumed=resumed is not None)
        try:
            certificate = order.finish(request.csr)
        except (OrderEnded, ValidationError):
            self.budget.settle(request.request_id)
            raise
        chain = download(self.client, certificate, self.options.preferred_chain, self.issuer.trust(), self.now)
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
        if order["status"] in ("invalid", "expired") or not same_identifiers(order, request.names):
            if not self.options.solver.stateless:
                self.order_at(url, request, resumed=True).clean_leftovers(order["authorizations"])
            return None
        return url

    def order_at(self, url: str, request: IssueRequest, *, resumed: bool) -> Order:
        """An order that is to be gone through."""
        account = self.account
        return Order(
            self.client, self.options.solver, account.thumbprint, str(account.url), url, request.host_step, resumed
        )

    def new_order(self, request: IssueRequest) -> str:
        """A new order, written down before anything else is done with it; returns its URL."""
        self.client.profiles_checked(self.options.profile)
        domains = domains_of(request.names)
        with self.client.network.paused():
            self.options.solver.rehearse(domains, self.account.thumbprint)
            asking = Asking(self.client.caa_identities, str(self.account.url), self.options.solver.challenge_type)
            check_caa(request.names.dns_names, asking, self.options.resolvers)
        ari = self.client.renewal_info is not None
        replaces = self.records.replaceable(request.present, self.now) if ari and request.present else None
        url = self.place(request, replaces)
        self.records.keep_order(request, str(self.account.url), url, seconds(self.now))
        return url

    def place(self, request: IssueRequest, replaces: str | None, *, registered: bool = False) -> str:
        """newOrder, without ``replaces`` where the CA does not take it.

        :param registered: whether the account has just been registered again.
        """
        with self.client.network.paused():
            self.await_turn()
        self.budget.take(
            request.request_id,
            wanted(request.names, request.present),
            (request.host, request.certificate),
            exempt=replaces is not None,
            ari=self.client.renewal_info is not None,
            now=seconds(self.now),
        )
        self.pass_on()
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
