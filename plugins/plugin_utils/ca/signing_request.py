# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CSR of an issuing CA whose root has its key elsewhere: made, kept until it is answered, and the answer checked.

In the store, for an issuer named ``internal``::

    ca/internal/issuing-2.key     made for the CSR, sealed
    ca/internal/issuing-2.csr     PEM; ``ca.json`` says that it waits
    ca/internal/issuing-2.pem     the answer, once it was found to be fit
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import duration_text
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, StoreError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.given import GivenCa
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.keeper import Keeper
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import CaState
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import Authority, make_authority_csr
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.ca_fitness import refuse_no_ca, refuse_not_below
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.ca_profile import same_constraints
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import NameOID, serialization, x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    extension_of,
    fingerprint,
    is_issued_by,
    iso,
    key_id,
    subject_text,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import BACKUP


@dataclass(frozen=True)
class SigningRequest:
    """What is asked of a root whose key is elsewhere."""

    ca: Keeper
    given: GivenCa

    def text(self, state: CaState) -> str:
        """The CSR that waits, PEM; empty: none does."""
        return to_pem(self.csr(state.waiting[1])) if state.waiting else ""

    def due(self, state: CaState, now: dt.datetime, *, may_wait: bool) -> str | None:
        """What a run would do about the next issuing CA of the present root, in words; None: nothing.

        :param may_wait: the present one serves still, so that an unfit answer is no error.
        :raises TlsError: the answer is not fit.
        """
        if self.given.sign:
            return "OpenBao signs the next one"
        if state.waiting is None or state.waiting[0] != state.root:
            return "a key and a CSR for the next one are made"
        problem = self.problem(state, now) if may_wait else None
        answer = None if problem else self.answer(state, now)
        return f"the certificate for {state.waiting[1]}.csr is there, and is taken" if answer else None

    def problem(self, state: CaState, now: dt.datetime) -> str | None:
        """What is wrong with the answer, in words; None: nothing, or there is none."""
        try:
            self.answer(state, now)
        except TlsError as error:
            return str(error)
        return None

    def csr(self, issuing_id: str) -> x509.CertificateSigningRequest:
        """:raises StoreError: it is missing or damaged."""
        entry = self.ca.store.get(self.ca.entry(f"{issuing_id}.csr"))
        try:
            return x509.load_pem_x509_csr(entry.value if entry else b"")
        except ValueError as error:
            raise StoreError(
                f"'{self.ca.entry(issuing_id)}.csr' in {self.ca.store.describe()} is missing or damaged", remedy=BACKUP
            ) from error

    def ask(self, state: CaState, root_id: str, now: dt.datetime) -> CaState:
        """Make a key and a CSR; one that waits for the same root stays. The caller holds the CA's lock."""
        if state.waiting and state.waiting[0] == root_id:
            return state
        issuing_id = f"issuing-{state.made + 1}"
        key = self.ca.new_key(issuing_id, self.ca.algorithm_below(root_id))
        self.ca.keep_key(issuing_id, key)
        entry = self.ca.entry(f"{issuing_id}.csr")
        csr = make_authority_csr(self.ca.issuing_name(root_id, now), key, self.ca.profile)
        self.ca.store.put(entry, to_pem(csr).encode(), expect=self.ca.store.version(entry))
        asking = state.asking(root_id, issuing_id)
        self.ca.keep_state(asking)
        return asking

    def take(self, state: CaState, now: dt.datetime) -> str | None:
        """Keep the answer to the CSR that waits, with a first CRL. The caller holds the CA's lock, and writes ``ca.json``.

        :returns: which issuing CA it is; None: there is no answer yet.
        :raises TlsError: the answer is not fit, or the root's keeper does not sign.
        """
        if state.waiting is None:
            return None
        root_id, issuing_id = state.waiting
        answer = self.answer(state, now)
        if answer is None and self.given.sign:
            root = self.ca.certificate(root_id)
            answer = self.given.sign(self.csr(issuing_id), root, self.ca.issuing_duration, now)
            self.refuse_unfit(answer, issuing_id, root_id, "what OpenBao signed", now)
        if answer is None:
            return None
        self.ca.keep_certificate(issuing_id, answer)
        authority = Authority(answer, self.ca.private_key(issuing_id))
        self.ca.crl_keeper.sign(issuing_id, authority, now)
        return issuing_id

    def answer(self, state: CaState, now: dt.datetime) -> x509.Certificate | None:
        """The certificate for the CSR that waits, where it lies as the inventory says; None: it does not yet. No secret.

        :raises TlsError: what lies there is for another key, or not fit.
        """
        given = self.given.issuing
        if given is None or state.waiting is None or not given.is_there():
            return None
        root_id, issuing_id = state.waiting
        wanted = key_id(self.csr(issuing_id).public_key())
        # The last answer goes on lying where the next one comes.
        known = {fingerprint(each) for each in self.ca.issuing_authorities(state).values()}
        new = [
            each
            for each in given.read().certificates
            if fingerprint(each) not in known and not is_issued_by(each, each)
        ]
        answers = [each for each in new if key_id(each.public_key()) == wanted]
        if new and not answers:
            raise CertificateError(
                f"{given.what}: '{subject_text(new[0])}' is for another key than the CSR {issuing_id}.csr",
                remedy=f"have {self.place(issuing_id)} signed, and put what comes of it to {given.place(given.certificate)}",
            )
        if not answers:
            return None
        newest = max(answers, key=lambda each: each.not_valid_after_utc)
        self.refuse_unfit(newest, issuing_id, root_id, given.what, now)
        return newest

    def refuse_unfit(
        self, certificate: x509.Certificate, issuing_id: str, root_id: str, what: str, now: dt.datetime
    ) -> None:
        """:raises CertificateError: a certificate does not answer the CSR: its key, its name, or what it may do."""
        csr = self.csr(issuing_id)
        if key_id(certificate.public_key()) != key_id(csr.public_key()):
            raise CertificateError(
                f"{what}: '{subject_text(certificate)}' is for another key than the CSR {issuing_id}.csr"
            )
        refuse_no_ca(certificate, what, now)
        refuse_not_below(certificate, self.ca.certificate(root_id), what)
        wanted = extension_of(csr, x509.NameConstraints)
        if wanted is not None and not same_constraints(wanted, extension_of(certificate, x509.NameConstraints)):
            raise CertificateError(
                f"{what}: '{subject_text(certificate)}' has other name constraints than the CSR asks for",
                remedy="have it signed with those of the CSR (openssl x509 -copy_extensions copy), or change name_constraints"
                f" of tls_issuers.{self.ca.name}",
            )
        names = [each.subject.get_attributes_for_oid(NameOID.COMMON_NAME) for each in (certificate, csr)]
        if [each.value for each in names[0]] != [each.value for each in names[1]]:
            raise CertificateError(
                f"{what}: '{subject_text(certificate)}' has another common name than the CSR, '{csr.subject.rfc4514_string()}'",
                remedy="have it signed with the name that the CSR asks for; other parts may be added",
            )
        if now + dt.timedelta(seconds=self.ca.duration) > certificate.not_valid_after_utc:
            raise CertificateError(
                f"{what}: '{subject_text(certificate)}' expires on {iso(certificate.not_valid_after_utc)}, before a"
                f" certificate of {duration_text(self.ca.duration)} would",
                remedy="have it signed for longer, or shorten the issuer's duration",
            )

    def message(self, state: CaState, now: dt.datetime) -> tuple[str, str]:
        """What waits for whom, and what is to be done."""
        root_id, issuing_id = state.waiting or ("", "")
        root = subject_text(self.ca.certificate(root_id))
        until = "until then it issues nothing"
        if state.issuing:
            until = f"the present issuing CA expires on {iso(self.ca.certificate(state.issuing).not_valid_after_utc)}"
        given = self.given.issuing
        where = (
            f"put the certificate to {given.place(given.certificate)}"
            if given
            else (f"name the certificate as tls_issuers.{self.ca.name}.issuing.certificate")
        )
        signer = (
            "the next run of fleet.tls.deploy has it signed"
            if self.given.sign
            else (f"have {self.place(issuing_id)} signed by it, {where}, and run fleet.tls.deploy")
        )
        return f"the CA '{self.ca.name}' waits for the signature of '{root}' under {issuing_id}.csr; {until}", signer

    def place(self, issuing_id: str) -> str:
        """Where the CSR is."""
        return f"{self.ca.entry(issuing_id)}.csr of {self.ca.store.describe()}"


def to_pem(csr: x509.CertificateSigningRequest) -> str:
    """PEM text with a final newline."""
    return csr.public_bytes(serialization.Encoding.PEM).decode()
