# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``tls_sites``: the simple sites that a web server's role writes, with all their defaults filled in. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.addresses import parse_host_name
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.base.pattern_example import example_of
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.absent import present
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CERTIFICATE_NAME, refuse_twice
from ansible_collections.fleet.tls.plugins.plugin_utils.web.client_names import (
    NAMES_HEADER,
    parse_client_headers,
    parse_client_names,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.web.upstreams import (
    UPSTREAM_FIELDS,
    UpstreamTls,
    parse_upstream_tls,
    upstream_address,
)

SITE_FIELDS = (
    "name", "server_names", "certificate", "certificates", "listen", "root", "upstream", "redirect", "hsts", "http2", "client_auth",
    "client_names", "client_headers", "state", *UPSTREAM_FIELDS,
)  # fmt: skip
SERVERS = ("nginx", "apache", "haproxy")
CLIENT_AUTH = ("none", "optional", "required")
SESSION_OFF, SESSION_PUBLIC = "off", "public"
# What could end a directive, a block or a comment of a web server's configuration, or stand for something else in it.
UNSAFE = re.compile(r"""[\x00-\x20\x7f-\xa0;{}#"'`<>\\]""")
# In a file name or a URL, also what servers replace by variables. A regular expression for a name (nginx) has need of these.
VARIABLES = re.compile(r"[$%]")
PLAIN_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?")
NGINX_NAME = re.compile(r"\.[A-Za-z0-9._-]+|[A-Za-z0-9._-]+\.\*|\[[0-9A-Fa-f:.]+\]")
ANY_ADDRESS = ("", "*", "0.0.0.0")
LOOPBACK = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
# A regular expression of nginx, which goes between double quotes.
NGINX_PATTERN = re.compile(r"~[\x21\x23-\x7e]+")
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

    @property
    def socket(self) -> tuple[str, int]:
        """The same for the same socket, however it was written."""
        return ("" if self.host in ANY_ADDRESS else self.host, self.port)


@dataclass
class Site:
    """One entry of ``tls_sites``, checked.

    :param upstream: the URL, None where ``root`` is served.
    :param client_names: which clients get in, by the names in their certificates; empty: every one that the CAs vouch for.
    :param client_headers: what of a client's certificate the upstream is told, ``san``, ``certificate``.
    :param session: whose sessions may be resumed here: ``public``, ``optional`` and ``required`` each share theirs among
        themselves; ``off``: nobody's, see :func:`isolate_sessions`.
    :param certificates: what it serves, each with a key of another kind; those that are not there yet are left out, unless none is.
    :param waiting: none of its certificates is there yet: it can answer on port 80 only.
    """

    name: str
    server_names: list[str]
    certificates: list[str]
    listens: list[Listen]
    root: str | None
    upstream: str | None
    upstream_tls: UpstreamTls | None
    redirect: bool
    hsts: int
    http2: bool
    client_auth: str
    client_names: list[str]
    client_headers: list[str]
    session: str = field(default=SESSION_OFF)
    waiting: bool = False

    def as_result(self) -> dict[str, Any]:
        """JSON-ready, see :func:`expand_sites`."""
        server_name = first_server_name(self.server_names)
        return {
            "name": self.name,
            "server_names": self.server_names,
            "certificate": self.certificates[0],
            "certificates": self.certificates,
            "listen": [listen.text() for listen in self.listens],
            "root": self.root,
            "upstream": self.upstream,
            "upstream_address": upstream_address(self.upstream) if self.upstream else None,
            "upstream_tls": self.upstream_tls.as_result() if self.upstream_tls else None,
            "hsts": self.hsts,
            "http2": self.http2,
            "client_auth": self.client_auth,
            "client_names": self.client_names,
            "client_headers": self.client_headers,
            "checks_clients": bool(self.client_names or self.client_headers),
            "session": self.session,
            "waiting": self.waiting,
            "http_listen": sorted({each.text(HTTP) for each in self.listens}),
            "redirect": self.redirect,
            "redirect_port": "" if self.listens[0].port == HTTPS else f":{self.listens[0].port}",
            "endpoints": [
                {
                    "host": LOOPBACK.get(listen.host, listen.host),
                    "port": listen.port,
                    "server_name": server_name,
                    "certificate": certificate,
                }
                for listen in self.listens
                for certificate in self.certificates
            ],
        }


def expand_sites(
    raw: Any,
    server: str = "nginx",
    client_auth: str = "none",
    waiting: Sequence[str] = (),
    client_names: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """``tls_sites`` with every field there, JSON-ready; those that are wanted (``state``).

    :param server: which web server is to serve them, one of ``SERVERS``; it decides what cannot be done.
    :param client_auth: of sites that do not say.
    :param waiting: certificates that are not on the host yet.
    :param client_names: of sites that require a certificate and do not say.
    :returns: ``[{name, server_names, certificate, certificates: [name], listen: [text], root, upstream, upstream_address, upstream_tls, hsts, http2,
        client_auth, client_names: [text], client_headers: [text], checks_clients, session, waiting, http_listen: [text], redirect,
        redirect_port, endpoints: [{host, port, server_name, certificate}]}]``.
        ``http_listen``: the same addresses with port 80; ``redirect_port``: ``""`` or ``":8443"``.
    :raises SpecError: unknown or missing fields, two sites of one name, root and upstream at once, a bad address, something that
        the server does not have.
    """
    sites = parse_sites(raw, server, client_auth, client_names)
    return [without_waiting(site, waiting).as_result() for site in sites]


def without_waiting(site: Site, waiting: Sequence[str]) -> Site:
    """The same with those of its certificates that are there; with all of them where none is."""
    there = [name for name in site.certificates if name not in waiting]
    return replace(site, certificates=there or site.certificates, waiting=not there)


def parse_sites(raw: Any, server: str, client_auth: str, client_names: Sequence[str] = ()) -> list[Site]:
    """The checked entries; see :func:`expand_sites`."""
    if not isinstance(raw, (list, tuple)):
        raise SpecError("tls_sites must be a list")
    one_of(server, SERVERS, "server")
    default = one_of(client_auth, CLIENT_AUTH, "tls_client_auth")
    names = Fields({"tls_client_auth_names": client_names}, ["tls_client_auth_names"]).strings("tls_client_auth_names")
    sites = [parse_site(entry, server, default, names) for entry in present(raw, "tls_sites")]
    refuse_twice((site.name for site in sites), "tls_sites: two sites have the name")
    isolate_sessions(sites)
    return sites


def isolate_sessions(sites: Sequence[Site]) -> None:
    """Decide whose sessions each site may resume, so that none carries a client further than its own handshake would have.

    Servers look a session up before they know the name that is asked for, in what belongs to the *first* site of a socket. So
    where one socket has sites of different ``client_auth``, no session is resumed on it at all; everywhere else sessions stay
    among the sites of one kind (CVE-2025-23419).
    """
    kinds: dict[tuple[str, int], set[str]] = {}
    for site in sites:
        for listen in site.listens:
            kinds.setdefault(listen.socket, set()).add(site.client_auth)
    for site in sites:
        mixed = any(len(kinds[listen.socket]) > 1 for listen in site.listens)
        site.session = SESSION_OFF if mixed else SESSION_PUBLIC if site.client_auth == "none" else site.client_auth


def parse_site(raw: Any, server: str, client_auth: str, client_names: Sequence[str] = ()) -> Site:
    """One entry; errors as :func:`expand_sites`."""
    where = f"tls_sites: site '{raw.get('name', '')}'" if isinstance(raw, dict) else "tls_sites"
    fields = Fields(raw, SITE_FIELDS, where)
    name = word(fields, "name", fields.get("name", ""))
    certificates = parse_certificates(fields)
    server_names = [parse_server_name(fields, text, server) for text in fields.strings("server_names")]
    if not server_names:
        raise SpecError(f"{fields.prefix}server_names is empty")
    if len(certificates) > 1 and server == "haproxy" and first_server_name(server_names) is None:
        raise SpecError(
            f"{fields.prefix}certificates: HAProxy before 3.0 shows clients that ask for no name the first one only",
            remedy="give the site one of server_names, or one certificate",
        )
    root, upstream = parse_content(fields, server)
    value = fields.get("listen", [HTTPS])
    listens = [parse_listen(fields, text) for text in (value if isinstance(value, (list, tuple)) else [value])]
    if not listens:
        raise SpecError(f"{fields.prefix}listen is empty", remedy="leave it out for port 443")
    auth = one_of(fields.get("client_auth", client_auth), CLIENT_AUTH, f"{fields.prefix}client_auth")
    names = parse_client_names(fields, auth, client_names)
    return Site(
        name=name,
        server_names=server_names,
        certificates=certificates,
        listens=listens,
        root=root,
        upstream=upstream,
        upstream_tls=parse_upstream_tls(fields, upstream, server),
        redirect=fields.flag("redirect"),
        hsts=parse_duration(fields.get("hsts", "0s"), f"{fields.prefix}hsts", zero=True),
        http2=fields.flag("http2"),
        client_auth=auth,
        client_names=names,
        client_headers=parse_client_headers(fields, auth, [NAMES_HEADER] if names else []),
    )


def parse_certificates(fields: Fields) -> list[str]:
    """``certificates``, or ``certificate``, which is a list of one.

    :raises SpecError: both or none of them, one twice, a name that is none.
    """
    given = [field for field in ("certificate", "certificates") if fields.get(field) is not None]
    if len(given) != 1:
        raise SpecError(
            f"{fields.prefix}give either certificate (a name) or certificates (a list of names)",
            remedy="the names are those of tls_certificates",
        )
    values = fields.strings("certificates") if given == ["certificates"] else [fields.get("certificate")]
    names = [word(fields, given[0], value) for value in values]
    if not names:
        raise SpecError(f"{fields.prefix}certificates is empty", remedy="give the name of one of tls_certificates")
    refuse_twice(names, f"{fields.prefix}certificates: given twice is")
    return names


def word(fields: Fields, field_name: str, value: Any) -> str:
    """A name that becomes part of file names and of a server's own names.

    :raises SpecError: it is empty, or has other characters than letters, digits, dots, hyphens and underscores.
    """
    text = checked(fields, field_name, value)
    if not CERTIFICATE_NAME.fullmatch(text):
        raise SpecError(
            f"{fields.prefix}{field_name}: '{text}' cannot be used",
            remedy="up to 64 letters, digits, dots, hyphens and underscores",
        )
    return text


def checked(fields: Fields, field_name: str, value: Any) -> str:
    """``value`` as text.

    :raises SpecError: it is empty, or has a character that a configuration file gives a meaning to.
    """
    text = str(value)
    if not text or UNSAFE.search(text):
        raise SpecError(
            f"{fields.prefix}{field_name}: '{text}' cannot be used", remedy="give one word without quotes or ;"
        )
    return text


def parse_server_name(fields: Fields, value: str, server: str) -> str:
    """A name to answer to: plain, with ``*`` for its first label, or ``_`` for nobody's; nginx takes its own further forms.

    :raises SpecError: it is none of these.
    """
    if server == "nginx" and NGINX_PATTERN.fullmatch(value):
        return value
    text = checked(fields, "server_names", value)
    if PLAIN_NAME.fullmatch(text) or (server == "nginx" and NGINX_NAME.fullmatch(text)):
        return text
    raise SpecError(
        f"{fields.prefix}server_names: '{text}' is not a name that {server} can answer to",
        remedy="write www.example.com or *.example.com",
    )


def parse_content(fields: Fields, server: str) -> tuple[str | None, str | None]:
    """``root`` and ``upstream``, one of which is None.

    :raises SpecError: both or none; a relative directory; no URL; what the server cannot do.
    """
    root, upstream = (
        checked(fields, each, fields.get(each)) if fields.get(each) else None for each in ("root", "upstream")
    )
    if bool(root) == bool(upstream):
        raise SpecError(f"{fields.prefix}give either root (a directory) or upstream (a URL)")
    for text in (root, upstream):
        if text and VARIABLES.search(text):
            raise SpecError(f"{fields.prefix}'{text}' cannot be used", remedy="give it without variables")
    if root and server == "haproxy":
        raise SpecError(
            f"{fields.prefix}root: HAProxy serves no files",
            remedy="give the upstream that does, or another tls_web_server",
        )
    if root and not root.startswith("/"):
        raise SpecError(f"{fields.prefix}root: '{root}' is not an absolute path", remedy="start it with a slash")
    if upstream:
        address = upstream_address(upstream, fields.prefix)
        if address["path"] and server == "haproxy":
            raise SpecError(
                f"{fields.prefix}upstream: HAProxy passes paths on as they are",
                remedy="end the URL after host and port",
            )
    return root, upstream


def parse_listen(fields: Fields, value: Any) -> Listen:
    """``443``, ``192.0.2.1:443``, ``*:443`` or ``[::]:443``.

    :raises SpecError: no port between 1 and 65535.
    """
    host, _colon, port = checked(fields, "listen", value).rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536 or host.startswith("unix"):
        raise SpecError(f"{fields.prefix}listen: '{value}' is not a port or address:port", remedy="as 443 or [::]:443")
    if host not in ANY_ADDRESS:
        host = parse_host_name(host, f"{fields.prefix}listen")
    return Listen(host, int(port))


def first_server_name(server_names: list[str]) -> str | None:
    """The SNI that reaches the site: its first plain name, else one that a wildcard or a regular expression stands for, else None.

    ``~…`` are regular expressions and ``_`` is a name that nobody has (nginx, server_names).
    """
    names = [name for name in server_names if name[0] not in "~[" and name != "_"]
    plain = [name for name in names if "*" not in name]
    if plain:
        return plain[0].lstrip(".")
    if names:
        return names[0].replace("*", "www")
    examples = (example_of(name[1:]) for name in server_names if name.startswith("~"))
    return next((each for each in examples if each and PLAIN_NAME.fullmatch(each)), None)
