# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem, make_crl, make_entry, parse_pem_crls
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import (
    Authority,
    authority_builder,
    generate_key,
    make_leaf,
    make_root,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.crypto import hashes
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.subject import distinguished_name
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import key_usage_of
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, fingerprint, parse_pem_chain, to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.revocation.internal import revoke
from ansible_collections.fleet.tls.plugins.plugin_utils.trust.client_trust import ClientTrust, client_trust
from ansible_collections.fleet.tls.tests.unit.support.openssl_verify import verdict
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    NOW,
    make_issuer,
    make_request,
    make_spec,
    snapshot,
)


def foreign(name: str = "Partner Root", begin: dt.datetime = NOW, days: int = 3650) -> Authority:
    """A CA of somebody else's."""
    return make_root(name, "ecdsa-p256", begin, days * DAY)


def crl_of(authority: Authority, at: dt.datetime = NOW, days: int = 7, number: int = 1) -> str:
    return crl_to_pem(make_crl(authority, (), number=number, now=at, lifetime=days * DAY))


def client_of(authority: Authority) -> tuple[x509.Certificate, ...]:
    public_key = generate_key("ecdsa-p256").public_key()
    return (make_leaf(public_key, Names(dns_names=("c.example",)), ("client_auth",), authority, NOW, 30 * DAY),)


def issue(issuer: Issuer, number: int = 1) -> tuple[x509.Certificate, ...]:
    request = make_request(make_spec("app", usages=["client_auth"]), request_id=f"request-{number:04}")
    (issued,) = issuer.issue([request], NOW)
    assert isinstance(issued, Issued)
    return issued.chain


def trust_of(
    *issuers: Issuer,
    anchors: Any = None,
    crls: Any = (),
    now: dt.datetime = NOW,
    revocation: bool = True,
    renew: bool = True,
) -> ClientTrust:
    named = {issuer.name: issuer for issuer in issuers}
    return client_trust(named, list(named), anchors or {}, crls, now, revocation=revocation, renew=renew)


def test_servers_take_the_right_clients_and_no_others(tmp_path: Path) -> None:
    internal, other, partner = make_issuer(tmp_path), make_issuer(tmp_path, "other"), foreign()
    good, bad, stranger = issue(internal), issue(internal, 2), issue(other)
    revoke({"internal": internal}, internal.store, [fingerprint(bad[0])], "key_compromise", NOW)
    trust = trust_of(internal, anchors={"partner": to_pem(partner.certificate)}, crls=[crl_of(partner)])
    assert (trust.expired, trust.warnings, trust.due) == ((), (), ())
    for chain, words in (
        (good, "OK"),
        (client_of(partner), "OK"),
        (bad, "certificate revoked"),
        (stranger, "unable to get local issuer certificate"),
    ):
        assert words in verdict(tmp_path, chain, trust.bundle, trust.crls, NOW)
    assert len(parse_pem_chain(trust.bundle)) == 2 and len(parse_pem_crls(trust.crls)) == 3
    without = trust_of(internal, anchors={"partner": to_pem(partner.certificate)}, revocation=False)
    assert (without.bundle, without.crls) == (trust.bundle, "")
    assert verdict(tmp_path, bad, without.bundle, "", NOW) == "OK"


def test_two_cas_at_once(tmp_path: Path) -> None:
    old, new = make_issuer(tmp_path), make_issuer(tmp_path, "new")
    chains = issue(old), issue(new)
    trust = trust_of(old, new)
    assert trust == trust_of(new, old)
    assert [verdict(tmp_path, chain, trust.bundle, trust.crls, NOW) for chain in chains] == ["OK", "OK"]


def test_the_order_of_what_the_user_wrote_changes_nothing(tmp_path: Path) -> None:
    authorities = [foreign(name) for name in ("B", "A", "C")]
    anchors = {str(place): to_pem(each.certificate) for place, each in enumerate(authorities)}
    crls = [crl_of(each) for each in authorities]
    turned = dict(reversed(anchors.items()))
    assert trust_of(anchors=anchors, crls=crls) == trust_of(anchors=turned, crls=list(reversed(crls)))
    assert trust_of(anchors=anchors, crls="".join(crls)) == trust_of(anchors=anchors, crls=crls)


def test_an_expired_anchor_is_left_out_and_told(tmp_path: Path) -> None:
    gone = foreign("Gone Root", NOW - 100 * DAY, days=90)
    internal = make_issuer(tmp_path)
    chain = issue(internal)
    trust = trust_of(internal, anchors={"gone": to_pem(gone.certificate)}, crls=[crl_of(gone, NOW - 20 * DAY)])
    assert [anchor.source for anchor in trust.expired] == ["gone"] and len(parse_pem_chain(trust.bundle)) == 1
    assert "the trust anchor 'CN=Gone Root' of 'gone' expired on" in trust.warnings[0]
    assert verdict(tmp_path, chain, trust.bundle, trust.crls, NOW) == "OK"


def test_the_newest_crl_of_a_ca_counts(tmp_path: Path) -> None:
    partner = foreign()
    crls = [crl_of(partner, NOW - 1 * DAY, number=2), crl_of(partner, NOW - 9 * DAY), crl_of(partner, NOW - 2 * DAY)]
    trust = trust_of(anchors={"partner": to_pem(partner.certificate)}, crls=crls)
    (crl,) = parse_pem_crls(trust.crls)
    assert crl.last_update_utc == NOW - 1 * DAY


def without_crl_sign() -> x509.Certificate:
    key, subject = generate_key("ecdsa-p256"), distinguished_name((), "Mute Root")
    own = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = authority_builder(subject, key.public_key(), subject, own, path_length=1)
    builder._extensions = [each for each in builder._extensions if not isinstance(each.value, x509.KeyUsage)]
    usage = key_usage_of((), certificates=True)
    named = {name: getattr(usage, f"_{name}") for name in ("digital_signature", "key_cert_sign", "key_encipherment")}
    rest = dict.fromkeys(
        ("crl_sign", "content_commitment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
        False,
    )
    builder = builder.add_extension(x509.KeyUsage(**named, **rest), critical=True)
    return builder.not_valid_before(NOW).not_valid_after(NOW + 9 * DAY).sign(key, hashes.SHA256())


PARTNER, STRANGER, TWIN = foreign(), foreign("Stranger"), foreign()
BUNDLE = {"partner": to_pem(PARTNER.certificate)}


@pytest.mark.parametrize(
    ("anchors", "fields", "words"),
    [
        ({}, {}, "no trust anchor to install"),
        (
            {"gone": to_pem(foreign("Gone", NOW - 9 * DAY, 2).certificate)},
            {},
            "every trust anchor has expired .CN=Gone",
        ),
        (BUNDLE, {}, "the CRL of the CA 'CN=Partner Root' is not there: servers would refuse all of its clients"),
        (
            BUNDLE,
            {"crls": [crl_of(PARTNER, NOW - 8 * DAY)]},
            "the CRL of the CA 'CN=Partner Root' expired on 2026-11-22",
        ),
        (BUNDLE, {"crls": [crl_of(PARTNER, NOW + DAY)]}, "'CN=Partner Root' counts from 2026-11-24T10:00:00Z on only"),
        (BUNDLE, {"crls": [crl_of(STRANGER)]}, "'CN=Stranger' is signed by none of the CAs in the bundle"),
        (BUNDLE, {"crls": [crl_of(TWIN)]}, "'CN=Partner Root' is signed by none of the CAs"),
        (BUNDLE, {"crls": ["garbage"]}, "crls: not a complete PEM CRL"),
        (BUNDLE, {"crls": [crl_of(PARTNER)[:-40]]}, "crls: not a complete PEM CRL"),
        (BUNDLE, {"crls": [crl_of(PARTNER)], "revocation": False}, "revocation is not checked"),
        ({"mute": to_pem(without_crl_sign())}, {}, "CRL of the CA 'CN=Mute Root' cannot be"),
        ({"leaf": to_pem(client_of(PARTNER)[0])}, {}, "is not a CA certificate"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_would_lock_clients_out_is_refused(anchors: Any, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(TlsError, match=words) as caught:
        trust_of(anchors=anchors, **fields)
    assert caught.value.remedy


def test_what_is_refused_here_is_what_openssl_refuses(tmp_path: Path) -> None:
    chain, bundle = client_of(PARTNER), BUNDLE["partner"]
    for crls in (crl_of(PARTNER, NOW - 8 * DAY), crl_of(STRANGER), crl_of(PARTNER, NOW + DAY)):
        assert verdict(tmp_path, chain, bundle, crls, NOW) != "OK"
    assert verdict(tmp_path, chain, bundle, crl_of(PARTNER), NOW) == "OK"


def test_an_issuer_without_crls_is_refused_by_name(tmp_path: Path) -> None:
    class Silent(type(make_issuer(tmp_path))):  # type: ignore[misc]
        def crls(self, now: dt.datetime, *, renew: bool = True) -> tuple[x509.CertificateRevocationList, ...]:
            return ()

    issuer = Silent("internal", {}, make_issuer(tmp_path).store)
    issue(issuer)
    with pytest.raises(TlsError, match="the CRL of the CA 'CN=internal CA Issuing 2026-11' is not there"):
        trust_of(issuer)
    assert trust_of(issuer, revocation=False).crls == ""


def test_a_crl_that_ran_out_while_nobody_could_sign_it(tmp_path: Path) -> None:
    issue(make_issuer(tmp_path))
    reader = make_issuer(tmp_path, passphrase=None)
    assert "give the store's passphrase" in trust_of(reader, now=NOW + 6 * DAY).warnings[0]
    with pytest.raises(TlsError, match="the CRL of the CA 'CN=internal CA Issuing 2026-11' expired on 2026-11-30"):
        trust_of(reader, now=NOW + 8 * DAY)


def test_check_mode_writes_nothing_and_says_what_would_change(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issue(issuer)
    before = snapshot(tmp_path)
    for days, due in ((1, 0), (4, 1), (9, 1)):
        trust = trust_of(issuer, now=NOW + days * DAY, renew=False)
        assert len(trust.due) == due
    assert snapshot(tmp_path) == before
    trust_of(issuer, now=NOW + 9 * DAY)
    assert snapshot(tmp_path) != before


def test_names_that_do_not_fit(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path)
    issue(issuer)
    with pytest.raises(TlsError, match="issuers: 'intrnal' is unknown. Did you mean 'internal'"):
        client_trust({"internal": issuer}, ["intrnal"], {}, (), NOW, revocation=True)
    with pytest.raises(TlsError, match="'internal' is the name of an issuer"):
        trust_of(issuer, anchors={"internal": BUNDLE["partner"]})


def test_the_newer_crl_that_a_server_has_of_another_ca_stays() -> None:
    """An older file of the user's does not take a revocation back either."""
    entry = make_entry(4711, int(NOW.timestamp()), "key_compromise")
    newer = make_crl(PARTNER, [entry], number=3, now=NOW - DAY / 24, lifetime=7 * DAY)
    strange = make_crl(TWIN, [], number=9, now=NOW, lifetime=7 * DAY)
    future = make_crl(PARTNER, [], number=8, now=NOW + DAY, lifetime=7 * DAY)

    def installed(*held: x509.CertificateRevocationList, at: dt.datetime) -> str:
        named = [crl_of(PARTNER, at)]
        return client_trust({}, [], BUNDLE, named, NOW, revocation=True, held=held).crls

    assert installed(newer, strange, future, at=NOW - DAY) == crl_to_pem(newer)
    assert [len(crl) for crl in parse_pem_crls(installed(newer, at=NOW))] == [0]
