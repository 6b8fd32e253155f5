# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server needs to verify its clients: a bundle of CAs and, where revocation is checked, a CRL of every one of them.

OpenSSL checks every certificate of a chain against a CRL of its CA. Where one is missing or has expired, it refuses all clients
of that CA, and no server's own check of its configuration says so: it is refused here, before a host is touched.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import (
    PEM_CRL,
    crl_number,
    crl_problem,
    crl_to_pem,
    is_crl_of,
    parse_pem_crls,
    signs_crls,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.abilities import KeepsCrls, waiting
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import (
    Anchor,
    bundle_text,
    expired_text,
    refuse_empty,
    select,
    trusted_by,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, subject_text

REVOCATION_REMEDY = "give its current CRL, leave that CA out, or switch the check of revocation off"


@dataclass(frozen=True)
class ClientTrust:
    """What a server gets.

    :param bundle: the CAs, PEM, each below a line of comment, in a stable order; never empty.
    :param crls: a CRL of each CA that may have signed a client's certificate or its chain, PEM; empty without revocation.
    :param expired: anchors that were left out.
    :param warnings: what deserves a look, in words.
    :param due: (check mode) which CRLs a real run would have signed anew, in words: the files would change.
    """

    bundle: str
    crls: str
    expired: tuple[Anchor, ...]
    warnings: tuple[str, ...]
    due: tuple[str, ...] = ()


def client_trust(
    issuers: Mapping[str, Issuer],
    names: Sequence[str],
    anchors: object,
    crls: str | Sequence[str],
    now: dt.datetime,
    *,
    revocation: bool,
    renew: bool = True,
    held: Sequence[x509.CertificateRevocationList] = (),
) -> ClientTrust:
    """The bundle of the issuers ``names`` and the extra ``anchors``, and the CRLs for it.

    :param anchors: PEM texts by names of the user's, as in ``fleet.tls.trust_bundle``.
    :param crls: PEM texts with the CRLs of CAs that are no issuers; those of issuers come from them.
    :param revocation: whether the server is to check it.
    :param renew: sign the issuers' CRLs anew where that is due; without it (check mode) nothing is written.
    :param held: CRLs that the server has, which may be newer than ours. What our CAs signed is taken over by them; of other CAs the
        newest is taken.
    :raises SpecError: an unknown issuer, an anchor named as an issuer is, CRLs that nobody is to look at.
    :raises TlsError: nothing to trust, a CA without a current CRL, a CRL of none of these CAs, or what cannot be read.
    """
    sources = trusted_by(issuers, names, anchors, "issuers")
    given = parse_given(crls)
    if given and not revocation:
        raise SpecError("CRLs are given, but revocation is not checked", remedy="switch it on, or leave the CRLs out")
    selection = select(sources, now)
    refuse_empty(selection, list(sources))
    bundle = bundle_text(selection.anchors)
    warnings = tuple(expired_text(anchor) for anchor in selection.expired)
    if not revocation:
        return ClientTrust(bundle, "", selection.expired, warnings)
    chosen = [issuers[name] for name in dict.fromkeys(names)]
    # Of the others only the user's own CRLs tell.
    mine = {each.name: each for each in chosen if isinstance(each, KeepsCrls)}
    taken_over = [text for each in mine.values() for text in each.take_over_crls(held, now)] if held and renew else []
    kept = [crl for issuer in mine.values() for crl in issuer.crls(now, renew=renew)]
    kept += [crl for crl in held if not crl_problem(crl, now)]
    due = {} if renew else {name: text for name, issuer in mine.items() if (text := issuer.crls_due(now))}
    needed = [anchor.certificate for anchor in selection.anchors]
    needed += [authority for issuer in chosen for authority in authorities_in_use(issuer, now)]
    # Which CAs have gone is known too: a CRL of theirs is of no use, and no mistake.
    left_out = [anchor.certificate for anchor in selection.expired]
    refuse_strangers(given, [*needed, *left_out])
    later = {fingerprint(each) for name in due for each in mine[name].crl_authorities(now)}
    pem = current_crls(in_order(needed), [*given, *kept], now, later)
    warnings += (*waiting(chosen, now), *taken_over)
    return ClientTrust(bundle, pem, selection.expired, warnings, tuple(due.values()))


def authorities_in_use(issuer: Issuer, now: dt.datetime) -> tuple[x509.Certificate, ...]:
    """The CAs whose certificates may be in use, so that a CRL of each is needed."""
    if isinstance(issuer, KeepsCrls):
        return issuer.crl_authorities(now)
    return tuple(each for each in issuer.authorities().values() if each.not_valid_after_utc > now)


def parse_given(crls: str | Sequence[str]) -> tuple[x509.CertificateRevocationList, ...]:
    """The user's CRLs.

    :raises CertificateError: a text that is no CRL.
    """
    texts = [crls] if isinstance(crls, str) else [str(each) for each in crls]
    try:
        return tuple(crl for text in texts if text.strip() for crl in parse_pem_crls(text))
    except CertificateError as error:
        raise CertificateError(
            f"crls: {error.message}", remedy="give CRLs as complete PEM texts; nothing was changed"
        ) from error


def parse_held(texts: Iterable[object]) -> tuple[x509.CertificateRevocationList, ...]:
    """CRLs as a host says it has them: what is none counts for nothing."""
    found: list[x509.CertificateRevocationList] = []
    for block in (block for text in texts for block in PEM_CRL.findall(str(text))):
        with contextlib.suppress(CertificateError):
            found += parse_pem_crls(block)
    return tuple(found)


def refuse_strangers(crls: Iterable[x509.CertificateRevocationList], authorities: Sequence[x509.Certificate]) -> None:
    """:raises CertificateError: a CRL that none of the CAs has signed."""
    for crl in crls:
        if not any(is_crl_of(crl, authority) for authority in authorities):
            raise CertificateError(
                f"the CRL of '{crl.issuer.rfc4514_string()}' is signed by none of the CAs in the bundle",
                remedy="give the CRL of the right CA, or add its CA to the anchors",
            )


def current_crls(
    authorities: Sequence[x509.Certificate],
    crls: Sequence[x509.CertificateRevocationList],
    now: dt.datetime,
    later: Container[str],
) -> str:
    """The newest CRL of each CA, PEM, in the order of the CAs, each once.

    :param later: fingerprints of CAs whose CRL a real run would sign anew: they may lack one.
    :raises TlsError: another one has none, or none that counts now.
    """
    chosen: dict[str, None] = {}
    for authority in authorities:
        own = [crl for crl in crls if is_crl_of(crl, authority)]
        newest = max(own, key=lambda crl: (crl.last_update_utc, crl_number(crl) or 0), default=None)
        problem = no_crl(authority) if newest is None else crl_problem(newest, now)
        if problem and fingerprint(authority) not in later:
            raise TlsError(
                f"revocation is checked, but the CRL of the CA '{subject_text(authority)}' {problem}:"
                " servers would refuse all of its clients",
                remedy=REVOCATION_REMEDY,
            )
        if newest is not None:
            chosen[crl_to_pem(newest)] = None
    return "".join(chosen)


def no_crl(authority: x509.Certificate) -> str:
    """Why a CA has no CRL, in words (OpenSSL takes none of a CA whose key usage lacks cRLSign)."""
    return "is not there" if signs_crls(authority) else "cannot be (its key usage does not let it sign one)"


def in_order(authorities: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """Each certificate once, by subject and fingerprint."""
    return [
        each for _key, each in sorted({(subject_text(each), fingerprint(each)): each for each in authorities}.items())
    ]
