# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handshakes with many endpoints: what the user wrote, the request, and what is required. No Ansible, no sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.contexts import VERSIONS
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint
from ansible_collections.fleet.tls.plugins.plugin_utils.base.addresses import (
    parse_place,
    parse_proxy_protocol,
    parse_starttls,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_timeout
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields, one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.answers import (
    LONGEST_CHAIN,
    Judge,
    read_answer,
    read_certificate,
    read_result,
    results_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.endpoints.fields import MOST_PLACES
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.host_names import speaks_for
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import is_ip_address
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain

VERSION_FIELDS = ("minimum_version", "maximum_version")
ENDPOINT_FIELDS = ("server_name", "timeout", "client_certificate", "client_key", "alpn", *VERSION_FIELDS)
MOST_RETRIES = 10
__all__ = (
    "LONGEST_CHAIN",
    "Defaults",
    "Judge",
    "as_request",
    "endpoint_request",
    "parse_anchors",
    "parse_endpoint",
    "parse_endpoints",
    "parse_wishes",
    "read_answer",
    "read_certificate",
    "read_result",
    "require",
    "results_of",
    "speaks_for",
)


@dataclass(frozen=True)
class Defaults:
    """What holds for every endpoint that does not say otherwise. ``timeout`` as users write it (``5s``); paths on the probing machine."""

    timeout: str = "5s"
    server_name: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    starttls: str | None = None
    proxy_protocol: Any = False
    alpn: Sequence[str] = ()
    minimum_version: str | None = None
    maximum_version: str | None = None


def parse_endpoints(raw: Sequence[Any], defaults: Defaults) -> tuple[Endpoint, ...]:
    """Texts or mappings → endpoints, see :func:`addresses.parse_place`.

    :raises SpecError: see :func:`parse_endpoint`.
    """
    return tuple(parse_endpoint(entry, defaults) for entry in raw)


def parse_endpoint(raw: Any, defaults: Defaults) -> Endpoint:
    """One endpoint. The server name is the host's where nothing else is said and the host is a name; ``""``: none is sent.

    :raises SpecError: unknown fields; no host or port; a timeout that is none; a key without its certificate.
    """
    fields, host, port, starttls, proxy_protocol = parse_place(raw, ENDPOINT_FIELDS)
    if "starttls" not in fields.raw:
        starttls = starttls or parse_starttls(defaults.starttls)
    if "proxy_protocol" not in fields.raw:
        proxy_protocol = parse_proxy_protocol(defaults.proxy_protocol)
    server_name = fields.text("server_name")
    if server_name is None:
        server_name = defaults.server_name
    if server_name is None:
        server_name = None if is_ip_address(host) else host
    certificate, key = fields.text("client_certificate"), fields.text("client_key")
    if certificate is None and key is None:
        certificate, key = defaults.client_certificate, defaults.client_key
    if key and not certificate:
        raise SpecError(f"endpoints: {host}:{port} has a client_key without a client_certificate", remedy="give both")
    lowest, highest = (parse_version(fields, field, getattr(defaults, field)) for field in VERSION_FIELDS)
    if lowest and highest and lowest > highest:
        raise SpecError(
            f"endpoints: {host}:{port} is to be spoken to in {lowest} at least and {highest} at most",
            remedy="leave out one of minimum_version and maximum_version",
        )
    return Endpoint(
        host=host,
        port=port,
        server_name=server_name or None,
        timeout=parse_timeout(fields.get("timeout", defaults.timeout)),
        client_certificate=certificate or None,
        client_key=key or None,
        starttls=starttls,
        proxy_protocol=proxy_protocol,
        alpn=parse_alpn(fields.get("alpn", defaults.alpn)),
        minimum_version=lowest,
        maximum_version=highest,
    )


def parse_version(fields: Fields, field: str, default: str | None) -> str | None:
    """A limit to the versions of TLS; an empty text is none.

    :raises SpecError: not a version that can be one.
    """
    value = fields.get(field, default)
    return one_of(value, VERSIONS, f"endpoints: {field}") if value else None


def parse_wishes(options: Mapping[str, Any], defaults: Defaults) -> dict[str, Any]:
    """What is wanted of every endpoint besides a handshake, as the request has it.

    :param options: ``retries``, ``resumption``, ``resume_at``, ``stapling``, ``key_types``, ``enumerate``, ``post_quantum``, and ``profiles`` and
        ``trace``, with which some of them do not go.
    :raises SpecError: retries that are none; places to resume at that are none, or nothing to resume.
    """
    retries, places = options["retries"], parse_endpoints(options["resume_at"], defaults)
    if not 0 <= retries <= MOST_RETRIES:
        raise SpecError(f"retries: {retries} is not a number of retries", remedy=f"write 0 to {MOST_RETRIES}")
    if options["profiles"] and not options["enumerate"]:
        raise SpecError(
            "profiles judge what an endpoint accepts, and nobody asks it that", remedy="add enumerate: true"
        )
    if options["trace"] and (options["enumerate"] or options["post_quantum"]):
        raise SpecError(
            "a trace shows one handshake, and enumerate and post_quantum make others", remedy="leave out one of them"
        )
    if len(places) > MOST_PLACES:
        raise SpecError(f"resume_at: {len(places)} are too many", remedy=f"give {MOST_PLACES} at most")
    return {
        "retries": retries,
        "resumption": options["resumption"] or bool(places),
        "resume_at": [endpoint_request(place) for place in places],
        "stapling": options["stapling"],
        "key_types": options["key_types"],
        "enumerate": options["enumerate"],
        "post_quantum": options["post_quantum"],
    }


def parse_alpn(value: Any) -> tuple[str, ...]:
    """Protocols to offer (RFC 7301), most wanted first.

    :raises SpecError: not a list of names that fit.
    """
    names = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not all(isinstance(name, str) and name.isascii() and 0 < len(name) < 256 for name in names):
        raise SpecError(f"alpn: '{value}' is not a list of protocols", remedy="write them like [h2, http/1.1]")
    return names


def parse_anchors(raw: Any) -> tuple[x509.Certificate, ...] | None:
    """PEM text, or a list of PEM texts; None where there is none.

    :raises SpecError: no certificate in it, or one that cannot be parsed.
    """
    if raw is None:
        return None
    texts = [raw] if isinstance(raw, str) else raw
    if not isinstance(texts, (list, tuple)) or not texts:
        raise SpecError("anchors must be PEM text, or a list of PEM texts", remedy="leave it out to verify nothing")
    try:
        return tuple(certificate for text in texts for certificate in parse_pem_chain(str(text)))
    except CertificateError as error:
        raise SpecError(f"anchors: {error.message}", remedy="give the CA certificates as PEM") from None


def as_request(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The request of the step ``handshake`` (docs/host-protocol.md)."""
    return {"endpoints": [endpoint_request(endpoint) for endpoint in endpoints]}


def endpoint_request(endpoint: Endpoint) -> dict[str, Any]:
    """One endpoint of the request."""
    client = None
    if endpoint.client_certificate:
        client = {"certificate": endpoint.client_certificate, "key": endpoint.client_key}
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "server_name": endpoint.server_name,
        "timeout": endpoint.timeout,
        "client": client,
        "alpn": list(endpoint.alpn),
        "starttls": endpoint.starttls,
        "proxy_protocol": endpoint.proxy_protocol,
        "minimum_version": endpoint.minimum_version,
        "maximum_version": endpoint.maximum_version,
    }


def require(entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse endpoints that showed no certificate, and those that were verified and found wanting.

    :raises HostError: names every one of them, and why.
    """
    complaints = []
    for entry in entries:
        why = []
        if not entry["reachable"]:
            why = [entry["error"] or "no certificate"]
        elif entry["trusted"] is False:
            why = entry["problems"]
        complaints += [f"{entry['endpoint']}: {reason}" for reason in why]
    if complaints:
        raise HostError("; ".join(complaints), code="probe")
