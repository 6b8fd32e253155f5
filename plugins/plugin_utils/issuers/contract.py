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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import Fields
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import is_own, load_provider
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import undeclared
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.containment import contained
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.permit import Permit, parse_permit
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.solver import HostStep
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import TLS_USAGES
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, fingerprint
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store

# Those of every type, which no provider gets to see.
COMMON_OPTIONS = ("type", "permit")


@dataclass(frozen=True)
class IssueRequest:
    """One certificate to be issued.

    :param request_id: names the pending key on the host; the same id is never issued twice.
    :param csr: the host's request: a proof that it has the key. Names and usages come from the fields here, which the
        controller wrote; an issuer that forwards the CSR relies on the caller having compared them.
    :param duration: seconds, None: the issuer's own.
    :param reason: why it is due, for the ledger.
    :param present: the certificate of this issuer that is to be replaced; None: there is none.
    :param key_usages: in our words; empty: the issuer chooses. Asked only of issuers that say ``says_more``.
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
    key_usages: tuple[str, ...] = ()


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
    """Where certificates come from. What only some can do is in ``abilities.py``.

    :param name: what the user calls it, the key in ``tls_issuers``.
    :param options: what the user wrote about it, less ``type``.
    :raises SpecError: (constructor) an option that is unknown or does not fit.
    """

    # Whether it issues what ``must_staple`` asks for.
    staples: ClassVar[bool] = False
    # Whether what it issues has the subject, the key usages and the usages beyond TLS that are asked for.
    says_more: ClassVar[bool] = False
    # Whether it issues certificates for clients. Public CAs do so no more.
    for_clients: bool = True
    # Whether its CA is in the store, so that a store without it is the wrong one.
    ca_in_store: ClassVar[bool] = False

    # Which hosts may have what of it; None: all hosts everything. Set by whoever loads it.
    permit: Permit | None = None

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

    def authorities(self) -> dict[str, x509.Certificate]:
        """The CA certificates the controller knows, by their ids; anchors among them. No secret."""
        return {fingerprint(anchor): anchor for anchor in self.trust()}

    def anchors(self) -> tuple[x509.Certificate, ...]:
        """Those of :meth:`trust` that hosts have to be given: not those that every system has of its own."""
        return self.trust()

    def refuse(self, wish: CertificateSpec, groups: Collection[str]) -> None:
        """Refuse what a host of these groups can never have of it, before anything is touched.

        :raises SpecError: its rules do not permit it, or see :meth:`check`.
        """
        if self.permit:
            self.permit.refuse(wish, self.lifetime, groups)
        self.check(wish)

    def check(self, wish: CertificateSpec) -> None:
        """Refuse what this issuer can never issue, before anything is touched.

        :raises SpecError: why, without the certificate's name.
        """
        if wish.must_staple and not self.staples:
            raise SpecError(
                f"issuer '{self.name}' makes no certificates that must be stapled", remedy="leave must_staple out"
            )
        beyond = [] if self.says_more else said_beyond_tls(wish)
        if beyond:
            raise SpecError(
                f"issuer '{self.name}' decides by itself what its certificates say ({', '.join(beyond)})",
                remedy="leave it out, or ask an issuer of the type ca or command",
            )


def said_beyond_tls(wish: CertificateSpec) -> list[str]:
    """What a wish asks for that public CAs, and PKI engines with roles, do not let a host choose, in words."""
    found = ["subject"] if wish.names.subject else []
    found += ["key_usages"] if wish.key_usages else []
    return found + [f"usages: {usage}" for usage in wish.usages if usage not in TLS_USAGES]


def load_issuers(raw: Any, store: Store) -> dict[str, Issuer]:
    """``tls_issuers`` as issuers by their names.

    :raises SpecError: not a mapping, an entry without type, or what the issuer itself refuses.
    """
    if not isinstance(raw, Mapping):
        raise SpecError("issuers must be a mapping", remedy="write issuers: {internal: {type: ca}}")
    return {str(name): load_issuer(str(name), options, store) for name, options in raw.items()}


def load_issuer(name: str, options: Any, store: Store) -> Issuer:
    """One entry of ``tls_issuers``; errors as :func:`load_issuers`."""
    if not isinstance(options, Mapping) or not options.get("type"):
        raise SpecError(f"issuer '{name}' has no type", remedy=f"write {name}: {{type: ca}}")
    rest = {key: value for key, value in options.items() if key not in COMMON_OPTIONS}
    provider = load_provider("issuer", options["type"])
    refuse_no_issuer(provider, str(options["type"]))
    made: Issuer = (provider if is_own(options["type"]) else contained(provider, Issuer))(name, rest, store)
    made.permit = parse_permit(name, options.get("permit"))
    return made


def refuse_no_issuer(provider: Any, kind: str) -> None:
    """:raises SpecError: what a module provides is no issuer, or half of one."""
    problem = None
    if not (isinstance(provider, type) and issubclass(provider, Issuer)):
        problem = "its PROVIDER is not an Issuer"
    elif inspect.isabstract(provider):
        problem = f"it lacks {', '.join(sorted(provider.__abstractmethods__))}"
    else:
        problem = undeclared(provider)
    if problem:
        raise SpecError(
            f"'{kind}' is not a valid issuer type: {problem}", remedy="see docs/issuers/own.md of fleet.tls"
        )
