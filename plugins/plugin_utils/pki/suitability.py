# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that somebody else has made: whether they do for a wish, and their chain in order. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.certificate_facts import facts_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    Names,
    fingerprint,
    is_issued_by,
    subject_text,
)


def covers(has: Names, wanted: Names) -> bool:
    """Whether a certificate with the names ``has`` speaks for all ``wanted`` ones; it may speak for more.

    A wildcard stands for one whole first label (RFC 6125, 6.4.3). The common name is not compared.
    """
    given = set(has.sans())
    return all(
        each in given or (each[0] == "DNS" and ("DNS", wildcard_for(each[1])) in given) for each in wanted.sans()
    )


def wildcard_for(name: str) -> str:
    """The wildcard that stands for a DNS name; for a wildcard, and a name of one label, none does."""
    label, _dot, rest = name.partition(".")
    return f"*.{rest}" if rest and label != "*" else ""


def in_order(certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The same certificates leaf first, each issued by the next, without doubles and without the root; then what fits nowhere.

    What the path to an anchor does not need is left aside when that is known, see :func:`chains.chain_to_install`.

    :raises CertificateError: nobody can say which is the leaf.
    """
    rest = list({fingerprint(each): each for each in certificates}.values())
    leaf = leaf_among(rest)
    chain = [leaf]
    rest.remove(leaf)
    while above := next((each for each in rest if is_issued_by(chain[-1], each)), None):
        chain.append(above)
        rest.remove(above)
    if len(chain) > 1 and is_issued_by(chain[-1], chain[-1]):
        chain.pop()
    return (*chain, *rest)


def leaf_among(certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    """The one that issued no other and is no CA; errors as :func:`in_order`."""
    leaves = [
        each
        for each in certificates
        if not any(is_issued_by(other, each) for other in certificates if other is not each)
    ]
    if len(leaves) > 1:
        leaves = [each for each in leaves if not facts_of(each).ca] or leaves
    if len(leaves) != 1:
        names = ", ".join(f"'{subject_text(each)}'" for each in leaves)
        raise CertificateError(f"these certificates are not one chain (ends: {names or 'none'})")
    return leaves[0]


def is_newer(candidate: x509.Certificate, leaf: x509.Certificate, now: dt.datetime) -> bool:
    """Whether ``candidate`` can be used now and was made after ``leaf``, or lives longer: a step back is none."""
    if fingerprint(candidate) == fingerprint(leaf):
        return False
    usable = candidate.not_valid_before_utc <= now < candidate.not_valid_after_utc
    return usable and (candidate.not_valid_before_utc, candidate.not_valid_after_utc) > (
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
    )
