# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites of ``tls_sites`` by address and port, for servers that are configured that way. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import SESSION_OFF, SESSION_PUBLIC, Listen


def group_listeners(sites: Iterable[dict[str, Any]], field_name: str = "listen") -> list[dict[str, Any]]:
    """The sockets of sites, for servers that are configured by socket.

    :param sites: as :func:`expand_sites` returns them.
    :param field_name: ``listen`` or ``http_listen``.
    :returns: ``[{host, port, name, session, sites: [...]}]`` in the order of the sites. ``host``: ``""`` for every IPv4 address;
        ``name``: a word for it, ``443`` or ``192-0-2-1-443``; ``session``: that of its sites, ``off`` where they differ.
    """
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for site in sites:
        for text in site[field_name]:
            host, number = socket_of(text)
            name = re.sub(r"[^A-Za-z0-9]", "-", f"{host}-{number}" if host else str(number))
            entry = {"host": host, "port": number, "name": name, "session": site["session"], "sites": []}
            sharing = found.setdefault((host, number), entry)
            if site not in sharing["sites"]:
                sharing["sites"].append(site)
            if site["session"] != sharing["session"]:
                sharing["session"] = SESSION_OFF
    return list(found.values())


def socket_of(text: str) -> tuple[str, int]:
    """Address and port of a text as :func:`expand_sites` has it; ``""`` for every IPv4 address."""
    host, _colon, port = text.rpartition(":")
    return Listen(host.strip("[]"), int(port)).socket


def site_claims(
    sites: Iterable[dict[str, Any]],
    server: str,
    *,
    file: str | None = None,
    tickets: bool = False,
    http: bool = True,
    challenges: bool = False,
) -> dict[str, Any]:
    """What sites want of a web server that may be somebody else's there, see ``clashes.py``.

    :param file: where the sites will be, for nginx.
    :param tickets: whether sessions are to live in tickets.
    :param http: whether there may be anything on port 80.
    :param challenges: whether answers to ACME challenges alone make a listener on port 80 (HAProxy, where ports are not shared by name).
    """
    known = list(sites)
    places = []
    for site in known:
        names = [name.lower() for name in site["server_names"]]
        plain = site["http_listen"] if http and (site["redirect"] or challenges) else []
        texts = [*((text, False) for text in site["listen"]), *((text, True) for text in plain)]
        for text, is_plain in texts:
            host, port = socket_of(text)
            # Apache's addresses of both families are one.
            host = "" if server == "apache" and host == "::" else host
            places.append({"site": site["name"], "host": host, "port": port, "names": names, "plain": is_plain})
    public = any(site["session"] == SESSION_PUBLIC for site in known)
    return {"server": server, "file": file, "tickets": tickets and public, "places": places}
