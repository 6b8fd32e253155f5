# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cross-certificates: at a rollover the old root signs the new one, for clients outside the inventory that know the old one alone.

In the store, for an issuer named ``internal``::

    ca/internal/root-2-by-root-1.pem

Servers send it behind the issuing CA, as long as the option is set and the old root lives. Clients that know the new root do not need it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import RotationError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.keeper import Keeper
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.state import number_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_cross
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.certificate_facts import facts_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import certificate_key_id, subject_text

# The new root and its issuing CA.
CAS_BELOW = 2


@dataclass(frozen=True)
class CrossCertificates:
    """Those of one CA."""

    ca: Keeper

    def refuse_impossible(self, old: str) -> None:
        """Before anything of a rollover is made.

        :raises RotationError: the old root cannot sign a root that anybody would take below it.
        """
        certificate = self.ca.certificate(old)
        remedy = f"take cross_certificates out of tls_issuers.{self.ca.name}; then clients must get the new root before it issues"
        if not self.ca.has_key(old):
            raise RotationError(
                f"the key of {old} of the CA '{self.ca.name}' is not available, so it cannot sign the new root",
                remedy=f"{self.ca.key_remedy(old)} for the time of the rollover, or {remedy}",
            )
        room = facts_of(certificate).path_length
        if room is not None and room < CAS_BELOW:
            raise RotationError(
                f"'{subject_text(certificate)}' cannot sign the new root: its path length of {room} leaves no room for it and its issuing CA",
                remedy=remedy,
            )

    def make(self, old: str, new: str, now: dt.datetime) -> None:
        """Have the old root sign the new one; the caller holds the CA's lock. Errors as :meth:`refuse_impossible`.

        :raises TlsError: the old root's key cannot be opened.
        """
        self.refuse_impossible(old)
        root = self.ca.certificate(new)
        self.ca.keep_certificate(
            name_of_pair(new, old), make_cross(root, self.ca.authority(old), now, self.ca.pointers_to(old))
        )

    def of_root(self, root: str, now: dt.datetime) -> dict[str, x509.Certificate]:
        """By its name, what leads from a root to the one before it; empty: nothing does, or not now."""
        for number in range(number_of(root) - 1, 0, -1):
            name = name_of_pair(root, f"root-{number}")
            if self.ca.store.get(self.ca.entry(f"{name}.pem")) is not None:
                cross = self.ca.certificate(name)
                return {name: cross} if cross.not_valid_before_utc <= now < cross.not_valid_after_utc else {}
        return {}


def name_of_pair(new: str, old: str) -> str:
    """What it is called in the store."""
    return f"{new}-by-{old}"


def top_below(chain: Sequence[x509.Certificate], roots: Iterable[x509.Certificate]) -> x509.Certificate:
    """The certificate of a chain that one of its roots has signed: what stands above it is a root again, signed by another one."""
    keys = set(map(certificate_key_id, roots))
    return next((each for each in reversed(chain) if certificate_key_id(each) not in keys), chain[-1])
