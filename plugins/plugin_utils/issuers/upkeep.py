# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to do for an issuer from time to time (its CA, its revocation lists), and its public side."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import describe_crl
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import (
    AnswersChallenges,
    CanPrepare,
    KeepsCrls,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import describe, to_pem


@dataclass
class Upkeep:
    """What was done for one issuer (in check mode: would be), in words, and what went wrong with it.

    :param unprepared, crls_due: what there was to do, in words.
    :param taken_over: what hosts' CRLs listed that the store's did not, in words.
    """

    issuer: Issuer
    unprepared: str | None = None
    crls_due: str | None = None
    done: list[str] = field(default_factory=list)
    taken_over: list[str] = field(default_factory=list)
    errors: list[TlsError] = field(default_factory=list)

    def find(self, now: dt.datetime) -> None:
        """See what there is to do."""
        if isinstance(self.issuer, CanPrepare):
            self.unprepared = self.tried(partial(self.issuer.unprepared, now))
        if isinstance(self.issuer, KeepsCrls):
            self.crls_due = self.tried(partial(self.issuer.crls_due, now))

    def tried(self, work: Callable[[], Any]) -> Any:
        """What ``work`` returns; None where it fails, which costs nothing else."""
        try:
            return work()
        except TlsError as error:
            self.errors.append(error)
            return None


def shown(issuer: Issuer, now: dt.datetime) -> dict[str, Any]:
    """An issuer's public side."""
    crls = issuer.crls(now, renew=False) if isinstance(issuer, KeepsCrls) else ()
    wanted = issuer.signature_wanted(now) if isinstance(issuer, CanPrepare) else None
    return {
        "anchors": "".join(to_pem(anchor) for anchor in issuer.anchors()),
        "thumbprints": list(issuer.thumbprints()) if isinstance(issuer, AnswersChallenges) else [],
        "authorities": {
            name: {**describe(certificate, now), "pem": to_pem(certificate)}
            for name, certificate in issuer.authorities().items()
        },
        "crls": [describe_crl(crl) for crl in crls],
        "csr": wanted.csr if wanted else None,
    }
