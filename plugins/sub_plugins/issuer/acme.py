# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuer ``acme``: any CA that speaks ACME (RFC 8555), public or your own. See docs/issuers/acme.md.

Needs the Python package ``acme`` on the controller. What is due only is ordered, what is ordered is written down before it is
finished, and a run with nothing due asks for no more than renewal information, when the CA said to.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_account import Account, AccountKeeper
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_budget import Budget
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_client import Client
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_network import AcmeError, Network
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
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_renewal import RenewalAdvice
from ansible_collections.fleet.tls.plugins.plugin_utils.ari import ari_id
from ansible_collections.fleet.tls.plugins.plugin_utils.budget import Wanted
from ansible_collections.fleet.tls.plugins.plugin_utils.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.errors import Deferred, IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuance import earlier_answer, issuance
from ansible_collections.fleet.tls.plugins.plugin_utils.issuer import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.keys import safe
from ansible_collections.fleet.tls.plugins.plugin_utils.spec import CERTIFICATE_NAME, CertificateSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.x509 import Names, must_staple, seconds

# The CA's words for "your certificate cannot be replaced by this order": it is then ordered without (RFC 9773, section 5).
NOT_REPLACEABLE = frozenset({"alreadyReplaced", "malformed", "unauthorized", "conflict"})
GONE = frozenset({403, 404, 410})


class AcmeIssuer(Issuer):
    """Options: see :class:`AcmeOptions`."""

    staples = True

    def __init__(self, name: str, options: Mapping[str, Any], store: Any) -> None:
        super().__init__(name, options, store)
        if not CERTIFICATE_NAME.fullmatch(name):
            raise SpecError(f"'{name}' is no name for an issuer", remedy="it becomes a directory of the store")
        self.options = AcmeOptions.parse(self.fields, f"issuer '{name}'")
        self.solver = self.options.solver
        self.records = Records(store, name)
        self.budget = Budget(self.records, self.options.limits)
        self.accounts = AccountKeeper(
            store, name, self.options.directory_url, self.options.contact, self.connect, self.register
        )
        self.anchors_read: tuple[x509.Certificate, ...] | None = None

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return AcmeOptions.names()

    @property
    def lifetime(self) -> None:
        return None

    def trust(self) -> tuple[x509.Certificate, ...]:
        if self.anchors_read is None:
            self.anchors_read = self.options.read_anchors()
        return self.anchors_read

    def anchors(self) -> tuple[x509.Certificate, ...]:
        return self.trust() if self.options.own_anchors else ()

    def thumbprints(self) -> tuple[str, ...]:
        account = self.accounts.kept() if self.solver.stateless else None
        return (account.thumbprint,) if account else ()

    def authorities(self) -> dict[str, x509.Certificate]:
        return super().authorities() if self.options.own_anchors else {}

    def unprepared(self, now: dt.datetime) -> str | None:
        return self.accounts.lacks()

    def prepare(self, now: dt.datetime) -> None:
        self.accounts.client()

    def advice(self, leaf: x509.Certificate, now: dt.datetime) -> dt.datetime | None:
        account = self.accounts.kept()
        if account is None or account.renewal_info is None or account.directory != self.options.directory_url:
            return None
        asking = RenewalAdvice(self.records, account.renewal_info, self.options.ca_certificate)
        return asking(leaf, now)

    def check(self, wish: CertificateSpec) -> None:
        super().check(wish)
        names, kind = wish.names, self.solver.challenge_type
        if names.uris or names.email_addresses:
            raise SpecError(
                f"issuer '{self.name}': ACME knows DNS names and IP addresses only", remedy="leave the others out"
            )
        if kind == "http-01" and any(name.startswith("*.") for name in names.dns_names):
            raise SpecError(
                f"issuer '{self.name}': a wildcard cannot be validated by http-01",
                remedy="use an issuer with a dns-01 solver",
            )
        if kind == "dns-01" and names.ip_addresses:
            raise SpecError(
                f"issuer '{self.name}': an IP address cannot be validated by dns-01",
                remedy="use an issuer with http-01",
            )
        if wish.duration and wish.issuers == (self.name,):
            raise SpecError(
                f"issuer '{self.name}': the CA alone says how long a certificate lives",
                remedy="leave duration out, or choose a profile",
            )

    def forecast(
        self, host: str, wish: CertificateSpec, present: x509.Certificate | None, now: dt.datetime
    ) -> Deferred | None:
        account = self.accounts.kept()
        ari = account is not None and account.renewal_info is not None
        if ari and present is not None and self.replaceable(present, now):
            return None
        try:
            self.budget.judge(wanted(wish.names, present), (host, wish.name), ari=ari, now=seconds(now))
        except Deferred as error:
            return error
        return None

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        with self.store.ledger() as ledger:
            answers = [earlier_answer(ledger, self.name, request, self.trust(), now) for request in requests]
        if all(answers):
            return tuple(answer for answer in answers if answer)
        client, account = self.accounts.client()
        found: list[Issued | TlsError] = []
        for request, answer in zip(requests, answers):
            try:
                found.append(answer or self.issue_one(request, client, account, now))
            except TlsError as error:
                found.append(error)
        return tuple(found)

    def issue_one(self, request: IssueRequest, client: Client, account: Account, now: dt.datetime) -> Issued:
        """Order one, or finish the order of an earlier run; two runs at once do not order the same twice.

        :raises TlsError: it is not to be had, or not now.
        """
        client.network.begin()
        where = f"order/{safe(request.host)}/{safe(request.certificate)}"
        with self.records.lock(where, wait=2.0 * self.options.timeout):
            with self.store.ledger() as ledger:
                earlier = earlier_answer(ledger, self.name, request, self.trust(), now)
            if earlier:
                return earlier
            try:
                chain = self.obtain(request, client, account, now)
            except ValidationError as error:
                self.budget.failed(error.domains, seconds(now))
                raise
            except AcmeError as error:
                if error.problem == "rateLimited":
                    raise Deferred(error.message, remedy=error.remedy) from None
                raise
            with self.store.ledger() as ledger:
                ledger.add(issuance(self.name, request, chain, now))
            self.budget.settle(request.request_id)
        notes, client.notes = tuple(client.notes), []
        return Issued(chain, notes=notes)

    def obtain(
        self, request: IssueRequest, client: Client, account: Account, now: dt.datetime
    ) -> tuple[x509.Certificate, ...]:
        """The chain of the order that was begun for this request, or of a new one."""
        resumed = self.resumable(request, client, account)
        url = resumed or self.new_order(request, client, account, now)
        order = Order(client, self.solver, account.thumbprint, url, request.host_step, resumed=resumed is not None)
        try:
            certificate = order.finish(request.csr)
        except (OrderEnded, ValidationError):
            self.budget.settle(request.request_id)
            raise
        chain = download(client, certificate, self.options.preferred_chain, self.trust(), now)
        if must_staple(request.csr) and not must_staple(chain[0]):
            raise IssuerError("the CA leaves out must_staple", remedy="leave it out too: most CAs no longer offer it")
        return chain

    def resumable(self, request: IssueRequest, client: Client, account: Account) -> str | None:
        """URL of the order that an earlier run began for this request, while the CA has it and it is not over."""
        url = self.records.pending_order(request, str(account.url))
        if url is None:
            return None
        try:
            order, _headers = client.order(url)
        except AcmeError as error:
            if error.status in GONE or error.problem in ("malformed", "unauthorized"):
                return None
            raise
        over = order["status"] in ("invalid", "expired") or not same_identifiers(order, request.names)
        return None if over else url

    def new_order(self, request: IssueRequest, client: Client, account: Account, now: dt.datetime) -> str:
        """A new order, written down before anything else is done with it; returns its URL."""
        client.profiles_checked(self.options.profile)
        domains = sorted({value.removeprefix("*.") for _kind, value in identifiers_of(request.names)})
        self.solver.rehearse(domains, account.thumbprint)
        ari = client.renewal_info is not None
        replaces = self.replaceable(request.present, now) if ari and request.present else None
        url = self.place(request, client, account, now, replaces, ari)
        self.records.keep_order(request, str(account.url), url)
        return url

    def place(
        self,
        request: IssueRequest,
        client: Client,
        account: Account,
        now: dt.datetime,
        replaces: str | None,
        ari: bool,
    ) -> str:
        """newOrder, without ``replaces`` where the CA does not take it."""
        self.budget.take(
            request.request_id,
            wanted(request.names, request.present),
            (request.host, request.certificate),
            exempt=replaces is not None,
            ari=ari,
            now=seconds(now),
        )
        try:
            url, order = client.new_order(identifiers_of(request.names), self.options.profile, replaces)
        except AcmeError as error:
            self.budget.settle(request.request_id)
            if error.problem == "accountDoesNotExist":
                # The CA has forgotten it: a new one for the same key.
                client.use(str(self.accounts.client(again=True)[1].url))
                return self.place(request, client, account, now, replaces, ari)
            if replaces is None or not (error.status == 409 or error.problem in NOT_REPLACEABLE):
                raise
            self.not_replaceable(replaces, request, now)
            return self.place(request, client, account, now, None, ari)
        if not same_identifiers(order, request.names):
            raise AcmeError("the CA's answer makes no sense: its order is for other names")
        return url

    def replaceable(self, present: x509.Certificate, now: dt.datetime) -> str | None:
        """The ARI name of a certificate that an order may say it replaces."""
        name = ari_id(present)
        known = self.records.renewal(name) if name else None
        if present.not_valid_after_utc <= now or (known and known.replaced):
            return None
        return name

    def not_replaceable(self, name: str, request: IssueRequest, now: dt.datetime) -> None:
        """Remember that the CA does not take it."""
        advice = RenewalAdvice(self.records, "", None)
        if request.present is not None:
            known = advice.known(name, request.present)
            self.records.keep_renewal(name, replace(known, replaced=True), seconds(now))

    def connect(self, key: Any) -> Client:
        """A client of this CA."""
        network = Network(key, verify=self.options.ca_certificate, patience=self.options.timeout)
        return Client(network, self.options.directory_url)

    def register(self, client: Client) -> str:
        """The account's URL."""
        try:
            return client.register(
                self.options.contact, terms_agreed=self.options.terms_agreed, external=self.options.external_account
            )
        except SpecError as error:
            raise SpecError(f"issuer '{self.name}': {error.message}", remedy=error.remedy) from None


def wanted(names: Names, present: x509.Certificate | None) -> Wanted:
    """A request as the budget sees it."""
    values = tuple(value for _kind, value in names.sans())
    return Wanted(values, seconds(present.not_valid_after_utc) if present else 0)


PROVIDER = AcmeIssuer
