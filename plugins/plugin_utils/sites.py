# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``tls_sites``: the simple sites that a web server's role writes, with all their defaults filled in. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.fields import Fields

SITE_FIELDS = ("name", "server_names", "certificate", "listen", "root", "upstream", "redirect", "hsts", "http2")
# What could end a directive, a block or a comment of a web server's configuration.
UNSAFE = re.compile(r"[\s;{}#\"'\\]")
LOOPBACK = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
HTTP, HTTPS = 80, 443


@dataclass(frozen=True)
class Listen:
    """An address and port as the user wrote them; ``host`` "" means every IPv4 address."""

    host: str
    port: int

    def text(self, port: int | None = None) -> str:
        """``443``, ``192.0.2.1:443`` or ``[::]:443``, with another port where one is given."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{port or self.port}" if host else str(port or self.port)


def expand_sites(raw: Any) -> list[dict[str, Any]]:
    """``tls_sites`` with every field there, JSON-ready.

    :returns: ``[{name, server_names, certificate, listen: [text], root, upstream, hsts, http2, redirect_listen: [text],
        redirect_port, endpoints: [{host, port, server_name, certificate}]}]``. ``redirect_listen`` is empty where
        nothing is to be redirected; ``redirect_port`` is ``""`` or ``":8443"``.
    :raises SpecError: unknown or missing fields, two sites of one name, root and upstream at once, a bad address.
    """
    if not isinstance(raw, (list, tuple)):
        raise SpecError("tls_sites has to be a list")
    sites = [expand_site(entry) for entry in raw]
    names = [site["name"] for site in sites]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"tls_sites: two sites have the name '{name}'", remedy="rename or remove one of them")
    return sites


def expand_site(raw: Any) -> dict[str, Any]:
    """One entry; errors as :func:`expand_sites`."""
    where = f"tls_sites: site '{raw.get('name', '')}'" if isinstance(raw, dict) else "tls_sites"
    fields = Fields(raw, SITE_FIELDS, where)
    name, certificate = (safe(fields, field) for field in ("name", "certificate"))
    server_names = [checked(fields, "server_names", text) for text in fields.strings("server_names")]
    if not server_names:
        raise SpecError(f"{fields.prefix}server_names is empty")
    root, upstream = (safe(fields, field) if fields.get(field) else None for field in ("root", "upstream"))
    if bool(root) == bool(upstream):
        raise SpecError(f"{fields.prefix}give either root (a directory) or upstream (a URL)")
    value = fields.get("listen", [HTTPS])
    listens = [parse_listen(fields, text) for text in (value if isinstance(value, (list, tuple)) else [value])]
    if not listens:
        raise SpecError(f"{fields.prefix}listen is empty", remedy="leave it out for port 443")
    server_name = first_server_name(server_names)
    return {
        "name": name,
        "server_names": server_names,
        "certificate": certificate,
        "listen": [listen.text() for listen in listens],
        "root": root,
        "upstream": upstream,
        "hsts": whole_number(fields, "hsts"),
        "http2": bool(fields.get("http2", False)),
        "redirect_listen": sorted({each.text(HTTP) for each in listens}) if fields.get("redirect", False) else [],
        "redirect_port": "" if listens[0].port == HTTPS else f":{listens[0].port}",
        "endpoints": [
            {
                "host": LOOPBACK.get(listen.host, listen.host),
                "port": listen.port,
                "server_name": server_name,
                "certificate": certificate,
            }
            for listen in listens
        ],
    }


def safe(fields: Fields, field: str) -> str:
    """A required text that stands in a configuration file as one word."""
    return checked(fields, field, fields.get(field, ""))


def checked(fields: Fields, field: str, value: Any) -> str:
    """``value`` as text.

    :raises SpecError: it is empty, or has a character that a configuration file gives a meaning to.
    """
    text = str(value)
    if not text or UNSAFE.search(text):
        raise SpecError(f"{fields.prefix}{field}: '{text}' cannot be used", remedy="give one word without quotes or ;")
    return text


def whole_number(fields: Fields, field: str) -> int:
    """A number of at least 0; absent is 0.

    :raises SpecError: it is none.
    """
    value = str(fields.get(field, 0))
    if not value.isdecimal():
        raise SpecError(f"{fields.prefix}{field}: '{value}' is not a number of seconds")
    return int(value)


def parse_listen(fields: Fields, value: Any) -> Listen:
    """``443``, ``192.0.2.1:443``, ``*:443`` or ``[::]:443``.

    :raises SpecError: no port between 1 and 65535.
    """
    host, _colon, port = checked(fields, "listen", value).rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536 or host.startswith("unix"):
        raise SpecError(f"{fields.prefix}listen: '{value}' is not a port or address:port", remedy="as 443 or [::]:443")
    return Listen(host.strip("[]"), int(port))


def first_server_name(server_names: list[str]) -> str | None:
    """The SNI that reaches the site: its first plain name, else one that a wildcard stands for, else None.

    ``~…`` are regular expressions and ``_`` is a name that nobody has (nginx, server_names).
    """
    names = [name for name in server_names if not name.startswith("~") and name != "_"]
    plain = [name for name in names if "*" not in name]
    if plain:
        return plain[0].lstrip(".")
    return names[0].replace("*", "www") if names else None
