# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Can a pair that lies on a host already become the first generation of a certificate, and whose is it? Pure."""

from __future__ import annotations

import datetime as dt

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.judge import (
    Reason,
    Verdict,
    differences_of_adopted,
    validity,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pair_judge import PairJudge
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Progress
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain, is_in_order
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, iso
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec

INSTEAD = "change the entry to what it is, or leave adopt out to have a new pair issued; nothing was changed"


def adopt(each: Progress, judge: PairJudge, now: dt.datetime, *, only: bool) -> bool:
    """Fill in what is to be taken over; False: there is nothing of use, and a pair is to be issued.

    :param only: nothing is to be issued.
    :raises TlsError: the pair that is there is not what the entry says.
    """
    source, found = each.spec.adopt, each.found.adoptable
    if source is None or found is None:
        if only and source is not None and not each.found.problems:
            raise CertificateError(
                f"adopt: there is nothing at {source.certificate} and {source.private_key}",
                remedy="name the files of the pair, or let fleet.tls.deploy have one issued",
            )
        return False
    if found.error:
        raise found.error
    leaf = found.chain[0]
    if leaf.not_valid_after_utc <= now:
        text = f"the pair at {source.certificate} expired on {iso(leaf.not_valid_after_utc)}, and is not taken over"
        if only:
            raise CertificateError(f"adopt: {text}", remedy="let fleet.tls.deploy have a new one issued")
        each.notes.append(text)
        return False
    refuse_unfit(each.spec, found.chain, now)
    each.chain, each.adopts, each.issuer = found.chain, True, issuer_of(each.spec, found.chain, judge, now)
    detail = f"the pair at {source.certificate} is taken over as it is, valid until {iso(leaf.not_valid_after_utc)}"
    each.verdict = Verdict((Reason("adopted", detail),))
    return True


def refuse_unfit(spec: CertificateSpec, chain: tuple[x509.Certificate, ...], now: dt.datetime) -> None:
    """:raises CertificateError: the pair would have to be replaced at once, or hosts would not install it."""
    leaf = chain[0]
    problems = [str(reason) for reason in differences_of_adopted(spec, leaf)]
    problems += [str(reason) for reason in validity(spec, leaf, now, None) if reason.code == "from_the_future"]
    if len({fingerprint(each) for each in chain}) != len(chain) or not is_in_order(chain):
        problems.append("its file has certificates that do not follow each other, the leaf first")
    if problems:
        source = spec.adopt.certificate if spec.adopt else ""
        raise CertificateError(f"adopt: {source}: {'; '.join(problems)}", remedy=INSTEAD)


def issuer_of(
    spec: CertificateSpec, chain: tuple[x509.Certificate, ...], judge: PairJudge, now: dt.datetime
) -> str | None:
    """Which of the wanted issuers' anchors the chain leads to; None: it is from somewhere else, and the first of them renews it."""
    for name in spec.issuers:
        try:
            check_chain(chain, judge.trust(judge.issuers[name]), now)
        except TlsError:
            continue
        return name
    return None
