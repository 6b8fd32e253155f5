# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that use a certificate: a preset's name or a description, and the endpoints that prove it. Pure."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.presets import PRESETS
from ansible_collections.fleet.tls.plugins.plugin_utils.addresses import parse_host_name, parse_port, split_address
from ansible_collections.fleet.tls.plugins.plugin_utils.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.fields import Fields, one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.x509 import Names

SERVICE_FIELDS = ("name", "validate", "reload", "check", "start", "endpoints")


@dataclass(frozen=True)
class Endpoint:
    """Where a certificate is served.

    :param server_name: SNI, None: none is sent.
    :param explicit: the user named it, so the certificate has to be served there; else it came with a preset.
    """

    host: str
    port: int
    server_name: str | None
    certificate: str
    explicit: bool


@dataclass(frozen=True)
class Service:
    """How a service is checked, reloaded and proven; commands are argument lists, None: as the preset has it."""

    name: str
    preset: str | None = None
    validate: tuple[str, ...] | None = None
    reload: tuple[str, ...] | None = None
    check: tuple[str, ...] | None = None
    start: tuple[str, ...] | None = None
    endpoints: tuple[Endpoint, ...] = ()

    def as_request(self) -> dict[str, Any]:
        """The form the host gets."""
        return dataclasses.asdict(self)


def parse_service(raw: Any, certificate: str, names: Names) -> Service:
    """One of a certificate's ``services``: a preset's name, or a mapping with ``name``.

    :raises SpecError: an unknown preset, a mapping that neither names a preset nor says how to reload, bad endpoints.
    """
    fields = Fields({"name": raw} if isinstance(raw, str) else raw, SERVICE_FIELDS, "services")
    name = str(fields.get("name", ""))
    if not name:
        raise SpecError(
            "services: a service needs a name", remedy=f"write one of {', '.join(PRESETS)}, or a name of yours"
        )
    if isinstance(raw, str) or (name not in PRESETS and "reload" not in fields.raw):
        one_of(name, PRESETS, "services")
    preset = PRESETS.get(name)
    explicit = "endpoints" in fields.raw
    endpoints = fields.items("endpoints") if explicit else list(preset.endpoints if preset else ())
    return Service(
        name=name,
        preset=name if preset else None,
        validate=parse_command(fields, "validate"),
        reload=parse_command(fields, "reload"),
        check=parse_command(fields, "check"),
        start=parse_command(fields, "start"),
        endpoints=tuple(parse_endpoint(entry, certificate, names, explicit) for entry in endpoints),
    )


def parse_bare_services(raw: Iterable[Any]) -> tuple[Service, ...]:
    """Services that a task reloads for another reason than a certificate, so without endpoints.

    :raises SpecError: see :func:`parse_service` and :func:`merge_services`.
    """
    return merge_services(dataclasses.replace(parse_service(entry, "", Names()), endpoints=()) for entry in raw)


def parse_command(fields: Fields, field: str) -> tuple[str, ...] | None:
    """A command as argument list; a text is split as a shell would, but no shell runs it.

    :raises SpecError: an empty list, or quotes that do not close.
    """
    value = fields.get(field)
    if value is None:
        return None
    try:
        command = tuple(shlex.split(value) if isinstance(value, str) else (str(word) for word in fields.items(field)))
    except ValueError as error:
        raise SpecError(f"services: {field}: {error}", remedy="write it as a list of words") from None
    if not command:
        raise SpecError(f"services: {field} is empty", remedy="leave it out where there is nothing to run")
    return command


def parse_endpoint(raw: Any, certificate: str, names: Names, explicit: bool) -> Endpoint:
    """``host:port``, ``[v6]:port`` or ``{host, port, server_name}``; SNI defaults to the certificate's first DNS name.

    :raises SpecError: no host, or no port between 1 and 65535.
    """
    fields = Fields({} if isinstance(raw, str) else raw, ("host", "port", "server_name"), "endpoints")
    if isinstance(raw, str):
        host, port = split_address(raw)
    else:
        host, port = parse_host_name(fields.get("host", "")), parse_port(fields.get("port", ""))
    return Endpoint(host, port, fields.text("server_name") or default_server_name(names), certificate, explicit)


def default_server_name(names: Names) -> str | None:
    """The SNI that asks for a certificate: its first name without a wildcard, else a name the wildcard stands for."""
    plain = [name for name in names.dns_names if not name.startswith("*.")]
    if plain:
        return plain[0]
    return names.dns_names[0].replace("*", "www", 1) if names.dns_names else None


def merge_services(services: Iterable[Service]) -> tuple[Service, ...]:
    """Each service once, with the endpoints of all certificates that name it.

    :raises SpecError: two certificates describe one service in two ways.
    """
    merged: dict[str, Service] = {}
    for service in services:
        known = merged.setdefault(service.name, service)
        if known is service:
            continue
        if dataclasses.replace(known, endpoints=()) != dataclasses.replace(service, endpoints=()):
            raise SpecError(
                f"the service '{service.name}' is described in two ways",
                remedy="give all certificates the same validate, reload and check for it",
            )
        merged[service.name] = dataclasses.replace(known, endpoints=known.endpoints + service.endpoints)
    return tuple(merged.values())
