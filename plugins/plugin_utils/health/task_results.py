# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks returned, as what ``health.py`` works on: options parsed, anchors read. The one part that reads the controller's trust store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import parse_duration, parse_renew_before
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.health.document import health
from ansible_collections.fleet.tls.plugins.plugin_utils.health.looks import CERTIFICATES, FILES, FIRST, LEFT_OVER, LOOKS
from ansible_collections.fleet.tls.plugins.plugin_utils.health.parts import USUAL_TEXT, Context, HostInput, mappings
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.facts import parse_version
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import parse_anchors
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.system_anchors import system_anchors
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain


def document_of(
    looks: Any,
    files: Any,
    probes: Sequence[Any],
    wanted: Any,
    store: Any,
    anchors: Any,
    *,
    threshold: Any,
    interval: Any,
    ring_age: Any,
    quantum_vulnerable: Any = False,
    now: dt.datetime,
) -> dict[str, Any]:
    """The health document; the parameters are those of the filter ``fleet.tls.health``.

    :raises TlsError: an option that is none.
    """
    for part in (looks, files, wanted, *probes):
        if not isinstance(part, Mapping):
            raise SpecError("it needs mappings of hosts to what was registered there")
    store = mapping(store)
    trusted, others = store_certificates(store)
    extra = [certificate for chain in parse_anchors(anchors).values() for certificate in chain]
    public = system()
    context = Context(
        now=now,
        threshold=None if threshold is None else parse_renew_before(threshold, "tls_check_threshold"),
        interval=parse_duration(interval, "tls_check_interval"),
        anchors=(*trusted, *extra, *(public or ())),
        intermediates=others,
        trust_store=public is not None,
        quantum_vulnerable=quantum_vulnerable,
        issued=mapping(store.get("issued")),
        revoked=mapping(store.get("revoked")),
    )
    if not isinstance(quantum_vulnerable, bool):
        raise SpecError("tls_check_quantum_vulnerable must be true or false")
    seen = [
        host_input(str(host), mapping(look), files.get(host), [each.get(host) for each in probes], wanted.get(host))
        for host, look in looks.items()
    ]
    text = USUAL_TEXT if threshold is None else str(threshold)
    return health(seen, store, context, threshold=text, ring_age=parse_duration(ring_age, "tls_check_ring_age"))


def host_input(host: str, seen: Mapping[str, Any], files: Any, probes: Sequence[Any], wanted: Any) -> HostInput:
    """What was registered of one host.

    :param seen: of ``fleet.tls.certificates``, with the others beside it; or of ``fleet.tls.check_host``, which has all of them.
    """
    looks, left_over, permits = seen.get("looks"), None, seen.get("permits")
    facts = mapping(mapping(seen.get("ansible_facts")).get("fleet_tls_host"))
    if isinstance(looks, Mapping):
        seen, files, wanted = mapping(looks.get(CERTIFICATES)), looks.get(FILES), seen.get("wanted")
        probes = [looks.get(each) for each in LOOKS if each not in (*FIRST, LEFT_OVER)]
        left_over = looks.get(LEFT_OVER)
    return HostInput(
        host,
        look=seen,
        files=mapping(files),
        probes=list(map(mapping, probes)),
        wanted=places(wanted),
        left_over=mapping(left_over),
        permits=mapping(permits),
        openssl=version(facts.get("openssl")),
    )


def version(raw: Any) -> tuple[int, ...]:
    """A version as a host's facts have it; empty where it is none."""
    try:
        return parse_version(raw)
    except (TypeError, ValueError):
        return ()


def mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is one, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def store_certificates(store: Mapping[str, Any]) -> tuple[tuple[x509.Certificate, ...], tuple[x509.Certificate, ...]]:
    """Anchors and all authorities of the issuers."""
    anchors: list[x509.Certificate] = []
    authorities: list[x509.Certificate] = []
    for known in mapping(store.get("issuers")).values():
        if known.get("anchors"):
            anchors += parse_pem_chain(str(known["anchors"]))
        for each in mappings(known.get("authorities")):
            authorities += parse_pem_chain(str(each.get("pem")))
    return tuple(anchors), tuple(authorities)


def system() -> tuple[x509.Certificate, ...] | None:
    """What the controller's own system trusts; None: it has no trust store."""
    try:
        return system_anchors()
    except TlsError:
        return None


def places(endpoints: Any) -> dict[tuple[str, str | None], tuple[str, ...]]:
    """Endpoint and server name → the certificates that are to be served there."""
    found: dict[tuple[str, str | None], tuple[str, ...]] = {}
    for each in mappings(endpoints):
        host = str(each.get("host"))
        address = f"[{host}]:{each.get('port')}" if ":" in host else f"{host}:{each.get('port')}"
        if each.get("certificate"):
            place = (address, None if each.get("server_name") is None else str(each["server_name"]))
            found[place] = (*found.get(place, ()), str(each["certificate"]))
    return found
