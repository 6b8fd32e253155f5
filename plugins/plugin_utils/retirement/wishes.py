# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be taken away from a host, from what the inventory says of it. Pure.

Whatever is absent and still named is refused here, before anything is touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of, parse_path
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import REASONS
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import parse_names
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.absent import absent, present
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import (
    CERTIFICATE_FIELDS,
    CERTIFICATE_NAME,
    parse_pool,
    refuse_twice,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import (
    NO_PRESETS,
    ServiceSpec,
    merge_services,
    parse_bare_services,
    parse_service,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.clients import ClientSpec, parse_client

Presets = Mapping[str, Mapping[str, Any]]
# Where a site names certificates.
NAMED_BY_SITES = ("certificate", "certificates", "upstream_certificate")


@dataclass(frozen=True)
class AbsentCertificate:
    """A certificate that is to go.

    :param pool: of which it is; None: it is the host's own.
    :param revoke: the reason to revoke it with; None: it is not to be revoked.
    """

    name: str
    services: tuple[ServiceSpec, ...] = ()
    pool: str | None = None
    revoke: str | None = None


@dataclass(frozen=True)
class HostWishes:
    """All that is to go from one host.

    :param bundles: paths; :param pools: of session ticket keys.
    :param claimed: paths that what stays wants.
    :param services: further ones that have to take it; what a certificate or a client says of one of that name counts.
    :param endpoints: further ones that must not serve it any more: ``{host, port, server_name}``.
    :param whole: everything is to go, whatever the inventory says.
    """

    certificates: tuple[AbsentCertificate, ...] = ()
    clients: tuple[ClientSpec, ...] = ()
    bundles: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    services: tuple[ServiceSpec, ...] = ()
    endpoints: tuple[Mapping[str, Any], ...] = ()
    whole: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to go."""
        return not (self.whole or self.certificates or self.clients or self.bundles or self.pools)

    def request(self, directory: str, prove_timeout: float, *, check: bool) -> dict[str, Any]:
        """Step ``retire``, see docs/host-protocol.md."""
        services = {
            each.name: each for each in merge_services(service for own in self.certificates for service in own.services)
        }
        for each in (*(service for client in self.clients for service in client.services), *self.services):
            services.setdefault(each.name, each)
        return {
            "directory": directory,
            "check": check,
            "whole": self.whole,
            "prove_timeout": prove_timeout,
            "certificates": [each.name for each in self.certificates],
            "clients": [
                {"name": each.name, "bundle": each.bundle.path if each.bundle else None} for each in self.clients
            ],
            "bundles": list(self.bundles),
            "pools": list(self.pools),
            "claimed": list(self.claimed),
            "services": [service.as_request() for service in services.values()],
            "endpoints": [dict(each) for each in self.endpoints],
        }


def parse_wishes(
    certificates: Sequence[Any],
    clients: Sequence[Any] = (),
    bundles: Sequence[Any] = (),
    sites: Sequence[Any] = (),
    services: Iterable[Any] = (),
    endpoints: Iterable[Mapping[str, Any]] = (),
    pool: str | None = None,
    presets: Presets = NO_PRESETS,
    whole: str | bool = False,
) -> HostWishes:
    """Of one host.

    :param certificates, clients, bundles, sites: as the inventory has them, with those that are wanted.
    :param pool: whose session ticket keys are to go; None: none.
    :param whole: everything goes; a text is the reason to revoke all of its certificates with.
    :raises SpecError: what is to go is still named, or there is another one of its name; bad fields.
    """
    gone = list(certificates) if whole else absent(certificates, "certificates")
    reason = whole if isinstance(whole, str) else None
    retired = tuple(parse_absent(entry, presets, reason) for entry in gone)
    refuse_twice((str(entry.get("name")) for entry in mappings(certificates)), "two certificates have the name")
    if not whole:
        refuse_named(absent_names(certificates), sites, clients)
    kept_clients = () if whole else present(clients, "clients")
    kept_bundles = () if whole else present(bundles, "bundles")
    kept = () if whole else present(certificates, "certificates")
    return HostWishes(
        certificates=retired,
        clients=tuple(
            parse_client(entry, None, presets) for entry in (clients if whole else absent(clients, "clients"))
        ),
        bundles=tuple(
            parse_path(Fields(entry, entry).get("path"), "bundles: path")
            for entry in (bundles if whole else absent(bundles, "bundles"))
        ),
        pools=() if pool is None else (pool,),
        claimed=tuple(claimed_paths(kept, kept_clients, kept_bundles)),
        # One by one: two roles may describe one service in two ways.
        services=tuple(service for each in services for service in parse_bare_services([each], presets)),
        endpoints=tuple({key: each.get(key) for key in ("host", "port", "server_name")} for each in endpoints),
        whole=bool(whole),
    )


def parse_absent(raw: Any, presets: Presets, reason: str | None = None) -> AbsentCertificate:
    """A certificate that is to go: its other fields may be as they were, or be left out.

    :param reason: to revoke it with, where it has none of its own.
    :raises SpecError: no name, unknown fields, services that are none, an unknown reason.
    """
    fields = Fields(raw, CERTIFICATE_FIELDS, "certificates")
    name = str(fields.get("name", ""))
    if not CERTIFICATE_NAME.fullmatch(name):
        raise SpecError(f"'{name}' is not a valid certificate name", remedy="give the name that it had")
    try:
        names = parse_names(fields.raw)
    except TlsError:
        # Where it was served is asked without one then.
        names = Names()
    try:
        wanted = fields.text("revoke") or reason
        return AbsentCertificate(
            name,
            tuple(parse_service(entry, name, names, presets) for entry in fields.items("services")),
            parse_pool(name, fields),
            None if wanted is None else one_of(wanted, REASONS, "revoke"),
        )
    except TlsError as error:
        raise error.about(name) from error


def absent_names(certificates: Iterable[Any]) -> set[str]:
    """The names of those that are to go."""
    return {str(entry.get("name")) for entry in absent(certificates, "certificates")}


def refuse_named(names: set[str], sites: Iterable[Any], clients: Iterable[Any]) -> None:
    """:raises SpecError: a site or a client that stays names a certificate that is to go."""
    users: list[tuple[str, Mapping[str, Any], tuple[str, ...]]] = [
        (f"site '{site.get('name')}'", site, NAMED_BY_SITES) for site in mappings(present(sites, "tls_sites"))
    ]
    users += [
        (f"client '{client.get('name') or client.get('certificate')}'", client, ("certificate",))
        for client in mappings(present(clients, "clients"))
    ]
    for who, entry, fields in users:
        used = {text for field in fields for text in texts(entry.get(field))}
        for name in sorted(used & names):
            raise SpecError(
                f"certificate '{name}' is absent, and {who} still names it",
                remedy="give that another certificate, or state: absent as well; nothing was changed",
            )


def claimed_paths(certificates: Iterable[Any], clients: Iterable[Any], bundles: Iterable[Any]) -> list[str]:
    """The paths that entries which stay want. They are checked where they are deployed."""
    files = [
        *(output for entry in mappings(certificates) for output in mappings(entry.get("outputs") or ())),
        *(entry.get("bundle") for entry in mappings(clients)),
        *mappings(bundles),
    ]
    return [os.path.normpath(str(each["path"])) for each in mappings(files) if each.get("path")]


def mappings(values: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Those of values that are mappings."""
    return [each for each in values if isinstance(each, Mapping)]


def texts(value: Any) -> list[str]:
    """A name, or names."""
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else [] if value is None else [str(value)]
