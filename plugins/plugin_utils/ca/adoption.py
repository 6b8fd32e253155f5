# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA that exists taken into the store: its certificates, its keys, what it has revoked.

All of it is read and checked before anything is written, and ``ca.json`` is written last: a run that is killed has adopted nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import make_crl, signs_crls
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.given import GivenAuthority, GivenCa, own_certificate
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.index_txt import RevokedRow
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.keeper import Keeper
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import CaState, number_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import Authority
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.ca_fitness import (
    may_have_cas_below,
    refuse_no_ca,
    refuse_no_root,
    refuse_not_below,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, is_issued_by, subject_text


@dataclass(frozen=True)
class FoundAuthority:
    """A CA as it was read and found to be fit; its key is never part of a repr."""

    certificate: x509.Certificate
    private_key: Any | None = field(repr=False)
    crl: x509.CertificateRevocationList | None
    revoked: tuple[RevokedRow, ...]


@dataclass(frozen=True)
class FoundCa:
    """What the user brings. ``issuing`` None: one is made, asked for, or the root issues by itself."""

    root: FoundAuthority
    issuing: FoundAuthority | None
    single_tier: bool


@dataclass(frozen=True)
class CaAdoption:
    """What takes the CA that the user brings into the store."""

    ca: Keeper
    given: GivenCa

    def find(self, now: dt.datetime) -> FoundCa:
        """Read and check it.

        :raises TlsError: it cannot be read, or is not fit.
        """
        root = found_authority(self.given.root, now)
        refuse_no_root(root.certificate, self.given.root.what)
        issuing = self.find_issuing(root, now)
        single_tier = self.given.single_tier or (issuing is None and not may_have_cas_below(root.certificate))
        if single_tier and root.private_key is None:
            raise CertificateError(
                f"{self.given.root.what}: '{subject_text(root.certificate)}' can only issue by itself, and its key is not given",
                remedy="give its key, or a root that may have a CA below it",
            )
        return FoundCa(root, issuing, single_tier)

    def find_issuing(self, root: FoundAuthority, now: dt.datetime) -> FoundAuthority | None:
        """The issuing CA; None: none is there to be adopted. Errors as :meth:`find`."""
        given = self.given.issuing
        if given is None:
            return None
        # Where the root's key is elsewhere, it may be the place where a certificate is to come.
        if not given.brings_key and root.private_key is None and (not given.is_there() or self.is_ours(given)):
            return None
        issuing = found_authority(given, now)
        if issuing.private_key is None:
            waits = " or, to have a CSR made for one, take the file away" if root.private_key is None else ""
            raise CertificateError(
                f"{given.what}: there is no key of '{subject_text(issuing.certificate)}'",
                remedy=f"give its key{waits}; nothing was changed",
            )
        refuse_not_below(issuing.certificate, root.certificate, given.what)
        return issuing

    def is_ours(self, given: GivenAuthority) -> bool:
        """Whether all that lies there is in the store: answers to earlier CSRs, maybe with their root."""
        state = self.ca.state()
        known = self.ca.issuing_authorities(state).values() if state else ()
        there = [each for each in given.read().certificates if not is_issued_by(each, each)]
        return {fingerprint(each) for each in there} <= {fingerprint(each) for each in known}

    def describe(self, now: dt.datetime) -> str:
        """What would be adopted, in words; errors as :meth:`find`."""
        found = self.find(now)
        root = f"the root '{subject_text(found.root.certificate)}'"
        if found.issuing:
            return f"{root} and the issuing CA '{subject_text(found.issuing.certificate)}' are adopted"
        if found.single_tier:
            return f"{root} is adopted, and issues by itself"
        if found.root.private_key is None:
            return f"{root} is adopted without its key, and a key and a CSR are made for an issuing CA"
        return f"{root} is adopted, and an issuing CA is made"

    def is_known(self, state: CaState) -> bool:
        """Whether the store has the root that the inventory names. One that was adopted may be named though its file is gone.

        What a run that was killed has left of the next root does not count.

        :raises TlsError: the root that is named cannot be read.
        """
        if not self.given.root.is_there() and self.given.root.note in state.adopted.values():
            return True
        named = fingerprint(self.given.root_certificate())
        highest = max(number_of(each) for each in (state.root, *state.trusted))
        names = (f"root-{number}" for number in range(1, highest + 1))
        present = [each for each in names if self.ca.store.get(self.ca.entry(f"{each}.pem")) is not None]
        return any(fingerprint(self.ca.certificate(each)) == named for each in present)

    def take(self, found: FoundCa, root_id: str, issuing_id: str, now: dt.datetime) -> str | None:
        """Write all of it; the caller holds the CA's lock, and writes ``ca.json``.

        :returns: what issues from now on; None: its certificate is to be asked for.
        """
        self.keep(root_id, found.root, now, issues=found.single_tier)
        if found.issuing:
            self.keep(issuing_id, found.issuing, now, issues=True)
            return issuing_id
        if found.single_tier:
            return root_id
        if found.root.private_key is None:
            return None
        issuing = self.ca.new_issuing(issuing_id, root_id, self.ca.authority(root_id), now)
        self.ca.keep(issuing_id, issuing)
        self.ca.crl_keeper.sign(issuing_id, issuing, now)
        return issuing_id

    def keep(self, authority_id: str, found: FoundAuthority, now: dt.datetime, *, issues: bool) -> None:
        """One of the two, with what it has revoked; ``issues``: certificates of hosts."""
        crls = self.ca.crl_keeper
        if found.private_key is None:
            self.ca.keep_certificate(authority_id, found.certificate)
        else:
            self.ca.keep(authority_id, Authority(found.certificate, found.private_key))
        if found.crl is not None:
            crls.keep(authority_id, found.crl)
        if found.private_key is not None and signs_crls(found.certificate):
            authority = Authority(found.certificate, found.private_key)
            rows = [each for each in found.revoked if each.end > now]
            entries = [each.entry() for each in rows]
            noted = make_crl(authority, entries, number=0, now=now, lifetime=dt.timedelta(days=1))
            crls.sign(authority_id, authority, now, also=[noted], issues=issues)


def found_authority(given: GivenAuthority, now: dt.datetime) -> FoundAuthority:
    """One of the two, read and found to be a CA whose key is its own.

    :raises TlsError: it cannot be read, or is not fit.
    """
    handed_over = given.read()
    certificate = own_certificate(handed_over, given.what)
    refuse_no_ca(certificate, given.what, now)
    revoked = given.read_index()
    if revoked and (handed_over.private_key is None or not signs_crls(certificate)):
        raise CertificateError(
            f"{given.what}: what its index has as revoked cannot be listed without"
            f" {'its key' if handed_over.private_key is None else 'cRLSign in its key usage'}",
            remedy="leave index out, and give its current CRL",
        )
    return FoundAuthority(certificate, handed_over.private_key, given.read_crl(certificate), revoked)
