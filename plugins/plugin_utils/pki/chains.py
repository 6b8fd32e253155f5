# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one judge of chains: whether clients take what is served, installed or issued, and by which path. Pure.

It judges as clients do (RFC 5280, section 6; RFC 8446, section 4.4.2): a path from the leaf to a trust anchor counts, in whatever
order its certificates came; extra, doubled and expired superfluous ones do not matter. Certificate policies and revocation are not
looked at here. docs/chains.md has the rules, and how they compare with those of OpenSSL, Go and ``cryptography``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chain_problems import ChainProblem
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issuance import names_fit, signature_fits
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.name_constraints import Budget
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.path_rules import (
    authority_problems,
    expired,
    leaf_problems,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.path_search import Path, PathSearch
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import UNREADABLE


@dataclass(frozen=True)
class ChainVerdict:
    """What clients think of a chain.

    :param path: leaf first, as far as it leads; ``complete``: up to a trust anchor.
    :param leaf: what is wrong with the leaf, wherever it leads: dates, names, usages.
    :param chain: what is wrong with the path.
    :param notices: what clients do not mind, such as a wrong order.
    """

    path: Path
    complete: bool
    leaf: tuple[ChainProblem, ...] = ()
    chain: tuple[ChainProblem, ...] = ()
    notices: tuple[ChainProblem, ...] = ()

    @property
    def problems(self) -> tuple[ChainProblem, ...]:
        """All that clients refuse it for."""
        return (*self.leaf, *self.chain)

    @property
    def refused(self) -> tuple[ChainProblem, ...]:
        """What every client refuses it for."""
        return tuple(each for each in self.problems if not each.soft)


def judge_chain(
    served: Sequence[x509.Certificate],
    anchors: Iterable[x509.Certificate],
    *,
    now: dt.datetime,
    purposes: Sequence[str] = ("server_auth",),
    names: Iterable[str] = (),
    known: Iterable[x509.Certificate] = (),
) -> ChainVerdict:
    """Judge certificates of which the first is the leaf, and the others stand in any order.

    :param anchors: what is trusted by itself, roots or not.
    :param purposes: what the leaf is for: ``server_auth``, ``client_auth``, both, or nothing in particular.
    :param names: the hosts that clients want to reach; none: names are not compared.
    :param known: certificates that a client may have besides.
    """
    leaf, others = served[0], served[1:]
    try:
        found = PathSearch(tuple(anchors), (*others, *known), now, tuple(purposes)).best(leaf)
        of_leaf = tuple(leaf_problems(leaf, now, purposes, names))
    except UNREADABLE as error:
        # A host may serve anything, and some of it is found to be broken only deep inside.
        problem = ChainProblem("unreadable", f"the chain cannot be judged: {error}")
        return ChainVerdict(path=(leaf,), complete=False, leaf=(problem,))
    return ChainVerdict(
        path=found.path,
        complete=found.complete,
        leaf=of_leaf,
        chain=tuple(dict.fromkeys(found.problems)),
        notices=tuple(notices(served, found.path)) if found.complete else (),
    )


def notices(served: Sequence[x509.Certificate], path: Path) -> list[ChainProblem]:
    """What is untidy about what is served though its path is good."""
    sent = [served.index(each) for each in path if each in served]
    if sent == sorted(sent):
        return []
    text = "its certificates are not in order, each followed by its issuer: clients of TLS 1.2 may refuse that"
    return [ChainProblem("wrong_order", text)]


def check_chain(
    chain: Sequence[x509.Certificate],
    anchors: Iterable[x509.Certificate],
    now: dt.datetime,
    usages: Sequence[str] = (),
) -> ChainVerdict:
    """Check that a chain, the leaf first, leads to one of ``anchors``, and that every client would take it.

    The leaf's own dates are not looked at: a chain is also checked for a leaf that has expired.

    :param usages: what the leaf is for (``server_auth``, ``client_auth``).
    :raises CertificateError: it leads to none, or clients refuse it.
    """
    verdict = judge_chain(chain, anchors, now=now, purposes=usages)
    refused = [each for each in verdict.refused if each.code not in ("expired", "not_yet_valid")]
    if refused:
        raise CertificateError("; ".join(dict.fromkeys(each.message for each in refused)))
    return verdict


def chain_to_install(served: Sequence[x509.Certificate], verdict: ChainVerdict, now: dt.datetime) -> Path:
    """What servers are given of a chain that leads to an anchor: leaf first, each issued by the next, without the root.

    What came in order is kept as it came, as it may lead on to a root that older clients know; else it is the path.
    """
    whole = tuple(served) if is_in_order(served, now) else verdict.path
    *below, last = whole
    return tuple(below) if below and is_self_signed(last) else whole


def is_in_order(chain: Sequence[x509.Certificate], now: dt.datetime | None = None) -> bool:
    """Whether each certificate was issued by the next, which may do so and (where ``now`` is given) has not expired.

    This is what hosts check before they install a chain, see ``module_utils/pair/material.py``.
    """
    budget = Budget()
    return all(
        names_fit(lower, upper)
        and signature_fits(lower, upper)
        and not any(not each.soft for each in authority_problems(upper, (lower,), None, (), anchor=True, budget=budget))
        and not (now is not None and expired(upper, now))
        for lower, upper in zip(chain, chain[1:])
    )


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether its own key signed it."""
    return names_fit(certificate, certificate) and signature_fits(certificate, certificate)
