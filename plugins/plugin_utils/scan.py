# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handshakes with many endpoints: what the user wrote, the request, and what the answers mean. No Ansible, no sockets."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.handshake import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls_contexts import VERSIONS
from ansible_collections.fleet.tls.plugins.plugin_utils.addresses import parse_place, parse_starttls
from ansible_collections.fleet.tls.plugins.plugin_utils.crypto import UnsupportedAlgorithm, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.errors import CertificateError, HostError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.fields import Fields, one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.names import is_ip_address, parse_ip_address
from ansible_collections.fleet.tls.plugins.plugin_utils.x509 import (
    Names,
    check_chain,
    describe,
    iso,
    names_of,
    parse_pem_chain,
    subject_text,
)

VERSION_FIELDS = ("minimum_version", "maximum_version")
ENDPOINT_FIELDS = ("server_name", "timeout", "client_certificate", "client_key", *VERSION_FIELDS)
LONGEST_TIMEOUT = 600
LONGEST_CHAIN = 64
# What `cryptography` raises for a certificate that parses on the outside and is broken, or too new for it, further in.
UNREADABLE = (CertificateError, ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


@dataclass(frozen=True)
class Defaults:
    """What holds for every endpoint that does not say otherwise. ``timeout`` in seconds; paths on the probing machine."""

    timeout: float = 5.0
    server_name: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    starttls: str | None = None
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
    fields, host, port, starttls = parse_place(raw, ENDPOINT_FIELDS)
    if "starttls" not in fields.raw:
        starttls = starttls or parse_starttls(defaults.starttls)
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
        raise SpecError(f"endpoints: {host}:{port} is to be spoken to in {lowest} at least and {highest} at most")
    return Endpoint(
        host=host,
        port=port,
        server_name=server_name or None,
        timeout=parse_timeout(fields.get("timeout", defaults.timeout)),
        client_certificate=certificate or None,
        client_key=key or None,
        starttls=starttls,
        minimum_version=lowest,
        maximum_version=highest,
    )


def parse_version(fields: Fields, field: str, default: str | None) -> str | None:
    """A limit to the versions of TLS; an empty text is none.

    :raises SpecError: not a version that can be one.
    """
    value = fields.get(field, default)
    return one_of(value, VERSIONS, f"endpoints: {field}") if value else None


def parse_timeout(value: Any) -> float:
    """Seconds.

    :raises SpecError: not a number above 0 and up to 600.
    """
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise SpecError(f"timeout: '{value}' is not a time", remedy=f"write seconds, up to {LONGEST_TIMEOUT}")
    return seconds


def parse_anchors(raw: Any) -> tuple[x509.Certificate, ...] | None:
    """PEM text, or a list of PEM texts; None where there is none.

    :raises SpecError: no certificate in it, or one that cannot be parsed.
    """
    if raw is None:
        return None
    texts = [raw] if isinstance(raw, str) else raw
    if not isinstance(texts, (list, tuple)) or not texts:
        raise SpecError("anchors has to be PEM text, or a list of PEM texts", remedy="leave it out to verify nothing")
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
        "minimum_version": endpoint.minimum_version,
        "maximum_version": endpoint.maximum_version,
    }


def read_answer(
    endpoints: Sequence[Endpoint],
    answer: Mapping[str, Any],
    *,
    anchors: Sequence[x509.Certificate] | None,
    now: dt.datetime,
) -> list[dict[str, Any]]:
    """What the handshakes showed, one entry an endpoint as documented in ``fleet.tls.probe``.

    :param answer: of the step ``handshake``. It may come from a host, so its shape is not taken on trust.
    :param anchors: verify that chains lead there; None: say nothing about trust.
    :raises HostError: the answer does not have the agreed shape.
    """
    results = answer.get("results")
    if not isinstance(results, list) or len(results) != len(endpoints):
        raise HostError("the host's answer does not fit the endpoints it was asked for", code="bad_answer")
    return [read_result(*pair, anchors=anchors, now=now) for pair in zip(endpoints, results)]


def read_result(
    endpoint: Endpoint, result: Any, *, anchors: Sequence[x509.Certificate] | None, now: dt.datetime
) -> dict[str, Any]:
    """One entry of :func:`read_answer`."""
    chain = result.get("chain") if isinstance(result, Mapping) else None
    if not isinstance(chain, list) or len(chain) > LONGEST_CHAIN or not all(isinstance(pem, str) for pem in chain):
        raise HostError(f"the host's answer for {endpoint.address} has no chain", code="bad_answer")
    described, certificates = zip(*(read_certificate(pem, now) for pem in chain)) if chain else ((), ())
    problems = [
        f"certificate {number} of the chain cannot be read: {entry['error']}"
        for number, entry in enumerate(described, 1)
        if entry["error"]
    ]
    if certificates and certificates[0] is not None:
        problems += leaf_problems(certificates[0], endpoint.server_name or endpoint.host, now)
    if anchors is not None:
        problems += trust_problems(certificates, anchors, now)
    return {
        "endpoint": endpoint.address,
        "host": endpoint.host,
        "port": endpoint.port,
        "server_name": endpoint.server_name,
        "reachable": bool(chain),
        "error": text_or_none(result.get("error")),
        "protocol": text_or_none(result.get("protocol")),
        "cipher": text_or_none(result.get("cipher")),
        "client_certificate": text_or_none(result.get("client_certificate")),
        "seconds": result.get("seconds"),
        "chain": chain,
        "certificates": list(described),
        "problems": problems,
        "trusted": None if anchors is None or not chain else not problems,
    }


def text_or_none(value: Any) -> str | None:
    """Plain text, cut where nobody would go on reading."""
    return None if value is None else str(value)[:500]


def read_certificate(pem: str, now: dt.datetime) -> tuple[dict[str, Any], x509.Certificate | None]:
    """A certificate as results have it; one that cannot be read has its fingerprint and ``error``."""
    try:
        certificate = parse_pem_chain(pem)[0]
        return {**describe(certificate, now), "error": None}, certificate
    except UNREADABLE as error:
        return {"fingerprint_sha256": pem_fingerprint(pem), "error": str(error)}, None


def pem_fingerprint(pem: str) -> str | None:
    """SHA-256 of whatever is inside the PEM armour, lower-case hex; None where it is not even that."""
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    except ValueError:
        return None


def leaf_problems(leaf: x509.Certificate, wanted: str, now: dt.datetime) -> list[str]:
    """What a client would object to in the leaf alone: its dates and its names."""
    problems = []
    if leaf.not_valid_after_utc <= now:
        problems.append(f"the certificate expired on {iso(leaf.not_valid_after_utc)}")
    if leaf.not_valid_before_utc > now:
        problems.append(f"the certificate is not valid before {iso(leaf.not_valid_before_utc)}")
    names = names_of(leaf)
    if not speaks_for(names, wanted):
        has = ", ".join(names.dns_names + names.ip_addresses) or "none"
        problems.append(f"the certificate is not for {wanted} (its names: {has})")
    return problems


def speaks_for(names: Names, wanted: str) -> bool:
    """Whether a client that wants to reach ``wanted`` takes a certificate with these names.

    RFC 9525 section 6: a wildcard stands for one whole first label, an IP address is compared as such, and the common name
    does not count.
    """
    if is_ip_address(wanted):
        return parse_ip_address(wanted) in names.ip_addresses
    name = wanted.lower().rstrip(".")
    parent = name.partition(".")[2]
    return name in names.dns_names or (bool(parent) and f"*.{parent}" in names.dns_names)


def trust_problems(
    chain: Sequence[x509.Certificate | None], anchors: Sequence[x509.Certificate], now: dt.datetime
) -> list[str]:
    """Why the chain does not lead to an anchor; empty when it does."""
    readable = [certificate for certificate in chain if certificate is not None]
    if not readable or len(readable) < len(chain):
        return []  # that is a problem already
    try:
        check_chain(readable, anchors, now)
    except CertificateError as error:
        return [error.message]
    return [
        f"'{subject_text(certificate)}' stands in the chain as an issuer and is no CA"
        for certificate in readable[1:]
        if not is_ca(certificate)
    ]


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether a certificate may issue others (RFC 5280 section 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


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
