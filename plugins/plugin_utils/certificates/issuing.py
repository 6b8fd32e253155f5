# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the issuers: each certificate's in their order, until one gives what was asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import (
    Deferred,
    HostError,
    IssuerError,
    TlsError,
    Unanswered,
    Unsigned,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Attempt, Progress
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import ForeseesDeferral, HandsOutReadyMade
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.csr import parse_csr
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import load_private_key
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import HostStep
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import ChainVerdict, chain_to_install, check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issued import check_issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import iso, key_id


@dataclass(frozen=True)
class IssuanceRound:
    """What all requests of one host have in common.

    :param clock: the controller's clock by now, seconds since the epoch: CAs that date nothing back issue after a run's start.
    :param challenge: runs step ``challenge`` on the host.
    :param servers_follow: whether a later task of the run configures the servers that are to answer for a name.
    """

    host: str
    issuers: Mapping[str, Issuer]
    clock: Callable[[], float]
    challenge: HostStep | None = None
    servers_follow: bool = False

    def __call__(self, due: Sequence[Progress]) -> None:
        """Fill in ``chain`` and what belongs to it, or ``error``."""
        requests: dict[str, IssueRequest] = {}
        for each in due:
            try:
                requests[each.spec.name] = self.request_for(each)
            except TlsError as error:
                each.error = error
        progress = {each.spec.name: each for each in due}
        waiting = {name: list(progress[name].spec.issuers) for name in requests}
        while waiting:
            rounds: dict[str, list[str]] = {}
            for name, issuers in waiting.items():
                rounds.setdefault(issuers.pop(0), []).append(name)
            for issuer, names in rounds.items():
                asked = [replace(requests[name], present=progress[name].present(issuer)) for name in names]
                answers = answers_of(self.issuers[issuer], asked, self.now())
                for name, answer in zip(names, answers):
                    accepted = self.accept(progress[name], requests[name], self.issuers[issuer], answer)
                    if accepted or not waiting[name] or progress[name].deferred:
                        del waiting[name]
        for each in due:
            if each.deferred:
                each.error = None
            if each.error and len(each.attempts) > 1:
                words = "; ".join(str(attempt) for attempt in each.attempts)
                each.error = IssuerError(words, certificate=each.spec.name)

    def now(self) -> dt.datetime:
        """This moment."""
        return dt.datetime.fromtimestamp(self.clock(), dt.timezone.utc)

    def accept(self, each: Progress, request: IssueRequest, issuer: Issuer, answer: Issued | TlsError) -> bool:
        """Take a chain only when it is what was asked for."""
        try:
            if isinstance(answer, TlsError):
                raise answer
            judged = check_answer(issuer, request, answer, self.now())
            refuse_the_same(each, issuer, answer)
        except TlsError as error:
            self.give_up(each, issuer, error)
            return False
        # What only some clients refuse, a weak key above say, is no reason to leave a server without a certificate.
        each.notes += (*answer.notes, *(f"issuer '{issuer.name}': {problem}" for problem in judged.problems))
        each.chain = chain_to_install(answer.chain, judged, self.now())
        each.issuer, each.reused, each.error = issuer.name, answer.reused, None
        each.request_id = request.request_id
        each.private_key = answer.private_key or (each.key.pem if each.key else None)
        return True

    def give_up(self, each: Progress, issuer: Issuer, error: TlsError) -> None:
        """Note an issuer's failure; one that has no room now costs nothing as long as what is there can go on being used."""
        each.attempts.append(Attempt(issuer.name, error))
        each.error = error.about(each.spec.name)
        serves_still = isinstance(error, Deferred) and each.serves_still(self.now())
        can_follow = isinstance(error, (Unanswered, Unsigned)) and not serves_still
        each.unanswered = can_follow and self.servers_follow
        if each.unanswered or serves_still:
            each.deferred = str(error)

    def foresee(self, due: Sequence[Progress]) -> None:
        """In check mode: which certificates their issuers would leave for a later run."""
        for each in due:
            issuer = self.issuers[each.spec.issuers[0]]
            if not isinstance(issuer, ForeseesDeferral):
                continue
            error = issuer.forecast(self.host, each.spec, each.present(issuer.name), self.now())
            if error:
                self.give_up(each, issuer, error)
                each.error = None if each.deferred else each.error

    def request_for(self, each: Progress) -> IssueRequest:
        """What an issuer gets to see.

        :raises TlsError: the host made no key, or its CSR asks for something else.
        """
        request_id = each.key.request_id if each.key else each.found.pending.request_id if each.found.pending else ""
        return IssueRequest(
            request_id=request_id,
            host=self.host,
            certificate=each.spec.name,
            csr=csr_of(each),
            names=each.spec.names,
            usages=each.spec.usages,
            key_usages=each.spec.key_usages,
            duration=each.spec.duration,
            reason=", ".join(reason.code for reason in each.verdict.reasons),
            host_step=self.challenge,
        )


def answers_of(issuer: Issuer, requests: Sequence[IssueRequest], now: dt.datetime) -> Sequence[Issued | TlsError]:
    """The issuer's answers; one error for all of them where it failed as a whole."""
    try:
        answers: Any = issuer.issue(requests, now)
    except TlsError as error:
        return [error] * len(requests)
    fits = isinstance(answers, (list, tuple)) and len(answers) == len(requests)
    if not fits or not all(isinstance(answer, (Issued, TlsError)) for answer in answers):
        return [no_answer(issuer)] * len(requests)
    return tuple(answers)


def check_answer(issuer: Issuer, request: IssueRequest, answer: Issued, now: dt.datetime) -> ChainVerdict:
    """Whether an answer is what was asked for, and what clients think of it.

    :raises CertificateError: another key, other names or usages, dates, a chain that clients refuse.
    :raises IssuerError: it is no certificate at all.
    """
    if not answer.chain or not all(isinstance(certificate, x509.Certificate) for certificate in answer.chain):
        raise no_answer(issuer)
    public_key = load_private_key(answer.private_key).public_key() if answer.private_key else request.csr.public_key()
    check_issued(
        answer.chain,
        names=request.names,
        usages=request.usages,
        key_usages=request.key_usages,
        key=key_id(public_key),
        now=now,
        ready_made=isinstance(issuer, HandsOutReadyMade),
    )
    return check_chain(answer.chain, issuer.trust(), now, request.usages)


def refuse_the_same(each: Progress, issuer: Issuer, answer: Issued) -> None:
    """What is to be renewed is not renewed by what is there: an issuer of certificates that others make may have no other yet.

    :raises IssuerError: it has not.
    """
    expiring = any(reason.code in ("expiring", "expired") for reason in each.verdict.reasons)
    if isinstance(issuer, HandsOutReadyMade) and expiring and each.found.leaf == answer.chain[0]:
        raise IssuerError(
            f"it has no other certificate than the one that expires on {iso(answer.chain[0].not_valid_after_utc)}",
            remedy="put the next one where it is fetched from",
        )


def no_answer(issuer: Issuer) -> IssuerError:
    """What an issuer gave is not what the contract says."""
    return IssuerError(
        f"issuer '{issuer.name}' did not answer in the agreed form", remedy="report this to who maintains that issuer"
    )


def csr_of(each: Progress) -> x509.CertificateSigningRequest:
    """The request's CSR, checked against the wish: what a host asks for must not go beyond it.

    :raises HostError: there is none; :raises CertificateError: it is for something else.
    """
    if each.key:
        return each.key.csr
    if each.found.pending is None:
        raise HostError("the host made no key for it", certificate=each.spec.name)
    return parse_csr(each.found.pending.csr, each.spec)
