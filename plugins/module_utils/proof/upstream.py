# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers behind a proxy: asked directly, with what the proxy is to trust and to show; and through the proxy, once it has taken that.

No proxy checks either when it is reloaded: its users see a 502 for a name that is wrong, a CA that is not trusted, a certificate that has
expired or was revoked, on whichever side. Asked directly, the upstream says which of these it is, before anything is changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.proof.http_answer import get, words
from ansible_collections.fleet.tls.plugins.module_utils.system.memory import private_file
from ansible_collections.fleet.tls.plugins.module_utils.system.polling import ask_until
from ansible_collections.fleet.tls.plugins.module_utils.tls.endpoint import DEFAULT_TIMEOUT, Endpoint, HandshakeError
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import handshake
from ansible_collections.fleet.tls.plugins.module_utils.tls.memory_tls import Wire

MOST_THREADS = 8
HTTP11 = ("http/1.1",)
# What proxies answer where their upstream has failed them: nginx and HAProxy the first ones, Apache also the last.
GATEWAY_ERRORS = (502, 503, 504, 500)
# nginx refuses a client's certificate with the first of these, or by a number of its own.
CERTIFICATE_REFUSED = (400, 495, 496)
# How the words of handshakes begin that say nothing of certificates: nobody answers, or is busy.
AWAY = (
    "connection refused", "cannot connect", "the name ", "timed out", "the connection broke",
    "the server closed the connection during", "the server reset the connection during", "the server's answer to",
)  # fmt: skip


class Upstream(NamedTuple):
    """One site's upstream.

    :param name: what is asked for by SNI and looked for in its certificate; None: nothing.
    :param path, host_header: of the request that the proxy makes for ``/``.
    :param anchors: what its certificate has to lead to (PEM); None: it is not verified.
    :param crls: the revocation lists of all these CAs (PEM); None: revocation is not looked at.
    :param client: the pair that the proxy shows to it, certificates and key (PEM); None: none.
    :param proxy: where the site itself is served: host, port, SNI.
    """

    site: str
    url: str
    host: str
    port: int
    name: str | None
    path: str
    host_header: str
    anchors: bytes | None
    crls: bytes | None
    client: bytes | None
    proxy: tuple[str, int, str | None]


class UpstreamReport(NamedTuple):
    """What became of a request.

    :param status: of HTTP; None: there was no answer.
    :param error: why there was none, or why the answer is a refusal.
    :param away: nobody answered, which says nothing of certificates.
    """

    status: int | None
    error: str | None = None
    away: bool = False


def ask_directly(upstreams: Sequence[Upstream]) -> list[UpstreamReport]:
    """What each upstream says to the proxy that is to come."""
    if not upstreams:
        return []
    with ThreadPoolExecutor(min(MOST_THREADS, len(upstreams))) as pool:
        return list(pool.map(direct, upstreams))


def direct(upstream: Upstream) -> UpstreamReport:
    """A request past the proxy."""
    with contextlib.ExitStack() as stack:

        def placed(content: bytes | None) -> str | None:
            return None if content is None else stack.enter_context(private_file(content))

        endpoint = Endpoint(
            host=upstream.host,
            port=upstream.port,
            server_name=upstream.name,
            client_certificate=placed(upstream.client),
            alpn=HTTP11,
            verify=upstream.anchors is not None,
            trust=placed(upstream.anchors),
            crls=placed(upstream.crls),
        )
        return request(endpoint, upstream.host_header, upstream.path)


def through(upstream: Upstream, timeout: float) -> UpstreamReport:
    """A request through the proxy; whose certificate it shows is for others to prove."""
    host, port, name = upstream.proxy
    endpoint = Endpoint(host=host, port=port, server_name=name, timeout=timeout, alpn=HTTP11)
    return request(endpoint, name or host, "/")


def request(endpoint: Endpoint, host_header: str, path: str) -> UpstreamReport:
    """A handshake and a GET."""
    found: list[int] = []

    def talk(wire: Wire) -> None:
        status, data = get(wire, host_header, path)
        if endpoint.client_certificate and status in CERTIFICATE_REFUSED and b"certificate" in data.lower():
            raise HandshakeError(f"the server refused the client certificate with {words(data)}")
        found.append(status)

    result = handshake(endpoint, talk)
    if found:
        return UpstreamReport(found[0])
    error = result.error or "no answer"
    return UpstreamReport(None, error, result.client_certificate != "refused" and error.startswith(AWAY))


def refused(upstreams: Sequence[Upstream], reports: Sequence[UpstreamReport]) -> StepError | None:
    """The error for upstreams that refuse the proxy, or that it would refuse, in their words; None: there is none."""
    said = [
        f"site '{upstream.site}': {upstream.url}: {report.error}"
        for upstream, report in zip(upstreams, reports)
        if report.error and not report.away
    ]
    if not said:
        return None
    return StepError(
        "upstream_refused",
        "the upstream does not work with its proxy: {0}".format("; ".join(said)),
        "see that its certificate is valid, for that name (upstream_name) and of a CA in upstream_trust, and that it trusts the CA of"
        " upstream_certificate, has current CRLs of it, and lists the certificate in none; nothing was changed",
    )


def unanswered(upstreams: Sequence[Upstream], reports: Sequence[UpstreamReport]) -> list[str]:
    """Which upstreams could not be asked, for people."""
    return [
        f"site '{upstream.site}': its upstream {upstream.url} could not be asked whether it works with the proxy: {report.error}"
        for upstream, report in zip(upstreams, reports)
        if report.away
    ]


def blocked(upstreams: Sequence[Upstream], reports: Sequence[UpstreamReport], timeout: float) -> StepError | None:
    """The error for sites through which their upstream is not reached, though it answers directly; None: there is none.

    :param reports: of :func:`ask_directly`. An upstream that answers with such an error itself is a proxy's that works.
    :param timeout: seconds until they have to be.
    """
    reached = [(upstream, report) for upstream, report in zip(upstreams, reports) if report.status is not None]
    said = [text for upstream, report in reached for text in not_through(upstream, report, timeout)]
    if not said:
        return None
    return StepError(
        "upstream_blocked",
        "the proxy does not reach its upstream: {0}".format("; ".join(said)),
        "see the error log of the web server",
    )


def not_through(upstream: Upstream, report: UpstreamReport, timeout: float) -> list[str]:
    """Why one site's upstream is not reached through its proxy."""

    def works(seen: UpstreamReport) -> bool:
        # What refuses us at the door, as sites do that verify their clients, tells nothing of what is behind it.
        return seen.status not in GATEWAY_ERRORS or seen.status == report.status

    seen = ask_until(lambda left: through(upstream, max(1.0, min(left, DEFAULT_TIMEOUT))), works, timeout)
    if works(seen):
        return []
    return [f"site '{upstream.site}' answers {seen.status}, and {upstream.url} itself {report.status}"]
