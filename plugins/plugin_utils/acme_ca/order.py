# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One ACME order from its beginning to the chain (RFC 8555, 7.4), in steps that can be taken up again.

Whatever the state in which an earlier run left an order, going through the steps again finishes it: a step that is done is passed.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.client import AcmeClient, Payload
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.network import AcmeError, problem_text, retry_after
from ansible_collections.fleet.tls.plugins.plugin_utils.acme_ca.renewal_window import unpadded
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, IssuerError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.text import shortened
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import Challenge, HostStep, Solver
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import NameOID, serialization, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, parse_pem_chain

# Seconds. Most CAs have looked before the second question, and a host waits for one certificate after the other.
FIRST_POLL, LONGEST_POLL = 0.05, 10.0
LONGEST_CHAIN = 256 * 1024
MOST_ALTERNATES = 5


class ValidationError(IssuerError):
    """The CA looked for a challenge's answer and did not find it; ``domains``: for these names."""

    def __init__(self, message: str, domains: list[str]) -> None:
        super().__init__(
            message, remedy="compare what the CA says it saw with what it should see; it counts failed validations"
        )
        self.domains = domains


class OrderEnded(IssuerError):
    """The CA will give no certificate for this order any more."""


@dataclass(frozen=True)
class Order:
    """One order under way.

    :param thumbprint, account: of the account's key, and the account's URL.
    :param url: of the order.
    :param host: see :meth:`Solver.present`.
    :param resumed: whether an earlier run began it, and may have been killed before it took its answers away.
    """

    client: AcmeClient
    solver: Solver
    thumbprint: str
    account: str
    url: str
    host: HostStep | None
    resumed: bool = False

    def finish(self, csr: x509.CertificateSigningRequest) -> str:
        """Go through the steps that are still to be done; returns the URL of the certificate.

        :raises ValidationError, OrderEnded, AcmeError: it could not be finished.
        """
        order, _headers = self.client.order(self.url)
        if self.resumed and not self.solver.stateless:
            self.clean_leftovers(order["authorizations"])
        if order["status"] == "pending":
            self.authorize(order["authorizations"])
            order = self.await_change({"pending"})
        while order["status"] == "ready":
            order = self.finalize(order["finalize"], csr)
        if order["status"] == "processing":
            order = self.await_change({"processing"})
        if order["status"] != "valid":
            raise self.ended(order)
        if not isinstance(order.get("certificate"), str):
            raise AcmeError("the CA's answer makes no sense: a valid order without a certificate")
        return str(order["certificate"])

    def finalize(self, url: str, csr: x509.CertificateSigningRequest) -> dict[str, Any]:
        """Hand in the CSR. An answer that was lost is not asked for again: the order itself tells what has become of it."""
        der = csr.public_bytes(serialization.Encoding.DER)
        states = {"pending", "processing", "ready"}
        try:
            self.client.network.send(url, Payload({"csr": unpadded(der)}), repeat_lost=False)
        except AcmeError as error:
            # Where the request never arrived the order is still ready, and the caller hands the CSR in again.
            states.remove("ready")
            if (not error.lost and error.problem != "orderNotReady") or not self.client.network.wait(1.0):
                raise
        return self.await_change(states)

    def await_change(self, from_states: set[str]) -> dict[str, Any]:
        """Poll the order until it has left these states.

        :raises AcmeError: it stayed there until the time was over.
        """
        pause = FIRST_POLL
        while True:
            order, headers = self.client.order(self.url)
            if order["status"] not in from_states:
                return order
            self.pause(headers, pause, f"the order stays {order['status']}")
            pause = min(pause * 2, LONGEST_POLL)

    def pause(self, headers: Any, pause: float, what: str) -> None:
        """Wait as long as the CA says, or ``pause``.

        :raises AcmeError: the time is over.
        """
        said = retry_after(headers, default=None)
        if not self.client.network.wait(min(said, 60.0) if said else pause):
            raise AcmeError(
                f"the CA takes too long: {what}",
                remedy="run again: the same order is finished then; or lengthen the issuer's timeout",
            )

    def authorize(self, urls: list[str]) -> None:
        """Answer the challenges of all names that are not the account's yet."""
        challenges: dict[str, tuple[Challenge, dict[str, Any]]] = {}
        for url in urls:
            authorization, _headers = self.client.authorization(url)
            if authorization["status"] == "pending":
                challenges[url] = self.challenge_of(authorization)
            elif authorization["status"] != "valid":
                raise refused({url: authorization})
        if not challenges:
            return
        answers = [challenge for challenge, _raw in challenges.values()]
        told: set[str] = set()
        try:
            with self.client.network.paused():
                self.solver.present(answers, self.host)
            for url, (_challenge, raw) in challenges.items():
                self.answer(url, raw, told)
            failed = {url: found for url in challenges if (found := self.outcome(url))["status"] != "valid"}
        except TlsError:
            self.clean([each for url, (each, _raw) in challenges.items() if not self.may_look(url, told)], quietly=True)
            raise
        self.clean(answers, quietly=False)
        if failed:
            raise refused(failed)

    def may_look(self, url: str, told: set[str]) -> bool:
        """Whether the CA may still be looking for this answer: it then stays until a later run has seen the outcome."""
        if url not in told:
            return False
        try:
            return bool(self.client.authorization(url)[0]["status"] == "pending")
        except AcmeError:
            return True

    def clean_leftovers(self, urls: list[str]) -> None:
        """Take away the answers of names that the CA has judged by now."""
        judged = []
        for url in urls:
            # An authorization that the CA has forgotten tells no answer, and must not cost the next order.
            with contextlib.suppress(AcmeError):
                judged.append(self.client.authorization(url)[0])
        offered = [
            each for each in judged if each["status"] != "pending" and self.solver.challenge_type in types_of(each)
        ]
        answers = [self.challenge_of(each)[0] for each in offered]
        if answers:
            self.clean(answers, quietly=True)

    def clean(self, answers: list[Challenge], quietly: bool) -> None:
        """Take the answers away; what fails then fails nothing else, as they do no harm."""
        try:
            # Other orders' answers may have their turn before.
            with self.client.network.paused():
                self.solver.cleanup(answers, self.host)
        except TlsError as error:
            if not quietly:
                self.client.notes.append(f"a challenge's answer could not be taken away: {error}")

    def challenge_of(self, authorization: Mapping[str, Any]) -> tuple[Challenge, dict[str, Any]]:
        """The challenge that our solver answers, and its answer.

        :raises IssuerError: the CA offers none.
        """
        domain = shortened(authorization["identifier"].get("value"))
        offered = {str(each.get("type")): each for each in authorization["challenges"]}
        raw = offered.get(self.solver.challenge_type)
        with self.client.network.paused():
            answer = self.solver.challenge(authorization, raw, self.thumbprint, self.account) if raw else None
        if raw is None or answer is None or not isinstance(raw.get("url"), str):
            raise IssuerError(
                f"the CA offers no {self.solver.challenge_type} for {domain}, only {', '.join(sorted(offered)) or 'nothing'}",
                remedy="choose another challenge for this issuer",
            )
        return answer, raw

    def answer(self, url: str, raw: Mapping[str, Any], told: set[str]) -> None:
        """Tell the CA that it may look. It has been told before where an earlier run was killed after this.

        :param told: gets the authorization's URL where the CA heard it, or may have.
        """
        if raw.get("status", "pending") == "pending":
            try:
                self.client.network.send(str(raw["url"]), Payload({}))
            except AcmeError as error:
                if error.lost:
                    told.add(url)
                authorization, _headers = self.client.authorization(url)
                if authorization["status"] == "pending":
                    raise
        told.add(url)

    def outcome(self, url: str) -> dict[str, Any]:
        """An authorization that is no longer pending.

        :raises AcmeError: it stayed so.
        """
        pause = FIRST_POLL
        while True:
            authorization, headers = self.client.authorization(url)
            if authorization["status"] != "pending":
                return authorization
            self.pause(
                headers,
                pause,
                f"it does not look at the challenge of {shortened(authorization['identifier'].get('value'))}",
            )
            pause = min(pause * 2, LONGEST_POLL)

    def ended(self, order: Mapping[str, Any]) -> OrderEnded:
        """An order that came to nothing."""
        error = order.get("error")
        words = problem_text(error) if isinstance(error, dict) else "it does not say why"
        return OrderEnded(
            f"the order is {shortened(order['status'])}: {words}", remedy="run again: a new order is made"
        )


def types_of(authorization: Mapping[str, Any]) -> set[str]:
    """The types of an authorization's challenges; of one that is valid often only the one that was answered is left."""
    return {str(each.get("type")) for each in authorization["challenges"]}


def refused(authorizations: Mapping[str, Mapping[str, Any]]) -> ValidationError:
    """Names that the CA does not take for ours, in its own words."""
    domains, words = [], []
    for each in authorizations.values():
        domain = shortened(each["identifier"].get("value"))
        errors = [found for one in each["challenges"] if isinstance(found := one.get("error"), dict)]
        domains.append(domain)
        words.append(f"{domain}: {problem_text(errors[0]) if errors else shortened(each['status'])}")
    return ValidationError(f"the CA could not validate {'; '.join(words)}", domains)


def identifiers_of(names: Names) -> tuple[tuple[str, str], ...]:
    """What an order is for (RFC 8555, 7.1.3; RFC 8738)."""
    return (*(("dns", name) for name in names.dns_names), *(("ip", address) for address in names.ip_addresses))


def same_identifiers(order: Mapping[str, Any], names: Names) -> bool:
    """Whether an order is for these names."""
    raw = order.get("identifiers")
    found = (
        {(str(each.get("type")), normal(str(each.get("value")))) for each in raw if isinstance(each, dict)}
        if isinstance(raw, list)
        else set()
    )
    return found == set(identifiers_of(names))


def normal(value: str) -> str:
    """A name or address as we write it."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value.lower()


def download(
    client: AcmeClient, url: str, preferred: str | None, anchors: tuple[x509.Certificate, ...], now: Any
) -> tuple[x509.Certificate, ...]:
    """The chain: the preferred one where the CA has it, else the first that leads to an anchor, else the CA's own choice.

    :param preferred: common name of a root, or of whoever issued the chain's last certificate.
    :raises AcmeError: the CA gave no chain.
    """
    response = client.network.fetch(url)
    chains = [parse_chain(response.content)]
    if preferred and not leads_to(chains[0], preferred) or not trusted(chains[0], anchors, now):
        for link in alternates(response)[:MOST_ALTERNATES]:
            chains.append(parse_chain(client.network.fetch(link).content))
    good = [chain for chain in chains if trusted(chain, anchors, now)] or chains
    return next((chain for chain in good if preferred and leads_to(chain, preferred)), good[0])


def alternates(response: Any) -> list[str]:
    """Where other chains for the same certificate are (RFC 8555, 7.4.2)."""
    # The library's "links" keeps one of each relation only.
    found = response.raw.headers.getlist("Link") if response.raw is not None else []
    links = [each.partition(">")[0].strip().lstrip("<") for each in found if 'rel="alternate"' in each]
    return [link for link in links if link.startswith("https://")]


def parse_chain(content: bytes) -> tuple[x509.Certificate, ...]:
    """:raises AcmeError: no chain."""
    try:
        if len(content) <= LONGEST_CHAIN:
            return parse_pem_chain(content.decode("ascii"))
        problem = "it is too long"
    except (CertificateError, UnicodeDecodeError) as error:
        problem = shortened(error)
    raise AcmeError(
        f"the CA's answer is not a certificate chain: {problem}", remedy="run again: the same order is finished then"
    )


def trusted(chain: tuple[x509.Certificate, ...], anchors: tuple[x509.Certificate, ...], now: Any) -> bool:
    """Whether it leads to one of the anchors."""
    try:
        check_chain(chain, anchors, now)
    except CertificateError:
        return False
    return True


def leads_to(chain: tuple[x509.Certificate, ...], name: str) -> bool:
    """Whether the last certificate was issued by, or is, one with this common name."""
    last = chain[-1]
    found = [
        *last.issuer.get_attributes_for_oid(NameOID.COMMON_NAME),
        *last.subject.get_attributes_for_oid(NameOID.COMMON_NAME),
    ]
    return name in [str(each.value) for each in found]
