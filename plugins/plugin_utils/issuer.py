# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of an issuer, and loading the configured ones.

An issuer is asked for what is due and nothing else. What it needs no secret for (``trust``, ``lifetime``) must work
without one: a run with nothing due reads no CA key and sends nothing to a CA.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.providers import load_provider
from ansible_collections.fleet.tls.plugins.plugin_utils.store import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.x509 import Names, fingerprint


@dataclass(frozen=True)
class IssueRequest:
    """One certificate to be issued.

    :param request_id: names the pending key on the host; the same id is never issued twice.
    :param csr: the host's request: a proof that it has the key. Names and usages come from the fields here, which the
        controller wrote; an issuer that forwards the CSR relies on the caller having compared them.
    :param duration: seconds, None: the issuer's own.
    :param reason: why it is due, for the ledger.
    """

    request_id: str
    host: str
    certificate: str
    csr: x509.CertificateSigningRequest
    names: Names
    usages: tuple[str, ...]
    duration: int | None
    reason: str


@dataclass(frozen=True)
class Issued:
    """What came of a request: leaf first, no root. ``reused``: it had been issued before for the same request id."""

    chain: tuple[x509.Certificate, ...]
    reused: bool = False


class Issuer(ABC):
    """Where certificates come from.

    :param name: what the user calls it, the key in ``tls_issuers``.
    :param options: what the user wrote about it, less ``type``.
    :raises SpecError: (constructor) an option that is unknown or does not fit.
    """

    # Whether what the ledger has as revoked comes into its CRLs.
    keeps_crls: ClassVar[bool] = False

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
    return load_provider("issuer", options["type"])(name, rest, store)
