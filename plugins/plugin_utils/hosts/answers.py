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

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import MISSHAPEN, shortened, text_or_none
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import parse_pem_chain

PROBLEMS = ("damaged", "key_missing", "key_mismatch")
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
LONGEST_PEM = 256 * 1024
# One a second for three decades.
HIGHEST_GENERATION = 10**9


@dataclass(frozen=True)
class PairProblem:
    """Why a pair on the host cannot go on being used; ``code`` is one of the reasons in docs/inside.md."""

    code: str
    detail: str


@dataclass(frozen=True)
class Pending:
    """A key that waits on the host for its certificate. ``csr`` is PEM."""

    request_id: str
    csr: str


@dataclass(frozen=True)
class Adoptable:
    """A pair that somebody else has put on the host, where there is none of ours: its chain as it stands there, or why it cannot be read."""

    chain: tuple[x509.Certificate, ...] = ()
    error: HostError | None = None


@dataclass(frozen=True)
class EndpointReport:
    """What one endpoint presented: ``fingerprint`` (SHA-256, hex) or ``error``; ``ours``: live, older or None.

    :param group, signature_scheme: by which keys were agreed on, and the server signed; None: not known.
    :param openssl: the version that asked.
    """

    endpoint: str
    server_name: str | None
    fingerprint: str | None
    error: str | None
    explicit: bool
    ours: str | None
    service: str = ""
    group: str | None = None
    signature_scheme: str | None = None
    openssl: str | None = None


@dataclass(frozen=True)
class PairReport:
    """One certificate as the host has it; ``chain`` is empty where there is none that can be read.

    :param kept_files: paths of outputs where a file lies that is not ours → where it is kept before an output takes its place.
    """

    generation: int | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    chain: tuple[x509.Certificate, ...] = ()
    problems: tuple[PairProblem, ...] = ()
    drift: tuple[str, ...] = ()
    kept_files: Mapping[str, str] = field(default_factory=dict)
    pending: Pending | None = None
    served: tuple[EndpointReport, ...] = ()
    adoptable: Adoptable | None = None

    @property
    def leaf(self) -> x509.Certificate | None:
        """The certificate itself."""
        return self.chain[0] if self.chain else None


@dataclass(frozen=True)
class ApplyOutcome:
    """What became of one certificate in an apply; ``proof`` is what its endpoints present since."""

    generation: int | None = None
    changed: bool = False
    installed: bool = False
    rolled_back: bool = False
    unproven: bool = False
    proof: tuple[EndpointReport, ...] = ()
    error: HostError | None = None


def parse_found(answer: Any, certificate: str) -> PairReport:
    """One entry of a look's answer.

    :raises HostError: the host reported an error for this certificate, or said something that is not an answer.
    """
    if not isinstance(answer, Mapping):
        raise HostError("the host gave no answer for it", certificate=certificate)
    if answer.get("error"):
        raise host_error(answer["error"], certificate)
    try:
        problems = tuple(parse_problem(each) for each in answer.get("problems") or ())
        chain: tuple[x509.Certificate, ...] = ()
        fullchain = str(answer.get("fullchain") or "")
        if fullchain and not any(problem.code == "damaged" for problem in problems):
            try:
                chain = parse_pem_chain(fullchain[:LONGEST_PEM])
            except CertificateError as error:
                problems += (PairProblem("damaged", error.message),)
        pending = answer.get("pending")
        return PairReport(
            generation=parse_generation(answer),
            manifest=parse_manifest(answer.get("manifest") or {}),
            chain=chain,
            problems=problems,
            drift=tuple(shortened(each) for each in answer.get("drift") or ()),
            kept_files=parse_kept_files(answer),
            pending=parse_pending(pending, certificate) if pending else None,
            served=parse_served(answer.get("served")),
            adoptable=parse_adoptable(answer["adoptable"], certificate) if answer.get("adoptable") else None,
        )
    except MISSHAPEN as error:
        raise misshapen(error, certificate) from error


def parse_kept_files(answer: Mapping[str, Any]) -> dict[str, str]:
    """Path → where what lies there is kept; whatever has another form raises one of :data:`MISSHAPEN`."""
    return {shortened(path): shortened(kept) for path, kept in dict(answer.get("kept_files") or {}).items()}


def parse_outcome(answer: Any, certificate: str) -> ApplyOutcome:
    """One entry of an apply's answer.

    :raises HostError: it is no answer.
    """
    if not isinstance(answer, Mapping):
        raise HostError(
            "the host does not say what became of it", remedy="run again: the look tells", certificate=certificate
        )
    try:
        return ApplyOutcome(
            generation=parse_generation(answer),
            changed=bool(answer.get("changed")),
            installed=bool(answer.get("installed")),
            rolled_back=bool(answer.get("rolled_back")),
            unproven=bool(answer.get("unproven")),
            proof=parse_served(answer.get("proof")),
            error=host_error(answer["error"], certificate) if answer.get("error") else None,
        )
    except MISSHAPEN as error:
        raise misshapen(error, certificate) from error


def parse_clock(answer: Mapping[str, Any]) -> float | None:
    """The host's clock, seconds since the epoch; None where it does not tell.

    :raises HostError: it is no moment.
    """
    clock = answer.get("clock")
    if clock is None:
        return None
    if isinstance(clock, bool) or not isinstance(clock, (int, float)) or not 0 <= clock < 2**40:
        raise HostError(f"the host's clock is no moment: {shortened(clock)}")
    return float(clock)


def parse_problem(raw: Mapping[str, Any]) -> PairProblem:
    """:raises ValueError: an unknown code, for which nobody could say what to do."""
    if raw["code"] not in PROBLEMS:
        raise ValueError("problem code")
    return PairProblem(str(raw["code"]), shortened(raw["detail"]))


def parse_generation(answer: Mapping[str, Any]) -> int | None:
    """The generation's number, None where there is none.

    :raises TypeError: it is not a number; ValueError: it cannot be one of a generation.
    """
    generation = answer.get("generation")
    if generation is None:
        return None
    if isinstance(generation, bool) or not isinstance(generation, int):
        raise TypeError("generation")
    if not 0 <= generation < HIGHEST_GENERATION:
        raise ValueError("generation")
    return generation


def parse_manifest(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's plain values; whatever else stands there is not used on the controller."""
    plain = {str(key): value for key, value in raw.items() if isinstance(value, (str, int, float, bool))}
    return {key: shortened(value) if isinstance(value, str) else value for key, value in plain.items()}


def parse_pending(raw: Mapping[str, Any], certificate: str) -> Pending:
    """:raises HostError: the request id is none."""
    request_id = str(raw["request_id"])
    if not REQUEST_ID.fullmatch(request_id):
        raise HostError("the host's request id is malformed", certificate=certificate)
    return Pending(request_id, str(raw["csr"])[:LONGEST_PEM])


def parse_adoptable(raw: Mapping[str, Any], certificate: str) -> Adoptable:
    """``adoptable`` of an answer; whatever has another form raises one of :data:`MISSHAPEN`."""
    if raw.get("error"):
        return Adoptable(error=host_error(raw["error"], certificate))
    text = "".join(str(pem) for pem in raw["chain"])[:LONGEST_PEM]
    try:
        return Adoptable(parse_pem_chain(text))
    except CertificateError as error:
        return Adoptable(error=HostError(error.message, certificate=certificate))


def parse_served(raw: Any) -> tuple[EndpointReport, ...]:
    """``served`` or ``proof`` of an answer."""
    return tuple(
        EndpointReport(
            endpoint=shortened(each["endpoint"]),
            server_name=text_or_none(each.get("server_name")),
            fingerprint=text_or_none(each.get("fingerprint")),
            error=text_or_none(each.get("error")),
            explicit=bool(each.get("explicit")),
            ours=text_or_none(each.get("ours")),
            service=shortened(each.get("service", "")),
            group=text_or_none(each.get("group")),
            signature_scheme=text_or_none(each.get("signature_scheme")),
            openssl=text_or_none(each.get("openssl")),
        )
        for each in raw or ()
    )


def host_error(raw: Any, certificate: str | None = None) -> HostError:
    """The host's ``error`` mapping as an exception."""
    if not isinstance(raw, Mapping):
        return HostError(shortened(raw), certificate=certificate)
    return HostError(
        shortened(raw.get("message")),
        code=shortened(raw.get("code")),
        remedy=text_or_none(raw.get("remedy")),
        certificate=certificate,
    )


def misshapen(error: Exception, certificate: str) -> HostError:
    """Something that is not an answer."""
    return HostError(
        f"the host's answer does not have the agreed form ({type(error).__name__}: {shortened(error)[:80]})",
        remedy="see whether something on the host changes what Python there says, and run again",
        certificate=certificate,
    )
