# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Solver ``dns_rfc2136``: dns-01 (RFC 8555, 8.4) by dynamic update (RFC 2136), signed with TSIG (RFC 8945).

Needs ``dnspython`` on the controller. Every record goes to the primary; the CA is asked when all authoritative servers show them.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.addresses import parse_address
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import DependencyError, IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, HostStep, Solver

try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.rdatatype
    import dns.resolver
    import dns.tsig
    import dns.update
except ImportError as error:
    LIBRARY_PROBLEM: str | None = str(error)
else:
    LIBRARY_PROBLEM = None

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1")
SECONDS = 10.0
PAUSE = 0.5
TTL = 60


class Rfc2136Solver(Solver):
    """Options: ``server``, ``tsig``, ``zone``, ``authoritative``, ``timeout`` (until all servers show a record)."""

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        self.server = parse_address(self.fields.get("server", ""), 53, f"{where}: server")
        self.authoritative = [
            parse_address(each, 53, f"{where}: authoritative") for each in self.fields.strings("authoritative")
        ]
        self.zone = self.fields.text("zone")
        self.timeout = parse_duration(self.fields.get("timeout", "2m"), f"{where}: timeout")
        self.tsig = parse_tsig(self.fields.get("tsig"), f"{where}: tsig")

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("server", "tsig", "zone", "authoritative", "timeout")

    def rehearse(self, domains: Sequence[str], thumbprint: str) -> None:
        require_dns()
        for domain in domains:
            self.zone_of(f"_acme-challenge.{domain}")

    def present(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        require_dns()
        self.update(challenges, "add")
        end = time.monotonic() + self.timeout
        zones = {each: self.zone_of(each.name) for each in challenges}
        for zone in sorted(set(zones.values())):
            self.await_servers(zone, [each for each in challenges if zones[each] == zone], end)

    def await_servers(self, zone: str, challenges: Sequence[Challenge], end: float) -> None:
        """Until every authoritative server shows every record. One that does not answer at all is waited for, but stops nobody.

        :raises IssuerError: one answers without a record when the time is over, or none answers.
        """
        servers = self.servers_of(zone)
        while True:
            seen = {server: [shows(server, each) for each in challenges] for server in servers}
            if all(all(each) for each in seen.values()):
                return
            if time.monotonic() > end:
                break
            time.sleep(PAUSE)
        without = [f"{host}:{port}" for (host, port), found in seen.items() if False in found]
        if without or not any(all(found) for found in seen.values()):
            raise IssuerError(
                f"after {self.timeout} s not all authoritative servers of {zone} show the record"
                f" ({', '.join(without) or 'none answers'}); the CA was not asked",
                remedy="see why the zone's transfer takes so long, or lengthen challenge.timeout",
            )

    def cleanup(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        require_dns()
        self.update(challenges, "delete")

    def update(self, challenges: Sequence[Challenge], verb: str) -> None:
        """Add or delete the records, one update a zone.

        :raises IssuerError: the server refuses, or does not answer.
        """
        for zone in {self.zone_of(each.name) for each in challenges}:
            message = dns.update.UpdateMessage(zone, **self.signature())
            for each in challenges:
                if self.zone_of(each.name) == zone:
                    name, text = dns.name.from_text(each.name), f'"{each.value}"'
                    if verb == "add":
                        message.add(name, TTL, "TXT", text)
                    else:
                        message.delete(name, "TXT", text)
            answer = self.exchange(message, f"update of {zone}")
            if answer.rcode() != dns.rcode.NOERROR:
                raise self.failed(f"it refuses the update of {zone}: {dns.rcode.to_text(answer.rcode())}")

    def signature(self) -> dict[str, Any]:
        """The arguments that make dnspython sign a message."""
        if self.tsig is None:
            return {}
        name, algorithm, secret = self.tsig
        return {"keyring": {dns.name.from_text(name): dns.tsig.Key(name, secret, algorithm)}}

    def zone_of(self, name: str) -> str:
        """The zone a name lies in, as the server tells (or as ``zone`` says).

        :raises IssuerError: the server has no such zone.
        """
        labels = name.rstrip(".").split(".")
        if self.zone:
            zone = self.zone.rstrip(".")
            if not f".{name.rstrip('.')}".endswith(f".{zone}"):
                raise IssuerError(f"{self.where}: {name} does not lie in the zone {zone}", remedy="leave zone out")
            return zone
        for start in range(1, len(labels)):
            candidate = ".".join(labels[start:])
            answer = self.exchange(dns.message.make_query(candidate, "SOA"), f"query for {candidate}")
            found = [each for each in answer.answer if each.rdtype == dns.rdatatype.SOA]
            if found and answer.flags & dns.flags.AA:
                return found[0].name.to_text(omit_final_dot=True)
        raise self.failed(f"it is not authoritative for any zone of {name}")

    def servers_of(self, zone: str) -> list[tuple[str, int]]:
        """Addresses of all servers that answer for a zone: ``authoritative``, or those of its NS records."""
        if self.authoritative:
            return self.authoritative
        answer = self.exchange(dns.message.make_query(zone, "NS"), f"query for {zone}")
        names = [str(each.target) for rrset in answer.answer if rrset.rdtype == dns.rdatatype.NS for each in rrset]
        found: list[tuple[str, int]] = []
        for name in names:
            for kind in ("A", "AAAA"):
                try:
                    found += [(each.to_text(), 53) for each in dns.resolver.resolve(name, kind)]
                except dns.exception.DNSException:
                    continue
        return found or [self.server]

    def exchange(self, message: Any, what: str) -> Any:
        """One question to the primary.

        :raises IssuerError: no answer, or one that is not signed as it has to be.
        """
        host, port = self.server
        try:
            return dns.query.tcp(message, host, port=port, timeout=SECONDS)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise self.failed(f"{what}: {type(error).__name__} {shortened(error)[:200]}") from None

    def failed(self, problem: str) -> IssuerError:
        """The server's failure."""
        return IssuerError(
            f"DNS server {self.server[0]}:{self.server[1]}: {problem}",
            remedy="see challenge.server and challenge.tsig, and what the server's log says of the update",
        )


def shows(server: tuple[str, int], challenge: Challenge) -> bool | None:
    """Whether this server answers with the record; None: it does not answer."""
    query = dns.message.make_query(challenge.name, "TXT")
    query.flags &= ~dns.flags.RD
    try:
        answer = dns.query.tcp(query, server[0], port=server[1], timeout=SECONDS)
    except (dns.exception.DNSException, OSError, ValueError):
        return None
    wanted = challenge.value.encode()
    return any(
        b"".join(each.strings) == wanted
        for rrset in answer.answer
        if rrset.rdtype == dns.rdatatype.TXT
        for each in rrset
    )


def parse_tsig(raw: Any, where: str) -> tuple[str, str, bytes] | None:
    """``{name, algorithm, secret}`` as (name, algorithm, secret); None where updates are not signed.

    :raises SpecError: a part is missing or unknown. The secret is never told.
    """
    if raw is None:
        return None
    fields = Fields(raw, ("name", "algorithm", "secret"), where)
    name, secret = fields.text("name"), fields.text("secret")
    try:
        decoded = base64.b64decode(secret or "", validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not name or not decoded:
        raise SpecError(
            f"{where}: name or secret is missing, or the secret is not base64", remedy="copy both from the key"
        )
    algorithm = one_of(str(fields.get("algorithm", "hmac-sha256")).lower(), ALGORITHMS, f"{where}: algorithm")
    return name, algorithm, decoded


def require_dns() -> None:
    """:raises DependencyError: the library is not on the controller."""
    if LIBRARY_PROBLEM:
        raise DependencyError(
            f"the Python package 'dnspython' is missing on the controller ({LIBRARY_PROBLEM})",
            remedy="install it where ansible runs: pip install dnspython",
        )


PROVIDER = Rfc2136Solver
