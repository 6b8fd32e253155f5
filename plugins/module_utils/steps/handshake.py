# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host step ``handshake``: many endpoints at once, and what each one showed. Nothing is ever changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.scan.jobs import Job, JobResult
from ansible_collections.fleet.tls.plugins.module_utils.scan.scanner import scan
from ansible_collections.fleet.tls.plugins.module_utils.tls.asker import openssl_version
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import DEFAULT_TIMEOUT, Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.messages import key_name

# Nobody has as many certificates between a leaf and a root; a server can send what it likes.
LONGEST_CHAIN = 64


def handshake_step(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md."""
    jobs = jobs_of(request)
    results: list[dict[str, Any]] = [{} for _job in jobs]

    def keep(place: int, seen: JobResult) -> None:
        results[place] = seen_as_answer(jobs[place], seen)

    scan(jobs, keep)
    return False, {"results": results, "openssl": openssl_version()}


def jobs_of(request: dict[str, Any]) -> list[Job]:
    """What is wanted."""
    places = [endpoint_of(wanted) for wanted in request.get("resume_at") or ()]
    return [
        Job(
            endpoint,
            retries=int(request.get("retries") or 0),
            resumption=bool(request.get("resumption")),
            resume_at=tuple(beside(endpoint, place) for place in places),
            stapling=bool(request.get("stapling")),
            key_types=bool(request.get("key_types")),
            enumerate=bool(request.get("enumerate")),
            post_quantum=bool(request.get("post_quantum")),
        )
        for endpoint in map(endpoint_of, request.get("endpoints") or ())
    ]


def endpoint_of(wanted: dict[str, Any]) -> Endpoint:
    """An endpoint of a request (docs/host-protocol.md)."""
    client = wanted.get("client") or {}
    return Endpoint(
        host=wanted["host"],
        port=int(wanted["port"]),
        server_name=wanted.get("server_name"),
        timeout=float(wanted.get("timeout") or DEFAULT_TIMEOUT),
        client_certificate=client.get("certificate"),
        client_key=client.get("key"),
        alpn=tuple(wanted.get("alpn") or ()),
        starttls=wanted.get("starttls"),
        proxy_protocol=wanted.get("proxy_protocol") or 0,
        minimum_version=wanted.get("minimum_version"),
        maximum_version=wanted.get("maximum_version"),
    )


def beside(endpoint: Endpoint, place: Endpoint) -> Endpoint:
    """The same endpoint at another place: a session is of one name, and of one client."""
    return replace(
        endpoint,
        host=place.host,
        port=place.port,
        timeout=place.timeout,
        starttls=place.starttls,
        proxy_protocol=place.proxy_protocol,
    )


def seen_as_answer(job: Job, seen: JobResult) -> dict[str, Any]:
    """One entry of the step's answer, JSON-ready (docs/host-protocol.md)."""
    result = seen.result
    return {
        "endpoint": job.endpoint.address,
        "server_name": job.endpoint.server_name,
        "chain": list(result.chain[:LONGEST_CHAIN]),
        "chain_length": len(result.chain),
        "protocol": result.protocol,
        "cipher": result.cipher,
        "group": result.group,
        "signature_scheme": result.signature_scheme,
        "alpn": result.alpn,
        "ticket_key_name": key_name(result.ticket),
        "error": result.error,
        "client_certificate": result.client_certificate,
        "attempts": seen.attempts,
        "seconds": result.seconds,
        "resumption": resumption(seen) if job.resumption else None,
        "other_chain": list(seen.other_chain[:LONGEST_CHAIN]),
        "staple": seen.staple.as_answer() if seen.staple else None,
        "accepts": seen.accepts.as_answer() if seen.accepts else None,
        "post_quantum": seen.post_quantum,
        "ml_dsa": seen.ml_dsa,
    }


def resumption(seen: JobResult) -> dict[str, Any]:
    """How resuming went: at the endpoint itself, and at the other places."""
    if not seen.resumed:
        return {"offered": False, "resumed": None, "error": None, "at": []}
    first, *others = (
        {"endpoint": each.endpoint.address, "resumed": each.resumed, "error": each.error} for each in seen.resumed
    )
    return {"offered": True, "resumed": first["resumed"], "error": first["error"], "at": others}
