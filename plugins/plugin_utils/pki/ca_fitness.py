# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a CA that somebody else has made can be one of ours, and may issue what is asked of it. Pure; needs ``cryptography``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import leaf_subject
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.certificate_facts import facts_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.name_constraints import (
    Limits,
    describe_forbidden,
    names_among,
    text_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import ANY_USAGE, usage_oid
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    Names,
    certificate_key_id,
    general_names,
    is_issued_by,
    iso,
    key_id,
    subject_text,
)


def refuse_no_ca(certificate: x509.Certificate, what: str, now: dt.datetime) -> None:
    """Refuse what cannot sign certificates that anybody takes (RFC 5280, 4.2.1.3, 4.2.1.9, 6.1).

    :param what: which CA it is meant to be, for the message.
    :raises CertificateError: it is no CA, may not sign certificates, or is not valid now.
    """
    facts = facts_of(certificate)
    subject = f"{what}: '{subject_text(certificate)}'"
    if facts.error:
        raise CertificateError(f"{subject} cannot be read: {facts.error}", remedy="give another CA")
    if not facts.ca:
        raise CertificateError(
            f"{subject} is not a CA (no basic constraints with CA:TRUE)",
            remedy="give the CA's own certificate, not one that it issued",
        )
    if facts.key_usage is not None and not facts.key_usage.key_cert_sign:
        raise CertificateError(
            f"{subject} may not sign certificates (its key usage has no keyCertSign)", remedy="give another CA"
        )
    if facts.unknown_critical:
        raise CertificateError(
            f"{subject} has critical extensions that clients do not know ({', '.join(facts.unknown_critical)})",
            remedy="clients would refuse its certificates: give another CA",
        )
    if certificate.not_valid_before_utc > now:
        raise CertificateError(
            f"{subject} is not valid yet: it counts from {iso(certificate.not_valid_before_utc)} on only",
            remedy="set the controller's clock, or wait",
        )
    if certificate.not_valid_after_utc <= now:
        raise CertificateError(
            f"{subject} expired on {iso(certificate.not_valid_after_utc)}", remedy="have it renewed, or give another CA"
        )
    if certificate_key_id(certificate) != key_id(certificate.public_key()):
        raise CertificateError(
            f"{subject} has a key for RSA-PSS only, with which this collection does not sign", remedy="give another CA"
        )


def refuse_no_root(certificate: x509.Certificate, what: str) -> None:
    """:raises CertificateError: somebody else has signed it, so that most clients would not take it as an anchor."""
    if not is_issued_by(certificate, certificate):
        raise CertificateError(
            f"{what}: '{subject_text(certificate)}' is not self-signed, so it is not a root",
            remedy="give the root that signed it as root, and this one as issuing",
        )


def refuse_not_below(issuing: x509.Certificate, root: x509.Certificate, what: str) -> None:
    """Refuse an issuing CA that clients which know ``root`` would not take (RFC 5280, 4.2.1.1, 4.2.1.9).

    :raises CertificateError: the root has not signed it, or may have no CA below it, or the key's identifiers differ.
    """
    names = f"'{subject_text(issuing)}'", f"'{subject_text(root)}'"
    if not is_issued_by(issuing, root):
        raise CertificateError(
            f"{what}: {names[0]} is not signed by the root {names[1]}",
            remedy="give the root that signed it; a CA between the two is not supported",
        )
    if not may_have_cas_below(root):
        raise CertificateError(
            f"{what}: the root {names[1]} may have no CA below it (its path length is 0)",
            remedy="write issuing: root, so that the root issues by itself",
        )
    identifiers = facts_of(issuing).authority_key_id, facts_of(root).subject_key_id
    if all(identifiers) and identifiers[0] != identifiers[1]:
        raise CertificateError(
            f"{what}: {names[0]} names another key than that of the root {names[1]} as its signer's",
            remedy="have it signed again: OpenSSL would refuse this one",
        )


def refuse_other_key(certificate: x509.Certificate, private_key: Any, what: str) -> None:
    """:raises CertificateError: a private key is another one than the certificate's."""
    if key_id(private_key.public_key()) != certificate_key_id(certificate):
        raise CertificateError(
            f"{what}: the private key does not belong to '{subject_text(certificate)}'", remedy="give the CA's own key"
        )


def may_have_cas_below(certificate: x509.Certificate) -> bool:
    """Whether its path length leaves room for a CA below it."""
    return facts_of(certificate).path_length != 0


def refusal(authorities: Iterable[x509.Certificate], names: Names, usages: Iterable[str]) -> str | None:
    """Why a leaf below these CAs would be refused by clients, in words: name constraints (RFC 5280, 4.2.1.10), and
    extended key usages, which OpenSSL, Go and NSS hold against the leaf's. None: it would not.
    """
    for authority in authorities:
        facts = facts_of(authority)
        forbidden = forbidden_of(facts.constraints, names)
        if forbidden:
            return describe_forbidden(authority, forbidden[0])
        missing = [each for each in usages if not allows(facts.usages, each)]
        if missing:
            return f"'{subject_text(authority)}' may not issue for {missing[0]} (its extended key usages)"
    return None


def forbidden_of(constraints: x509.NameConstraints | None, names: Names) -> list[str]:
    """The names of a leaf with ``names`` that constraints do not allow."""
    if constraints is None:
        return []
    limits = Limits(constraints)
    asked = names_among(leaf_subject(names), general_names(names), leaf=True)
    return [text_of(value) for kind, value in asked if not limits.allow(kind, value)]


def allows(usages: frozenset[str] | None, wanted: str) -> bool:
    """Whether a CA's extended key usages let it issue for one, in our words or dotted."""
    return usages is None or not usages.isdisjoint({ANY_USAGE, usage_oid(wanted).dotted_string})
