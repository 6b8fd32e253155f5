# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an endpoint accepts: versions, cipher suites, groups and signature algorithms, found out by as many ClientHellos as it takes.

Each offers all that is not known yet, and takes what the server chooses off the list, until it refuses: one more than it accepts. Where a
server does not tell what it chose (signatures of TLS 1.3 are encrypted), each is offered by itself.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.tls.client_hello import (
    SHARES,
    SSL3,
    TLS10,
    TLS11,
    TLS12,
    TLS13,
    Offer,
)
from ansible_collections.fleet.tls.plugins.module_utils.tls.groups import GROUPS, group_name
from ansible_collections.fleet.tls.plugins.module_utils.tls.server_answer import Answer
from ansible_collections.fleet.tls.plugins.module_utils.tls.signatures import SCHEMES, scheme_name
from ansible_collections.fleet.tls.plugins.module_utils.tls.suites import SUITES, key_exchange, suites_of

NAMES = {TLS13: "TLSv1.3", TLS12: "TLSv1.2", TLS11: "TLSv1.1", TLS10: "TLSv1", SSL3: "SSLv3"}
X25519, HYBRID = 29, 4588
ALL_GROUPS = tuple(GROUPS)
# Finite fields, and hybrids with ML-KEM, are for TLS 1.3 (RFC 7919 allows the former before, where nearly nobody has them).
CURVES = tuple(group for group in GROUPS if group < 256)
ALL_SCHEMES = tuple(SCHEMES)
ML_DSA = (0x0904, 0x0905, 0x0906)
# Of TLS 1.3, by the keys that they need: where a server has none, one refusal is enough for all.
TLS13_KINDS = (
    (0x0403, 0x0503, 0x0603), (0x0804, 0x0805, 0x0806), (0x0809, 0x080A, 0x080B), (0x0807, 0x0808), (0x081A, 0x081B, 0x081C),
    ML_DSA,
)  # fmt: skip
Offers = Generator[Offer, Answer, Any]


@dataclass
class Accepted:
    """What is accepted in one version, by the registries' names, in the order in which the server chose."""

    suites: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    signature_schemes: list[str] = field(default_factory=list)


@dataclass
class Accepts:
    """What an endpoint accepts.

    :param protocols: version → what is accepted in it; those that it refuses are not there.
    :param offers: how many handshakes were begun.
    :param error: why there may be more that it accepts; None: that is all.
    """

    protocols: dict[str, Accepted] = field(default_factory=dict)
    offers: int = 0
    error: str | None = None

    @property
    def is_hybrid(self) -> bool:
        """Whether keys are agreed on with X25519MLKEM768."""
        return "TLSv1.3" in self.protocols and group_name(HYBRID) in self.protocols["TLSv1.3"].groups

    def as_answer(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "protocols": {name: dict(vars(each)) for name, each in self.protocols.items()},
            "handshakes": self.offers,
            "error": self.error,
        }


def enumeration(found: dict[str, Accepted]) -> Offers:
    """Offers, each answered with what the server made of it.

    :param found: is filled, version by version.
    """
    for version, name in NAMES.items():
        accepted = yield from (modern() if version == TLS13 else older(version))
        if accepted.suites:
            found[name] = accepted


def hybrid() -> Offers:
    """Whether keys are agreed on with X25519MLKEM768: the server asks for one (RFC 8446 section 4.1.4), or refuses."""
    answer = yield Offer(TLS13, suites_of(TLS13), (HYBRID,), ALL_SCHEMES)
    return answer.version == TLS13 and answer.group == HYBRID


def ml_dsa() -> Offers:
    """Whether a server goes on with a client that takes ML-DSA signatures alone: it has a certificate with such a key.

    Each offer has one group and a key for it: where a server asks for another it has not chosen a certificate yet.
    """
    for group in (X25519, HYBRID):
        answer = yield Offer(TLS13, suites_of(TLS13), (group,), ML_DSA, group)
        if answer.version == TLS13:
            return True
    return False


def modern() -> Offers:
    """TLS 1.3. Without a key, a server asks for one and names suite and group: that costs it nothing."""
    whole = Offer(TLS13, suites_of(TLS13), ALL_GROUPS, ALL_SCHEMES)
    suites, groups = yield from chosen_suites(whole)
    if not suites:
        return Accepted()
    yield from chosen_groups(whole._replace(suites=tuple(suites)), groups)
    share = next((group for group in groups if group in SHARES), None)
    schemes: list[int] = []
    if share is not None:
        schemes = yield from modern_schemes(Offer(TLS13, tuple(suites), (share,), (), share))
    return named(suites, list(map(group_name, groups)), schemes)


def modern_schemes(offer: Offer) -> Offers:
    """The signature schemes: a server goes on to its hello, or refuses."""
    found = []
    for kind in TLS13_KINDS:
        if (yield offer._replace(schemes=kind)).version != TLS13:
            continue
        for scheme in kind:
            answer = yield offer._replace(schemes=(scheme,))
            if answer.version == TLS13:
                found.append(scheme)
    return found


def older(version: int) -> Offers:
    """TLS 1.2 and before."""
    whole = Offer(
        version, suites_of(version), CURVES if version > SSL3 else (), ALL_SCHEMES if version == TLS12 else ()
    )
    suites, _groups = yield from chosen_suites(whole)
    fresh = {kind: tuple(each for each in suites if key_exchange(each) == kind) for kind in ("ECDHE", "DHE")}
    groups: list[int] = []
    if fresh["ECDHE"]:
        yield from chosen_groups(whole._replace(suites=fresh["ECDHE"], whole=True), groups)
    names = list(map(group_name, groups))
    if fresh["DHE"]:
        answer = yield whole._replace(suites=fresh["DHE"], whole=True)
        names += [f"dh-{answer.bits}"] if answer.bits else []
    schemes: list[int] = []
    if version == TLS12:
        for some in fresh.values():
            # By the kind of key too: a server with two certificates signs for each in its own ways.
            for each in by_key(some):
                schemes += yield from chosen_schemes(whole._replace(suites=each, whole=True), schemes)
    return named(suites, names, schemes)


def by_key(suites: Sequence[int]) -> list[tuple[int, ...]]:
    """Suites by the kind of key that they need (``TLS_ECDHE_RSA_WITH_…``)."""
    kinds: dict[str, list[int]] = {}
    for suite in suites:
        kinds.setdefault(SUITES[suite].partition("_WITH_")[0], []).append(suite)
    return [tuple(each) for each in kinds.values()]


def chosen_suites(offer: Offer) -> Offers:
    """The suites that a server chooses, one after the other, and the groups that it named meanwhile."""
    found: list[int] = []
    groups: list[int] = []
    left = list(offer.suites)
    while left:
        answer = yield offer._replace(suites=tuple(left))
        if answer.version != offer.version or answer.suite not in left:
            break
        left.remove(answer.suite)
        found.append(answer.suite)
        if answer.group in offer.groups and answer.group not in groups:
            groups.append(answer.group)
    return found, groups


def chosen_groups(offer: Offer, found: list[int]) -> Offers:
    """The same of groups; those that are known already are not asked for again.

    :param found: is added to.
    """
    left = [group for group in offer.groups if group not in found]
    gone: list[int] = []
    while left:
        # Before TLS 1.3 a server's own key has to be on one of the curves (RFC 8422 section 5.1), so those that are known are offered last.
        for groups in (left, left + gone) if gone else (left,):
            answer = yield offer._replace(groups=tuple(groups))
            if answer.version == offer.version and answer.group in left:
                break
        else:
            return
        left.remove(answer.group)
        found.append(answer.group)
        gone += [answer.group] if offer.version < TLS13 else []


def chosen_schemes(offer: Offer, known: Sequence[int]) -> Offers:
    """The same of signature schemes."""
    found: list[int] = []
    left = [scheme for scheme in offer.schemes if scheme not in known]
    while left:
        answer = yield offer._replace(schemes=tuple(left))
        if answer.version != offer.version or answer.scheme not in left:
            break
        left.remove(answer.scheme)
        found.append(answer.scheme)
    return found


def named(suites: Sequence[int], groups: list[str], schemes: Sequence[int]) -> Accepted:
    """By their names."""
    return Accepted([SUITES[each] for each in suites], groups, list(map(scheme_name, schemes)))
