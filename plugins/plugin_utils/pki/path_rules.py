# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients ask of one certificate, as a leaf or as a CA of a path. Pure; needs ``cryptography``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.certificate_facts import (
    POISON,
    CertificateFacts,
    facts_of,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chain_problems import ChainProblem
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import x509
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.host_names import speaks_for
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issuance import identifiers_fit
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.name_constraints import (
    Budget,
    TooMuchWork,
    describe_forbidden,
    forbidden_names,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.raw_certificate import has_curve_of_its_own
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import ANY_USAGE, TLS_USAGES, usage_oid
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.weakness import weak_key, weak_signature
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    iso,
    names_of,
    subject_text,
    usages_of,
)

# A certificate is valid through the last second that it names (RFC 5280, section 4.1.2.5).
ONE_SECOND = dt.timedelta(seconds=1)
WORDS = {"server_auth": "servers", "client_auth": "clients"}


def words_for(purpose: str) -> str:
    """Who uses a certificate for that."""
    return WORDS.get(purpose, purpose)


def expired(certificate: x509.Certificate, now: dt.datetime) -> bool:
    """Whether its time is over."""
    return certificate.not_valid_after_utc <= now - ONE_SECOND


def leaf_problems(
    leaf: x509.Certificate, now: dt.datetime, purposes: Iterable[str], names: Iterable[str]
) -> list[ChainProblem]:
    """What a client would object to in the leaf, wherever it leads.

    :param purposes: in our words (``server_auth``); it has to do for each of them.
    :param names: the hosts that clients want to reach.
    """
    return [*leaf_dates(leaf, now), *leaf_names(leaf, names), *leaf_usages(leaf, purposes), *own_problems(leaf)]


def leaf_dates(leaf: x509.Certificate, now: dt.datetime) -> Iterator[ChainProblem]:
    """Whether it is valid now."""
    if expired(leaf, now):
        yield ChainProblem("expired", f"the certificate expired on {iso(leaf.not_valid_after_utc)}")
    if leaf.not_valid_before_utc > now:
        yield ChainProblem("not_yet_valid", f"the certificate is not valid before {iso(leaf.not_valid_before_utc)}")


def leaf_names(leaf: x509.Certificate, names: Iterable[str]) -> Iterator[ChainProblem]:
    """Whether it speaks for those that clients want to reach."""
    wanted = list(names)
    if not wanted or facts_of(leaf).error:
        return
    has = names_of(leaf)
    for name in wanted:
        if not speaks_for(has, name):
            own = ", ".join(has.dns_names + has.ip_addresses) or "none"
            yield ChainProblem("name_mismatch", f"the certificate is not for {name} (its names: {own})")


def leaf_usages(leaf: x509.Certificate, purposes: Iterable[str]) -> Iterator[ChainProblem]:
    """Whether it may be used for what it is used for."""
    facts = facts_of(leaf)
    for purpose in purposes:
        if not may_be_used(facts, purpose):
            usages = ", ".join(usages_of(leaf))
            yield ChainProblem(
                "wrong_usage", f"the certificate is not for {words_for(purpose)} (its usages: {usages or 'none'})"
            )
        usage = facts.key_usage
        if purpose not in TLS_USAGES:
            continue
        keys_agreed = usage is None or usage.digital_signature or usage.key_agreement
        if not keys_agreed and not (purpose == "server_auth" and usage.key_encipherment):
            yield ChainProblem(
                "wrong_key_usage",
                f"the key usage of the certificate does not allow {words_for(purpose)} to use it for TLS",
            )


def may_be_used(facts: CertificateFacts, purpose: str) -> bool:
    """Whether its extended key usages, if it has any, hold a purpose."""
    return facts.usages is None or not facts.usages.isdisjoint({usage_oid(purpose).dotted_string, ANY_USAGE})


def own_problems(certificate: x509.Certificate, *, signed: bool = True) -> Iterator[ChainProblem]:
    """What is wrong with a certificate at any place of a path; ``signed``: whether somebody looks at its signature."""
    facts, who = facts_of(certificate), subject_text(certificate)
    if facts.error:
        yield ChainProblem("unreadable", f"the extensions of '{who}' cannot be read: {facts.error}")
    if has_curve_of_its_own(certificate):
        yield ChainProblem("unreadable", f"the key of '{who}' is on a curve of its own, which no client takes")
    if POISON in facts.unknown_critical:
        yield ChainProblem("precertificate", f"'{who}' is a precertificate, which no client takes")
    elif facts.unknown_critical:
        unknown = ", ".join(facts.unknown_critical)
        yield ChainProblem(
            "unknown_critical_extension", f"'{who}' has a critical extension that clients do not know ({unknown})"
        )
    weak = weak_key(certificate)
    if weak:
        yield ChainProblem("weak_key", weak)
    weak = weak_signature(certificate) if signed else None
    if weak:
        yield ChainProblem("weak_signature", weak)


def authority_problems(
    upper: x509.Certificate,
    below: Sequence[x509.Certificate],
    now: dt.datetime | None,
    purposes: Iterable[str],
    *,
    anchor: bool,
    budget: Budget,
) -> Iterator[ChainProblem]:
    """What forbids a certificate to stand above others in a path.

    :param below: the path so far, leaf first.
    :param now: None: its dates are not looked at.
    :param anchor: whether it is trusted by itself, so that nobody looks at its signature.
    """
    who, facts = subject_text(upper), facts_of(upper)
    kind = "trust anchor" if anchor else "intermediate"
    if now is not None and expired(upper, now):
        yield ChainProblem("ca_expired", f"the {kind} '{who}' has expired")
    if now is not None and upper.not_valid_before_utc > now:
        yield ChainProblem(
            "ca_not_yet_valid", f"the {kind} '{who}' is not valid before {iso(upper.not_valid_before_utc)}"
        )
    # A root of version 1 has no way to say that it is one.
    if not facts.ca and not facts.error and not (anchor and facts.version1 and facts.self_issued):
        yield ChainProblem("not_a_ca", f"'{who}' stands in the chain as an issuer and is no CA")
    if facts.key_usage is not None and not facts.key_usage.key_cert_sign:
        yield ChainProblem("no_cert_sign", f"the key usage of '{who}' does not allow it to issue certificates")
    count = sum(not facts_of(each).self_issued for each in below[1:])
    if facts.path_length is not None and count > facts.path_length:
        yield ChainProblem("path_too_long", f"'{who}' may not have so many CAs below it")
    for purpose in purposes:
        if not may_be_used(facts, purpose):
            yield ChainProblem(
                "ca_wrong_usage", f"'{who}' may not issue for {words_for(purpose)} (its extended key usages)"
            )
    if not identifiers_fit(below[-1], upper):
        yield ChainProblem(
            "identifier_mismatch",
            f"'{subject_text(below[-1])}' names another key or serial number of its issuer than '{who}' has",
        )
    yield from own_problems(upper, signed=not anchor)
    try:
        for name in forbidden_names(upper, below, budget):
            yield ChainProblem("name_not_allowed", describe_forbidden(upper, name))
    except TooMuchWork:
        yield ChainProblem("too_much_work", f"the name constraints of '{who}' take too much work to judge")
