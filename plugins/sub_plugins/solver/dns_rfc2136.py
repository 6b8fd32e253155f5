# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Solver ``dns_rfc2136``: dns-01 (RFC 8555, 8.4) by dynamic update (RFC 2136), signed with TSIG (RFC 8945) or
GSS-TSIG (RFC 3645).

Needs ``dnspython`` on the controller. A record is written where its name leads to by CNAME, to that zone's primary; the CA is asked
when all authoritative servers show it.
"""

from __future__ import annotations

DOCUMENTATION = r"""
short_description: dns-01, by a DNS server that takes updates
description:
  - For names and wildcards. Writes TXT records by dynamic update (RFC 2136), signed with TSIG or with a Kerberos ticket.
  - It needs O(server), unless O(zones) names one for each zone.
requirements:
  - dnspython
  - gssapi, for O(gss)
options:
  server:
    description: The primary, C(HOST) or C(HOST:PORT), by name or address.
    type: str
    default: ""
  tsig:
    description: The key that signs updates (RFC 8945).
    type: dict
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      algorithm:
        description: Its algorithm.
        type: str
        default: hmac-sha256
        choices: [hmac-sha256, hmac-sha384, hmac-sha512, hmac-sha224, hmac-sha1]
      secret:
        description: Its secret, base64. Keep it in Ansible Vault.
        type: str
        required: true
  gss:
    description: V(true), or a mapping. Updates are signed with a Kerberos ticket of the controller instead (RFC 3645), as Active Directory and FreeIPA
      want it.
    type: raw
    suboptions:
      principal:
        description: As whom to sign, such as V(ansible@AD.EXAMPLE.COM). The default is that of the credentials cache or keytab.
        type: str
      service:
        description: The host in the server's Kerberos name C(DNS/HOST). The default is the host of O(server).
        type: str
  zone:
    description: The zone, where the server's answer to SOA queries is not the right one. By default it is found out.
    type: str
  authoritative:
    description: The servers that must show a record before the CA is asked, C(HOST) or C(HOST:PORT). The default is the zone's NS records.
    type: list
    elements: str
    default: []
  zones:
    description: Other servers for single zones.
    type: list
    elements: dict
    default: []
    suboptions:
      zone:
        description: The zone.
        type: str
        required: true
      server:
        description: As O(server).
        type: str
        required: true
      tsig:
        description: As O(tsig).
        type: dict
      gss:
        description: As O(gss).
        type: raw
      authoritative:
        description: As O(authoritative).
        type: list
        elements: str
  resolvers:
    description: IP addresses of the resolvers that know names outside these servers. The default is the controller's own.
    type: list
    elements: str
    default: []
  timeout:
    description: How long all authoritative servers together may take to show the records. It does not count against the issuer's C(timeout).
    type: str
    default: 2m
"""
EXAMPLES = r"""
challenge:
  type: dns_rfc2136
  server: ns1.example.com
  tsig: {name: acme-update, algorithm: hmac-sha256, secret: "{{ vault_tsig_secret }}"}
---
challenge:
  type: dns_rfc2136
  server: dc1.ad.example.com
  gss: true
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.gss import Gss
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.library import dns, require_dns
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.name_servers import (
    Lookup,
    NameServer,
    ask,
    failed,
    parse_resolvers,
    question,
    text_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.visible import Record, await_records
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, HostStep, Solver

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1")
TTL = 60
MOST_CNAMES = 8
PRIMARY_OPTIONS = ("server", "tsig", "gss", "zone", "authoritative")


@dataclass(frozen=True)
class Primary:
    """Where updates of some zones go.

    :param zone: the one zone it is for; None: any that the server has.
    :param tsig: name, algorithm and secret that updates are signed with; :param gss: or the Kerberos ticket that gives a key.
    :param authoritative: the servers that have to show a record; none: those of the zone's NS records.
    """

    server: NameServer
    tsig: tuple[str, str, bytes] | None
    gss: Gss | None
    zone: str | None
    authoritative: tuple[NameServer, ...]

    @classmethod
    def parse(cls, fields: Fields, where: str) -> Primary:
        """:raises SpecError: no server, or a part that makes no sense."""
        zone, server = fields.text("zone"), NameServer.parse(fields.get("server", ""), f"{where}: server")
        tsig, gss = (
            parse_tsig(fields.get("tsig"), f"{where}: tsig"),
            Gss.parse(fields.get("gss"), server, f"{where}: gss"),
        )
        if tsig and gss:
            raise SpecError(f"{where}: tsig and gss are two ways to sign an update", remedy="leave one of them out")
        return cls(
            server,
            tsig,
            gss,
            zone.rstrip(".").lower() if zone else None,
            tuple(NameServer.parse(each, f"{where}: authoritative") for each in fields.strings("authoritative")),
        )

    def signature(self, lookup: Lookup) -> dict[str, Any]:
        """The arguments that make dnspython sign an update.

        :raises DependencyError, IssuerError: no key with Kerberos, see :meth:`Gss.key`.
        """
        if self.gss:
            return {"keyring": self.gss.key(lookup, self.server)}
        if self.tsig is None:
            return {}
        name, algorithm, secret = self.tsig
        return {"keyring": {dns.name.from_text(name): dns.tsig.Key(name, secret, algorithm)}}


@dataclass(frozen=True)
class Place:
    """Where a challenge's record is written.

    :param name: the record's, at the end of all CNAMEs.
    """

    primary: Primary
    zone: str
    name: str


class Rfc2136Solver(Solver):
    """Options: ``server``, ``tsig``, ``gss``, ``zone``, ``authoritative``; ``zones`` with the same for single zones; ``resolvers``; ``timeout``."""

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        zones = [
            (Fields(raw, PRIMARY_OPTIONS, f"{where}: zones"), f"{where}: zones[{number}]")
            for number, raw in enumerate(self.fields.items("zones"))
        ]
        self.zones = tuple(Primary.parse(fields, place) for fields, place in zones)
        if not all(each.zone for each in self.zones):
            raise SpecError(f"{where}: zones: one has no zone", remedy="write {zone: …, server: …, tsig: …}")
        alone = self.zones and not self.fields.get("server")
        self.primary = None if alone else Primary.parse(self.fields, where)
        self.resolvers = parse_resolvers(self.fields.strings("resolvers"), f"{where}: resolvers")
        self.timeout = parse_duration(self.fields.get("timeout", "2m"), f"{where}: timeout")
        self.lookup_made: Lookup | None = None
        self.places: dict[str, Place] = {}

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return (*PRIMARY_OPTIONS, "zones", "resolvers", "timeout")

    @property
    def lookup(self) -> Lookup:
        """Made when first needed: the library may be missing where nothing is due."""
        if self.lookup_made is None:
            require_dns()
            self.lookup_made = Lookup(self.resolvers)
        return self.lookup_made

    def rehearse(self, domains: Sequence[str], thumbprint: str) -> None:
        for domain in domains:
            self.place_of(f"_acme-challenge.{domain}")

    def present(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        self.update(challenges, "add")
        wanted: dict[NameServer, set[Record]] = {}
        for place, records in self.by_zone(challenges).items():
            for server in self.servers_of(*place):
                wanted.setdefault(server, set()).update(records)
        await_records(wanted, self.timeout)

    def cleanup(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        self.update(challenges, "delete")

    def by_zone(self, challenges: Sequence[Challenge]) -> dict[tuple[Primary, str], set[Record]]:
        """The records to write, by primary and zone."""
        found: dict[tuple[Primary, str], set[Record]] = {}
        for each in challenges:
            place = self.place_of(each.name)
            found.setdefault((place.primary, place.zone), set()).add(Record(place.name, each.value))
        return found

    def update(self, challenges: Sequence[Challenge], verb: str) -> None:
        """Add or delete the records, one update a zone.

        :raises IssuerError: the server refuses, or does not answer.
        """
        for (primary, zone), records in self.by_zone(challenges).items():
            message = dns.update.UpdateMessage(zone, **primary.signature(self.lookup))
            for each in sorted(records, key=lambda record: (record.name, record.value)):
                name, text = dns.name.from_text(each.name), quoted(each.value)
                if verb == "add":
                    message.add(name, TTL, "TXT", text)
                else:
                    message.delete(name, "TXT", text)
            answer = ask(self.lookup, primary.server, message, f"update of {zone}", tcp=True)
            if answer.rcode() != dns.rcode.NOERROR:
                raise failed(primary.server, f"it refuses the update of {zone}: {dns.rcode.to_text(answer.rcode())}")

    def place_of(self, name: str) -> Place:
        """Where the record of a challenge is written (RFC 8555, 8.4: CNAMEs are followed).

        :raises IssuerError: no server of ours has a zone for it.
        """
        if name not in self.places:
            target = self.follow(name)
            primary = self.primary_of(target)
            self.places[name] = Place(primary, self.zone_of(primary, target), target)
        return self.places[name]

    def follow(self, name: str) -> str:
        """The name at the end of all CNAMEs: as the zone's own primary knows them, which secondaries may not yet; else as the world does.

        :raises IssuerError: they have no end.
        """
        for _count in range(MOST_CNAMES):
            server = self.primary_of(name).server
            answer = ask(self.lookup, server, question(name, "CNAME"), f"query for {name}")
            owner = dns.name.from_text(name)
            rrset = answer.get_rrset(answer.answer, owner, dns.rdataclass.IN, dns.rdatatype.CNAME)
            if rrset is not None:
                following = text_of(rrset[0].target)
            elif answer.flags & dns.flags.AA:
                return name
            else:
                following = self.lookup.canonical(name)
            if following == name:
                return name
            name = following
        raise IssuerError(f"{self.where}: the CNAMEs of {name} have no end", remedy="mend them in DNS")

    def primary_of(self, name: str) -> Primary:
        """The primary of ``zones`` whose zone the name lies in, the longest first; else the solver's own.

        :raises IssuerError: there is none.
        """
        fitting = [each for each in self.zones if lies_in(name, str(each.zone))]
        primary = max(fitting, key=lambda each: len(str(each.zone)), default=self.primary)
        if primary is None:
            raise IssuerError(
                f"{self.where}: {name} lies in none of the zones ({', '.join(str(each.zone) for each in self.zones)})",
                remedy="add its zone to zones, or a server for all others",
            )
        return primary

    def zone_of(self, primary: Primary, name: str) -> str:
        """The zone a name lies in, as the server tells (or as ``zone`` says).

        An answer to a question for SOA names the zone even where the name is not there, in its authority part (RFC 2308, 3).

        :raises IssuerError: the server has no such zone, or has delegated it.
        """
        if primary.zone:
            if not lies_in(name, primary.zone):
                raise IssuerError(
                    f"{self.where}: {name} does not lie in the zone {primary.zone}", remedy="leave zone out"
                )
            return primary.zone
        labels = name.split(".")
        for start in range(len(labels)):
            candidate = ".".join(labels[start:])
            answer = ask(self.lookup, primary.server, question(candidate, "SOA"), f"query for {candidate}")
            # Pairs: of a zone's own name, a server may tell SOA and NS together.
            owners = [
                (text_of(rrset.name), rrset.rdtype)
                for rrset in (*answer.answer, *answer.authority)
                if rrset.rdtype in (dns.rdatatype.SOA, dns.rdatatype.NS) and lies_in(candidate, text_of(rrset.name))
            ]
            for owner, kind in owners:
                if kind == dns.rdatatype.SOA and answer.flags & dns.flags.AA:
                    return owner
                if kind == dns.rdatatype.NS and not answer.flags & dns.flags.AA and owner.count(".") > 0:
                    raise failed(primary.server, f"it has delegated {owner}, in which {name} lies, to other servers")
        raise failed(primary.server, f"it is not authoritative for any zone of {name}")

    def servers_of(self, primary: Primary, zone: str) -> list[NameServer]:
        """All servers that answer for a zone, by address: ``authoritative``, or those of its NS records.

        :raises IssuerError: a name in ``authoritative`` has no address.
        """
        found: list[NameServer] = []
        for server in primary.authoritative:
            addresses = self.lookup.addresses(server.host)
            if not addresses:
                raise failed(server, "its name, in authoritative, has no address")
            found += [NameServer(each, server.port) for each in addresses]
        if found:
            return found
        answer = ask(self.lookup, primary.server, question(zone, "NS"), f"query for {zone}")
        names = [text_of(each.target) for rrset in answer.answer if rrset.rdtype == dns.rdatatype.NS for each in rrset]
        found = [NameServer(each) for name in names for each in self.lookup.addresses(name)]
        return found or [NameServer(each, primary.server.port) for each in self.lookup.addresses(primary.server.host)]


def quoted(value: str) -> str:
    """A TXT record's content in a zone file's form: strings of at most 255 characters (RFC 1035, 3.3)."""
    return " ".join(f'"{value[start : start + 255]}"' for start in range(0, len(value), 255))


def lies_in(name: str, zone: str) -> bool:
    """Whether a name is a zone's own or lies below it."""
    return f".{name}".endswith(f".{zone}")


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


PROVIDER = Rfc2136Solver
