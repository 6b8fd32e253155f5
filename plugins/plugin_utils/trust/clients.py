# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``tls_clients``: mTLS clients of a host, what they trust, and the servers that have to accept them. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.fleet.tls.plugins.plugin_utils.base.addresses import parse_host_name, parse_port, split_address
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, parse_mode, parse_path, suggestion
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import usage_word
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.absent import present
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CERTIFICATE_NAME, refuse_twice
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import (
    NO_PRESETS,
    ServiceSpec,
    parse_bare_services,
)

CLIENT_FIELDS = ("name", "certificate", "bundle", "endpoints", "services", "state")
BUNDLE_FIELDS = ("path", "issuers", "anchors", "owner", "group", "mode")
ENDPOINT_FIELDS = ("host", "port", "server_name", "request")
# A path and query as they may stand in a request line (RFC 9112, section 3).
REQUEST = re.compile(r"/[!-~]*")
HTTPS_PORT = 443


@dataclass(frozen=True)
class ClientEndpoint:
    """A server that has to accept the client.

    :param server_name: what is asked for by SNI and looked for in its certificate; None: ``host``.
    :param request: path of an HTTP request that has to be answered with a status below 400; None: the handshake is enough.
    """

    host: str
    port: int
    server_name: str | None = None
    request: str | None = None


@dataclass(frozen=True)
class Bundle:
    """The file of CAs that the client trusts; ``issuers`` None: all, ``anchors`` as ``anchors.parse_anchors`` takes them."""

    path: str
    issuers: tuple[str, ...] | None = None
    anchors: Any = None
    owner: str | None = None
    group: str | None = None
    mode: str = "0644"


@dataclass(frozen=True)
class ClientSpec:
    """One mTLS client of a host. ``bundle`` None: it trusts what the system trusts."""

    name: str
    certificate: str
    bundle: Bundle | None = None
    endpoints: tuple[ClientEndpoint, ...] = ()
    services: tuple[ServiceSpec, ...] = ()

    def as_request(self, bundle: str | None) -> dict[str, Any]:
        """The form the host gets; ``bundle`` is the content of its file."""
        file = None
        if self.bundle:
            access = {field: getattr(self.bundle, field) for field in ("path", "owner", "group", "mode")}
            file = {**access, "content": bundle}
        return {
            "name": self.name,
            "certificate": self.certificate,
            "bundle": file,
            "endpoints": [dataclasses.asdict(endpoint) for endpoint in self.endpoints],
            "services": [service.as_request() for service in self.services],
        }


def parse_clients(
    raw: Any,
    certificates: Mapping[str, Iterable[str]] | None,
    presets: Mapping[str, Mapping[str, Any]] = NO_PRESETS,
) -> tuple[ClientSpec, ...]:
    """``tls_clients`` of one host, as far as they are wanted.

    :param certificates: names and usages of the host's certificates; None: they are not known here.
    :param presets: the user's own, for their services.
    :raises SpecError: unknown fields; a certificate that the host does not have, or that is none for clients; two clients of one name, or
        with one bundle; endpoints that are none.
    """
    if not isinstance(raw, (list, tuple)):
        raise SpecError("clients must be a list", remedy="write clients: [{certificate: app, endpoints: [...]}]")
    clients = tuple(parse_client(entry, certificates, presets) for entry in present(raw, "clients"))
    refuse_twice((client.name for client in clients), "two clients have the name")
    refuse_twice((client.bundle.path for client in clients if client.bundle), "two clients have a bundle at")
    return clients


def parse_client(
    raw: Any, certificates: Mapping[str, Iterable[str]] | None, presets: Mapping[str, Mapping[str, Any]] = NO_PRESETS
) -> ClientSpec:
    """One of them; errors as :func:`parse_clients`, naming the client."""
    fields = Fields(raw, CLIENT_FIELDS, "clients")
    certificate = str(fields.get("certificate", ""))
    name = str(fields.get("name", certificate))
    for value, what in ((certificate, "certificate"), (name, "name")):
        if not CERTIFICATE_NAME.fullmatch(value):
            raise SpecError(
                f"clients: '{value}' is not a valid {what} for a client",
                remedy="give certificate, the name of one of tls_certificates, and a name where one certificate has several clients",
            )
    try:
        if certificates is not None:
            refuse_unfit(certificate, certificates)
        return ClientSpec(
            name=name,
            certificate=certificate,
            bundle=None if fields.get("bundle") is None else parse_bundle(fields.get("bundle")),
            endpoints=tuple(parse_endpoint(entry) for entry in fields.items("endpoints")),
            services=parse_bare_services(fields.items("services"), presets),
        )
    except SpecError as error:
        raise SpecError(f"client '{name}': {error.message}", remedy=error.remedy) from error


def refuse_unfit(certificate: str, certificates: Mapping[str, Iterable[str]]) -> None:
    """:raises SpecError: a certificate that the host does not have, or that servers would not take from a client."""
    if certificate not in certificates:
        raise SpecError(
            f"the certificate '{certificate}' is none of this host's",
            remedy=f"add it to tls_certificates; {suggestion(certificate, certificates)}",
        )
    if "client_auth" not in certificates[certificate]:
        raise SpecError(
            f"the certificate '{certificate}' is not for clients: servers would refuse it",
            remedy="give it usages: [client_auth]",
        )


def certificate_usages(raw: Any) -> dict[str, tuple[str, ...]]:
    """Names and usages of ``tls_certificates``, which is checked as a whole where it is deployed; of those that are wanted."""
    entries = [entry for entry in raw if isinstance(entry, Mapping)] if isinstance(raw, (list, tuple)) else []
    entries = present(entries, "certificates")
    usages = {str(entry.get("name")): Fields(entry, entry).strings("usages") or ["server_auth"] for entry in entries}
    return {name: tuple(map(usage_word, each)) for name, each in usages.items()}


def parse_bundle(raw: Any) -> Bundle:
    """``bundle`` of a client.

    :raises SpecError: unknown fields, a relative path, or what is no mode.
    """
    fields = Fields(raw, BUNDLE_FIELDS, "bundle")
    return Bundle(
        path=parse_path(fields.get("path"), "bundle: path"),
        issuers=None if fields.get("issuers") is None else tuple(fields.strings("issuers")),
        anchors=fields.get("anchors", {}),
        owner=fields.text("owner"),
        group=fields.text("group"),
        mode=parse_mode(fields.get("mode", "0644"), secret=False),
    )


def parse_endpoint(raw: Any) -> ClientEndpoint:
    """``https://host/path``, ``host:port``, or ``{host, port, server_name, request}``.

    :raises SpecError: none of them.
    """
    if isinstance(raw, str) and raw.lower().startswith("https://"):
        return parse_url(raw)
    if isinstance(raw, str):
        host, port = split_address(raw)
        return ClientEndpoint(host, port, host)
    fields = Fields(raw, ENDPOINT_FIELDS, "endpoints")
    host = parse_host_name(fields.get("host", ""))
    request = fields.text("request")
    return ClientEndpoint(
        host=host,
        port=parse_port(fields.get("port", HTTPS_PORT if request else "")),
        server_name=fields.text("server_name") or host,
        request=None if request is None else parse_request(request),
    )


def parse_url(text: str) -> ClientEndpoint:
    """``https://host[:port][/path]``.

    :raises SpecError: it has other parts, or a part that is none.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or HTTPS_PORT
    except ValueError as error:
        raise SpecError(f"endpoints: '{text}': {error}", remedy="write https://host:port/path") from None
    if "@" in parts.netloc or parts.fragment:
        raise SpecError("endpoints: a URL with a user or a fragment", remedy="write https://host:port/path")
    path = parse_request((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    name = parse_host_name(host)
    return ClientEndpoint(name, port, name, path)


def parse_request(path: str) -> str:
    """The path of an HTTP request.

    :raises SpecError: it does not begin with a slash, or has what a request line cannot have.
    """
    if not REQUEST.fullmatch(path):
        raise SpecError(
            f"endpoints: request '{path}' is not a path", remedy="begin it with a slash, and encode other letters"
        )
    return path
