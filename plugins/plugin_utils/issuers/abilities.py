# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an issuer may be able to do besides issuing. Who wants it done asks ``isinstance``; an issuer inherits what it can do."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import Deferred
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.upkeep import keep_up

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CaRollover


@dataclass(frozen=True)
class SignatureWanted:
    """A CSR that somebody else has to sign.

    :param csr: PEM.
    :param message, remedy: what waits for whom, and what is to be done.
    """

    csr: str
    message: str
    remedy: str


class CanPrepare(ABC):
    """Something has to be made before the first certificate: a CA, an account. No method but :meth:`prepare` needs a secret."""

    @abstractmethod
    def unprepared(self, now: dt.datetime) -> str | None:
        """What has to be made before anything can be issued, in words; None: nothing."""

    @abstractmethod
    def prepare(self, now: dt.datetime) -> None:
        """Make it. Issuing does so too; to do it ahead lets trust be distributed before the first certificate.

        :raises TlsError: it cannot be made.
        """

    def waits_for(self, now: dt.datetime) -> str | None:
        """What has to be made soon and cannot be made without the user, in words; None: nothing."""
        return None

    def signature_wanted(self, now: dt.datetime) -> SignatureWanted | None:
        """The CSR of a CA that waits for a signature; None: none does. No secret.

        :raises TlsError: it cannot be read.
        """
        return None


class AdvisesRenewal(ABC):
    """Its CA says when a certificate is to be renewed (ARI, RFC 9773)."""

    @abstractmethod
    def advice(self, leaf: x509.Certificate, now: dt.datetime) -> dt.datetime | None:
        """The moment for ``leaf``, None: it has no opinion. Asked in every run; no secret."""


class ForeseesDeferral(ABC):
    """It may leave a request for a later run (:class:`Deferred`), and can tell before."""

    @abstractmethod
    def forecast(
        self, host: str, wish: CertificateSpec, present: x509.Certificate | None, now: dt.datetime
    ) -> Deferred | None:
        """Why a due certificate would have to wait for a later run, None: it would not. For check mode; no secret."""


class AnswersChallenges(ABC):
    """The fleet's servers answer its ACME challenges by themselves."""

    @abstractmethod
    def thumbprints(self) -> tuple[str, ...]:
        """Account keys (RFC 7638) whose http-01 challenges they are to answer. No secret."""


class HandsOutReadyMade(ABC):
    """It hands out what others have made: such a certificate may have more names than the wanted ones, and a key of any kind."""

    @abstractmethod
    def successor(
        self, certificate: str, host: str, leaf: x509.Certificate, now: dt.datetime, *, record: bool
    ) -> x509.Certificate | None:
        """What lies ready to take the place of ``leaf``; None: nothing newer. Asked in every run; no secret of the store.

        :param certificate: the name of the certificate, whose ``leaf`` the host has.
        :param record: whether what was seen may be noted in the store, which a run in check mode must not do.
        :raises TlsError: nobody can tell at the moment.
        """


class CanRevoke(ABC):
    """Its CA can be told to revoke."""

    @abstractmethod
    def revoke(self, leaf: x509.Certificate, reason: str, now: dt.datetime) -> None:
        """Have a certificate of this issuer revoked by its CA.

        :param reason: in the words of RFC 5280, 5.3.1, such as ``keyCompromise``.
        :raises IssuerError: it was not revoked.
        """


class KeepsCrls(ABC):
    """What the ledger has as revoked comes into its CRLs."""

    @abstractmethod
    def crl_authorities(self, now: dt.datetime) -> tuple[x509.Certificate, ...]:
        """The CAs whose certificates may be in use: who checks revocation needs a CRL of each. No secret."""

    @abstractmethod
    def crls(self, now: dt.datetime, *, renew: bool = True) -> tuple[x509.CertificateRevocationList, ...]:
        """What the CAs have revoked, a CRL each.

        Nothing due needs no secret. What is due and cannot be signed (a key kept elsewhere, no passphrase) comes as it is, or not at
        all, and :meth:`CanPrepare.waits_for` tells of it: who depends on a CRL has to look whether it counts.

        :param renew: sign anew what is due; without it (check mode) the store is only read.
        :raises TlsError: they cannot be read or signed.
        """

    @abstractmethod
    def crls_due(self, now: dt.datetime) -> str | None:
        """Which CRLs :meth:`crls` would sign anew, and why, in words; None: none. No secret."""

    def take_over_crls(self, seen: Sequence[x509.CertificateRevocationList], now: dt.datetime) -> tuple[str, ...]:
        """Let :meth:`crls` list what CRLs of its own CAs on hosts list: they may be newer than the store.

        :param seen: what hosts have; only what a CA of this issuer has signed counts.
        :returns: what was done about which, in words.
        :raises TlsError: it cannot be signed.
        """
        return ()

    def recording(self) -> AbstractContextManager[None]:
        """Around the recording of revocations in the ledger, which :meth:`crls` are to list from then on."""
        return nullcontext()

    def ledger_lost(self) -> str | None:
        """That it has issued, and the ledger does not know of it any more, in words; None: it does. No secret."""
        return None


class LetsFetch(ABC):
    """What it issues says where its CRLs and CA certificates are, so somebody has to publish them by plain http."""

    @abstractmethod
    def fetched(self, now: dt.datetime) -> Mapping[str, bytes | None]:
        """Name of a file → its content, DER; None: it was published once, and is of no use any more. No secret.

        :raises TlsError: they cannot be read.
        """


class CanRollOver(ABC):
    """Its CA is in the store, and can be replaced in stages. ``name``: the issuer's."""

    name: str

    @abstractmethod
    def superseded(self, chain: Sequence[x509.Certificate]) -> str | None:
        """Why a chain of it is to be replaced though it is trusted (its CA was rolled over), in words; None: it is not."""

    @abstractmethod
    def rollover(self) -> CaRollover:
        """What replaces its CA."""


class HasAccount(ABC):
    """It has an account with its CA, with a key that can be replaced."""

    def account_key_begun(self) -> bool:
        """Whether a killed run has begun to give the account a new key, and has not finished it.

        :raises TlsError: the store does not say.
        """
        return False

    @abstractmethod
    def renew_account_key(self) -> str:
        """Give the account a new key; what a killed run has begun is finished. What was done, in words.

        :raises TlsError: the CA or the store does not let it.
        """

    @abstractmethod
    def renew_account(self) -> str:
        """Have another account with another key, and forget the present one. What was done, in words.

        :raises TlsError: the CA or the store does not let it.
        """


class SealsKeys(ABC):
    """It keeps long-lived private keys in the store."""

    @abstractmethod
    def sealed_keys(self) -> tuple[str, ...]:
        """Their entries, whether they are there or not. No secret.

        :raises TlsError: they cannot be told.
        """

    def key_places(self) -> Mapping[str, str | None]:
        """Id of an authority → where its key is: ``store``, or what has it and what finds it there. None: elsewhere, or unknown. No secret."""
        return {}


ABILITIES: tuple[type, ...] = (
    CanPrepare, AdvisesRenewal, ForeseesDeferral, AnswersChallenges, HandsOutReadyMade, CanRevoke, KeepsCrls, LetsFetch, CanRollOver, HasAccount, SealsKeys,
)  # fmt: skip


def abilities_of(provider: type) -> tuple[type, ...]:
    """What a class of issuers can do."""
    return tuple(each for each in ABILITIES if issubclass(provider, each))


def undeclared(provider: type) -> str | None:
    """A method of an ability that the class has without the ability: nobody would ever ask for it. In words; None: there is none."""
    for ability in ABILITIES:
        for name in sorted(ability.__abstractmethods__):  # type: ignore[attr-defined]
            if hasattr(provider, name) and not issubclass(provider, ability):
                return f"it has {name}() without being of class {ability.__name__}"
    return None


def waiting(issuers: Iterable[object], now: dt.datetime) -> tuple[str, ...]:
    """What has to be made soon and waits for the user, of all of them."""
    texts = (issuer.waits_for(now) for issuer in issuers if isinstance(issuer, CanPrepare))
    return tuple(text for text in texts if text)


def kept_up(store: Store, issuers: Iterable[object], *, check_mode: bool) -> tuple[str, ...]:
    """Their keys sealed as they are to be now, see ``store/upkeep.py``; warnings about the passphrase."""
    keys = (key for issuer in issuers if isinstance(issuer, SealsKeys) for key in issuer.sealed_keys())
    return keep_up(store, keys, check_mode=check_mode)
