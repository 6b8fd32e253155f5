# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host and port as people write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NamedTuple

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of

# A name, an IPv4 address, or an IPv6 address, with a zone or without; what a URL or a typing mistake adds is none of these.
HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?")
REMEDY = "write example.com:443, 192.0.2.1:443, [2001:db8::1]:443, or smtp://example.com:25 if TLS begins with STARTTLS"
PLACE_FIELDS = ("host", "port", "starttls", "proxy_protocol")
PROXY_PROTOCOLS = {"true": 1, "yes": 1, "false": 0, "no": 0, "1": 1, "2": 2, "v1": 1, "v2": 2}


class Place(NamedTuple):
    """Where TLS is served.

    :param fields: of the mapping it was written as; none where there was no mapping.
    :param starttls: the protocol in which TLS has to be asked for, None: it begins at once.
    :param proxy_protocol: the version of the PROXY protocol that comes before everything else, 0: none.
    """

    fields: Fields
    host: str
    port: int
    starttls: str | None = None
    proxy_protocol: int = 0


def parse_place(raw: Any, known: tuple[str, ...], what: str = "endpoints") -> Place:
    """Where TLS is served: ``host:port``, ``[IPv6]:port``, either after ``smtp://`` or another protocol that begins in clear, or a
    mapping with ``host``, ``port``, ``starttls`` and ``proxy_protocol``.

    :param known: what a mapping may have besides.
    :raises SpecError: no host, no port, an unknown protocol.
    """
    if isinstance(raw, str):
        protocol, separator, rest = raw.strip().partition("://")
        starttls = protocol if separator and protocol in protocols() else None
        host, port = split_address(rest if starttls else raw, what)
        return Place(Fields({}, known, what), host, port, starttls)
    fields = Fields(raw, (*PLACE_FIELDS, *known), what)
    host, port = parse_host_name(fields.get("host", ""), what), parse_port(fields.get("port", ""), what)
    starttls = parse_starttls(fields.get("starttls"), what)
    return Place(fields, host, port, starttls, parse_proxy_protocol(fields.get("proxy_protocol"), what))


def parse_proxy_protocol(value: Any, what: str = "endpoints") -> int:
    """The version of the PROXY protocol: ``true`` is the first, which every server with the protocol knows; 0: none.

    :raises SpecError: neither a truth nor a version.
    """
    return PROXY_PROTOCOLS[one_of(str(value).lower(), PROXY_PROTOCOLS, f"{what}: proxy_protocol")] if value else 0


def parse_starttls(value: Any, what: str = "endpoints") -> str | None:
    """A protocol in which TLS has to be asked for; None, or nothing: it begins at once.

    :raises SpecError: an unknown protocol.
    """
    return one_of(value, protocols(), f"{what}: starttls") if value else None


def protocols() -> Collection[str]:
    """Those in which TLS can be asked for. Late: most runs have none, and every run would wait for it."""
    from ansible_collections.fleet.tls.plugins.module_utils.tls.starttls import PROTOCOLS

    return PROTOCOLS


def split_address(text: str, what: str = "endpoints") -> tuple[str, int]:
    """``host:port`` or ``[IPv6]:port`` → host (without brackets) and port.

    :raises SpecError: no host, no port between 1 and 65535, a URL, or an IPv6 address without brackets, where nobody can tell
        which colon is the port's.
    """
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or "/" in text or (":" in host and not bracketed):
        raise SpecError(f"{what}: '{text}' is not host and port", remedy=REMEDY)
    return parse_host_name(host, what), parse_port(port, what)


def parse_address(value: Any, default_port: int, what: str) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[IPv6]:port`` → host and port; an IPv6 address alone may do without brackets.

    :raises SpecError: as :func:`split_address`.
    """
    text = str(value).strip()
    if ":" in text and (text.count(":") == 1 or "]:" in text):
        return split_address(text, what)
    return parse_host_name(text, what), default_port


def parse_host_name(value: Any, what: str = "endpoints") -> str:
    """A name or an address as it stands in front of a port; brackets of an IPv6 address are taken off.

    :raises SpecError: empty, or with characters that no host has.
    """
    text = str(value).strip()
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not HOST.fullmatch(host):
        raise SpecError(f"{what}: '{text}' is not the name or address of a host", remedy=REMEDY)
    return host


def parse_port(value: Any, what: str = "endpoints") -> int:
    """A TCP port.

    :raises SpecError: not a whole number from 1 to 65535.
    """
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise SpecError(f"{what}: '{text}' is not a port", remedy="a port is a whole number from 1 to 65535")
    return int(text)
