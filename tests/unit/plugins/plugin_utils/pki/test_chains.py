# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of chains, held against the openssl program: the truths of public suites in cases of our own."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chain_problems import CODES
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import (
    chain_to_install,
    check_chain,
    is_in_order,
    judge_chain,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.usages import key_usage_of
from ansible_collections.fleet.tls.tests.unit.support.chains import (
    CLIENT,
    DAY,
    HOST,
    NOW,
    authority,
    certificate,
    dn,
    key,
    leaf,
    openssl_takes,
)

ROOT = authority("root")
MIDDLE = authority("middle", "root")
LEAF = leaf("middle")
OLD = authority("old root")
# The root's key, signed by an older one: what a CA sends along while not everybody knows the new root.
CROSS = authority("root", "old root")
EXPIRED_CROSS = authority("root", "old root", begin=NOW - 9 * DAY, end=NOW - DAY)
POISON = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.3"), b"\x05\x00")
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
ONE_WAY = "openssl tries one issuer of a name; Go, cryptography and browsers try all"
ENCRYPT_ONLY = x509.KeyUsage(False, False, False, True, False, False, False, False, False)


@dataclass(frozen=True)
class Case:
    """A chain and what is to be said of it; ``differs``: why openssl says otherwise."""

    chain: tuple[x509.Certificate, ...]
    codes: tuple[str, ...] = ()
    anchors: tuple[x509.Certificate, ...] = (ROOT,)
    notices: tuple[str, ...] = ()
    differs: str = field(default="")


def identified(**fields: Any) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(fields.get("key"), fields.get("issuer"), fields.get("serial"))


def rollover(old: str, new: str) -> tuple[x509.ExtensionType, ...]:
    """The identifiers of a CA's new key, signed by its old one."""
    return (
        x509.SubjectKeyIdentifier.from_public_key(key(new).public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key(old).public_key()),
    )


def permitting(*names: x509.GeneralName) -> tuple[x509.NameConstraints, bool]:
    return x509.NameConstraints(list(names), None), True


def excluding(*names: x509.GeneralName) -> tuple[x509.NameConstraints, bool]:
    return x509.NameConstraints(None, list(names)), True


def san(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(HOST), *names])


def below(
    *constraints: Any, names: tuple[str, ...] = (HOST,), more: tuple[Any, ...] = (), subject: str = "leaf"
) -> tuple[Any, ...]:
    """A leaf below a CA with these constraints."""
    return leaf("limited", *more, names=names, subject=subject), authority("limited", "root", *constraints)


def network(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_network(text))


def address(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(text))


PATHS = {
    "in order": Case((LEAF, MIDDLE)),
    "with the root": Case((LEAF, MIDDLE, ROOT)),
    "out of order": Case((LEAF, ROOT, MIDDLE), notices=("wrong_order",)),
    "doubled": Case((LEAF, MIDDLE, MIDDLE)),
    "with strangers": Case((LEAF, OLD, authority("stranger"), MIDDLE)),
    "with an expired stranger": Case((LEAF, MIDDLE, authority("gone", end=NOW - DAY))),
    "the new root by the old one, the new one known": Case((LEAF, MIDDLE, CROSS)),
    "the new root by the old one, the old one known": Case((LEAF, MIDDLE, CROSS), anchors=(OLD,)),
    "an expired cross-signature that nobody needs": Case((LEAF, MIDDLE, EXPIRED_CROSS)),
    "an expired cross-signature that is needed": Case((LEAF, MIDDLE, EXPIRED_CROSS), ("ca_expired",), (OLD,)),
    "two certificates of the intermediate, one expired": Case(
        (LEAF, authority("middle", "root", end=NOW - DAY), MIDDLE), notices=()
    ),
    "an intermediate that is trusted": Case((LEAF, MIDDLE), anchors=(MIDDLE,)),
    "an intermediate that is trusted, not sent": Case((LEAF,), anchors=(MIDDLE,)),
    "a leaf that is trusted": Case((leaf("self", subject="self"),), anchors=(leaf("self", subject="self", serial=1),)),
    "no intermediate": Case((LEAF,), ("no_path",)),
    "nobody trusted": Case((LEAF, MIDDLE, ROOT), ("no_path",), (OLD,)),
    "self-signed": Case((leaf("alone", subject="alone"),), ("self_signed",)),
    "another CA of the same name": Case((LEAF, authority("middle", "root", own="other")), ("bad_signature",)),
    "the right CA beside one of the same name": Case(
        (LEAF, authority("middle", "root", own="other"), MIDDLE), differs=ONE_WAY
    ),
    "a circle": Case((leaf("a"), authority("a", "b"), authority("b", "a")), ("no_path",)),
}
PATHS["a leaf that is trusted"] = Case(
    (PATHS["a leaf that is trusted"].anchors[0],), anchors=PATHS["a leaf that is trusted"].anchors
)

AUTHORITIES = {
    "expired intermediate": Case((leaf("m"), authority("m", "root", end=NOW - DAY)), ("ca_expired",)),
    "future intermediate": Case((leaf("m"), authority("m", "root", begin=NOW + DAY)), ("ca_not_yet_valid",)),
    "expired root, sent": Case(
        (leaf("er"), authority("er", end=NOW - DAY, serial=5)),
        ("ca_expired",),
        (authority("er", end=NOW - DAY, serial=5),),
    ),
    "expired root": Case((leaf("er"),), ("ca_expired",), (authority("er", end=NOW - DAY),)),
    "future root": Case((leaf("fr"),), ("ca_not_yet_valid",), (authority("fr", begin=NOW + DAY),)),
    "an expired root beside a good one of the same key": Case(
        (leaf("er"),), anchors=(authority("er", end=NOW - DAY), authority("er"))
    ),
    "no CA": Case((leaf("m"), leaf("root", subject="m")), ("not_a_ca",)),
    "no basic constraints": Case(
        (leaf("m"), certificate("m", "root", (key_usage_of(("digital_signature",)), False))),
        ("not_a_ca", "no_cert_sign"),
    ),
    "root that is no CA": Case((leaf("nr"),), ("not_a_ca",), (certificate("nr", "nr"),)),
    "no keyCertSign": Case(
        (leaf("m"), authority("m", "root", (key_usage_of(("digital_signature",)), True))), ("no_cert_sign",)
    ),
    "root without keyCertSign": Case(
        (leaf("r"),), ("no_cert_sign",), (authority("r", "", (key_usage_of(("digital_signature",)), True)),)
    ),
    "CA for clients only": Case((leaf("m"), authority("m", "root", CLIENT)), ("ca_wrong_usage",)),
    "CA for anything": Case(
        (leaf("m"), authority("m", "root", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]))),
        differs="openssl does not count anyExtendedKeyUsage; Go, NSS and cryptography do",
    ),
    "root for clients only": Case((leaf("r"),), ("ca_wrong_usage",), (authority("r", "", CLIENT),)),
    "path length of an intermediate": Case(
        (leaf("b"), authority("b", "a"), authority("a", "root", length=0)), ("path_too_long",)
    ),
    "path length of a root": Case((leaf("b"), authority("b", "r")), ("path_too_long",), (authority("r", length=0),)),
    "path length, self-issued in between": Case(
        (leaf("a", signer="a2"), authority("a", "a", *rollover("a", "a2"), own="a2"), authority("a", "root", length=0))
    ),
    "critical extension of an intermediate": Case(
        (leaf("m"), authority("m", "root", (UNKNOWN, True))), ("unknown_critical_extension",)
    ),
    "critical extension of a root": Case(
        (leaf("r"),), ("unknown_critical_extension",), (authority("r", "", (UNKNOWN, True)),)
    ),
    "critical extension of one that nobody needs": Case((LEAF, authority("x", "root", (UNKNOWN, True)), MIDDLE)),
    "weak intermediate": Case((leaf("rsa-1024:m"), authority("rsa-1024:m", "root")), ("weak_key",)),
    "weak root": Case((leaf("rsa-1024:r"),), ("weak_key",), (authority("rsa-1024:r"),)),
    **{
        f"{kind} CA": Case((leaf(f"{kind}:r"),), anchors=(authority(f"{kind}:r"),))
        for kind in ("ed25519", "ed448", "brainpool")
    },
    "another key named": Case(
        (leaf("m", identified(key=b"x" * 20)), authority("m", "root", x509.SubjectKeyIdentifier(b"y" * 20))),
        ("identifier_mismatch",),
    ),
    "another serial named": Case(
        (leaf("m", identified(issuer=[x509.DirectoryName(dn("root"))], serial=7)), authority("m", "root", serial=8)),
        ("identifier_mismatch",),
    ),
    "the right key and serial named": Case(
        (
            leaf("m", identified(key=b"y" * 20, issuer=[x509.DirectoryName(dn("root"))], serial=8)),
            authority("m", "root", x509.SubjectKeyIdentifier(b"y" * 20), serial=8),
        )
    ),
    "names written in another way": Case(
        (leaf("O=Example  Org/CN=MIDDLE", signer="m"), authority("O=example org/CN=Middle", "root", own="m"))
    ),
}

LEAVES = {
    "for clients": Case((leaf("middle", CLIENT), MIDDLE), ("wrong_usage",)),
    "for no key usage": Case((leaf("middle", (ENCRYPT_ONLY, True)), MIDDLE), ("wrong_key_usage",)),
    "key usage of RSA": Case((leaf("middle", (key_usage_of(("key_encipherment",)), True)), MIDDLE)),
    "no usage at all": Case((certificate("leaf", "middle", (san(), False)), MIDDLE)),
    "critical extension": Case((leaf("middle", (UNKNOWN, True)), MIDDLE), ("unknown_critical_extension",)),
    "extension that is not critical": Case((leaf("middle", UNKNOWN), MIDDLE)),
    "precertificate": Case((leaf("middle", (POISON, True)), MIDDLE), ("precertificate",)),
    "expired": Case((leaf("middle", end=NOW - DAY), MIDDLE), ("expired",)),
    "in its last second": Case(
        (leaf("middle", end=NOW), MIDDLE), differs="openssl counts the last second as over (RFC 5280 4.1.2.5 does not)"
    ),
    "future": Case((leaf("middle", begin=NOW + DAY), MIDDLE), ("not_yet_valid",)),
    "other name": Case((leaf("middle", names=("example.com",)), MIDDLE), ("name_mismatch",)),
    "wildcard": Case((leaf("middle", names=("*.example.com",)), MIDDLE)),
    "wildcard over two labels": Case((leaf("middle", names=("*.com",)), MIDDLE), ("name_mismatch",)),
    "a common name is no name": Case(
        (leaf("middle", x509.SubjectAlternativeName([address("192.0.2.1")]), subject=HOST), MIDDLE),
        ("name_mismatch",),
        differs="openssl falls back to the common name; browsers, Go and Python do not (RFC 9525)",
    ),
}

DNS, MAIL, URI = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier
CONSTRAINTS = {
    "permitted": Case(below(permitting(DNS("example.com")))),
    "permitted, below a dot": Case(below(permitting(DNS(".example.com")))),
    "not permitted": Case(below(permitting(DNS("example.org"))), ("name_not_allowed",)),
    "no part of a label": Case(below(permitting(DNS("w.example.com"))), ("name_not_allowed",)),
    "excluded": Case(below(excluding(DNS("example.com"))), ("name_not_allowed",)),
    "permitted and excluded": Case(
        below((x509.NameConstraints([DNS("example.com")], [DNS(HOST)]), True)), ("name_not_allowed",)
    ),
    "another kind": Case(below(permitting(network("10.0.0.0/8")))),
    "one of two names": Case(below(permitting(DNS("example.com")), names=(HOST, "example.org")), ("name_not_allowed",)),
    "a wildcard over what is excluded": Case(
        below(excluding(DNS("bad.example.com")), names=("*.example.com",)),
        ("name_not_allowed",),
        differs="openssl compares the wildcard as a name; Go (since 1.24.11) and cryptography do not",
    ),
    "address": Case(below(permitting(network("10.0.0.0/8")), more=(san(address("10.1.1.1")),))),
    "other address": Case(
        below(permitting(network("10.0.0.0/8")), more=(san(address("11.1.1.1")),)), ("name_not_allowed",)
    ),
    "excluded address": Case(
        below(excluding(network("2001:db8::/32")), more=(san(address("2001:db8::1")),)), ("name_not_allowed",)
    ),
    "other family": Case(below(permitting(network("10.0.0.0/8")), more=(san(address("::1")),)), ("name_not_allowed",)),
    "mail": Case(below(permitting(MAIL("example.com")), more=(san(MAIL("a@example.com")),))),
    "other mail host": Case(
        below(permitting(MAIL("example.com")), more=(san(MAIL("a@x.example.com")),)), ("name_not_allowed",)
    ),
    "mail below a domain": Case(below(permitting(MAIL(".example.com")), more=(san(MAIL("a@x.example.com")),))),
    "mailbox": Case(
        below(permitting(MAIL("a@example.com")), more=(san(MAIL("b@example.com")),)), ("name_not_allowed",)
    ),
    "uri": Case(below(permitting(URI(".example.com")), more=(san(URI("spiffe://a.example.com/x")),))),
    "other uri": Case(
        below(permitting(URI("example.com")), more=(san(URI("https://example.org/example.com")),)),
        ("name_not_allowed",),
    ),
    "uri of an address": Case(
        below(permitting(URI("example.com")), more=(san(URI("https://192.0.2.1/")),)), ("name_not_allowed",)
    ),
    "directory name": Case(below(permitting(x509.DirectoryName(dn("O=Example"))), subject="O=EXAMPLE/CN=leaf")),
    "other directory name": Case(
        below(permitting(x509.DirectoryName(dn("O=Example"))), subject="O=Other/CN=leaf"), ("name_not_allowed",)
    ),
    "excluded directory name": Case(
        below(excluding(x509.DirectoryName(dn("O=Example"))), subject="O=Example/CN=leaf"), ("name_not_allowed",)
    ),
    "a name of a kind that nobody can judge": Case(
        below(
            excluding(x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x01a")),
            more=(san(x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x01b")),),
        ),
        ("name_not_allowed",),
    ),
    "of the root": Case((leaf("r"),), ("name_not_allowed",), (authority("r", "", permitting(DNS("example.org"))),)),
    "an intermediate's own names": Case(
        (
            leaf("b"),
            authority("b", "a", san(DNS("example.org"))),
            authority("a", "root", permitting(DNS("example.com"))),
        ),
        ("name_not_allowed",),
    ),
    "self-issued in between": Case(
        (
            leaf("a", signer="a2"),
            authority("a", "a", san(DNS("example.org")), *rollover("a", "a2"), own="a2"),
            authority("a", "root", permitting(DNS("example.com"))),
        )
    ),
    "another way round": Case(
        (
            leaf("b"),
            authority("b", "a"),
            authority("b", "root"),
            authority("a", "root", permitting(DNS("example.org"))),
        ),
        differs=ONE_WAY,
    ),
}
# A host looks at two certificates at a time, and so does not see that the lower one is no leaf.
PAIRWISE = ("self-issued in between",)
CASES = {**PATHS, **AUTHORITIES, **LEAVES, **CONSTRAINTS}


@pytest.mark.parametrize("name", CASES)
def test_as_clients_do(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    verdict = judge_chain(case.chain, case.anchors, now=NOW, names=(HOST,))
    assert tuple(problem.code for problem in verdict.problems) == case.codes
    assert tuple(notice.code for notice in verdict.notices) == case.notices
    taken, words = openssl_takes(tmp_path, case.chain, case.anchors)
    assert (taken == (not case.codes)) is not bool(case.differs), words


def test_every_code_is_proven() -> None:
    said = {code for case in CASES.values() for code in (*case.codes, *case.notices)}
    assert said == set(CODES) - {"unreadable", "too_much_work", "weak_signature"}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.codes and name not in PAIRWISE])
def test_what_is_installed_is_in_order_and_good(name: str) -> None:
    case = CASES[name]
    chain = chain_to_install(case.chain, check_chain(case.chain, case.anchors, NOW), NOW)
    assert chain[0] == case.chain[0] and is_in_order(chain, NOW)
    assert judge_chain(chain, case.anchors, now=NOW).problems == ()
    assert len(chain) == 1 or ROOT not in chain


def test_a_chain_that_leads_on_is_installed_as_it_came() -> None:
    for chain in ((LEAF, MIDDLE, CROSS), (LEAF, MIDDLE)):
        assert chain_to_install(chain, check_chain(chain, [ROOT], NOW), NOW) == chain
    untidy = (LEAF, MIDDLE, EXPIRED_CROSS)
    assert chain_to_install(untidy, check_chain(untidy, [ROOT], NOW), NOW) == (LEAF, MIDDLE)


def test_an_expired_leaf_is_not_its_chains_fault() -> None:
    old = leaf("middle", end=NOW - DAY)
    assert check_chain((old, MIDDLE), [ROOT], NOW).chain == ()


def test_every_problem_is_told() -> None:
    bad = authority("m", "root", CLIENT, (key_usage_of(("digital_signature",)), True), end=NOW - DAY)
    with pytest.raises(CertificateError) as error:
        check_chain((leaf("m"), bad), [ROOT], NOW, ("server_auth",))
    for words in ("has expired", "may not issue for servers", "does not allow it to issue"):
        assert words in error.value.message


def test_a_client_is_judged_as_one() -> None:
    client = leaf("middle", CLIENT)
    assert judge_chain((client, MIDDLE), [ROOT], now=NOW, purposes=("client_auth",)).problems == ()
    both = judge_chain((client, MIDDLE), [ROOT], now=NOW, purposes=("client_auth", "server_auth"))
    assert [problem.code for problem in both.problems] == ["wrong_usage"]


def test_work_is_bounded() -> None:
    begun = dt.datetime.now()
    # 60 CAs, each of which issued every other one.
    mesh = [authority(f"ca{upper}", "mesh", own="mesh") for upper in range(60)]
    mesh = [authority("mesh", "mesh", own="mesh", serial=number) for number in range(1, 60)] + mesh
    assert not judge_chain((leaf("mesh"), *mesh), [ROOT], now=NOW).complete
    names = [DNS(f"x{number}.example.com") for number in range(2048)]
    limited = leaf("r", x509.SubjectAlternativeName(names)), authority("r", "", permitting(*names))
    verdict = judge_chain(limited[:1], limited[1:], now=NOW)
    assert [problem.code for problem in verdict.problems] == ["too_much_work"]
    assert (dt.datetime.now() - begun).total_seconds() < 60


def test_keys_are_what_the_cases_say() -> None:
    assert key("rsa-1024:m").key_size == 1024 and key("m") is key("m")
