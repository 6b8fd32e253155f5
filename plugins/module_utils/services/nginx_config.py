# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's configuration as far as others can clash with it: which servers listen where, under which names, and in which order nginx
reads them. Pure.

http://nginx.org/en/docs/http/ngx_http_core_module.html: listen, server_name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.fleet.tls.plugins.module_utils.services.nginx_files import Directive, directives_of

ANYWHERE = ("", "*", "0.0.0.0")
WELCOME = "/usr/share/nginx/html"


@dataclass(frozen=True)
class Listen:
    """A TCP socket of a server; ``host`` "" is every IPv4 address.

    :param v6only: an IPv6 socket that takes no IPv4, as nginx's do unless they say otherwise.
    """

    host: str
    port: int
    default: bool
    v6only: bool


@dataclass
class Server:
    """A ``server`` block.

    :param kind: whose: ``http``, ``stream`` or ``mail``.
    :param welcomes: it is what a package shows of a fresh installation, and nobody's site.
    """

    kind: str
    path: str
    line: int
    listens: list[Listen] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    welcomes: bool = False

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.path}:{self.line}"

    def listens_on(self, host: str, port: int) -> bool:
        """Whether it shares this socket."""
        return any((each.host, each.port) == (host, port) for each in self.listens)

    def takes_from(self, host: str, port: int) -> bool:
        """Whether it gets connections to this socket: one of a single IPv4 address takes those of every address there."""
        return any(
            each.port == port and (each.host == host or (not host and ":" not in each.host)) for each in self.listens
        )

    def meets(self, host: str, port: int) -> bool:
        """Whether its sockets and this one could not be there side by side, if they were not one of ``http``."""
        return self.takes_from(host, port) or (":" not in host and self.listens_on("", port))


def servers(files: Mapping[str, str]) -> list[Server]:
    """All servers, in the order in which nginx reads them.

    :raises ValueError: this is no configuration of nginx.
    """
    return [
        as_server(directive.words[0], each)
        for directive in directives_of(files)
        for each in directive.inside or ()
        if each.words[0] == "server" and each.inside is not None
    ]


def as_server(kind: str, directive: Directive) -> Server:
    """A ``server`` block."""
    server = Server(kind, directive.path, directive.line)
    written = [each for each in directive.inside or () if each.words[0] == "listen"]
    for each in written:
        listen = parse_listen(each.words[1:])
        if listen:
            server.listens.append(listen)
    if not written:
        server.listens.append(Listen("", 80, default=False, v6only=False))
    for each in directive.inside or ():
        if each.words[0] == "server_name":
            server.names += each.words[1:]
    server.welcomes = is_welcome(directive.inside or ())
    return server


def is_welcome(inside: Sequence[Directive]) -> bool:
    """Whether a server has but the page that packages come with: the RHEL family's nginx.conf has such a one on port 80."""
    root = [each.words[1:] for each in inside if each.words[0] == "root"]
    served = [each for each in inside if each.words[0] in ("location", "return", "rewrite", "if") and each.inside != ()]
    return root == [(WELCOME,)] and not served


def parse_listen(words: tuple[str, ...]) -> Listen | None:
    """The words of a ``listen``; None: no TCP socket with a known port."""
    if not words or words[0].startswith("unix:") or {"udp", "quic"} & set(words[1:]):
        return None
    host, port = split_address(words[0])
    if not port.isdecimal():
        return None
    default = "default_server" in words or "default" in words
    ipv6 = ":" in host
    return Listen("" if host in ANYWHERE else host, int(port), default, ipv6 and "ipv6only=off" not in words)


def split_address(text: str) -> tuple[str, str]:
    """``443``, ``192.0.2.1``, ``*:443``, ``[::]:443`` or ``[::]`` as host and port; port 80 where there is none."""
    if text.isdecimal():
        return "", text
    if text.startswith("["):
        host, _bracket, port = text[1:].partition("]")
        return host, port.lstrip(":") or "80"
    host, colon, port = text.rpartition(":")
    return (host, port) if colon else (text, "80")
