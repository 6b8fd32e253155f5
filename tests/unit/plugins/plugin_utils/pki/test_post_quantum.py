# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ML-DSA from the first CA to the last leaf, with a cryptography that has it; with an older one, the refusals.

What servers and clients make of it is in ``tests/pq``: no OpenSSL of Debian 12 can read these certificates.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ansible_collections.fleet.tls.plugins.module_utils.keyfiles.private_keys import NAMES, key_of_der
from ansible_collections.fleet.tls.plugins.module_utils.scan.other_key import ALGORITHMS as OFFERED
from ansible_collections.fleet.tls.plugins.module_utils.scan.other_key import key_type
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, DependencyError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.verdicts import refuse_old_openssl
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import Anchor
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import controller_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki import crypto, post_quantum
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key, make_issuing, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.chains import check_chain
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.file_formats import read_key
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.issuance import signature_fits
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.partial_certificate import describe_partly
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.weakness import is_weak_key, weaknesses
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import (
    extension_of,
    key_algorithm,
    key_id,
    parse_pem_chain,
    signature_algorithm,
    to_der,
    to_pem,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store.pkcs8 import sealed_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key, put_key
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    NOW,
    PASSPHRASE,
    make_issuer,
    make_request,
    make_spec,
    make_store,
)

CRYPTOGRAPHY = int(crypto.version().partition(".")[0])
KNOWN = CRYPTOGRAPHY >= post_quantum.NEEDED
with_new = pytest.mark.skipif(not KNOWN, reason="this cryptography is too old, see the tests of just that")
with_old = pytest.mark.skipif(KNOWN, reason="this cryptography has ML-DSA")
# Self-signed, by OpenSSL 3.5: ``openssl req -x509 -newkey ML-DSA-44 -nodes -days 36500 -subj /CN=pq.test -addext subjectAltName=DNS:pq.test``.
FOREIGN = Path(__file__).with_name("ml-dsa-44.pem")
SIZES = (44, 65, 87)


@with_new
@pytest.mark.parametrize("size", SIZES)
def test_a_ca_and_what_it_issues(size: int, tmp_path: Path) -> None:
    algorithm = f"ml-dsa-{size}"
    issuer = make_issuer(tmp_path, key_algorithm=algorithm)
    spec = make_spec(usages=["server_auth", "client_auth"], private_key={"algorithm": algorithm})
    issuer.check(spec)
    (answer,) = issuer.issue([make_request(spec, key=generate_key(algorithm))], NOW)
    assert isinstance(answer, Issued)
    check_chain(answer.chain, issuer.trust(), NOW, spec.usages)
    leaf, issuing, root = *answer.chain, *issuer.trust()
    for each in (leaf, issuing, root):
        assert (key_algorithm(each.public_key()), signature_algorithm(each)) == (algorithm, f"ML-DSA-{size}")
        assert not weaknesses(algorithm, signature_algorithm(each)) and not is_weak_key(algorithm)
        assert key_type(to_pem(each)) == algorithm and algorithm in OFFERED
    usage = extension_of(leaf, x509.KeyUsage)
    assert usage.digital_signature and not usage.key_encipherment and not usage.key_agreement
    assert signature_fits(leaf, issuing) and not signature_fits(leaf, root)
    # A CRL of each CA, and canaries, are signed with the same key.
    state = issuer.state()
    assert state is not None
    for name, each in (("root-1", root), (state.issuing, issuing)):
        crl = issuer.crl_keeper.kept(name, each)
        assert crl is not None and crl.is_signature_valid(each.public_key())  # type: ignore[arg-type]
    canary = issuer.rollover().canaries(NOW)["new"]
    check_chain(parse_pem_chain(canary.chain), issuer.trust(), NOW, ("server_auth",))


@with_new
@pytest.mark.parametrize("size", SIZES)
def test_keys_are_seeds_and_are_sealed_as_all_others(size: int, tmp_path: Path) -> None:
    key = generate_key(f"ml-dsa-{size}")
    clear = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert len(clear) < 100 and key_of_der(clear).algorithm == f"ml-dsa-{size}"
    opened = serialization.load_pem_private_key(sealed_pem(key, PASSPHRASE.encode()), PASSPHRASE.encode())
    assert key_id(opened.public_key()) == key_id(key.public_key())
    store = make_store(tmp_path)
    put_key(store, "keys/a.key", key, expect=None)
    assert key_id(get_key(store, "keys/a.key").public_key()) == key_id(key.public_key())
    spec = make_spec(private_key={"algorithm": f"ml-dsa-{size}", "location": "controller"})
    made = controller_key(store, "web1", spec, None)
    assert key_algorithm(made.csr.public_key()) == f"ml-dsa-{size}"


@with_new
def test_a_key_that_openssl_has_made_is_read() -> None:
    """Seed and expanded key, by OpenSSL 3.5: ``openssl genpkey -algorithm ML-DSA-44``."""
    pem = FOREIGN.with_name("ml-dsa-44-both.key").read_bytes()
    assert key_algorithm(read_key(pem, None).public_key()) == "ml-dsa-44"
    with pytest.raises(CertificateError, match="cannot be read"):
        read_key(pem[:2000] + pem[2200:], None)


@with_new
def test_another_root_another_algorithm_and_not_before(tmp_path: Path) -> None:
    """A changed ``key_algorithm`` is for the next root: an issuing CA that is renewed stays what clients know."""
    old = make_issuer(tmp_path, issuing_duration="100d", duration="30d")
    old.prepare(NOW)
    issuer = make_issuer(tmp_path, issuing_duration="100d", duration="30d", key_algorithm="ml-dsa-65")
    later = NOW + 75 * DAY
    state = issuer.ensure(later, 30 * DAY)
    assert state.issuing == "issuing-2" and key_algorithm(issuer.certificate("issuing-2").public_key()) == "ecdsa-p256"
    rollover = issuer.rollover()
    rollover.prepare(rollover.next_root(), later)
    canaries = rollover.canaries(later)
    signed = {name: signature_algorithm(parse_pem_chain(each.chain)[0]) for name, each in canaries.items()}
    assert signed == {"old": "ecdsa-with-SHA256", "new": "ML-DSA-65"}
    # And back again, should that have to be.
    back = make_issuer(tmp_path / "back", issuing_duration="100d", duration="30d", key_algorithm="ml-dsa-44")
    back.prepare(NOW)
    back = make_issuer(tmp_path / "back", issuing_duration="100d", duration="30d")
    assert key_algorithm(back.certificate(back.ensure(later, 30 * DAY).issuing).public_key()) == "ml-dsa-44"


@with_new
def test_an_issuing_ca_of_ml_dsa_below_an_older_root() -> None:
    root = make_root("Old", "ecdsa-p384", NOW, 3650 * DAY)
    issuing = make_issuing("New", "ml-dsa-87", root, NOW, 730 * DAY)
    assert signature_algorithm(issuing.certificate) == "ecdsa-with-SHA384" and signature_fits(
        issuing.certificate, root.certificate
    )


@with_new
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"outputs": [{"path": "/x", "format": "pkcs1"}]}, "which only RSA keys can be"),
        ({"outputs": [{"path": "/x", "format": "jks", "passphrase": "secret"}]}, "/x is to be jks"),
        ({"outputs": [{"path": "/x", "format": "pkcs12", "profile": "legacy"}]}, "pkcs12 with profile: legacy"),
        ({"key_usages": ["digital_signature", "key_encipherment"]}, "can only sign, and not do key_encipherment"),
    ],
)
def test_what_a_key_of_ml_dsa_cannot_be(fields: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        make_spec(private_key={"algorithm": "ml-dsa-65"}, **fields)
    make_spec(private_key={"algorithm": "ml-dsa-65"}, outputs=[{"path": "/x", "format": "pkcs12"}])


@with_new
def test_hosts_that_could_not_verify_what_is_issued() -> None:
    roots = {name: Anchor("ca", make_root("R", name, NOW, DAY).certificate) for name in ("ecdsa-p256", "ml-dsa-65")}
    with pytest.raises(CertificateError, match="signs with ml-dsa-65, which needs OpenSSL 3.5 .* which has 3.0.17"):
        refuse_old_openssl((3, 0, 17), lambda: [roots["ml-dsa-65"]])
    # Both, while one takes over from the other; only the old one; a host that knows it; one that did not say.
    for found, anchors in (
        ((3, 0), roots.values()),
        ((3, 0), [roots["ecdsa-p256"]]),
        ((3, 5), [roots["ml-dsa-65"]]),
        ((), [roots["ml-dsa-65"]]),
    ):
        refuse_old_openssl(found, lambda anchors=anchors: anchors)  # type: ignore[misc]


@with_new
def test_a_cryptography_whose_openssl_does_not_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As distributions build it, with an OpenSSL of their own."""
    monkeypatch.setattr(post_quantum, "knows_algorithm", lambda: False)
    with pytest.raises(DependencyError, match="built with an OpenSSL that knows ML-DSA"):
        generate_key("ml-dsa-65")


@with_old
def test_a_controller_that_is_too_old_refuses(tmp_path: Path) -> None:
    words = f"cryptography 49 or newer on the controller, which has {crypto.version()}"
    with pytest.raises(DependencyError, match=f"private_key.algorithm: ml-dsa-44 .*{words}"):
        make_spec(private_key={"algorithm": "ml-dsa-44"})
    with pytest.raises(DependencyError, match=f"issuer 'internal': key_algorithm: ml-dsa-87 .*{words}"):
        make_issuer(tmp_path / "store", key_algorithm="ml-dsa-87")
    with pytest.raises(DependencyError, match=words):
        generate_key("ml-dsa-65")
    assert not (tmp_path / "store").exists()


def test_somebody_elses_is_read_also_where_cryptography_does_not_know_it() -> None:
    pem = FOREIGN.read_text()
    der = to_der(x509.load_pem_x509_certificate(pem.encode()))
    found = describe_partly(der, NOW)
    assert (found["key_algorithm"], found["signature_algorithm"]) == ("ml-dsa-44", "ML-DSA-44")
    assert found["dns_names"] == ["pq.test"] and found["days_left"] > 36000
    assert key_type(pem) == "ml-dsa-44" and set(post_quantum.ALGORITHMS) < set(NAMES.values())
    if KNOWN:
        (certificate,) = parse_pem_chain(pem)
        assert signature_fits(certificate, certificate)
        assert dt.timedelta(days=36000) < certificate.not_valid_after_utc - certificate.not_valid_before_utc
    else:
        with pytest.raises(CertificateError, match="cannot be parsed"):
            parse_pem_chain(pem)
