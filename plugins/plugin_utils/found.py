# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host said of itself, as frozen values.

The host's answer is data from outside: a compromised host may say anything. Whatever does not have the agreed shape is
refused here, and nothing in it can reach further than this host's own certificates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.errors import CertificateError, HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.x509 import parse_pem_chain

REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
LONGEST_PEM = 256 * 1024


@dataclass(frozen=True)
class Problem:
    """Why a pair on the host cannot go on being used; ``code`` is one of the reasons in docs/architecture.md."""

    code: str
    detail: str


@dataclass(frozen=True)
class Pending:
    """A key that waits on the host for its certificate. ``csr`` is PEM."""

    request_id: str
    csr: str


@dataclass(frozen=True)
class Served:
    """What one endpoint presented: ``fingerprint`` (SHA-256, hex) or ``error``; ``ours``: live, older or None."""

    endpoint: str
    server_name: str | None
    fingerprint: str | None
    error: str | None
    explicit: bool
    ours: str | None


@dataclass(frozen=True)
class Found:
    """One certificate as the host has it; ``chain`` is empty where there is none that can be read."""

    generation: int | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    chain: tuple[x509.Certificate, ...] = ()
    problems: tuple[Problem, ...] = ()
    drift: tuple[str, ...] = ()
    pending: Pending | None = None
    served: tuple[Served, ...] = ()

    @property
    def leaf(self) -> x509.Certificate | None:
        """The certificate itself."""
        return self.chain[0] if self.chain else None


def parse_found(answer: Any, certificate: str) -> Found:
    """One entry of a look's answer.

    :raises HostError: the host reported an error for this certificate, or said something that is no answer.
    """
    if not isinstance(answer, Mapping):
        raise HostError("the host gave no answer for it", certificate=certificate)
    if answer.get("error"):
        raise host_error(answer["error"], certificate)
    try:
        problems = tuple(Problem(str(each["code"]), str(each["detail"])) for each in answer.get("problems") or ())
        chain: tuple[x509.Certificate, ...] = ()
        fullchain = str(answer.get("fullchain") or "")
        if fullchain and not any(problem.code == "damaged" for problem in problems):
            try:
                chain = parse_pem_chain(fullchain[:LONGEST_PEM])
            except CertificateError as error:
                problems += (Problem("damaged", error.message),)
        pending = answer.get("pending")
        generation = answer.get("generation")
        return Found(
            generation=None if generation is None else int(generation),
            manifest=dict(answer.get("manifest") or {}),
            chain=chain,
            problems=problems,
            drift=tuple(str(each) for each in answer.get("drift") or ()),
            pending=parse_pending(pending, certificate) if pending else None,
            served=parse_served(answer.get("served")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HostError(
            f"the host's answer does not have the agreed form ({error!r})", certificate=certificate
        ) from error


def parse_pending(raw: Mapping[str, Any], certificate: str) -> Pending:
    """:raises HostError: the request id is none."""
    request_id = str(raw["request_id"])
    if not REQUEST_ID.fullmatch(request_id):
        raise HostError("the host's request id is malformed", certificate=certificate)
    return Pending(request_id, str(raw["csr"])[:LONGEST_PEM])


def parse_served(raw: Any) -> tuple[Served, ...]:
    """``served`` or ``proof`` of an answer."""
    return tuple(
        Served(
            endpoint=str(each["endpoint"]),
            server_name=each.get("server_name"),
            fingerprint=each.get("fingerprint"),
            error=each.get("error"),
            explicit=bool(each.get("explicit")),
            ours=each.get("ours"),
        )
        for each in raw or ()
    )


def host_error(raw: Any, certificate: str | None = None) -> HostError:
    """The host's ``error`` mapping as an exception."""
    if not isinstance(raw, Mapping):
        return HostError(str(raw), certificate=certificate)
    return HostError(
        str(raw.get("message")), code=str(raw.get("code")), remedy=raw.get("remedy") or None, certificate=certificate
    )
