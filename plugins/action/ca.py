# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.ca``: the internal CA made ahead of the first certificate, and shown. Runs on the controller alone."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import one_of
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import describe_crl
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import (
    AnswersChallenges,
    CanPrepare,
    KeepsCrls,
    kept_up,
    waiting,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer, load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import describe, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import STORE_OPTIONS, TlsAction


class ActionModule(TlsAction):
    """Prepare every chosen issuer, then say what it is made of."""

    ARGUMENTS: ClassVar[dict[str, Any]] = {**STORE_OPTIONS, "issuer": {"type": "str"}}
    _requires_connection = False

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        store = load_store(options["store"])
        issuers = load_issuers(options["issuers"], store)
        if options.get("issuer"):
            name = one_of(options["issuer"], issuers, "issuer")
            issuers = {name: issuers[name]}
        needed = {name: "; ".join(texts) for name, issuer in issuers.items() if (texts := self.needs(issuer))}
        if not self._task.check_mode:
            for name in needed:
                self.make(issuers[name])
        kept = kept_up(store, issuers.values(), check_mode=bool(self._task.check_mode))
        waits = (*kept, *waiting(issuers.values(), self.now()))
        result: dict[str, Any] = {
            "changed": bool(needed),
            "prepared": needed,
            "issuers": {name: self.shown(issuer) for name, issuer in issuers.items()},
            "acme_thumbprints": sorted({each for issuer in issuers.values() for each in thumbprints(issuer)}),
        }
        if waits:
            result["warnings"] = list(waits)
        if self._task.diff and needed:
            result["diff"] = [
                {"before": "", "after": f"{text}\n", "after_header": name} for name, text in needed.items()
            ]
        return result

    def needs(self, issuer: Issuer) -> list[str]:
        """What is to be made, in words."""
        unprepared = issuer.unprepared(self.now()) if isinstance(issuer, CanPrepare) else None
        crls_due = issuer.crls_due(self.now()) if isinstance(issuer, KeepsCrls) else None
        return [text for text in (unprepared, crls_due) if text]

    def make(self, issuer: Issuer) -> None:
        """Make it."""
        if isinstance(issuer, CanPrepare):
            issuer.prepare(self.now())
        if isinstance(issuer, KeepsCrls):
            issuer.crls(self.now())

    def shown(self, issuer: Issuer) -> dict[str, Any]:
        """An issuer's public side."""
        crls = issuer.crls(self.now(), renew=False) if isinstance(issuer, KeepsCrls) else ()
        return {
            "anchors": "".join(to_pem(anchor) for anchor in issuer.anchors()),
            "thumbprints": list(thumbprints(issuer)),
            "authorities": {
                name: {**describe(certificate, self.now()), "pem": to_pem(certificate)}
                for name, certificate in issuer.authorities().items()
            },
            "crls": [describe_crl(crl) for crl in crls],
        }


def thumbprints(issuer: Issuer) -> tuple[str, ...]:
    """The ACME account keys whose challenges the fleet's servers are to answer for it."""
    return issuer.thumbprints() if isinstance(issuer, AnswersChallenges) else ()
