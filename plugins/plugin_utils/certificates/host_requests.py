# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to a host, in the form of docs/host-protocol.md. Pure."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import Anchor, bundle_text
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.java_truststore import java_truststore
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import KEY_USAGES, TLS_USAGES, usage_oid
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, seconds, serial_text, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec, HostSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.outputs import Output
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.services import ServiceSpec

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings

GENERATIONS_KEPT = 2
# What a certificate's issuers want trusted.
Anchors = Callable[[CertificateSpec], Sequence[Anchor]]


def no_anchors(_spec: CertificateSpec) -> Sequence[Anchor]:
    """Where no output has any."""
    return ()


def look_request(
    specs: Sequence[CertificateSpec],
    services: Sequence[ServiceSpec],
    settings: Settings,
    now: dt.datetime,
    prepare: str | list[str],
    anchors: Anchors = no_anchors,
) -> dict[str, Any]:
    """Step ``look``."""
    entries = [look_entry(spec, settings.forces(spec.name), anchors) for spec in specs]
    return {
        "directory": settings.directory,
        "now": seconds(now),
        "prepare": prepare,
        "services": service_requests(services, entries),
        "certificates": entries,
    }


def look_entry(spec: CertificateSpec, forced: bool, anchors: Anchors = no_anchors) -> dict[str, Any]:
    """One certificate of a look."""
    return {
        **wish(spec, anchors),
        "force": forced,
        "request_digest": spec.request_digest,
        "renew_before": spec.renew_before.as_request(),
        "adopt": adopt_request(spec),
        "subject": {
            "common_name": spec.names.common_name,
            "sans": [list(pair) for pair in spec.names.sans()],
            "subject": [list(part) for part in spec.names.subject],
            "usages": [usage if usage in TLS_USAGES else usage_oid(usage).dotted_string for usage in spec.usages],
            "key_usages": [KEY_USAGES[usage] for usage in spec.key_usages],
            "must_staple": spec.must_staple,
        },
    }


def apply_request(
    entries: Sequence[dict[str, Any]], host: HostSpec, settings: Settings, now: dt.datetime
) -> dict[str, Any]:
    """Step ``apply``; only the services of the certificates in it, but the outputs of all that the host wants."""
    return {
        "directory": settings.directory,
        "now": seconds(now),
        "prove_timeout": settings.prove_timeout,
        "defer_proof": settings.defer_proof,
        "keep": GENERATIONS_KEPT,
        "claimed": [output.path for spec in host.certificates for output in spec.outputs],
        "services": service_requests(host.services, entries),
        "certificates": list(entries),
    }


def check_request(specs: Sequence[CertificateSpec], host: HostSpec, settings: Settings) -> dict[str, Any]:
    """Step ``apply`` in check mode: would the host refuse these before anything is touched?"""
    entries = [wish(spec) for spec in specs]
    services = service_requests(host.services, entries)
    return {"check": True, "directory": settings.directory, "services": services, "certificates": entries}


def adopt_request(spec: CertificateSpec) -> dict[str, Any] | None:
    """Where the pair lies that is to be taken over; None: none is."""
    return dataclasses.asdict(spec.adopt) if spec.adopt else None


def adopt_entry(
    spec: CertificateSpec, chain: Sequence[x509.Certificate], issuer: str | None, anchors: Anchors = no_anchors
) -> dict[str, Any]:
    """A pair that is on the host already, as the first generation; errors as :func:`install_entry`.

    :param issuer: which of the certificate's issuers it leads to; None: none of them.
    """
    entry = install_entry(spec, chain, issuer or "", f"adopted-{fingerprint(chain[0])[:32]}", anchors)
    manifest = {**entry["manifest"], "issuer": issuer, "adopted": True}
    return {**entry, "manifest": manifest, "adopt": adopt_request(spec)}


def install_entry(
    spec: CertificateSpec,
    chain: Sequence[x509.Certificate],
    issuer: str,
    request_id: str,
    anchors: Anchors = no_anchors,
) -> dict[str, Any]:
    """A new pair.

    :raises CertificateError: a truststore would be empty.
    """
    leaf = chain[0]
    return {
        **wish(spec, anchors, whole=True),
        "action": "install",
        "request_id": request_id,
        "chain": [to_pem(certificate) for certificate in chain],
        "manifest": {
            "name": spec.name,
            "issuer": issuer,
            "fingerprint": fingerprint(leaf),
            "serial": serial_text(leaf.serial_number),
            "not_before": seconds(leaf.not_valid_before_utc),
            "not_after": seconds(leaf.not_valid_after_utc),
            "request_digest": spec.request_digest,
            "request_id": request_id,
        },
    }


def repair_entry(spec: CertificateSpec, manifest: Mapping[str, Any], anchors: Anchors = no_anchors) -> dict[str, Any]:
    """Work on the pair that is there; errors as :func:`install_entry`."""
    request_id = str(manifest.get("request_id") or "")
    return {
        **wish(spec, anchors, whole=True),
        "action": "repair",
        "request_id": request_id,
        "chain": [],
        "manifest": {},
    }


def wish(spec: CertificateSpec, anchors: Anchors = no_anchors, *, whole: bool = False) -> dict[str, Any]:
    """What a look and an apply both need to know.

    :param whole: with the content of outputs that are made here. It is another one each time, and no look needs it.
    """
    outputs = []
    for output in spec.outputs:
        trusted = anchors(spec) if output.anchors else ()
        request = {**dataclasses.asdict(output), "anchors": bundle_text(trusted) if output.anchors else None}
        if whole and output.format == "truststore":
            request["content"] = base64.b64encode(truststore(output, trusted)).decode()
        outputs.append(request)
    return {
        "name": spec.name,
        "key": dataclasses.asdict(spec.private_key),
        "owner": spec.owner,
        "group": spec.group,
        "mode": spec.mode,
        "outputs": outputs,
        "services": [service.name for service in spec.services],
    }


def truststore(output: Output, anchors: Sequence[Anchor]) -> bytes:
    """An output that Java takes as trust.

    :raises CertificateError: nobody is to be trusted; a program with an empty one would take every peer for a stranger.
    """
    if not anchors:
        raise CertificateError(
            f"outputs: {output.path}: there is no valid trust anchor of its issuers to put into it",
            remedy="see with fleet.tls.ca what they have; renew a root that has expired",
        )
    trusted = {anchor.name: anchor.certificate for anchor in anchors}
    return java_truststore(trusted, output.passphrase, legacy=output.profile == "legacy")


def service_requests(services: Sequence[ServiceSpec], entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The services that ``entries`` name, with the endpoints of those certificates only."""
    certificates = {entry["name"] for entry in entries}
    named = {service for entry in entries for service in entry["services"]}
    requests = [service.as_request() for service in services if service.name in named]
    for request in requests:
        request["endpoints"] = [each for each in request["endpoints"] if each["certificate"] in certificates]
    return requests
