# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints and what they present: looked at once, or until they present what they are to."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ansible_collections.fleet.tls.plugins.module_utils.system.polling import ask_until

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.module_utils.tls.glance import Glance

# An endpoint that does not have to serve the certificate is given this long: a reload takes effect within a fraction of it.
BRIEFLY = 0.5
# Servers of the host itself answer in a few milliseconds, most of which is our own work: threads make that dearer, and it is no sooner done.
AT_ONCE = 0.1
# Seconds that a handshake is given at least.
SHORTEST = 0.2


class ProofTarget(NamedTuple):
    """An endpoint and what it is to serve.

    :param expected: SHA-256 (hex) of the leaf (DER) it is to present.
    :param required: whether it fails the step when it does not.
    :param before: the fingerprint it presented before anything was changed, None: none.
    :param starttls: the protocol in which TLS has to be asked for first, None: it begins at once.
    :param service: whose endpoint it is.
    :param proxy_protocol: the version of the PROXY protocol that it expects before anything else, 0: none.
    :param leaf: path of the certificate it is to present (PEM), empty: not known. It tells of which kind its key is, see ``key_kinds.py``.
    """

    host: str
    port: int
    server_name: str | None
    certificate: str
    expected: str
    required: bool = True
    explicit: bool = True
    before: str | None = None
    starttls: str | None = None
    service: str = ""
    proxy_protocol: int = 0
    leaf: str = ""

    @property
    def address(self) -> str:
        """``host:port``, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class EndpointReport(NamedTuple):
    """What an endpoint presented.

    :param ours: live, older or None, as far as the caller could tell.
    :param service: whose it is.
    :param group, signature_scheme: by which keys were agreed on, and the server signed; None: not known.
    :param openssl: the version (``3.0.17``) that asked: what it does not know, nobody can show it.
    """

    endpoint: str
    server_name: str | None
    certificate: str
    fingerprint: str | None
    error: str | None
    explicit: bool
    ours: str | None = None
    service: str = ""
    group: str | None = None
    signature_scheme: str | None = None
    openssl: str | None = None

    def as_answer(self) -> dict[str, Any]:
        """JSON-ready, see docs/host-protocol.md."""
        return self._asdict()


def look_at(targets: Sequence[ProofTarget], timeout: float = 2.0) -> list[EndpointReport]:
    """One handshake with each target, several at once where they keep us waiting.

    :param timeout: seconds for one.
    """
    found: list[EndpointReport] = []
    for target in targets:
        begin = time.monotonic()
        found.append(handshake_with(target, timeout))
        if time.monotonic() - begin > AT_ONCE:
            break
    return found + in_parallel(lambda target: handshake_with(target, timeout), targets[len(found) :])


def prove(targets: Sequence[ProofTarget], timeout: float) -> list[EndpointReport]:
    """Handshakes until each target serves what it is to serve, or its time is up.

    :param timeout: seconds for required targets; the others are tried briefly.
    """
    return in_parallel(lambda target: wait_for(target, timeout if target.required else min(BRIEFLY, timeout)), targets)


def in_parallel(work: Callable[[ProofTarget], EndpointReport], targets: Sequence[ProofTarget]) -> list[EndpointReport]:
    """The results in the order of the targets."""
    if len(targets) < 2:
        return [work(target) for target in targets]
    # Late: seldom needed, see look_at.
    from concurrent.futures import ThreadPoolExecutor

    # Before there are threads: under Python 3.9 one of them can meet a module half imported by another.
    from ansible_collections.fleet.tls.plugins.module_utils.tls import handshake  # noqa: F401

    with ThreadPoolExecutor(max_workers=min(8, len(targets))) as pool:
        return list(pool.map(work, targets))


def wait_for(target: ProofTarget, timeout: float) -> EndpointReport:
    """Poll one target with growing pauses: reloads return before the new workers serve."""
    return ask_until(
        lambda left: handshake_with(target, max(SHORTEST, left)),
        lambda served: served.fingerprint == target.expected,
        timeout,
    )


def handshake_with(target: ProofTarget, timeout: float) -> EndpointReport:
    """What a target presents now."""
    # Late, because a run with no endpoints should not pay for ssl.
    from ansible_collections.fleet.tls.plugins.module_utils.tls.asker import openssl_version
    from ansible_collections.fleet.tls.plugins.module_utils.tls.glance import glance

    end = time.monotonic() + timeout
    seen: Glance | None = None
    problem = None
    try:
        seen = (
            None
            if target.starttls or target.proxy_protocol
            else glance(target.host, target.port, target.server_name, timeout)
        )
    except socket.timeout as error:
        problem = str(error)
    if seen is None and problem is None:
        seen, problem = look_closer(target, max(SHORTEST, end - time.monotonic()))
    leaf = None if seen is None else seen.leaf
    if leaf is not None and target.leaf and hashlib.sha256(leaf).hexdigest() != target.expected:
        # Late: servers with two certificates are few.
        from ansible_collections.fleet.tls.plugins.module_utils.proof.key_kinds import leaf_of_kind

        leaf = leaf_of_kind(target, leaf, max(SHORTEST, end - time.monotonic())) or leaf
    fingerprint = hashlib.sha256(leaf).hexdigest() if leaf else None
    ours = "live" if fingerprint == target.expected else None
    return EndpointReport(
        target.address,
        target.server_name,
        target.certificate,
        fingerprint,
        problem,
        target.explicit,
        ours,
        target.service,
        seen.group if seen else None,
        # Of a certificate that only some clients are shown, another handshake would have to tell.
        seen.signature_scheme if seen and seen.leaf == leaf else None,
        openssl_version(),
    )


def look_closer(target: ProofTarget, timeout: float) -> tuple[Glance | None, str | None]:
    """What a target presents that a glance does not tell it of, or why there is nothing."""
    from ansible_collections.fleet.tls.plugins.module_utils.tls.glance import Glance
    from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import (
        Endpoint,
        HandshakeError,
        handshake,
        shown_leaf,
    )

    starttls, proxy_protocol = target.starttls, target.proxy_protocol
    result = handshake(Endpoint(*target[:3], timeout, starttls=starttls, proxy_protocol=proxy_protocol))
    try:
        return Glance(shown_leaf(result), result.group, result.signature_scheme), None
    except HandshakeError as error:
        return None, str(error)


def lacking(targets: Sequence[ProofTarget], served: Sequence[EndpointReport]) -> list[ProofTarget]:
    """The required targets that do not serve what they are to."""
    return [target for target, each in zip(targets, served) if target.required and each.fingerprint != target.expected]
