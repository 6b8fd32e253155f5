# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a certificate due, and why? One pure function: the wish, what was found, the clock and the anchors in, a verdict out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.fleet.tls.plugins.plugin_utils.base.clocks import WRONG
from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import duration_text
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import PairReport
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain, is_in_order
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.suitability import covers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    extension_of,
    iso,
    key_algorithm,
    names_of,
    seconds,
    usages_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec

# CAs whose clocks are a little ahead of ours are nothing to worry about.
AHEAD = dt.timedelta(seconds=WRONG)
# Days; https://support.apple.com/en-us/103769, "Requirements for trusted certificates".
LONGEST_FOR_SERVERS = 825
# A CA's own moment for a renewal that is earlier than ours by more than this part of the lifetime is no matter of routine.
HURRIED_PART = 10


@dataclass(frozen=True)
class Reason:
    """Why something is to be done; the codes are listed in docs/inside.md.

    :param since: since when, where it can wait for a maintenance window; None: it does not wait.
    """

    code: str
    detail: str
    since: dt.datetime | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    def as_result(self) -> dict[str, str]:
        """As it stands in results."""
        return {"code": self.code, "detail": self.detail}


@dataclass(frozen=True)
class Verdict:
    """``reasons`` ask for a new certificate, ``repairs`` only for work on what is there; ``notes`` deserve a look."""

    reasons: tuple[Reason, ...] = ()
    repairs: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def due(self) -> bool:
        """Whether a new certificate is needed."""
        return bool(self.reasons)

    @property
    def due_since(self) -> dt.datetime | None:
        """Since when it is due, where all reasons can wait; None: one of them does not, or there is none."""
        moments = [reason.since for reason in self.reasons if reason.since]
        return min(moments) if moments and len(moments) == len(self.reasons) else None


def judge(
    spec: CertificateSpec,
    found: PairReport,
    *,
    now: dt.datetime,
    anchors: Sequence[x509.Certificate],
    forced: bool = False,
    advice: dt.datetime | None = None,
    superseded: Sequence[Reason] = (),
    ready_made: bool = False,
) -> Verdict:
    """Judge one certificate of one host.

    :param now: the controller's clock; a host's own clock decides nothing.
    :param anchors: what the issuer of the present certificate trusts; empty: no chain can lead there.
    :param advice: the issuer's own word for when to renew (ARI, RFC 9773); wins over ``renew_before``.
    :param superseded: what a rotation has against the present pair, see ``rotation_due.py``.
    :param ready_made: whether it was made by others, see :class:`~.issuer.Issuer`.
    """
    reasons = [Reason(problem.code, problem.detail) for problem in found.problems]
    leaf = found.leaf
    # Nobody here issued it, so it need not be what would be issued: it stays until it is to be renewed.
    adopted = found.manifest.get("adopted") is True
    theirs = adopted and not found.manifest.get("issuer")
    if leaf is None:
        if not reasons:
            reasons.append(Reason("missing", "no certificate on the host"))
    else:
        reasons += validity(spec, leaf, now, advice)
        if adopted:
            reasons += differences_of_adopted(spec, leaf)
        else:
            reasons += differences_of_given(spec, leaf) if ready_made else differences(spec, found, leaf)
        reasons += [] if theirs else another_issuer(spec, found)
        reasons += [] if theirs else chain_problems(found.chain, anchors, now)
        reasons += superseded
    if forced:
        reasons.append(Reason("forced", "a new certificate was asked for"))
    if leaf is None:
        return Verdict(tuple(reasons))
    return Verdict(tuple(reasons), tuple(repairs(found)), tuple(lifetime_notes(spec, leaf)))


def validity(
    spec: CertificateSpec, leaf: x509.Certificate, now: dt.datetime, advice: dt.datetime | None
) -> list[Reason]:
    """Expired, or near enough to it; or made by a controller whose clock was ahead, and of no use to anybody for a while."""
    end = leaf.not_valid_after_utc
    if end <= now:
        return [Reason("expired", f"expired on {iso(end)}")]
    begin = leaf.not_valid_before_utc
    if begin > now + AHEAD:
        return [Reason("from_the_future", f"counts from {iso(begin)} on only")]
    due_at = spec.renew_before.due_at(seconds(begin), seconds(end))
    usual = dt.datetime.fromtimestamp(due_at, dt.timezone.utc)
    moment = usual if advice is None else advice
    if moment > now:
        return []
    # A CA that wants it renewed long before its time is about to revoke it (RFC 9773, 1).
    hurried = usual - moment > (end - begin) / HURRIED_PART
    detail = f"expires on {iso(end)}, to be renewed from {iso(moment)} on"
    return [Reason("expiring", detail, None if hurried else moment)]


def lifetime_notes(spec: CertificateSpec, leaf: x509.Certificate) -> list[str]:
    """What is odd about the lifetime that the issuer gave."""
    lifetime, notes = seconds(leaf.not_valid_after_utc) - seconds(leaf.not_valid_before_utc), []
    if not spec.renew_before.fits(lifetime):
        before = duration_text(spec.renew_before.seconds or 0)
        notes.append(
            f"renew_before ({before}) is not shorter than the lifetime that the issuer gave ({duration_text(lifetime)});"
            " it is renewed when a third of that is left. Use a part of the lifetime, such as 33%"
        )
    if "server_auth" in spec.usages and lifetime > LONGEST_FOR_SERVERS * 86400:
        notes.append(
            f"it is valid for {lifetime // 86400} days; Apple's systems refuse server certificates over {LONGEST_FOR_SERVERS} days,"
            " of private CAs too. Give it, or its issuer, a shorter duration"
        )
    return notes


def differences(spec: CertificateSpec, found: PairReport, leaf: x509.Certificate) -> list[Reason]:
    """Where the present certificate is not the wanted one.

    Issuers may drop the common name and add usages: what one gave for this very request is not asked for again.
    """
    reasons = []
    names = names_of(leaf)
    answered = found.manifest.get("request_digest") == spec.request_digest
    if names.sans() != spec.names.sans():
        reasons.append(Reason("names_changed", change(listing(names.sans()), listing(spec.names.sans()))))
    elif spec.names.common_name and names.common_name != spec.names.common_name and not answered:
        reasons.append(Reason("names_changed", change(f"CN {names.common_name}", f"CN {spec.names.common_name}")))
    missing = set(spec.usages) - set(usages_of(leaf))
    if missing or (usages_of(leaf) != spec.usages and not answered):
        reasons.append(Reason("usages_changed", change(", ".join(usages_of(leaf)), ", ".join(spec.usages))))
    algorithm = key_algorithm(leaf.public_key())
    if algorithm != spec.private_key.algorithm:
        reasons.append(Reason("key_algorithm_changed", change(algorithm, spec.private_key.algorithm)))
    if not reasons and found.manifest.get("request_digest") not in (None, spec.request_digest):
        # A common name that is no longer asked for, for instance: nothing in the certificate contradicts the wish.
        reasons.append(Reason("names_changed", "it was issued for another request"))
    return reasons


def differences_of_given(spec: CertificateSpec, leaf: x509.Certificate) -> list[Reason]:
    """Where a certificate that others have made does not do."""
    reasons, names = [], names_of(leaf)
    if not covers(names, spec.names):
        reasons.append(Reason("names_changed", change(listing(names.sans()), listing(spec.names.sans()))))
    if set(spec.usages) - set(usages_of(leaf)):
        reasons.append(Reason("usages_changed", change(", ".join(usages_of(leaf)), ", ".join(spec.usages))))
    return reasons


def differences_of_adopted(spec: CertificateSpec, leaf: x509.Certificate) -> list[Reason]:
    """Where a pair that was taken over does not do. One that names no usage is for all of them (RFC 5280, 4.2.1.12)."""
    unlimited = extension_of(leaf, x509.ExtendedKeyUsage) is None
    return [each for each in differences_of_given(spec, leaf) if not (unlimited and each.code == "usages_changed")]


def another_issuer(spec: CertificateSpec, found: PairReport) -> list[Reason]:
    """The present certificate is from none of the wanted issuers."""
    issuer = found.manifest.get("issuer")
    if issuer in spec.issuers:
        return []
    return [Reason("issuer_changed", change(str(issuer or "unknown"), ", ".join(spec.issuers)))]


def chain_problems(
    chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], now: dt.datetime
) -> list[Reason]:
    """A chain that leads to none of the anchors, or that every client refuses."""
    try:
        check_chain(chain, anchors, now)
    except CertificateError as error:
        return [Reason("chain_untrusted" if is_in_order(chain) else "chain_broken", error.message)]
    return []


def repairs(found: PairReport) -> list[Reason]:
    """What is to be put right around a pair that is good."""
    result = [Reason("drift", text) for text in found.drift]
    if not found.manifest.get("settled"):
        result.append(Reason("unsettled", "the services have not taken it yet: an earlier run was interrupted"))
    for served in found.served:
        # An endpoint that only came with a preset may belong to somebody else: it counts when it shows our older pair.
        if served.ours == "older" or (served.explicit and served.ours != "live"):
            seen = served.error or (
                "an older generation" if served.ours else f"another certificate ({served.fingerprint})"
            )
            result.append(Reason("not_served", f"{served.endpoint}: {seen}"))
    return result


def change(before: str, after: str) -> str:
    """``before → after`` in words."""
    return f"{before or 'none'} -> {after or 'none'}"


def listing(sans: Sequence[tuple[str, str]]) -> str:
    """Names in one line."""
    return ", ".join(value for _kind, value in sans)
