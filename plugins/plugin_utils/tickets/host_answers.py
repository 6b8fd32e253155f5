# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which servers of a host read a pool's ring, and what the host says of it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import RING_SIZE, is_believable
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of, parse_path
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import MISSHAPEN, shortened, text_or_none
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import refuse_twice
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import (
    NO_PRESETS,
    ServiceSpec,
    parse_endpoint,
    parse_service,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.next_step import HostLook
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring import RingRecord

SERVER_FIELDS = ("server", "service", "endpoints", "socket")
KINDS = ("nginx", "haproxy")
SOCKETS = {"nginx": None, "haproxy": "/run/haproxy/admin.sock"}
APACHE = (
    "Apache does not use the HMAC half of its SSLSessionTicketKeyFile with OpenSSL 3, so that one node rejects, at random, the tickets"
    " of another that has the very same file"
)
APACHE_REMEDY = (
    "leave tls_session_tickets false for Apache and let its nodes share a cache: tls_session_cache: redis:HOST:PORT; without it, each"
    " node resumes its own sessions"
)


@dataclass(frozen=True)
class TicketServer:
    """A server that reads the ring; ``service.endpoints`` are where its tickets are looked at."""

    kind: str
    service: ServiceSpec
    socket: str | None

    def as_request(self) -> dict[str, Any]:
        """The form the host gets."""
        return {"kind": self.kind, "service": self.service.as_request(), "socket": self.socket}


@dataclass(frozen=True)
class TicketOnWire:
    """What one endpoint's ticket showed: a key's name (hex), or why there was none."""

    endpoint: str
    name: str | None
    error: str | None

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.endpoint}: {self.error or f'it uses the key named {self.name}'}"


@dataclass(frozen=True)
class HostRing:
    """What a look found. ``known``: the manifest's keys; ``present``: those in the files; each a list of [name, digest], or None."""

    generation: int | None
    known: list[list[str]] | None
    settled: bool
    present: list[list[str]] | None
    drift: tuple[str, ...]
    wire: tuple[TicketOnWire, ...]

    def compared_with(self, record: RingRecord) -> HostLook:
        """How it stands to the store's ring."""
        same = self.generation != record.generation or self.known == as_pairs(record)
        generation = self.generation
        if generation is not None and not is_believable(generation, record.generation):
            generation = None
        return HostLook(generation, self.in_place(record) and self.shows(record), same)

    def in_place(self, record: RingRecord) -> bool:
        """Whether the files are as they have to be, and the servers have taken them."""
        pairs = as_pairs(record)
        right = self.generation == record.generation and self.known == pairs and self.present == pairs
        return right and self.settled and not self.drift

    def shows(self, record: RingRecord) -> bool:
        """Whether every endpoint encrypts with the current key."""
        return bool(self.wire) and all(each.name == record.keys[1].name for each in self.wire)


def as_pairs(record: RingRecord) -> list[list[str]]:
    """A record's keys as they are in requests, answers and manifests."""
    return [[key.name, key.digest] for key in record.keys]


def parse_servers(
    raw: Sequence[Any], presets: Mapping[str, Mapping[str, Any]] = NO_PRESETS
) -> tuple[TicketServer, ...]:
    """``servers``: ``nginx``, ``haproxy``, or a mapping with ``server`` and what is not as usual.

    :raises SpecError: Apache; another server; an unknown field; none at all; no endpoint, where nothing could be proven.
    """
    servers = tuple(parse_server(each, presets) for each in raw)
    if not servers:
        raise SpecError("servers is empty", remedy=f"name at least one of {', '.join(KINDS)}")
    refuse_twice((server.kind for server in servers), "servers: two entries are for")
    return servers


def parse_server(raw: Any, presets: Mapping[str, Mapping[str, Any]]) -> TicketServer:
    """One of ``servers``."""
    fields = Fields({"server": raw} if isinstance(raw, str) else raw, SERVER_FIELDS, "servers")
    if str(fields.get("server")) in ("apache", "apache2", "httpd"):
        raise SpecError(f"servers: {APACHE}", remedy=APACHE_REMEDY)
    kind = one_of(fields.get("server", ""), KINDS, "servers")
    service = parse_service(fields.get("service", kind), "", Names(), presets)
    if "endpoints" in fields.raw:
        named = tuple(parse_endpoint(each, "", Names(), True) for each in fields.items("endpoints"))
        service = dataclasses.replace(service, endpoints=named)
    if not service.endpoints:
        raise SpecError(
            f"servers: {kind} has no endpoints",
            remedy="name one, host:port, where it speaks TLS: the ring is proven there",
        )
    socket = fields.get("socket", SOCKETS[kind])
    return TicketServer(kind, service, parse_path(socket, "servers: socket") if socket else None)


def parse_look(answer: Mapping[str, Any]) -> HostRing:
    """The answer of a look.

    :raises HostError: it is no answer.
    """
    try:
        generation = answer.get("generation")
        if generation is not None and (isinstance(generation, bool) or not isinstance(generation, int)):
            raise TypeError("generation")
        return HostRing(
            generation=generation,
            known=parse_pairs(answer.get("known")),
            settled=bool(answer.get("settled")),
            present=parse_pairs(answer.get("present")),
            drift=tuple(shortened(each) for each in answer.get("drift") or ()),
            wire=parse_wire(answer.get("wire")),
        )
    except MISSHAPEN as error:
        raise HostError(
            f"the host's answer about its session ticket keys does not have the agreed form ({type(error).__name__})",
            remedy="see whether something on the host changes what Python there says, and run again",
        ) from error


def parse_pairs(raw: Any) -> list[list[str]] | None:
    """:raises ValueError: not as many as a ring has."""
    if raw is None:
        return None
    pairs = [[shortened(name), shortened(digest)] for name, digest in raw]
    if len(pairs) != RING_SIZE:
        raise ValueError("no ring")
    return pairs


def parse_wire(raw: Any) -> tuple[TicketOnWire, ...]:
    """``wire`` of an answer."""
    return tuple(
        TicketOnWire(shortened(each["endpoint"]), text_or_none(each.get("name")), text_or_none(each.get("error")))
        for each in raw or ()
    )
