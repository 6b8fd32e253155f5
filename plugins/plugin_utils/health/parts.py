# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the health document while it is made: a certificate of a host, what an endpoint showed, a finding. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import RenewBefore
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import printable as on_one_line
from ansible_collections.fleet.tls.plugins.plugin_utils.health.codes import (
    OK,
    RANKS,
    SEVERITIES,
    severity_of,
    worst_code,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import ChainVerdict, judge_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509

DAY = 86400
# What hosts and servers said is cut there.
LONGEST_TEXT = 500
# A check that nobody gave a threshold: two weeks, and less for what lives shorter than twelve. Half of the 33 % that deploy renews at.
USUAL_SECONDS, USUAL_FRACTION = 14 * DAY, 1 / 6
USUAL_TEXT = "14d"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, see docs/health-document.md."""

    code: str
    kind: str
    subject: str
    message: str
    remedy: str
    host: str | None = None
    path: str | None = None
    endpoint: str | None = None
    fingerprint: str | None = None

    def as_document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "code": self.code,
            "severity": severity_of(self.code),
            "host": self.host,
            "kind": self.kind,
            "subject": printable(self.subject),
            "path": self.path,
            "endpoint": self.endpoint,
            "fingerprint_sha256": self.fingerprint,
            "message": printable(self.message),
            "remedy": printable(self.remedy),
        }

    @property
    def order(self) -> tuple[Any, ...]:
        """The worst first, then by host and subject."""
        badness = -SEVERITIES.index(severity_of(self.code))
        return (badness, self.host or "", self.subject, RANKS[self.code], self.path or "", self.endpoint or "")


@dataclass(frozen=True)
class Observation:
    """What an endpoint showed.

    :param fingerprint: of the leaf; None: it showed none.
    :param chain: what it sent, where that is known and can be read.
    :param group, signature_scheme: by which keys were agreed on, and the server signed.
    :param openssl: the version that asked, ``3.0.17``; None: not known.
    :param ml_dsa: it shows a certificate to others, which the OpenSSL that asked does not know.
    :param post_quantum: whether keys are agreed on with X25519MLKEM768, where that was asked for.
    """

    endpoint: str
    server_name: str | None
    fingerprint: str | None
    error: str | None = None
    protocol: str | None = None
    chain: tuple[x509.Certificate, ...] = ()
    group: str | None = None
    signature_scheme: str | None = None
    openssl: str | None = None
    post_quantum: bool | None = None
    ml_dsa: bool = False

    def as_document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "endpoint": printable(self.endpoint),
            "server_name": self.server_name,
            "fingerprint_sha256": self.fingerprint,
            "protocol": self.protocol,
            "group": text_or_none(self.group),
            "signature_scheme": text_or_none(self.signature_scheme),
            "error": None if self.error is None else printable(self.error),
        }


@dataclass
class CertificateEntry:
    """A certificate of a host.

    :param facts: of the certificate, as :func:`x509.describe` has them; empty: there is none.
    :param issuer: the issuer's name in ``tls_issuers``.
    :param look: the entry of ``fleet.tls.certificates``, for a managed one.
    """

    host: str
    origin: str
    facts: Mapping[str, Any]
    name: str | None = None
    path: str | None = None
    issuer: str | None = None
    issuer_subject: str | None = None
    next_run: str = "nothing"
    look: Mapping[str, Any] = field(default_factory=dict)
    sights: list[Observation] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """What findings call it."""
        return self.name or self.path or (self.sights[0].endpoint if self.sights else "")

    @property
    def fingerprint(self) -> str | None:
        """SHA-256, hex."""
        return self.facts.get("fingerprint_sha256")

    @property
    def names(self) -> frozenset[str]:
        """The DNS names and IP addresses it is for."""
        return frozenset([*(self.facts.get("dns_names") or ()), *(self.facts.get("ip_addresses") or ())])

    def found(
        self, code: str, message: str, remedy: str, *, endpoint: str | None = None, kind: str = "certificate"
    ) -> None:
        """Add a finding about it."""
        self.findings.append(
            Finding(code, kind, self.subject, message, remedy, self.host, self.path, endpoint, self.fingerprint)
        )

    def has(self, *codes: str) -> bool:
        """Whether one of these was found."""
        return any(each.code in codes for each in self.findings)

    def as_document(self) -> dict[str, Any]:
        """JSON-ready."""
        state = worst_code(each.code for each in self.findings)
        facts = self.facts
        return {
            "host": self.host,
            "name": self.name,
            "origin": self.origin,
            "path": self.path,
            "subject": text_or_none(facts.get("subject")),
            "common_name": text_or_none(facts.get("common_name")),
            "dns_names": [printable(each) for each in facts.get("dns_names") or ()],
            "ip_addresses": [printable(each) for each in facts.get("ip_addresses") or ()],
            "issuer": self.issuer,
            "fallback_for": self.look.get("fallback_for"),
            "issuer_subject": text_or_none(self.issuer_subject),
            "serial": facts.get("serial"),
            "fingerprint_sha256": self.fingerprint,
            "not_before": facts.get("not_before"),
            "not_after": facts.get("not_after"),
            "days_left": facts.get("days_left"),
            "key_algorithm": facts.get("key_algorithm"),
            "signature_algorithm": facts.get("signature_algorithm"),
            "served": [each.as_document() for each in self.sights],
            "next_run": self.next_run,
            "state": state,
            "severity": OK if state == OK else severity_of(state),
        }


@dataclass(frozen=True)
class HostInput:
    """What was seen of one host: results of tasks as they were registered, failed and skipped ones too.

    :param look: of ``fleet.tls.certificates`` in check mode; :param files: of ``fleet.tls.certificate_files_info``;
    :param probes: of ``fleet.tls.endpoint_info``.
    :param left_over: of ``fleet.tls.left_over_info``.
    :param openssl: the version of the host's own; empty: not known.
    :param permits: issuer → what it could have of it, see ``permit.py``.
    :param wanted: endpoint and server name → the names of the certificates that are to be served there, each with a key of another kind.
    """

    host: str
    look: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    probes: Sequence[Mapping[str, Any]] = ()
    wanted: Mapping[tuple[str, str | None], tuple[str, ...]] = field(default_factory=dict)
    left_over: Mapping[str, Any] = field(default_factory=dict)
    permits: Mapping[str, Any] = field(default_factory=dict)
    openssl: tuple[int, ...] = ()


@dataclass(frozen=True)
class Context:
    """What every judgement needs.

    :param threshold: less left than this is ``expiring``; None: the usual, see :data:`USUAL_SECONDS`.
    :param interval: seconds between two runs of ``fleet.tls.deploy``.
    :param anchors: CA certificates that are trusted; :param intermediates: others that are known.
    :param trust_store: whether the controller's own system trusts any CA.
    :param quantum_vulnerable: whether keys that a quantum computer could break are worth a finding.
    :param issued, revoked: as ``fleet.tls.store_info`` has them.
    """

    now: dt.datetime
    threshold: RenewBefore | None = None
    interval: int = DAY
    anchors: tuple[x509.Certificate, ...] = ()
    intermediates: tuple[x509.Certificate, ...] = ()
    trust_store: bool = True
    quantum_vulnerable: bool = False
    issued: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    revoked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # Thousands of endpoints send few chains.
    _verdicts: dict[tuple[x509.Certificate, ...], ChainVerdict] = field(default_factory=dict, compare=False)

    def verdict(self, chain: tuple[x509.Certificate, ...]) -> ChainVerdict:
        """What clients that have the anchors think of a chain that is served."""
        if chain not in self._verdicts:
            self._verdicts[chain] = judge_chain(chain, self.anchors, now=self.now)
        return self._verdicts[chain]

    def completed(self, chain: tuple[x509.Certificate, ...]) -> bool:
        """Whether clients would take the chain if they had the known intermediates, too."""
        verdict = judge_chain(chain, self.anchors, now=self.now, known=self.intermediates)
        return not any(not problem.soft for problem in verdict.chain)

    def expiring(self, begin: dt.datetime, end: dt.datetime) -> bool:
        """Whether a certificate with this validity has less left than the threshold."""
        if self.threshold is None:
            lifetime = (end - begin).total_seconds()
            return (end - self.now).total_seconds() < min(USUAL_SECONDS, lifetime * USUAL_FRACTION)
        return self.threshold.reached(int(begin.timestamp()), int(end.timestamp()), self.now.timestamp())


def printable(value: Any) -> str:
    """One line, no longer than it may be, that cannot play tricks on a terminal."""
    text = str(value)
    return on_one_line(text) if len(text) <= LONGEST_TEXT else f"{on_one_line(text[: LONGEST_TEXT - 1])}…"


def text_or_none(value: Any) -> str | None:
    """The same, None stays None."""
    return None if value is None else printable(value)


def days(seconds: float) -> float:
    """Days with one decimal."""
    return round(seconds / DAY, 1)


def span_text(seconds: float) -> str:
    """How long something is, for people: whole days, or hours where it is less than two days."""
    seconds = abs(seconds)
    if seconds >= 2 * DAY:
        return f"{int(seconds // DAY)} days"
    hours = int(seconds // 3600)
    return f"{hours} hours" if hours != 1 else "1 hour"


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list; nothing where it is none."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, (list, tuple)) else []


def first_text(values: Iterable[Any], otherwise: str) -> str:
    """The first text that says something."""
    return next((str(each) for each in values if each), otherwise)
