# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Name servers as users write them, by name or address, and single questions to them; and the resolver that knows all other names."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.addresses import parse_address
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.library import dns

# Seconds for one answer, and for all that the resolver tries for one name.
ANSWER_SECONDS = 5.0
RESOLVER_SECONDS = 10.0
TRIES, PAUSE = 3, 0.5


@dataclass(frozen=True)
class NameServer:
    """A DNS server.

    :param host: a name or an address.
    """

    host: str
    port: int = 53

    @classmethod
    def parse(cls, raw: Any, what: str) -> NameServer:
        """``HOST``, ``HOST:PORT``, ``[IPv6]:PORT``.

        :raises SpecError: none of these.
        """
        return cls(*parse_address(raw, 53, what))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_resolvers(values: Sequence[str], what: str) -> tuple[NameServer, ...]:
    """Resolvers; by address, because names cannot be looked up without one.

    :raises SpecError: no address.
    """
    servers = tuple(NameServer.parse(each, what) for each in values)
    for each in servers:
        if not is_address(each.host):
            raise SpecError(f"{what}: '{each.host}' is not an address", remedy="write the resolver's IP address")
    return servers


def is_address(host: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host.partition("%")[0]))
    return False


class Lookup:
    """What the world knows of names.

    :param resolvers: whom to ask; none: the controller's own resolver, ``/etc/hosts`` included.
    """

    def __init__(self, resolvers: Sequence[NameServer] = ()) -> None:
        self.own = bool(resolvers)
        self.resolver = dns.resolver.Resolver(configure=not resolvers)
        if resolvers:
            self.resolver.nameservers = [dns.nameserver.Do53Nameserver(each.host, each.port) for each in resolvers]
        self.resolver.lifetime = RESOLVER_SECONDS
        self.known: dict[str, tuple[str, ...]] = {}

    def addresses(self, host: str) -> tuple[str, ...]:
        """A host's addresses, IPv4 and IPv6; none where it has none, or nobody answers."""
        if is_address(host):
            return (host,)
        if host not in self.known:
            self.known[host] = self.ask_addresses(host)
        return self.known[host]

    def ask_addresses(self, host: str) -> tuple[str, ...]:
        """The same, not remembered."""
        if self.own:
            with contextlib.suppress(dns.exception.DNSException):
                return tuple(dict.fromkeys(self.resolver.resolve_name(host).addresses()))
            return ()
        with contextlib.suppress(OSError, UnicodeError):
            return tuple(
                dict.fromkeys(str(each[4][0]) for each in socket.getaddrinfo(host, 53, type=socket.SOCK_DGRAM))
            )
        return ()

    def canonical(self, name: str) -> str:
        """The name at the end of all CNAMEs (RFC 1034, 3.6.2); the name itself where nobody answers."""
        try:
            return text_of(self.resolver.canonical_name(name))
        except dns.exception.DNSException:
            return name

    def texts(self, name: str) -> set[str]:
        """A name's TXT records as the world sees them.

        :raises IssuerError: nobody answers.
        """
        try:
            answer = self.resolver.resolve(name, "TXT", raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return set()
        except dns.exception.DNSException as error:
            raise IssuerError(
                f"the TXT records of {name} cannot be looked up: {shortened(error)[:200]}",
                remedy="see the controller's resolver, or name one in challenge.resolvers",
            ) from None
        return {b"".join(each.strings).decode("ascii", "replace") for each in answer.rrset or ()}

    def authoritative(self, name: str) -> tuple[NameServer, ...]:
        """The servers, by address, of the zone that a name lies in; none where that cannot be found out."""
        try:
            zone = dns.resolver.zone_for_name(name, resolver=self.resolver)
            hosts = [text_of(each.target) for each in self.resolver.resolve(zone, "NS")]
        except dns.exception.DNSException:
            return ()
        return tuple(NameServer(each) for host in hosts for each in self.addresses(host))


def text_of(name: Any) -> str:
    """A dnspython name as we write it: lower case, without the last dot."""
    return str(name.to_text(omit_final_dot=True)).lower()


def question(name: str, kind: str) -> Any:
    """A question for what the server itself is authoritative for: it is not to ask others (RFC 1035, 4.1.1)."""
    query = dns.message.make_query(name, kind)
    query.flags &= ~dns.flags.RD
    return query


def ask(lookup: Lookup, server: NameServer, message: Any, what: str, *, tcp: bool = False) -> Any:
    """One question to a server, at the first of its addresses that answers.

    :param tcp: not by UDP first: an update (RFC 2136) is not repeated by dnspython, and may be long.
    :raises IssuerError: no address, no answer, or one that is not signed as it has to be.
    """
    problem = "its name has no address"
    for address in lookup.addresses(server.host):
        try:
            if tcp:
                return dns.query.tcp(message, address, port=server.port, timeout=ANSWER_SECONDS)
            return patiently(message, address, server.port)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            problem = f"{type(error).__name__} {shortened(error)[:200]}"
    raise failed(server, f"{what}: {problem}")


def patiently(message: Any, address: str, port: int) -> Any:
    """The answer to a question. SERVFAIL (RFC 1035, 4.1.1) is no answer: a server that is loading or busy says so for a moment."""
    for attempt in range(TRIES):
        answer, _tcp = dns.query.udp_with_fallback(message, address, port=port, timeout=ANSWER_SECONDS)
        if answer.rcode() != dns.rcode.SERVFAIL:
            break
        time.sleep(PAUSE * (attempt + 1))
    return answer


def failed(server: NameServer, problem: str) -> IssuerError:
    """The server's failure."""
    return IssuerError(
        f"DNS server {server}: {problem}",
        remedy="see challenge.server and challenge.tsig, and what the server's log says of the update",
    )
