# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Solver ``acme_dns``: dns-01 by an acme-dns server, whose HTTP API writes one TXT record and nothing else.

A name is registered once: the server answers with a name of its own and a password, which are kept in the store, the password sealed
(``acme/<issuer>/acme-dns/<digest>.json``). ``_acme-challenge.<domain>`` has to be a CNAME to that name, once and for all.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: dns-01, by an acme-dns server
description:
  - For names and wildcards. Each name needs one CNAME that leads to the acme-dns server. The first run says which.
requirements:
  - dnspython
extends_documentation_fragment: fleet.tls.providers.dns_api
options:
  server:
    description: The address of its API, https. Plain http is for a server on this machine.
    type: str
    required: true
  accounts:
    description:
      - Registrations that you already have. The key is the domain, the value a mapping with C(username), C(password), C(subdomain) and C(fulldomain).
      - Others are made, and kept in the store with their passwords sealed.
    type: dict
    default: {}
"""
EXAMPLES = r"""
challenge:
  type: acme_dns
  server: https://auth.example.org
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.library import requests, require_acme
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.visible import Record
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.dns_api_solver import DnsApiSolver
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.passphrase import nobody_changes_it
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import seal, unseal

SECONDS = 30
ACCOUNT_FIELDS = ("username", "password", "subdomain", "fulldomain")


@dataclass(frozen=True)
class Registration:
    """What the server gave for a domain. ``fulldomain``: where the CNAME leads; ``password``: a secret."""

    username: str
    password: str
    subdomain: str
    fulldomain: str


class AcmeDnsSolver(DnsApiSolver):
    """Options: ``server`` (the API's address), ``accounts`` (registrations made before, by domain), and those of every API solver."""

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        self.server = (self.fields.text("server") or "").rstrip("/")
        local = (urlsplit(self.server).hostname or "") in ("localhost", "127.0.0.1", "::1")
        if not self.server.startswith("https://") and not (local and self.server.startswith("http://")):
            raise SpecError(f"{where}: server is missing or no https address", remedy="write https://auth.example.org")
        raw = self.fields.get("accounts", {})
        if not isinstance(raw, Mapping):
            raise SpecError(
                f"{where}: accounts must be a mapping",
                remedy="write DOMAIN: {username, password, subdomain, fulldomain}",
            )
        self.accounts = {str(domain).lower(): registration(each, f"{where}: accounts") for domain, each in raw.items()}
        self.store: Store | None = None
        self.issuer = ""

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("server", "accounts", *super().option_names())

    def keep_in(self, store: Store, issuer: str) -> None:
        self.store, self.issuer = store, issuer

    def kept_in(self) -> Store:
        """The issuer's store.

        :raises IssuerError: :meth:`keep_in` has not been called, which issuers do before anything else.
        """
        if self.store is None:
            raise IssuerError(f"{self.where}: the issuer gives no store, which acme_dns keeps its registrations in")
        return self.store

    def place(self, domain: str) -> str:
        # The server keeps two values of a registration, which several domains may share.
        known = self.accounts.get(domain.lower())
        return known.fulldomain.rstrip(".").lower() if known else super().place(domain)

    def rehearse(self, domains: Sequence[str], thumbprint: str) -> None:
        require_acme()
        lacking = []
        for domain in domains:
            account = self.account(domain)
            if self.lookup.canonical(f"_acme-challenge.{domain}") != account.fulldomain.rstrip(".").lower():
                lacking.append(f"_acme-challenge.{domain}. CNAME {account.fulldomain.rstrip('.')}.")
        if lacking:
            raise IssuerError(
                f"{self.where}: the names of {len(lacking)} domains do not lead to the acme-dns server yet; the CA was not asked",
                remedy=f"add to DNS, once: {'; '.join(lacking)}",
            )

    def records(self, challenges: Sequence[Challenge]) -> list[Record]:
        return [Record(self.account(each.domain).fulldomain.rstrip(".").lower(), each.value) for each in challenges]

    def write(self, record: Record) -> None:
        account = next(each for each in self.accounts.values() if each.fulldomain.rstrip(".").lower() == record.name)
        self.post(
            "/update",
            {"subdomain": account.subdomain, "txt": record.value},
            {"X-Api-User": account.username, "X-Api-Key": account.password},
        )

    def remove(self, record: Record) -> None:
        """Nothing: the API has no way to, and the next two values replace it."""

    def account(self, domain: str) -> Registration:
        """A domain's registration: the user's, the store's, or a new one.

        :raises IssuerError: the server gives none.
        """
        domain = domain.lower()
        if domain not in self.accounts:
            with self.kept_in().lock(f"acme/{self.issuer}/acme-dns"):
                kept = self.entry(domain)
                found = kept.load()
                self.accounts[domain] = found.value if found else self.register()
                if not found:
                    with nobody_changes_it(self.kept_in()):
                        kept.put(self.accounts[domain], expect=None)
        return self.accounts[domain]

    def register(self) -> Registration:
        """A new one."""
        try:
            return registration(self.post("/register", {}, {}), "the acme-dns server's answer")
        except SpecError as error:
            raise IssuerError(error.message, remedy="see that server is an acme-dns server") from None

    def entry(self, domain: str) -> JsonEntry[Registration]:
        """Where a domain's registration is kept; which server's, too."""
        store = self.kept_in()
        digest = hashlib.sha256(f"{self.server}\0{domain}".encode()).hexdigest()[:32]
        key = f"acme/{self.issuer}/acme-dns/{digest}.json"

        def parse(raw: Mapping[str, Any]) -> Registration:
            password = unseal(store, raw["password"], key).decode()
            return Registration(str(raw["username"]), password, str(raw["subdomain"]), str(raw["fulldomain"]))

        def dump(value: Registration) -> dict[str, Any]:
            return {**asdict(value), "domain": domain, "password": seal(store, value.password.encode(), key)}

        return JsonEntry(store, key, parse, dump)

    def post(self, path: str, content: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        """A request to the API, the JSON of its answer.

        :raises IssuerError: no answer, or a refusal.
        """
        try:
            answer = requests.post(self.server + path, data=json.dumps(content), headers=dict(headers), timeout=SECONDS)
            if not answer.ok:
                raise IssuerError(
                    f"acme-dns server {self.server}: {path} is refused (HTTP {answer.status_code}, {shortened(answer.text)[:120]!r})",
                    remedy="see challenge.server, and challenge.accounts where you have them",
                )
            return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise IssuerError(
                f"acme-dns server {self.server}: {path}: {type(error).__name__}",
                remedy="see that the controller reaches it",
            ) from None


def registration(raw: Any, where: str) -> Registration:
    """:raises SpecError: a field is missing. No value is told: one is a password."""
    if isinstance(raw, Mapping):
        raw = {key: value for key, value in raw.items() if key not in ("allowfrom", "server_url")}
    fields = Fields(raw, ACCOUNT_FIELDS, where)
    values = {field: fields.text(field) or "" for field in ACCOUNT_FIELDS}
    for field, value in values.items():
        if not value:
            raise SpecError(f"{where}: {field} is missing", remedy=f"its fields: {', '.join(ACCOUNT_FIELDS)}")
    return Registration(**values)


PROVIDER = AcmeDnsSolver
