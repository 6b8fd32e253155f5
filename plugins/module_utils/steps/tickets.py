# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step ``tickets``: a pool's ring on this host; written, taken by its servers, and proven on the wire, or all put back."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock
from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import (
    HAPROXY_FILE,
    KEY_BYTES,
    NAME_BYTES,
    TicketPlace,
    is_believable,
    key_id,
)
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import link_target
from ansible_collections.fleet.tls.plugins.module_utils.services import daemons
from ansible_collections.fleet.tls.plugins.module_utils.services.change import HostChange, carry_out, taken_again
from ansible_collections.fleet.tls.plugins.module_utils.services.clashes import refuse_without_tickets
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service
from ansible_collections.fleet.tls.plugins.module_utils.services.haproxy_socket import SocketProblem, set_keys
from ansible_collections.fleet.tls.plugins.module_utils.services.precautions import refuse_unreloadable
from ansible_collections.fleet.tls.plugins.module_utils.services.ticket_boot import BootUnit
from ansible_collections.fleet.tls.plugins.module_utils.system.polling import ask_until
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import handshake

LOOK_SECONDS, LOOK_PATIENCE = 2.0, 2.0
# A ticket of a server's own session cache is no more than the number of a session (OpenSSL: 32 bytes); one with a session in it is longer.
SHORTEST_TICKET = 64


@dataclass(frozen=True)
class TicketServer:
    """A server that reads the ring.

    :param kind: ``nginx`` or ``haproxy``.
    :param socket: HAProxy's runtime socket, None: there is none to be used.
    """

    kind: str
    service: Service
    endpoints: tuple[Endpoint, ...]
    socket: str | None = None


@dataclass(frozen=True)
class TicketOnWire:
    """What one endpoint's ticket shows: the name of the key (hex), or why there is none."""

    endpoint: str
    name: str | None
    error: str | None

    def as_answer(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"endpoint": self.endpoint, "name": self.name, "error": self.error}


@dataclass
class InstallOutcome:
    """What an installation came to. ``how``: server → reloaded, set (at HAProxy's socket), unchanged, not_running or unused."""

    how: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    wire: list[TicketOnWire] = field(default_factory=list)
    proven: bool = False


def tickets_step(request: dict[str, Any], given: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md. Without keys it only looks.

    :param given: ``{"prev", "cur", "next"}``, each a key in base64; empty: look.
    :raises StepError: site_clash, older_ring, other_ring, cannot_reload, no_systemd, validate_failed, reload_failed, not_proven, disk_full,
        not_permitted, unknown_user, busy, io. Servers have the keys then that they had before.
    """
    place = TicketPlace(
        request["directory"], request["pool"], request["memory"], request.get("owner"), request.get("group")
    )
    servers = [parse_server(each) for each in request["servers"]]
    if not given:
        return False, look(place, servers, request["keys"])
    keys = tuple(decode(given[part]) for part in ("prev", "cur", "next"))
    with host_lock(request["directory"]):
        refuse_backwards(place, request)
        refuse_unreloadable(each.service for each in servers if not each.socket)
        # What was given out before is renewed whatever stands there now; its proof says what is wrong. Where the server's configuration is
        # still to come, that of today says nothing of it.
        final = request.get("keeps_configuration") or not request["defer_proof"]
        if final and not place.read_manifest():
            for each in servers:
                if each.kind == "haproxy":
                    refuse_without_tickets(each.service)
        return install(place, servers, request, keys)


def parse_server(raw: dict[str, Any]) -> TicketServer:
    """One of ``servers``."""
    endpoints = tuple(
        Endpoint(
            host=each["host"],
            port=each["port"],
            server_name=each.get("server_name"),
            timeout=LOOK_SECONDS,
            starttls=each.get("starttls"),
            proxy_protocol=each.get("proxy_protocol") or 0,
            ticket=True,
        )
        for each in raw["service"]["endpoints"]
    )
    return TicketServer(raw["kind"], daemons.resolve(raw["service"]), endpoints, raw.get("socket"))


def decode(text: str) -> bytes:
    """:raises StepError: bad_request."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise StepError("bad_request", "what came is not a session ticket key")
    return key


def look(place: TicketPlace, servers: Sequence[TicketServer], wanted: list[list[str]] | None) -> dict[str, Any]:
    """What is there, without a secret.

    :param wanted: the keys' names and digests, None: nobody knows yet. Where they are there, the wire is given a little time to
        show it: right after a reload the old workers still answer.
    """
    known, ring = place.read_manifest(), place.keys()
    present = None if ring is None else [[each.name, each.digest] for each in map(key_id, ring)]
    patience = LOOK_PATIENCE if wanted and present == wanted and known.get("settled") else 0.0
    wire = prove(servers, wanted[1][0] if wanted else "", patience)
    drift = place.drift() + (BootUnit(place.directory).drift() if place.memory else [])
    return {
        "generation": known.get("generation"),
        "known": known.get("keys"),
        "settled": known.get("settled", False),
        "present": present,
        "drift": drift,
        "wire": [each.as_answer() for each in wire],
        "error": None,
    }


def look_at_wire(servers: Sequence[TicketServer]) -> list[TicketOnWire]:
    """One handshake with each endpoint, several at once."""
    asked = [endpoint for server in servers for endpoint in server.endpoints]
    with ThreadPoolExecutor(max_workers=max(1, min(8, len(asked)))) as pool:
        return list(pool.map(wire_name, asked))


def wire_name(endpoint: Endpoint) -> TicketOnWire:
    """The name of the key that an endpoint encrypts its tickets with."""
    result = handshake(endpoint)
    if len(result.ticket) >= SHORTEST_TICKET:
        return TicketOnWire(endpoint.address, result.ticket[:NAME_BYTES].hex(), None)
    if result.ticket:
        return TicketOnWire(endpoint.address, None, "its sessions are in a cache of its own, not in tickets")
    return TicketOnWire(endpoint.address, None, result.error or "it sent no session ticket")


def refuse_backwards(place: TicketPlace, request: dict[str, Any]) -> None:
    """A host never goes back: a ring older than its own, or another of the same age, comes from a store that has forgotten something.

    :raises StepError: older_ring, other_ring.
    """
    known = place.read_manifest()
    had, wanted = known.get("generation", 0), request["generation"]
    if not is_believable(had, wanted):
        return
    if had > wanted:
        raise StepError(
            "older_ring",
            f"this host has generation {had} of the ring of '{place.pool}', and was to get {wanted}",
            "is the store a copy of yesterday's? Nothing was changed",
        )
    if had == wanted and known["keys"] != request["keys"]:
        raise StepError(
            "other_ring",
            f"this host has other keys for generation {had} of the ring of '{place.pool}'",
            "is it another store than the one they came from? Nothing was changed",
        )


def install(
    place: TicketPlace, servers: Sequence[TicketServer], request: dict[str, Any], keys: Sequence[bytes]
) -> tuple[bool, dict[str, Any]]:
    """Write the ring where it is not there, and let the servers take it.

    :raises StepError: see :func:`tickets_step`.
    """
    ids = [key_id(key) for key in keys]
    known, old_target, old_keys = place.read_manifest(), link_target(place.link), place.keys()
    if place.memory:
        BootUnit(place.directory).ensure()
    target = old_target
    if old_keys != tuple(keys) or place.drift():
        target = place.write(request["generation"], keys)
    try:
        place.write_manifest(request["generation"], ids, settled=False)
        if target != old_target:
            place.point_at(target)
    except (OSError, StepError) as error:
        undo(place, known, old_target)
        raise (error if isinstance(error, StepError) else from_os_error(error, f"writing {place.link}")) from error
    # A pool's first ring is there before any server's configuration names it: there is nobody to take it yet.
    first = not known.get("settled") and request["defer_proof"]
    outcome = InstallOutcome()

    def back() -> list[str]:
        undo(place, known, old_target)
        return ["the keys are as they were before"]

    def retake(problem: StepError) -> list[str]:
        running = [each for each in servers if daemons.is_running(each.service)]
        return taken_again([functools.partial(take_one, place, each, old_keys or (), []) for each in running], problem)

    refusal = carry_out(
        HostChange(
            take=lambda: take(outcome, place, servers, keys, first=first),
            prove=lambda: unproven(outcome, place, servers, keys, request, first=first),
            undo=back if old_keys is not None and old_target is not None and old_target != target else None,
            retake=retake,
        )
    ).error
    if refusal:
        raise refusal
    if outcome.proven:
        place.write_manifest(request["generation"], ids, settled=True)
    place.prune()
    return True, {
        "how": outcome.how,
        "notes": outcome.notes,
        "wire": [each.as_answer() for each in outcome.wire],
        "proven": outcome.proven,
        "error": None,
    }


def undo(place: TicketPlace, known: dict[str, Any], target: str | None) -> None:
    """Files as they were: the link first, which is what servers read."""
    place.point_at(target)
    try:
        place.put_manifest_back(known)
    except OSError as error:
        raise from_os_error(error, f"writing {place.manifest}") from error
    place.prune()


def take(
    outcome: InstallOutcome, place: TicketPlace, servers: Sequence[TicketServer], keys: Sequence[bytes], *, first: bool
) -> None:
    """Let each server take the ring.

    :raises StepError: validate_failed, reload_failed.
    """
    for server in servers:
        if not daemons.is_running(server.service):
            outcome.how[server.kind] = "not_running"
        elif not first:
            outcome.how[server.kind] = take_one(place, server, keys, outcome.notes)
        else:
            outcome.how[server.kind] = "unused"


def unproven(
    outcome: InstallOutcome,
    place: TicketPlace,
    servers: Sequence[TicketServer],
    keys: Sequence[bytes],
    request: dict[str, Any],
    *,
    first: bool,
) -> StepError | None:
    """The error for endpoints whose tickets do not show the current key's name; None: all do, or they need not yet."""
    expected = key_id(keys[1]).name
    outcome.wire = prove(servers, expected, 0.0 if first else float(request["prove_timeout"]))
    missing = [each for each in outcome.wire if each.name != expected]
    outcome.proven = not missing
    if not missing or request["defer_proof"]:
        return None
    return StepError(
        "not_proven",
        f"no ticket with the ring's current key: {'; '.join(map(shown, missing))}",
        f"see that the server runs, that its configuration names the keys in {place.link}, and that it speaks TLS there",
    )


def shown(wire: TicketOnWire) -> str:
    """What an endpoint shows instead, for people."""
    return f"{wire.endpoint}: {wire.error or f'it uses the key named {wire.name}'}"


def take_one(place: TicketPlace, server: TicketServer, keys: Sequence[bytes], notes: list[str]) -> str:
    """One server that runs: through HAProxy's socket where there is one, else by a reload; returns how.

    :raises StepError: validate_failed, reload_failed.
    """
    daemons.validate(server.service)
    if server.kind == "haproxy" and server.socket:
        try:
            file = f"{place.link}/{HAPROXY_FILE}"
            return "set" if set_keys(server.socket, file, keys) else "unchanged"
        except SocketProblem as problem:
            notes.append(f"{problem}; so it was reloaded")
    daemons.reload(server.service)
    return "reloaded"


def prove(servers: Sequence[TicketServer], expected: str, timeout: float) -> list[TicketOnWire]:
    """Handshakes until every endpoint shows the expected name (hex), or the time (seconds) is up."""
    return ask_until(
        lambda _left: look_at_wire(servers), lambda found: all(each.name == expected for each in found), timeout
    )
