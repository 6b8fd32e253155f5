# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites of ``tls_sites`` by address and port, for servers that are configured that way. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import SESSION_OFF, Listen


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
            host, _colon, port = text.rpartition(":")
            listen = Listen(host.strip("[]"), int(port))
            host, number = listen.socket
            name = re.sub(r"[^A-Za-z0-9]", "-", f"{host}-{number}" if host else str(number))
            entry = {"host": host, "port": number, "name": name, "session": site["session"], "sites": []}
            sharing = found.setdefault(listen.socket, entry)
            if site not in sharing["sites"]:
                sharing["sites"].append(site)
            if site["session"] != sharing["session"]:
                sharing["session"] = SESSION_OFF
    return list(found.values())
