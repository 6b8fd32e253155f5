# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites of ours beside what the user has set up in the same server: what would take requests from either is refused before anything is touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.services import (
    apache_config,
    haproxy_config,
    nginx_config,
    nginx_files,
)
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service, shown_by
from ansible_collections.fleet.tls.plugins.module_utils.services.guards import places
from ansible_collections.fleet.tls.plugins.module_utils.services.precautions import refuse_taken

CODE = "site_clash"
# However the family's directories are called.
OWN_FILES = ("zz-fleet-tls.conf", "zz-fleet-tls.cfg")
# Names that stand for no name.
NOBODY = ("", "_")
REDIRECT_OFF = "switch its redirect off (redirect: false; on HAProxy tls_haproxy_http: false)"
OTHER_PORT = "give the site another port or address (listen)"


def refuse_clashes(service: Service, claims: Mapping[str, Any] | None) -> None:
    """Whether sites of ours would clash with the user's own.

    :param claims: ``{server: nginx|apache|haproxy, file: path|null, tickets: bool, places: [{site, host, port, names, plain}]}``:
        which addresses, ports and names the sites want; ``plain``: for the redirect of plain HTTP; ``file``: where they will be.
    :raises StepError: site_clash, port_taken: another process has such a port.
    """
    for place in claims["places"] if claims else ():
        wanted = list(places(place["host"], place["port"], v6only=True))
        refuse_taken(service, wanted, REDIRECT_OFF if place["plain"] else OTHER_PORT)
    if claims and claims["places"]:
        LOOKS[claims["server"]](service, claims)


def clash(message: str, remedy: str) -> StepError:
    """The error."""
    return StepError(CODE, message, f"{remedy}. Nothing was changed")


def way_out(place: Mapping[str, Any], other: str) -> str:
    """What can be done about a site that meets ``other``."""
    ours = REDIRECT_OFF if place["plain"] else OTHER_PORT
    return f"{ours}, or take {other} away"


def haproxy(service: Service, claims: Mapping[str, Any]) -> None:
    """Two binds of one address and port each get a share of the connections, without a word."""
    files = haproxy_config.configuration_files(service.validate or ())
    lines = list(haproxy_config.read_lines([each for each in files if not is_ours(each)]))
    theirs = list(haproxy_config.binds(lines))
    for place in claims["places"]:
        for bind in theirs:
            if bind.shares(place["host"], place["port"]):
                raise clash(
                    f"site '{place['site']}': port {place['port']} is bound by '{bind.line.section}' ({bind.line.place}) as well, so each"
                    " would get a share of the connections",
                    way_out(place, "that bind"),
                )
    if claims["tickets"]:
        refuse_no_tickets(lines)


def refuse_without_tickets(service: Service) -> None:
    """Whether a HAProxy that is to use session ticket keys gives out no tickets.

    :raises StepError: site_clash.
    """
    refuse_no_tickets(haproxy_config.read_lines(haproxy_config.configuration_files(service.validate or ())))


def refuse_no_tickets(lines: Iterable[haproxy_config.Line]) -> None:
    """:raises StepError: site_clash."""
    line = haproxy_config.no_tickets(lines)
    if line:
        raise clash(
            f"tls_session_tickets: HAProxy gives out none, because of 'no-tls-tickets' in {line.words[0]} ({line.place})",
            "take 'no-tls-tickets' out there, or set tls_session_tickets: false",
        )


def apache(service: Service, claims: Mapping[str, Any]) -> None:
    """The first virtual host of a name gets all its requests, and ours is read last."""
    listed = apache_config.parse_virtual_hosts(shown_by(service, "-t", "-S"))
    hosts = [each for each in listed if not is_ours(each.path)]
    for place in claims["places"]:
        for name in place["names"]:
            taker = apache_config.first_taker(hosts, place["host"], place["port"], name)
            if taker and name not in NOBODY:
                raise clash(
                    f"site '{place['site']}': '{name}' on port {place['port']} is served by the virtual host '{taker.names[0]}'"
                    f" ({taker.place}), so the site would get no request",
                    way_out(place, "the name there"),
                )


def is_ours(path: str) -> bool:
    """Whether the roles for web servers have written this file."""
    return os.path.basename(path) in OWN_FILES


def nginx(service: Service, claims: Mapping[str, Any]) -> None:
    """Of two servers of one name the first counts; and the first server of an address is its default, whose protocols count for all."""
    files = nginx_files.files_on_disk(service.validate or ())
    if not files:
        return
    present = [each for each in files if is_ours(each)]
    own = claims["file"] or (present or [""])[0]
    for each in present:
        del files[each]
    files[own] = "".join(as_nginx(place) for place in claims["places"])
    try:
        servers = nginx_config.servers(files)
    except ValueError:
        return
    refuse_other_kinds(claims["places"], [each for each in servers if each.kind != "http"])
    theirs = [each for each in servers if each.path != own and each.kind == "http"]
    for place in claims["places"]:
        refuse_same_name(place, [each for each in theirs if each.takes_from(place["host"], place["port"])])
        beside = [each for each in theirs if each.listens_on(place["host"], place["port"]) and not each.welcomes]
        refuse_default(place, beside, servers, own)


def as_nginx(place: Mapping[str, Any]) -> str:
    """What of a site matters to others."""
    host = f"[{place['host']}]" if ":" in place["host"] else place["host"] or "*"
    return f"server {{ listen {host}:{place['port']}; }}\n"


def refuse_other_kinds(wanted: Iterable[Mapping[str, Any]], others: Sequence[nginx_config.Server]) -> None:
    """A server of ``stream`` and one of ``http`` cannot share a port, which nginx' own check does not see.

    :raises StepError: site_clash.
    """
    for place in wanted:
        other = next((each for each in others if each.meets(place["host"], place["port"])), None)
        if other:
            raise clash(
                f"site '{place['site']}': port {place['port']} is that of a server in nginx' '{other.kind}' ({other.place})",
                way_out(place, "that server"),
            )


def refuse_same_name(place: Mapping[str, Any], beside: Iterable[nginx_config.Server]) -> None:
    """:raises StepError: site_clash."""
    for server in beside:
        known = {name.lower() for name in server.names}
        same = next((name for name in place["names"] if name.lower() in known and name not in NOBODY), None)
        if same:
            raise clash(
                f"site '{place['site']}': '{same}' on port {place['port']} is a server_name in {server.place} already, so one of them would get no request",
                way_out(place, "the name there"),
            )


def refuse_default(
    place: Mapping[str, Any], beside: Sequence[nginx_config.Server], servers: Iterable[nginx_config.Server], own: str
) -> None:
    """:raises StepError: site_clash."""
    sharing = [each for each in servers if each.listens_on(place["host"], place["port"])]
    chosen = any(
        listen.default and (listen.host, listen.port) == (place["host"], place["port"])
        for each in beside
        for listen in each.listens
    )
    if beside and not chosen and sharing[0].path == own:
        raise clash(
            f"site '{place['site']}': it would become the default server of port {place['port']} in the place of that in {beside[0].place}",
            f"say default_server in the listen there, or {OTHER_PORT}",
        )


LOOKS: dict[str, Callable[[Service, Mapping[str, Any]], None]] = {"nginx": nginx, "apache": apache, "haproxy": haproxy}
