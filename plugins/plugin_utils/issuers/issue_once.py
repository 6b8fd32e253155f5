# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuing once, for issuers whose CA is elsewhere: what the ledger has for a request is handed out again, what is new is recorded."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.ledger_rows import earlier_answer, issuance
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import chain_to_install, check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issued import check_issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_id
from ansible_collections.fleet.tls.plugins.plugin_utils.store.entry_names import safe

# Seconds that a second run waits for the first one's order.
LONGEST_ORDER = 900.0


def issue_once(
    issuer: Issuer, request: IssueRequest, now: dt.datetime, order: Callable[[], Sequence[x509.Certificate]]
) -> Issued | TlsError:
    """A request's answer, from the ledger or by ``order``. Two runs at once order once.

    What ``order`` gives is checked before it is recorded: an answer that cannot be used is asked for again.

    :param now: the moment of the call. CAs that date nothing back issue after it, so time is counted on from there.
    :param order: has the CA issue, and gives the chain; a TlsError that it raises is the answer.
    """
    called = time.monotonic()

    def by_now() -> dt.datetime:
        return now + dt.timedelta(seconds=time.monotonic() - called)

    try:
        with issuer.store.lock(f"orders/{safe(request.host)}-{safe(request.certificate)}", wait=LONGEST_ORDER):
            anchors = issuer.trust()
            with issuer.store.ledger() as ledger:
                earlier = earlier_answer(ledger, issuer.name, request, anchors, by_now())
            if earlier:
                return earlier
            # Not within a session of the ledger: all other issuers would have to wait for this one.
            chain = tuple(order())
            public_key = key_id(request.csr.public_key())
            check_issued(
                chain,
                names=request.names,
                usages=request.usages,
                key_usages=request.key_usages,
                key=public_key,
                now=by_now(),
            )
            judged = check_chain(chain, anchors, by_now(), request.usages)
            chain = chain_to_install(chain, judged, by_now())
            with issuer.store.ledger() as ledger:
                ledger.add(issuance(issuer.name, request, chain, by_now()))
            return Issued(chain)
    except TlsError as error:
        return error
