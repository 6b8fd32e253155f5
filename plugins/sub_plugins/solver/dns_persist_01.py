# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Solver ``dns_persist_01``: dns-persist-01 (draft-ietf-acme-dns-persist), a record that stays and is valid for every later order.

The record ``_validation-persist.<domain>`` names the CA and the account. It is written once, by hand or by another solver
(``writer``); a renewal needs no access to DNS at all.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: dns-persist-01, one TXT record per name that stays
description:
  - For names and wildcards, at a CA that offers dns-persist-01. The record names the CA and your account, so renewals write nothing to DNS.
  - The first run says which record to add, or writes it with a O(writer).
requirements:
  - dnspython
options:
  writer:
    description: Writes the record, once. C(type) and options of a solver for dns-01, such as V(dns_rfc2136).
    type: dict
  resolvers:
    description: IP addresses of the resolvers that are asked whether the record is there. The default is the controller's own.
    type: list
    elements: str
    default: []
  timeout:
    description: How long a record that was just written may take to appear.
    type: str
    default: 2m
"""
EXAMPLES = r"""
challenge: {type: dns_persist_01}
---
challenge:
  type: dns_persist_01
  writer:
    type: dns_rfc2136
    server: ns1.example.com
    tsig: {name: acme-update, secret: "{{ vault_tsig_secret }}"}
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.library import require_dns
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.name_servers import Lookup, parse_resolvers
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, HostStep, Solver, load_solver

PAUSE = 1.0


class PersistSolver(Solver):
    """Options: ``writer`` (the options of a dns-01 solver), ``resolvers``, ``timeout``."""

    challenge_type = "dns-persist-01"

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        self.resolvers = parse_resolvers(self.fields.strings("resolvers"), f"{where}: resolvers")
        self.timeout = parse_duration(self.fields.get("timeout", "2m"), f"{where}: timeout")
        writer = self.fields.get("writer")
        self.writer = load_solver(writer, f"{where}: writer") if writer is not None else None
        if self.writer is not None and self.writer.challenge_type != "dns-01":
            raise SpecError(f"{where}: writer answers no dns-01", remedy="name a solver that writes to DNS")

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("writer", "resolvers", "timeout")

    def keep_in(self, store: Any, issuer: str) -> None:
        if self.writer is not None:
            self.writer.keep_in(store, issuer)

    def challenge(
        self, authorization: Mapping[str, Any], raw: Mapping[str, Any], thumbprint: str, account: str
    ) -> Challenge | None:
        issuers = raw.get("issuer-domain-names")
        if not isinstance(issuers, list) or not issuers or not all(isinstance(each, str) for each in issuers):
            return None
        domain = str(authorization["identifier"].get("value")).removeprefix("*.")
        policy = "; policy=wildcard" if authorization.get("wildcard") else ""
        value = f"{issuers[0].lower().rstrip('.')}; accounturi={account}{policy}"
        return Challenge(domain, f"_validation-persist.{domain}", value)

    def present(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        require_dns()
        lookup = Lookup(self.resolvers)
        missing = self.missing(lookup, challenges)
        if missing and self.writer is not None:
            self.writer.present(missing, host)
            end = time.monotonic() + self.timeout
            while (missing := self.missing(lookup, challenges)) and time.monotonic() < end:
                time.sleep(PAUSE)
        if missing:
            records = "; ".join(f'{each.name}. IN TXT "{each.value}"' for each in missing)
            raise IssuerError(
                f"no record authorises this account for {', '.join(each.domain for each in missing)}; the CA was not asked",
                remedy=f"add to DNS, once: {records}",
            )

    def missing(self, lookup: Lookup, challenges: Sequence[Challenge]) -> list[Challenge]:
        """Challenges for which no record in DNS authorises the account."""
        return [each for each in challenges if not any(authorises(text, each) for text in lookup.texts(each.name))]

    def cleanup(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        """Nothing: the record is for the next order too."""


def authorises(text: str, challenge: Challenge) -> bool:
    """Whether a TXT record does what a challenge's value does: same CA and account, for wildcards as well where that is asked, not over.

    An issue-value of RFC 8659, 4.2: ``authority.example; accounturi=…; policy=wildcard; persistUntil=SECONDS``.
    """
    (found, has), (wanted, needs) = parse(text), parse(challenge.value)
    until = has.get("persistuntil", "")
    alive = not until or (until.isdecimal() and int(until) > time.time())
    wild = needs.get("policy") is None or has.get("policy", "").lower() == "wildcard"
    return found == wanted and has.get("accounturi") == needs["accounturi"] and wild and alive


def parse(text: str) -> tuple[str, dict[str, str]]:
    """The CA's domain name in lower case, and the parameters by name in lower case."""
    name, *rest = (each.strip() for each in text.split(";"))
    pairs = [each.partition("=") for each in rest if each]
    return name.lower().rstrip("."), {key.strip().lower(): value.strip() for key, _equals, value in pairs}


PROVIDER = PersistSolver
