# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on a host's certificates beside that of ``judge.py``, on facts that others asked for. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ansible_collections.fleet.tls.plugins.module_utils.system.openssl import NEEDED
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, HostError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.judge import Reason, Verdict
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Progress
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import Anchor
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.post_quantum import ALGORITHMS as POST_QUANTUM
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.suitability import covers
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import iso, key_algorithm, names_of
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec

# Seconds. A new certificate is valid from an hour before it was made; a clock that is further off could not use it.
CLOCK_TOLERANCE = 3600.0
CLOCK_WARNING = 300.0


def asks_for_successor(verdict: Verdict) -> bool:
    """Whether it matters what lies ready: not where a pair is due for more than its age."""
    return all(reason.code == "expiring" for reason in verdict.reasons)


def with_successor(
    verdict: Verdict, spec: CertificateSpec, issuer: str, leaf: x509.Certificate, successor: x509.Certificate | None
) -> Verdict:
    """The verdict on a certificate that others have made: a newer one makes it due, and where there is none it has to do.

    :param issuer: the name of the one that hands them out.
    :param leaf: what the host has.
    :param successor: what lies ready to take its place, None: nothing newer.
    """
    notes = []
    if successor is not None and covers(names_of(successor), spec.names):
        detail = f"'{issuer}' has a newer one, valid until {iso(successor.not_valid_after_utc)}"
        since = max(successor.not_valid_before_utc, leaf.not_valid_before_utc)
        return replace(verdict, reasons=(*verdict.reasons, Reason("source_changed", detail, since)))
    if successor is not None:
        others = ", ".join(value for _kind, value in names_of(successor).sans()) or "none"
        notes.append(f"issuer '{issuer}' has a newer certificate, but for other names ({others})")
    if verdict.due and len(spec.issuers) == 1:
        end = iso(leaf.not_valid_after_utc)
        notes.append(f"issuer '{issuer}' has nothing newer than the certificate that expires on {end}")
        verdict = replace(verdict, reasons=())
    return replace(verdict, notes=(*verdict.notes, *notes))


def seems_foreign(verdict: Verdict, leaf: x509.Certificate | None, anchors: Sequence[x509.Certificate]) -> bool:
    """Whether a certificate that says it is from a CA of the store leads to none of its anchors."""
    return leaf is not None and (not anchors or any(reason.code == "chain_untrusted" for reason in verdict.reasons))


def foreign_store(issuer: str, store: str, anchors: Sequence[x509.Certificate]) -> CertificateError:
    """A run with the wrong store must not replace the CA of a fleet by one of the same name that it just made.

    :param store: the store in words.
    """
    what = "has another CA" if anchors else "has no CA"
    return CertificateError(
        f"it was issued by '{issuer}', but that issuer {what} in {store}, which never issued it",
        remedy="check tls_store, or restore the store from its backup; where that is lost, name the certificate in"
        " tls_force to have it issued anew; it was kept as it is",
    )


def refuse_clock(skew: float) -> None:
    """:raises HostError: a host's clock, ``skew`` seconds ahead of the controller's, is too far off for a new certificate."""
    if abs(skew) > CLOCK_TOLERANCE:
        direction = "ahead of" if skew > 0 else "behind"
        raise HostError(
            f"the host's clock is {abs(skew) / 3600:.1f} h {direction} the controller's:"
            " a new certificate's dates would be wrong for it",
            code="clock",
            remedy="set the clock (timedatectl, chronyc makestep) and run again; what is installed was kept",
        )


def is_repairable(each: Progress) -> bool:
    """Whether the present pair is to be put right: also where a new one is due and was not to be had."""
    sound = each.found.leaf is not None and not each.found.problems
    return bool(each.verdict.repairs) and sound and (each.verdict.due or not each.error)


def lacks_request(each: Progress) -> bool:
    """Whether the host has still to make a key and a CSR for what is due."""
    return not each.error and each.found.pending is None and each.spec.private_key.location == "host"


def refuse_old_openssl(found: tuple[int, ...], anchors: Callable[[], Iterable[Anchor]]) -> None:
    """A certificate below CAs that all sign with ML-DSA, on a host whose OpenSSL does not know it.

    :param found: the version there; empty: it did not say.
    :param anchors: what the certificate's issuers want trusted; an issuer that cannot say is left to the issuance.
    :raises CertificateError: the host could not verify it.
    """
    if not found or found >= NEEDED:
        return
    algorithms = set()
    with contextlib.suppress(TlsError):
        algorithms = {key_algorithm(each.certificate.public_key()) for each in anchors()}
    if algorithms and algorithms <= set(POST_QUANTUM):
        raise CertificateError(
            f"its issuer signs with {', '.join(sorted(algorithms))}, which needs OpenSSL {'.'.join(map(str, NEEDED))} or newer on the host,"
            f" which has {'.'.join(map(str, found))}",
            remedy="name another issuer for this host, or use a host with a newer system (Debian 13, RHEL 10)",
        )


def warnings(host: str, skew: float, force: bool | tuple[str, ...], progress: Mapping[str, Progress]) -> list[str]:
    """What deserves a look though nothing failed.

    :param force: what the user named, see :class:`Settings`.
    """
    found = []
    if abs(skew) > CLOCK_WARNING:
        found.append(f"{host}: the clock is {skew:+.0f} s off the controller's")
    known = {*progress, *(each.pool for each in progress.values())}
    strangers = set() if isinstance(force, bool) else set(force) - known
    if strangers:
        found.append(f"{host}: force: no certificate here is called {', '.join(sorted(strangers))}")
    for name, each in progress.items():
        found += [f"{host}: certificate '{name}': {text}" for text in dict.fromkeys(each.warnings())]
    return found
