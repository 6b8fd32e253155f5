# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of an issuer, and loading the configured ones.

An issuer is asked for what is due and nothing else. What it needs no secret for (``trust``, ``lifetime``) must work
without one: a run with nothing due reads no CA key and sends nothing to a CA.
"""

from __future__ import annotations

import datetime as dt
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import Deferred, IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import is_own, load_provider
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.containment import contained
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import HostStep
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, fingerprint
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.plugin_utils.ca.rollover import CaRollover


@dataclass(frozen=True)
class IssueRequest:
    """One certificate to be issued.

    :param request_id: names the pending key on the host; the same id is never issued twice.
    :param csr: the host's request: a proof that it has the key. Names and usages come from the fields here, which the
        controller wrote; an issuer that forwards the CSR relies on the caller having compared them.
    :param duration: seconds, None: the issuer's own.
    :param reason: why it is due, for the ledger.
    :param present: the certificate of this issuer that is to be replaced; None: there is none.
    :param host_step: runs step ``challenge`` of docs/host-protocol.md on the host; None: there is no host.
    """

    request_id: str
    host: str
    certificate: str
    csr: x509.CertificateSigningRequest
    names: Names
    usages: tuple[str, ...]
    duration: int | None
    reason: str
    present: x509.Certificate | None = None
    host_step: HostStep | None = None


@dataclass(frozen=True)
class Issued:
    """What came of a request: leaf first, no root. ``reused``: it had been issued before for the same request id.

    :param notes: what deserves a look though the certificate is there, in words.
    :param private_key: PEM (PKCS#8, not encrypted) where the certificate comes with a key of its own; None: it is for the key of
        the request. It is never part of a repr.
    """

    chain: tuple[x509.Certificate, ...]
    reused: bool = False
    notes: tuple[str, ...] = ()
    private_key: str | None = field(default=None, repr=False)


class Issuer(ABC):
    """Where certificates come from.

    :param name: what the user calls it, the key in ``tls_issuers``.
    :param options: what the user wrote about it, less ``type``.
    :raises SpecError: (constructor) an option that is unknown or does not fit.
    """

    # Whether it issues what ``must_staple`` asks for.
    staples: ClassVar[bool] = False
    # Whether what the ledger has as revoked comes into its CRLs.
    keeps_crls: ClassVar[bool] = False
    # Whether its CA is in the store, so that a store without it is the wrong one.
    ca_in_store: ClassVar[bool] = False
    # Whether it hands out what others have made: such a certificate may have more names than the wanted ones, and a key of any kind.
    ready_made: ClassVar[bool] = False

    def __init__(self, name: str, options: Mapping[str, Any], store: Store) -> None:
        self.name = name
        self.store = store
        self.fields = Fields(options, self.option_names(), f"issuer '{name}'")

    @classmethod
    @abstractmethod
    def option_names(cls) -> tuple[str, ...]:
        """The options it takes besides ``type``."""

    @property
    @abstractmethod
    def lifetime(self) -> int | None:
        """Seconds a certificate of it lives by default; None: only the CA knows."""

    @abstractmethod
    def trust(self) -> tuple[x509.Certificate, ...]:
        """The anchors its chains lead to; empty where there are none yet. Needs no secret.

        :raises TlsError: they cannot be read.
        """

    @abstractmethod
    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        """One result a request, in their order; an error of one does not cost the others.

        :raises TlsError: none of them can be issued.
        """

    def unprepared(self, now: dt.datetime) -> str | None:
        """What has to be made before anything can be issued (a CA, an account), in words; None: nothing. No secret."""
        return None

    def waits_for(self, now: dt.datetime) -> str | None:
        """What has to be made soon and cannot be made without the user, in words; None: nothing. No secret."""
        return None

    def prepare(self, now: dt.datetime) -> None:
        """Make it. Issuing does so too; to do it ahead lets trust be distributed before the first certificate.

        :raises TlsError: it cannot be made.
        """
        return None

    def authorities(self) -> dict[str, x509.Certificate]:
        """The CA certificates the controller knows, by their ids; anchors among them. No secret."""
        return {fingerprint(anchor): anchor for anchor in self.trust()}

    def superseded(self, chain: Sequence[x509.Certificate]) -> str | None:
        """Why a chain of it is to be replaced though it is trusted (its CA was rolled over), in words; None: it is not."""
        return None

    def rollover(self) -> CaRollover:
        """What replaces its CA in stages.

        :raises SpecError: the CA is not ours to replace: the default.
        """
        raise SpecError(
            f"issuer '{self.name}' has no CA in the store that could be replaced", remedy="name an issuer of type ca"
        )

    def anchors(self) -> tuple[x509.Certificate, ...]:
        """Those of :meth:`trust` that hosts have to be given: not those that every system has of its own."""
        return self.trust()

    def thumbprints(self) -> tuple[str, ...]:
        """ACME account keys (RFC 7638) whose http-01 challenges the fleet's servers are to answer. No secret."""
        return ()

    def check(self, wish: CertificateSpec) -> None:
        """Refuse what this issuer can never issue, before anything is touched.

        :raises SpecError: why, without the certificate's name.
        """
        if wish.must_staple and not self.staples:
            raise SpecError(
                f"issuer '{self.name}' makes no certificates that must be stapled", remedy="leave must_staple out"
            )

    def forecast(
        self, host: str, wish: CertificateSpec, present: x509.Certificate | None, now: dt.datetime
    ) -> Deferred | None:
        """Why a due certificate would have to wait for a later run, None: it would not. For check mode; no secret.

        In a run that issues, :class:`Deferred` is what :meth:`issue` answers then.
        """
        return None

    def crl_authorities(self, now: dt.datetime) -> tuple[x509.Certificate, ...]:
        """The CAs whose certificates may be in use: who checks revocation needs a CRL of each. No secret."""
        return tuple(each for each in self.authorities().values() if each.not_valid_after_utc > now)

    def crls(self, now: dt.datetime, *, renew: bool = True) -> tuple[x509.CertificateRevocationList, ...]:
        """What the CAs have revoked, a CRL each. An issuer that keeps none has none: the default.

        Nothing due needs no secret. What is due and cannot be signed (a key kept elsewhere, no passphrase) comes as it is, or not at
        all, and :meth:`waits_for` tells of it: who depends on a CRL has to look whether it counts.

        :param renew: sign anew what is due; without it (check mode) the store is only read.
        :raises TlsError: they cannot be read or signed.
        """
        return ()

    def crls_due(self, now: dt.datetime) -> str | None:
        """Which CRLs :meth:`crls` would sign anew, and why, in words; None: none. No secret."""
        return None

    def successor(
        self, certificate: str, host: str, leaf: x509.Certificate, now: dt.datetime, *, record: bool
    ) -> x509.Certificate | None:
        """What lies ready to take the place of ``leaf`` (``ready_made`` issuers only); None: nothing newer. No secret of the store.

        :param certificate: the name of the certificate, whose ``leaf`` the host has.
        :param record: whether what was seen may be noted in the store, which a run in check mode must not do.
        :raises TlsError: nobody can tell at the moment.
        """
        return None

    def revoke(self, leaf: x509.Certificate, reason: str, now: dt.datetime) -> None:
        """Have a certificate of this issuer revoked by its CA.

        :param reason: in the words of RFC 5280, 5.3.1, such as ``keyCompromise``.
        :raises IssuerError: it was not revoked: the default, where there is no way to.
        """
        raise IssuerError(
            f"issuer '{self.name}' has no way to revoke a certificate", remedy="revoke it where it was issued"
        )

    def advice(self, leaf: x509.Certificate, now: dt.datetime) -> dt.datetime | None:
        """When the issuer wants ``leaf`` renewed (ARI, RFC 9773). Most issuers have no opinion: None."""
        return None


def load_issuers(raw: Any, store: Store) -> dict[str, Issuer]:
    """``tls_issuers`` as issuers by their names.

    :raises SpecError: not a mapping, an entry without type, or what the issuer itself refuses.
    """
    if not isinstance(raw, Mapping):
        raise SpecError("issuers has to be a mapping", remedy="write issuers: {internal: {type: ca}}")
    return {str(name): load_issuer(str(name), options, store) for name, options in raw.items()}


def load_issuer(name: str, options: Any, store: Store) -> Issuer:
    """One entry of ``tls_issuers``; errors as :func:`load_issuers`."""
    if not isinstance(options, Mapping) or not options.get("type"):
        raise SpecError(f"issuer '{name}' has no type", remedy=f"write {name}: {{type: ca}}")
    rest = {key: value for key, value in options.items() if key != "type"}
    provider = load_provider("issuer", options["type"])
    refuse_no_issuer(provider, str(options["type"]))
    made: Issuer = (provider if is_own(options["type"]) else contained(provider, Issuer))(name, rest, store)
    return made


def refuse_no_issuer(provider: Any, kind: str) -> None:
    """:raises SpecError: what a module provides is no issuer, or half of one."""
    problem = None
    if not (isinstance(provider, type) and issubclass(provider, Issuer)):
        problem = "its PROVIDER is no Issuer"
    elif inspect.isabstract(provider):
        problem = f"it lacks {', '.join(sorted(provider.__abstractmethods__))}"
    if problem:
        raise SpecError(f"'{kind}' is no issuer type: {problem}", remedy="see docs/issuers/own.md of fleet.tls")
