# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that use a certificate: a preset's name or a description, and the endpoints that prove it. Pure."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import RELOADS, Preset
from ansible_collections.fleet.tls.plugins.plugin_utils.base.addresses import parse_place
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of, parse_mode
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.plugins.plugin_utils.spec import presets as built_in

PRESET_FIELDS = (
    "unit", "validate", "reload", "check", "start", "endpoints", "programs", "user", "owner", "group", "mode",
)  # fmt: skip
UNIT = re.compile(r"[A-Za-z0-9:_.\\*@-]+")
NO_PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class ProofEndpoint:
    """Where a certificate is served.

    :param server_name: SNI, None: none is sent.
    :param explicit: the user named it, so the certificate has to be served there; else it came with a preset.
    :param starttls: the protocol in which TLS has to be asked for first, None: it begins at once.
    :param proxy_protocol: the version of the PROXY protocol that it expects before anything else, 0: none.
    """

    host: str
    port: int
    server_name: str | None
    certificate: str
    explicit: bool
    starttls: str | None = None
    proxy_protocol: int = 0


@dataclass(frozen=True)
class Access:
    """Whom a private key belongs to, and what others may; ``mode`` is an octal text, None: as usual."""

    owner: str | None = None
    group: str | None = None
    mode: str | None = None


@dataclass(frozen=True)
class ServiceSpec:
    """How a service is checked, reloaded and proven; commands are argument lists, None or empty: as the preset has it.

    :param units: its systemd unit, under the names it may have.
    :param reload_by: ``restart``: its unit is restarted instead; ``none``: it notices by itself; None: ``reload``, or its unit's.
    :param programs: names of the processes that may hold its ports.
    :param user: who has to be able to read the private key.
    :param access: whom the key belongs to where its certificate does not say.
    """

    name: str
    preset: str | None = None
    units: tuple[str, ...] = ()
    validate: tuple[str, ...] | None = None
    reload: tuple[str, ...] | None = None
    check: tuple[str, ...] | None = None
    start: tuple[str, ...] | None = None
    reload_by: str | None = None
    programs: tuple[str, ...] = ()
    user: str | None = None
    access: Access = Access()
    endpoints: tuple[ProofEndpoint, ...] = ()

    def as_request(self) -> dict[str, Any]:
        """The form the host gets."""
        request = dataclasses.asdict(self)
        del request["access"]
        return {**request, "preset": built_in.as_request(self.preset)}


def parse_presets(raw: Any) -> dict[str, Mapping[str, Any]]:
    """A user's own presets and changes of ours: name → the fields of a service, see :func:`parse_service`.

    :raises SpecError: not a mapping; an unknown field or a bad value, whether a certificate names the preset or not.
    """
    if not isinstance(raw, Mapping):
        raise SpecError("service_presets must be a mapping", remedy="write {gateway: {unit: gateway, reload: [...]}}")
    presets: dict[str, Mapping[str, Any]] = {}
    for name, fields in raw.items():
        presets[str(name)] = Fields(fields, PRESET_FIELDS, f"service_presets: {name}").raw
        try:
            parse_service(str(name), "", Names(), presets)
        except TlsError as error:
            raise SpecError(f"service_presets: {name}: {error.message}", remedy=error.remedy) from None
    return presets


def parse_service(
    raw: Any, certificate: str, names: Names, presets: Mapping[str, Mapping[str, Any]] = NO_PRESETS
) -> ServiceSpec:
    """One of a certificate's ``services``: a preset's name, or a mapping with ``name``.

    :param presets: the user's own, from :func:`parse_presets`. Their fields take the place of ours, those of ``raw`` that of theirs.
    :raises SpecError: an unknown preset, a mapping that neither names a preset nor says how to reload, bad endpoints.
    """
    own = Fields({"name": raw} if isinstance(raw, str) else raw, ("name", *PRESET_FIELDS), "services")
    name = str(own.get("name", ""))
    ours = built_in.preset_names()
    known = (*ours, *(each for each in presets if each not in ours))
    if not name:
        raise SpecError(
            "services: a service needs a name", remedy=f"write one of {', '.join(known)}, or a name of yours"
        )
    fields = Fields({**presets.get(name, {}), **own.raw}, ("name", *PRESET_FIELDS), "services")
    if name not in ours and not {"reload", "unit"} & set(fields.raw):
        one_of(name, known if name not in presets else ours, "services")
    preset = built_in.find_preset(name) or Preset()
    # What a user wrote is meant, be it in a preset of theirs.
    explicit = "endpoints" in fields.raw
    endpoints = fields.items("endpoints") if "endpoints" in fields.raw else list(preset.endpoints)
    instead = parse_reload_by(fields, preset)
    user = fields.text("user")
    owner = fields.text("owner") or user or preset.owner or preset.user
    mode = preset.mode if fields.get("mode") is None else parse_mode(fields.get("mode"), secret=True)
    return ServiceSpec(
        name=name,
        preset=name if name in ours else None,
        units=parse_units(fields),
        validate=parse_command(fields, "validate"),
        reload=None if instead else parse_command(fields, "reload"),
        check=parse_command(fields, "check"),
        start=parse_command(fields, "start"),
        reload_by=instead,
        programs=tuple(fields.strings("programs")),
        user=user,
        access=Access(None if owner == "root" else owner, fields.text("group") or preset.group, mode),
        endpoints=tuple(parse_endpoint(entry, certificate, names, explicit) for entry in endpoints),
    )


def parse_reload_by(fields: Fields, preset: Preset) -> str | None:
    """``reload: restart`` and ``reload: none``.

    :raises SpecError: nobody knows which unit to restart.
    """
    value = fields.get("reload")
    if value not in RELOADS:
        return None
    if value == "restart" and not preset.units and not fields.strings("unit"):
        raise SpecError("services: reload: restart needs a unit", remedy="write unit: gateway, or reload as a command")
    return str(value)


def parse_units(fields: Fields) -> tuple[str, ...]:
    """Names of systemd units, with ``.service`` or without.

    :raises SpecError: what is no such name.
    """
    units = tuple(name[: -len(".service")] if name.endswith(".service") else name for name in fields.strings("unit"))
    for name in units:
        if not UNIT.fullmatch(name) or name.startswith("-"):
            raise SpecError(f"services: unit: '{name}' is not the name of a systemd unit", remedy="write unit: gateway")
    return units


def key_access(services: Iterable[ServiceSpec], outputs: Iterable[Access]) -> Access:
    """Whom the key of a certificate belongs to where the certificate does not say: as the one service wants it that does not take all.

    :param outputs: of the certificate's further files that hold the key, as far as the user said; a service whose user owns one of
        them reads that.
    :raises SpecError: its services want different owners.
    """
    served = {each.owner for each in outputs}
    wanted = {
        each.access: each.name for each in services if each.access != Access() and each.access.owner not in served
    }
    if len(wanted) > 1:
        named = ", ".join(f"{name} '{access.owner or 'root'}'" for access, name in wanted.items())
        raise SpecError(
            f"services: they want different owners of one private key: {named}",
            remedy="give the certificate an owner, group and mode with which all of them can read it, or each of them an output"
            " with the key and its owner",
        )
    return next(iter(wanted), Access())


def parse_bare_services(
    raw: Iterable[Any], presets: Mapping[str, Mapping[str, Any]] = NO_PRESETS
) -> tuple[ServiceSpec, ...]:
    """Services that a task reloads for another reason than a certificate, so without endpoints.

    :raises SpecError: see :func:`parse_service` and :func:`merge_services`.
    """
    return merge_services(
        dataclasses.replace(parse_service(entry, "", Names(), presets), endpoints=()) for entry in raw
    )


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


def parse_endpoint(raw: Any, certificate: str, names: Names, explicit: bool) -> ProofEndpoint:
    """Where it is served, see :func:`addresses.parse_place`, and ``server_name``; SNI defaults to the certificate's first DNS name.

    :raises SpecError: no host, or no port between 1 and 65535, an unknown protocol.
    """
    place = parse_place(raw, ("server_name",))
    server_name = place.fields.text("server_name") or default_server_name(names)
    return ProofEndpoint(
        place.host, place.port, server_name, certificate, explicit, place.starttls, place.proxy_protocol
    )


def default_server_name(names: Names) -> str | None:
    """The SNI that asks for a certificate: its first name without a wildcard, else a name the wildcard stands for."""
    plain = [name for name in names.dns_names if not name.startswith("*.")]
    if plain:
        return plain[0]
    return names.dns_names[0].replace("*", "www", 1) if names.dns_names else None


def merge_services(services: Iterable[ServiceSpec]) -> tuple[ServiceSpec, ...]:
    """Each service once, with the endpoints of all certificates that name it.

    :raises SpecError: two certificates describe one service in two ways.
    """
    merged: dict[str, ServiceSpec] = {}
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
