# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuer ``acme``: any CA that speaks ACME (RFC 8555), public or your own. See docs/issuers/acme.md.

Needs the Python package ``acme`` on the controller. What is due only is ordered, what is ordered is written down before it is
finished, and a run with nothing due asks for no more than renewal information, when the CA said to.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: Any CA that speaks ACME, such as Let's Encrypt
description:
  - Orders certificates from a public or private CA (RFC 8555). The private keys stay on the hosts.
  - See L(Issuer acme, ../issuers/acme.md) for accounts, challenges, renewal and rate limits.
requirements:
  - acme 5.1 or newer
  - dnspython, for solvers that work with DNS and for CAA records
options:
  directory_url:
    description: The CA's directory, an https address.
    type: str
    required: true
  challenge:
    description: How the CA validates names. C(type) names a L(solver, solvers.md); the other fields are that solver's options.
    type: dict
    required: true
  contact:
    description: Mail addresses of the account. Changes are reported to the CA.
    type: list
    elements: str
    default: []
  terms_agreed:
    description: You have read the CA's terms of service and agree to them.
    type: bool
    default: false
  external_account:
    description: A customer's account at the CA (RFC 8555, 7.3.4).
    type: dict
    suboptions:
      kid:
        description: Its key identifier.
        type: str
        required: true
      hmac_key:
        description: Its MAC key, base64 as the CA gave it. Keep it in Ansible Vault.
        type: str
        required: true
  account_key:
    description:
      - The private key of an account that you already have, as text or as an absolute path on the controller. PEM, or certbot's JWK.
      - Without it, the first run makes a key and an account. Keep it in Ansible Vault.
    type: raw
  profile:
    description: One of the CA's profiles, such as V(tlsserver) or V(shortlived). The default is the CA's own.
    type: str
  preferred_chain:
    description: Common name of the root that the chain is to lead to, where the CA offers several. The default is the CA's own.
    type: str
  anchors:
    description:
      - The roots of a CA of your own, PEM text or the path of a PEM file on the controller. Hosts that trust the issuer are given them.
      - Without it, the roots are those that every system has, and nothing is installed.
    type: str
  ca_certificate:
    description: PEM file on the controller that the CA's own https is verified with. The default is the usual CAs.
    type: path
  limits:
    description:
      - The CA's rate limits, V(letsencrypt), V(none), or a mapping of limits, each a number and a duration such as V(50/7d).
      - Without it, Let's Encrypt's own servers get theirs, and all other CAs none.
    type: raw
    suboptions:
      orders:
        description: Orders of the account. Let's Encrypt allows V(300/3h).
        type: str
      certificates_per_domain:
        description: Certificates with a name of the registered domain. Let's Encrypt allows V(50/7d).
        type: str
      certificates_per_set:
        description: Certificates for the very same names. Let's Encrypt allows V(5/7d).
        type: str
      failures:
        description: Failed validations of a name. Let's Encrypt allows V(5/1h).
        type: str
  timeout:
    description: How long the CA may take for one order. What DNS takes is not counted.
    type: str
    default: 5m
  resolvers:
    description: IP addresses of the resolvers that are asked for CAA records. The default is the controller's own.
    type: list
    elements: str
    default: []
"""
EXAMPLES = r"""
tls_issuers:
  public:
    type: acme
    directory_url: https://acme-v02.api.letsencrypt.org/directory
    contact: [tls@example.com]
    terms_agreed: true
    challenge: {type: http-01}

  customer:
    type: acme
    directory_url: https://acme.example.net/directory
    terms_agreed: true
    external_account: {kid: "4711", hmac_key: "{{ vault_acme_hmac_key }}"}
    challenge:
      type: dns_rfc2136
      server: ns1.example.com
      tsig: {name: acme-update, secret: "{{ vault_tsig_secret }}"}
"""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.account import AccountKeeper
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.budget import Budget, wanted
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.key_change import NEXT
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.options import AcmeOptions
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.records import Records
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.renewal_info import RenewalAdvice
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import Deferred, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import (
    AdvisesRenewal,
    AnswersChallenges,
    CanPrepare,
    ForeseesDeferral,
    HasAccount,
    SealsKeys,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.ledger_rows import earlier_answer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CERTIFICATE_NAME, CertificateSpec

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.client import AcmeClient


class AcmeIssuer(Issuer, CanPrepare, AdvisesRenewal, ForeseesDeferral, AnswersChallenges, HasAccount, SealsKeys):
    """Options: see :class:`AcmeOptions`."""

    staples = True

    def __init__(self, name: str, options: Mapping[str, Any], store: Any) -> None:
        super().__init__(name, options, store)
        if not CERTIFICATE_NAME.fullmatch(name):
            raise SpecError(f"'{name}' is not a valid issuer name", remedy="it becomes a directory of the store")
        self.options = AcmeOptions.parse(self.fields, f"issuer '{name}'")
        # A CA without anchors of its own is one that every system trusts.
        self.for_clients = self.options.own_anchors
        self.solver = self.options.solver
        self.solver.keep_in(store, name)
        self.records = Records(store, name)
        self.budget = Budget(self.records, self.options.limits)
        self.accounts = AccountKeeper(
            store,
            name,
            self.options.directory_url,
            self.options.contact,
            self.connect,
            self.register,
            self.options.read_account_key,
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

    def sealed_keys(self) -> tuple[str, ...]:
        return (self.accounts.entry("account.key"), self.accounts.entry(NEXT))

    def authorities(self) -> dict[str, x509.Certificate]:
        return super().authorities() if self.options.own_anchors else {}

    def unprepared(self, now: dt.datetime) -> str | None:
        return self.accounts.lacks()

    def prepare(self, now: dt.datetime) -> None:
        self.accounts.client()

    def account_key_begun(self) -> bool:
        account = self.accounts.kept()
        return account is not None and account.successor is not None

    def renew_account_key(self) -> str:
        account = self.accounts.rotate()
        return f"the ACME account of '{self.name}' has a new key, of the thumbprint {account.thumbprint}"

    def renew_account(self) -> str:
        account = self.accounts.renew()
        return f"'{self.name}' has another ACME account, {account.url}, of the thumbprint {account.thumbprint}"

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
        if "client_auth" in wish.usages and not self.for_clients:
            raise SpecError(
                f"issuer '{self.name}': public CAs issue no certificates for clients any more (client_auth)",
                remedy="leave client_auth out of usages, and give the host a second certificate from an internal CA for that",
            )
        if kind == "http-01" and any(name.startswith("*.") for name in names.dns_names):
            raise SpecError(
                f"issuer '{self.name}': a wildcard cannot be validated by http-01",
                remedy="use an issuer with a dns-01 solver",
            )
        if kind.startswith("dns-") and names.ip_addresses:
            raise SpecError(
                f"issuer '{self.name}': an IP address cannot be validated by {kind}",
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
        if ari and present is not None and self.records.replaceable(present, now):
            return None
        try:
            self.budget.judge(wanted(wish.names, present), (host, wish.name), ari=ari, now=seconds(now))
        except Deferred as error:
            return error
        return None

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        called = time.monotonic()
        with self.store.ledger() as ledger:
            answers = [earlier_answer(ledger, self.name, request, self.trust(), now) for request in requests]
        if all(answers):
            return tuple(answer for answer in answers if answer)
        # Late: the library is not for those who have nothing to order.
        from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.ordering import OrderRound

        client, account = self.accounts.client()
        ordering = OrderRound(
            self, self.options, self.records, self.budget, self.accounts, client, account, now, called
        )
        ordered = iter(ordering.all([request for request, answer in zip(requests, answers) if not answer]))
        return tuple(answer or next(ordered) for answer in answers)

    def connect(self, key: Any) -> AcmeClient:
        """A client of this CA."""
        from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.client import AcmeClient
        from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.network import Network

        network = Network(key, verify=self.options.ca_certificate, patience=self.options.timeout)
        return AcmeClient(network, self.options.directory_url)

    def register(self, client: AcmeClient) -> str:
        """The account's URL."""
        try:
            return client.register(
                self.options.contact, terms_agreed=self.options.terms_agreed, external=self.options.external_account
            )
        except SpecError as error:
            raise SpecError(f"issuer '{self.name}': {error.message}", remedy=error.remedy) from None


PROVIDER = AcmeIssuer
