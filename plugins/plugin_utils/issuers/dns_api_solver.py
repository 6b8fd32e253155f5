# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What solvers have in common that write TXT records by an API: CNAMEs are followed, and the record is waited for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.library import require_dns
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.name_servers import (
    Lookup,
    NameServer,
    failed,
    parse_resolvers,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.dns_zones.visible import Record, await_records
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, HostStep, Solver


class DnsApiSolver(Solver):
    """Options: ``resolvers``, ``authoritative``, ``timeout``; a subclass adds its own."""

    def __init__(self, options: Mapping[str, Any], where: str) -> None:
        super().__init__(options, where)
        self.resolvers = parse_resolvers(self.fields.strings("resolvers"), f"{where}: resolvers")
        self.authoritative = tuple(
            NameServer.parse(each, f"{where}: authoritative") for each in self.fields.strings("authoritative")
        )
        self.timeout = parse_duration(self.fields.get("timeout", "2m"), f"{where}: timeout")
        self.lookup_made: Lookup | None = None

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return ("resolvers", "authoritative", "timeout")

    @property
    def lookup(self) -> Lookup:
        """Made when first needed: the library may be missing where nothing is due."""
        if self.lookup_made is None:
            require_dns()
            self.lookup_made = Lookup(self.resolvers)
        return self.lookup_made

    def present(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        records = self.records(challenges)
        for each in records:
            self.write(each)
        wanted: dict[NameServer, set[Record]] = {}
        for each in records:
            for server in self.servers_of(each.name):
                wanted.setdefault(server, set()).add(each)
        await_records(wanted, self.timeout)

    def cleanup(self, challenges: Sequence[Challenge], host: HostStep | None) -> None:
        for each in self.records(challenges):
            self.remove(each)

    def records(self, challenges: Sequence[Challenge]) -> list[Record]:
        """The records where their names lead to (RFC 8555, 8.4), each once."""
        return list(dict.fromkeys(Record(self.lookup.canonical(each.name), each.value) for each in challenges))

    def servers_of(self, name: str) -> list[NameServer]:
        """Who has to show a record: ``authoritative``, or all servers of its zone; nobody where those cannot be found out.

        :raises IssuerError: a name in ``authoritative`` has no address.
        """
        if not self.authoritative:
            return list(self.lookup.authoritative(name))
        found = []
        for server in self.authoritative:
            addresses = self.lookup.addresses(server.host)
            if not addresses:
                raise failed(server, "its name, in authoritative, has no address")
            found += [NameServer(each, server.port) for each in addresses]
        return found

    @abstractmethod
    def write(self, record: Record) -> None:
        """:raises TlsError: it could not be written."""

    @abstractmethod
    def remove(self, record: Record) -> None:
        """Take it away; one that is not there is fine.

        :raises TlsError: it could not be taken away.
        """
