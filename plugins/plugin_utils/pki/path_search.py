# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for a path from a leaf to a trust anchor (RFC 4158), in whatever order certificates came. Pure; bounded in work."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.certificate_facts import CanonicalName, facts_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chain_problems import ChainProblem
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issuance import signature_fits
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.name_constraints import Budget
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.path_rules import authority_problems
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import issuer_text, subject_text

Path = tuple[x509.Certificate, ...]
# No real path is longer; and so many signatures are checked, and steps made, before a chain counts as one that has no path.
LONGEST_PATH = 16
MOST_SIGNATURES = 128
MOST_STEPS = 1024


@dataclass(frozen=True)
class FoundPath:
    """A path, leaf first, and what is wrong with it; ``complete``: it ends at an anchor."""

    path: Path
    problems: tuple[ChainProblem, ...] = ()
    complete: bool = True

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """The smaller, the better."""
        hard = sum(not each.soft for each in self.problems)
        return (not self.complete, hard, len(self.problems), len(self.path) if self.complete else -len(self.path))


@dataclass
class PathSearch:
    """One search.

    :param others: certificates that may stand between, in any order.
    :param purposes: what the leaf is for, in our words; each CA of the path has to allow it.
    """

    anchors: Sequence[x509.Certificate]
    others: Sequence[x509.Certificate]
    now: dt.datetime
    purposes: Sequence[str] = ()
    budget: Budget = field(default_factory=Budget)
    _signatures: dict[tuple[x509.Certificate, x509.Certificate], bool] = field(default_factory=dict)
    _steps: int = 0
    _exhausted: bool = False

    def __post_init__(self) -> None:
        self._trusted = frozenset(self.anchors)
        valid = sorted(
            self.others, key=lambda each: not each.not_valid_before_utc <= self.now <= each.not_valid_after_utc
        )
        self._sent = by_subject(tuple(each for each in dict.fromkeys(valid) if each not in self._trusted))
        self._anchors = anchors_by_subject(tuple(self.anchors))

    def _above(self, certificate: x509.Certificate) -> list[x509.Certificate]:
        """Who may have issued it. What is trusted is tried first, as OpenSSL and the browsers do; then what is valid."""
        issuer = facts_of(certificate).issuer
        return [*self._anchors.get(issuer, ()), *self._sent.get(issuer, ())]

    def best(self, leaf: x509.Certificate) -> FoundPath:
        """The first path without a problem; where there is none, the one with the fewest."""
        best: FoundPath | None = None
        for found in self._from((leaf,), ()):
            if found.complete and not found.problems:
                return found
            if best is None or found.rank < best.rank:
                best = found
        if self._exhausted:
            problem = ChainProblem("too_much_work", "finding a path to a trust anchor takes too much work")
            best = FoundPath(best.path if best else (leaf,), (problem,), complete=False)
        return best or self._dead_end((leaf,), ())

    def _from(self, path: Path, problems: tuple[ChainProblem, ...]) -> Iterator[FoundPath]:
        """All that a path leads to."""
        self._steps += 1
        last = path[-1]
        if last in self._trusted:
            yield FoundPath(path, problems)
            return
        grown = False
        for upper in self._above(last) if len(path) < LONGEST_PATH else ():
            if self._steps > MOST_STEPS:
                self._exhausted = True
                return
            if upper in path or not self._signed(last, upper):
                continue
            grown = True
            trusted = upper in self._trusted
            more = authority_problems(upper, path, self.now, self.purposes, anchor=trusted, budget=self.budget)
            yield from self._from((*path, upper), (*problems, *more))
        if not grown:
            yield self._dead_end(path, problems)

    def _signed(self, lower: x509.Certificate, upper: x509.Certificate) -> bool:
        """Whether ``upper`` signed ``lower``, looked at once."""
        link = (lower, upper)
        if link not in self._signatures:
            if len(self._signatures) >= MOST_SIGNATURES:
                self._exhausted = True
                return False
            self._signatures[link] = signature_fits(lower, upper)
        return self._signatures[link]

    def _dead_end(self, path: Path, problems: tuple[ChainProblem, ...]) -> FoundPath:
        """A path that leads to nobody who is trusted."""
        last = path[-1]
        above = [each for each in self._above(last) if each not in path]
        if len(path) == 1 and facts_of(last).self_issued and not above and self._signed(last, last):
            why = ChainProblem("self_signed", "the certificate is self-signed: no CA stands for it")
        elif above:
            why = ChainProblem(
                "bad_signature",
                f"the chain does not lead to a trust anchor: '{subject_text(last)}' was not signed by '{issuer_text(last)}'",
            )
        else:
            why = ChainProblem(
                "no_path", f"the chain does not lead to a trust anchor (it ends at '{issuer_text(last)}')"
            )
        return FoundPath(path, (*problems, why), complete=False)


def by_subject(certificates: Sequence[x509.Certificate]) -> dict[CanonicalName, list[x509.Certificate]]:
    """Certificates by their subject."""
    found: dict[CanonicalName, list[x509.Certificate]] = {}
    for each in certificates:
        found.setdefault(facts_of(each).subject, []).append(each)
    return found


@functools.lru_cache(4)
def anchors_by_subject(anchors: tuple[x509.Certificate, ...]) -> dict[CanonicalName, list[x509.Certificate]]:
    """The same, kept: a system trusts some 150 CAs, and thousands of chains are held against them."""
    return by_subject(anchors)
