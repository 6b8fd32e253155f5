# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the internal CA's certificates say: name constraints, path length, subjects, usages, where CRLs are, cross-certificates.

What OpenSSL, GnuTLS and Java make of it is in ``test_ca_says_to_clients.py``.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import RotationError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain, is_in_order
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    extension_of,
    key_algorithm,
    names_of,
    parse_pem_chain,
    usages_of,
)
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.foreign_ca import ROOT, ForeignCa, openssl
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    NOW,
    common_name,
    make_issuer,
    make_request,
    make_spec,
)

INSIDE: dict[str, Any] = {
    "permitted": {
        "dns_names": ["example.com"],
        "ip_addresses": ["192.0.2.0/24"],
        "email_addresses": [".example.com", "root@example.net"],
        "uris": [".example.com"],
    },
    "excluded": {"dns_names": ["secret.example.com"]},
}
FOLDER = "http://pki.example.com/ca/"


def issue(
    issuer: CaIssuer, request_id: str = "request-0001", now: dt.datetime = NOW, **fields: Any
) -> tuple[x509.Certificate, ...]:
    """A chain."""
    (answer,) = issuer.issue([make_request(make_spec(**fields), request_id=request_id)], now)
    assert isinstance(answer, Issued), answer
    return answer.chain


def constraints_of(certificate: x509.Certificate) -> x509.Extension[x509.NameConstraints]:
    return certificate.extensions.get_extension_for_class(x509.NameConstraints)


def test_both_cas_have_the_constraints_and_they_are_critical(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, name_constraints=INSIDE)
    _leaf, issuing = issue(issuer)
    for each in (issuing, *issuer.trust()):
        found = constraints_of(each)
        assert found.critical and found.value.excluded_subtrees == [x509.DNSName("secret.example.com")]
        assert found.value.permitted_subtrees == [
            x509.DNSName("example.com"), x509.IPAddress(ipaddress.ip_network("192.0.2.0/24")),
            x509.UniformResourceIdentifier(".example.com"), x509.RFC822Name(".example.com"), x509.RFC822Name("root@example.net"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"dns_names": ["www.example.net"]}, "www.example.net"),
        ({"dns_names": ["www.example.com", "a.secret.example.com"]}, "a.secret.example.com"),
        ({"ip_addresses": ["192.0.3.1"]}, "192.0.3.1"),
        ({"email_addresses": ["me@example.net"]}, "me@example.net"),
        ({"uris": ["spiffe://example.net/x"]}, "spiffe://example.net/x"),
    ],
)
def test_what_they_exclude_is_refused_before_there_is_a_ca(fields: dict[str, Any], word: str, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path / "store", name_constraints=INSIDE)
    with pytest.raises(SpecError, match="its name constraints do not allow") as caught:
        issuer.check(make_spec(**fields))
    assert word in str(caught.value) and not (tmp_path / "store").exists()
    issuer.check(make_spec(dns_names=["example.com", "*.web.example.com"], ip_addresses=["192.0.2.9"]))


def test_a_ca_that_exists_gets_them_with_its_next_issuing_ca(tmp_path: Path) -> None:
    before = issue(make_issuer(tmp_path))
    issuer = make_issuer(tmp_path, name_constraints=INSIDE)
    assert "has other name constraints than the inventory: the next one is made" in str(issuer.unprepared(NOW))
    after = issue(issuer, "request-0002")
    assert constraints_of(after[1]).critical and extension_of(before[1], x509.NameConstraints) is None
    # Two of a month have two names, as clients look for a revocation list by its issuer's.
    assert (common_name(before[1]), common_name(after[1])) == (
        "internal CA Issuing 2026-11",
        "internal CA Issuing 2026-11.2",
    )
    assert issuer.unprepared(NOW) is None and issue(issuer, "request-0003")[1] == after[1]
    check_chain(before, issuer.trust(), NOW)
    # Without the option, the CA stays as it is.
    assert make_issuer(tmp_path).unprepared(NOW) is None


def test_a_rollover_can_be_proven_within_the_constraints(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, name_constraints=INSIDE)
    issuer.prepare(NOW)
    issuer.rollover().prepare("root-2", NOW)
    for name, root in zip(("old", "new"), issuer.trust()):
        canary = issuer.rollover().canaries(NOW)[name]
        chain = parse_pem_chain(canary.chain)
        check_chain(chain, [root], NOW)
        assert names_of(chain[0]).dns_names == (canary.server_name,) == ("canary.example.com",)


def test_the_csr_for_a_root_elsewhere_asks_for_them(tmp_path: Path) -> None:
    corp, answer = ForeignCa(tmp_path / "corp"), tmp_path / "issuing.pem"
    corp.make("root", ROOT)
    now = dt.datetime.now(dt.timezone.utc)
    given = {"root": {"certificate": str(corp.path("root.pem"))}, "issuing": {"certificate": str(answer)}}
    issuer = make_issuer(tmp_path / "store", name_constraints=INSIDE, subject={"O": "Example"}, **given)
    issuer.prepare(now)
    wanted = issuer.signature_wanted(now)
    assert wanted
    csr = x509.load_pem_x509_csr(wanted.csr.encode())
    assert (
        csr.extensions.get_extension_for_class(x509.NameConstraints).critical
        and "O=Example" in csr.subject.rfc4514_string()
    )
    (tmp_path / "csr.pem").write_text(wanted.csr)
    sign = [
        "x509",
        "-req",
        "-in",
        tmp_path / "csr.pem",
        "-CA",
        corp.path("root.pem"),
        "-CAkey",
        corp.path("root.key"),
        "-days",
        "700",
    ]
    (tmp_path / "plain.ext").write_text(
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
    )
    openssl(*sign, "-extfile", tmp_path / "plain.ext", "-out", answer)
    issuer = make_issuer(tmp_path / "store", name_constraints=INSIDE, **given)
    now = dt.datetime.now(dt.timezone.utc)
    assert "has other name constraints than the CSR asks for" in str(issuer.request().problem(issuer.state(), now))
    openssl(*sign, "-copy_extensions", "copy", "-out", answer)
    now = dt.datetime.now(dt.timezone.utc)
    chain = issue(make_issuer(tmp_path / "store", name_constraints=INSIDE, **given), now=now)
    assert constraints_of(chain[1]).critical


@pytest.mark.parametrize(("given", "wanted"), [({}, 1), ({"path_length": 3}, 3), ({"cross_certificates": True}, 2)])
def test_path_length(given: dict[str, Any], wanted: int, tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, **given)
    _leaf, issuing = issue(issuer)
    lengths = [extension_of(each, x509.BasicConstraints).path_length for each in (*issuer.trust(), issuing)]
    assert lengths == [wanted, 0]


def test_a_root_from_the_future_keeps_what_it_says(tmp_path: Path) -> None:
    options = {"name_constraints": INSIDE, "subject": {"O": "Example"}, "path_length": 2}
    issue(make_issuer(tmp_path, **options), now=NOW + 30 * DAY)
    (before,) = make_issuer(tmp_path, **options).trust()
    issuer = make_issuer(tmp_path)
    chain = issue(issuer, "request-0002")
    (after,) = issuer.trust()
    assert after.subject == before.subject and after.not_valid_before_utc < NOW < before.not_valid_before_utc
    assert list(after.extensions) == list(before.extensions)
    check_chain(chain, [after], NOW)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name_constraints": {}}, "name_constraints says nothing"),
        ({"name_constraints": {"permitted": {"dns": ["a"]}}}, "name_constraints: permitted: unknown option 'dns'"),
        ({"name_constraints": {"permitted": {"dns_names": [".example.com"]}}}, "'.example.com' is not understood"),
        ({"name_constraints": {"excluded": {"dns_names": ["*.example.com"]}}}, "excluded: dns_names: '*.example.com'"),
        ({"name_constraints": {"permitted": {"ip_addresses": ["192.0.2.1/24"]}}}, "ip_addresses: '192.0.2.1/24'"),
        ({"name_constraints": {"permitted": {"uris": ["https://example.com"]}}}, "uris: 'https://example.com'"),
        ({"name_constraints": {"permitted": {"email_addresses": ["@example.com"]}}}, "email_addresses: '@example.com'"),
        ({"path_length": 0}, "path_length: '0' is not a number from 1 to 9"),
        ({"path_length": "many"}, "path_length: 'many'"),
        ({"path_length": 1, "cross_certificates": True}, "leaves no room for a new root"),
        ({"crl_distribution_points": ["https://pki.example.com/"]}, "is not a folder on a server for plain http"),
        ({"crl_distribution_points": ["http://pki.example.com/ca.crl"]}, "with a slash at its end"),
        ({"authority_information_access": ["http://pki.example.com/a b/"]}, "authority_information_access: 'http"),
        ({"subject": {"CN": "x"}}, "subject: unknown option 'CN'"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        make_issuer(tmp_path, **options)
    assert words in str(caught.value) and "issuer 'internal'" in str(caught.value)


def test_subjects_usages_and_ed448(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, subject={"O": "Example", "C": "DE"}, key_algorithm="ed448")
    spec = make_spec(
        common_name="www", subject={"O": "Example", "OU": ["a", "b"], "DC": "example.com"}, usages=["client_auth", "email_protection", "1.2.3.4"],
        key_usages=["digital_signature", "content_commitment"], private_key={"algorithm": "ed448"},
    )  # fmt: skip
    issuer.check(spec)
    (answer,) = issuer.issue([make_request(spec, key=generate_key("ed448"))], NOW)
    assert isinstance(answer, Issued)
    leaf, issuing = answer.chain
    assert leaf.subject.rfc4514_string() == "CN=www,OU=b,OU=a,O=Example,DC=example,DC=com"
    assert usages_of(leaf) == ("1.2.3.4", "client_auth", "email_protection")
    usage = extension_of(leaf, x509.KeyUsage)
    assert (
        usage.digital_signature and usage.content_commitment and not usage.key_encipherment and not usage.key_cert_sign
    )
    assert {key_algorithm(each.public_key()) for each in (leaf, issuing, *issuer.trust())} == {"ed448"}
    assert [each.subject.rfc4514_string() for each in (issuing, *issuer.trust())] == [
        "CN=internal CA Issuing 2026-11,O=Example,C=DE", "CN=internal CA Root,O=Example,C=DE",
    ]  # fmt: skip
    check_chain(answer.chain, issuer.trust(), NOW, spec.usages)
    # The same again: what was issued for a request is handed out where it is what is asked for.
    assert issuer.issue([make_request(spec, key=generate_key("ed448"))], NOW)[0] != answer


def places(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """Where the CRL and the certificate of its issuer are."""
    points, access = (
        extension_of(certificate, x509.CRLDistributionPoints),
        extension_of(certificate, x509.AuthorityInformationAccess),
    )
    crls = [name.value for point in points or () for name in point.full_name]
    return crls, [
        each.access_location.value
        for each in access or ()
        if each.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    ]


def test_where_crls_and_certificates_are(tmp_path: Path) -> None:
    second = "http://pki2.example.com:8080/"
    options = {"crl_distribution_points": [FOLDER, second], "authority_information_access": FOLDER}
    issuer = make_issuer(tmp_path, **options)
    leaf, issuing = issue(issuer)
    assert places(leaf) == (
        [f"{each}internal-issuing-1.crl" for each in (FOLDER, second)],
        [f"{FOLDER}internal-issuing-1.crt"],
    )
    assert places(issuing) == (
        [f"{each}internal-root-1.crl" for each in (FOLDER, second)],
        [f"{FOLDER}internal-root-1.crt"],
    )
    assert places(issuer.trust()[0]) == ([], [])
    # The next issuing CA has a list of its own, so what it issues points there.
    later = NOW + 600 * DAY
    issuer = make_issuer(tmp_path, **options)
    assert places(issue(issuer, "request-0002", now=later)[0])[0][0] == f"{FOLDER}internal-issuing-2.crl"
    assert places(issue(make_issuer(tmp_path), "request-0003", now=later)[0]) == ([], [])


def test_the_old_root_signs_the_new_one(tmp_path: Path) -> None:
    issuer = make_issuer(tmp_path, cross_certificates=True, crl_distribution_points=[FOLDER])
    before = issue(issuer)
    assert len(before) == 2
    (old,) = issuer.trust()
    rollover = issuer.rollover()
    rollover.prepare("root-2", NOW)
    assert len(issue(issuer, "request-0002")) == 2
    rollover.activate()
    leaf, issuing, cross = chain = issue(issuer, "request-0003")
    new = issuer.trust()[0]
    assert (cross.subject, cross.public_key()) == (new.subject, new.public_key()) and cross.issuer == old.subject
    assert cross.not_valid_after_utc == old.not_valid_after_utc and places(cross)[0] == [f"{FOLDER}internal-root-1.crl"]
    assert is_in_order(chain, NOW)
    for root in (old, new):
        check_chain(chain, [root], NOW)
    # It is of the new CA, though what is highest in it was signed by the old one.
    assert rollover.is_current(chain) and issuer.superseded(chain) is None and issuer.superseded(before)
    rollover.refuse_later(chain)
    rollover.retire()
    assert rollover.is_current(chain) and issuer.superseded(chain) is None
    assert issue(issuer, "request-0004")[2] == cross
    # Whoever takes the option out does without, and when the old root has ended it helps nobody.
    assert len(issue(make_issuer(tmp_path), "request-0005")) == 2
    assert issuer.crosses_of("root-2", old.not_valid_after_utc) == {}
    assert leaf != before[0] and issuing != before[1]


def test_a_root_that_leaves_no_room_is_not_made_to_sign(tmp_path: Path) -> None:
    make_issuer(tmp_path).prepare(NOW)
    issuer = make_issuer(tmp_path, cross_certificates=True)
    state = issuer.state()
    with pytest.raises(
        RotationError, match="path length of 1 leaves no room .* take cross_certificates out|leaves no room"
    ):
        issuer.rollover().prepare("root-2", NOW)
    assert issuer.state() == state and not (tmp_path / "ca/internal/root-2.pem").exists()
    (tmp_path / "ca/internal/root-1.key").rename(tmp_path / "elsewhere.key")
    with pytest.raises(RotationError, match="the key of root-1 of the CA 'internal' is not available"):
        issuer.rollover().prepare("root-2", NOW)
