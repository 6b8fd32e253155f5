# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every issuer does with the ledger: the row of a new certificate, and whether an earlier one still answers a request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issued import check_issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    fingerprint,
    key_id,
    parse_pem_chain,
    seconds,
    serial_text,
    to_pem,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Issuance, Ledger


def earlier_answer(
    ledger: Ledger, issuer: str, request: IssueRequest, anchors: Iterable[x509.Certificate], now: dt.datetime
) -> Issued | None:
    """What was issued for this very request, where that can still be used."""
    earlier = ledger.find(issuer, request.request_id, key_id(request.csr.public_key()))
    if not earlier:
        return None
    chain = parse_pem_chain(earlier.chain)
    return Issued(chain, reused=True) if still_good(chain, request, anchors, now, earlier.issued_at) else None


def still_good(
    chain: Sequence[x509.Certificate],
    request: IssueRequest,
    anchors: Iterable[x509.Certificate],
    now: dt.datetime,
    issued_at: int,
) -> bool:
    """Whether an earlier answer to a request serves it still: what is wanted, trusted, and not half used up.

    :param issued_at: seconds since the epoch; the certificate's own start lies before it.
    """
    leaf = chain[0]
    try:
        key = key_id(leaf.public_key())
        check_issued(chain, names=request.names, usages=request.usages, key_usages=request.key_usages, key=key, now=now)
        check_chain(chain, anchors, now, request.usages)
    except CertificateError:
        return False
    end = seconds(leaf.not_valid_after_utc)
    return end - seconds(now) > (end - issued_at) / 2


def issuance(issuer: str, request: IssueRequest, chain: Sequence[x509.Certificate], now: dt.datetime) -> Issuance:
    """The ledger's row for a new certificate."""
    leaf = chain[0]
    return Issuance(
        request_id=request.request_id,
        issuer=issuer,
        host=request.host,
        certificate=request.certificate,
        serial=serial_text(leaf.serial_number),
        fingerprint=fingerprint(leaf),
        key_id=key_id(leaf.public_key()),
        names=tuple(value for _kind, value in request.names.sans()),
        not_before=seconds(leaf.not_valid_before_utc),
        not_after=seconds(leaf.not_valid_after_utc),
        issued_at=seconds(now),
        reason=request.reason,
        chain="".join(to_pem(certificate) for certificate in chain),
    )
