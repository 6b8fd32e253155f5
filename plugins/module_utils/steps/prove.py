# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step ``prove``: what a host trusts and what it serves, shown by canaries and handshakes. It changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

from ansible_collections.fleet.tls.plugins.module_utils.proof.canary import Canary, bundle_takes, server_takes
from ansible_collections.fleet.tls.plugins.module_utils.services.trust_stores import (
    STORES,
    TrustStore,
    find_trust_store,
)
from ansible_collections.fleet.tls.plugins.module_utils.steps.look import look_step, targets_of
from ansible_collections.fleet.tls.plugins.module_utils.system.polling import ask_until
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import fingerprint

_MOST_THREADS = 16

Asked = Callable[[Canary, Any], dict[str, Any]]


def prove_step(
    request: dict[str, Any], secrets: Mapping[str, str], stores: Iterable[TrustStore] = STORES
) -> tuple[bool, dict[str, Any]]:
    """The step; see docs/host-protocol.md."""
    _changed, answer = look_step(request["look"])
    canaries = [
        (each, Canary((each["chain"] + secrets[each["name"]]).encode(), each["server_name"]))
        for each in request["canaries"]
    ]
    paths = list(request["bundles"])
    if request["system"]:
        store = find_trust_store(list(stores))
        paths.append(store.bundle if store else "the system's trust store")
    endpoints = endpoints_of(request)
    deadline = time.monotonic() + request["patience"]
    work: list[tuple[Asked, dict[str, Any], Canary, Any]] = []
    for each, canary in canaries:
        work += [(ask_bundle, each, canary, path) for path in paths]
        work += [(ask_endpoint, each, canary, endpoint) for endpoint in endpoints.items()]
    with ThreadPoolExecutor(max_workers=max(1, min(_MOST_THREADS, len(work)))) as pool:
        proofs = list(pool.map(lambda one: until_expected(one[0], one[1], one[2], one[3], deadline), work))
    return False, {**answer, "proofs": proofs}


def endpoints_of(request: dict[str, Any]) -> dict[Endpoint, bool]:
    """Every endpoint of the host's certificates and of the request, each once, and whether somebody has to answer there."""
    names = {entry["name"] for entry in request["look"]["certificates"]}
    found: dict[Endpoint, bool] = {}
    for target in targets_of(request["look"]["services"], names):
        endpoint = Endpoint(
            target.host,
            target.port,
            target.server_name,
            timeout=request["timeout"],
            starttls=target.starttls,
            proxy_protocol=target.proxy_protocol,
        )
        found[endpoint] = target.explicit or found.get(endpoint, False)
    for each in request["endpoints"]:
        found[Endpoint(each["host"], each["port"], each["server_name"], timeout=request["timeout"])] = True
    return found


def until_expected(
    ask: Asked, entry: Mapping[str, Any], canary: Canary, subject: Any, deadline: float
) -> dict[str, Any]:
    """Ask until the answer is the expected one, or the time is up; then it is told as it is."""
    proof = ask_until(
        lambda _left: ask(canary, subject),
        lambda each: each["outcome"] in (entry["expected"], None),
        deadline - time.monotonic(),
    )
    return {"canary": entry["name"], **proof}


def ask_bundle(canary: Canary, path: str) -> dict[str, Any]:
    """Whether a bundle file takes a canary."""
    taken, error = bundle_takes(path, canary)
    outcome = "accepted" if taken else "refused"
    return {"kind": "bundle", "subject": path, "outcome": outcome, "error": error, "fingerprint": None}


def ask_endpoint(canary: Canary, subject: tuple[Endpoint, bool]) -> dict[str, Any]:
    """Whether an endpoint takes a canary for its client; ``outcome`` None: it asks for no certificate, ``absent``: nobody answers
    where somebody has to."""
    endpoint, required = subject
    verdict = server_takes(endpoint, canary)
    absent = required and verdict.outcome is None and verdict.leaf is None
    return {
        "kind": "endpoint",
        "subject": endpoint.address + (f" ({endpoint.server_name})" if endpoint.server_name else ""),
        "outcome": "absent" if absent else verdict.outcome,
        "error": verdict.error,
        "fingerprint": fingerprint(verdict.leaf.encode()) if verdict.leaf else None,
    }
