# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenSSL, GnuTLS and Java make of what the internal CA says: name constraints, and the cross-certificate of a rollover."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import make_crl
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import Authority, generate_key, make_leaf
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.names import parse_names
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import to_pem
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.https_files import https_files
from ansible_collections.fleet.tls.tests.unit.support.java_client import java_refuses
from ansible_collections.fleet.tls.tests.unit.support.pki import make_issuer, make_request, make_spec

INSIDE: dict[str, Any] = {
    "permitted": {
        "dns_names": ["localhost", "example.com"],
        "ip_addresses": ["192.0.2.0/24", "2001:db8::/32"],
        "email_addresses": [".example.com"],
        "uris": [".example.com"],
    },
    "excluded": {"dns_names": ["secret.example.com"]},
}
ALLOWED: dict[str, dict[str, list[str]]] = {
    "dns": {"dns_names": ["www.example.com", "example.com"]},
    "ip": {"ip_addresses": ["192.0.2.7", "2001:db8::7"]},
    "email": {"email_addresses": ["me@mail.example.com"]},
    "uri": {"uris": ["spiffe://web.example.com/x"]},
}
FORBIDDEN: dict[str, dict[str, list[str]]] = {
    "dns": {"dns_names": ["www.example.net"]},
    "excluded dns": {"dns_names": ["a.secret.example.com"]},
    "ip": {"ip_addresses": ["192.0.3.7"]},
    "ipv6": {"ip_addresses": ["2001:db9::7"]},
    "email": {"email_addresses": ["me@example.net"]},
    "uri": {"uris": ["spiffe://web.example.net/x"]},
}
NOW = dt.datetime.now(dt.timezone.utc)


class Signed:
    """Leaves for ``localhost`` and more, signed by the CA's own key: the issuer itself would refuse half of them."""

    def __init__(self, folder: Path, issuer: CaIssuer) -> None:
        issuer.prepare(NOW)
        state = issuer.state()
        assert state
        self.folder, self.issuing = folder, issuer.authority(state.issuing)
        self.root = folder / "root.pem"
        self.root.write_text(to_pem(issuer.certificate(state.root)))

    def leaf(self, name: str, more: dict[str, list[str]]) -> tuple[Path, Path]:
        """Its chain and its key."""
        key, names = (
            generate_key("ecdsa-p256"),
            parse_names({**more, "dns_names": ["localhost", *more.get("dns_names", [])]}),
        )
        made = make_leaf(key.public_key(), names, ("server_auth",), self.issuing, NOW, dt.timedelta(days=1))
        chain, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_text(to_pem(made) + to_pem(self.issuing.certificate))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return chain, private


def openssl_refuses(root: Path, chain: Path) -> bool:
    """Whether openssl verify does not take a chain."""
    return said(
        ["openssl", "verify", "-x509_strict", "-CAfile", root, "-untrusted", chain, chain],
        "permitted subtree violation",
    )


def gnutls_refuses(root: Path, chain: Path) -> bool:
    """Whether certtool does not take a chain."""
    return said(
        ["certtool", "--verify", "--load-ca-certificate", root, "--infile", chain], "violates the signer's constraints"
    )


def said(command: list[Any], word: str) -> bool:
    """Whether a program refuses, which it does for name constraints then."""
    ended = subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=120, check=False)
    words = ended.stdout + ended.stderr
    if ended.returncode:
        assert word in words or "excluded subtree violation" in words, words
    return ended.returncode != 0


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    folder = tmp_path_factory.mktemp("constraints")
    return Signed(folder, make_issuer(folder / "store", name_constraints=INSIDE))


@pytest.mark.parametrize("kind", ALLOWED)
def test_openssl_and_gnutls_take_what_is_allowed(signed: Signed, kind: str) -> None:
    chain, _key = signed.leaf(f"allowed {kind}", ALLOWED[kind])
    assert not openssl_refuses(signed.root, chain)
    assert not gnutls_refuses(signed.root, chain)


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_openssl_and_gnutls_refuse_what_is_not(signed: Signed, kind: str) -> None:
    chain, _key = signed.leaf(f"forbidden {kind}", FORBIDDEN[kind])
    assert openssl_refuses(signed.root, chain)
    # GnuTLS does not look at URIs, see docs/issuers/ca.md: with 3.7 it takes them all, and a newer one that looks is as good.
    assert gnutls_refuses(signed.root, chain) or kind == "uri"


def truststore(folder: Path, root: Path) -> Path:
    """What Java trusts."""
    path = folder / "trust.p12"
    command = ["keytool", "-importcert", "-noprompt", "-alias", "root", "-file", root, "-keystore", path]
    command += ["-storetype", "PKCS12", "-storepass", "changeit"]
    subprocess.run([str(each) for each in command], capture_output=True, timeout=300, check=True)
    return path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def crl_of(authority: Authority) -> bytes:
    """Something for keytool to fetch."""
    crl = make_crl(authority, [], number=1, now=NOW, lifetime=dt.timedelta(days=1))
    return crl.public_bytes(serialization.Encoding.PEM)


def test_java_does_the_same(signed: Signed, stack: ExitStack, tmp_path: Path) -> None:
    trust, crl = truststore(tmp_path, signed.root), crl_of(signed.issuing)
    everything = {field: values for more in ALLOWED.values() for field, values in more.items()}
    chain, key = signed.leaf("java all", everything)
    assert java_refuses(stack.enter_context(https_files(chain, key)).put("/ca.crl", crl), trust, "changeit") is None
    for kind, more in FORBIDDEN.items():
        url = stack.enter_context(https_files(*signed.leaf(f"java {kind}", more))).put("/ca.crl", crl)
        words = java_refuses(url, trust, "changeit")
        assert words and "name constraints" in words, (kind, words)


def test_clients_of_the_old_root_go_along_with_a_rollover(stack: ExitStack, tmp_path: Path) -> None:
    issuer = make_issuer(
        tmp_path / "store", cross_certificates=True, name_constraints={"permitted": {"dns_names": ["localhost"]}}
    )
    issuer.prepare(NOW)
    issuer.rollover().prepare("root-2", NOW)
    issuer.rollover().activate()
    key, spec = generate_key("ecdsa-p256"), make_spec(dns_names=["localhost"])
    (answer,) = issuer.issue([make_request(spec, key=key)], NOW)
    assert isinstance(answer, Issued) and len(answer.chain) == 3
    chain, private = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text("".join(map(to_pem, answer.chain)))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    without = tmp_path / "without.pem"
    without.write_text("".join(map(to_pem, answer.chain[:2])))
    state = issuer.state()
    assert state
    url = stack.enter_context(https_files(chain, private)).put("/ca.crl", crl_of(issuer.authority(state.issuing)))
    new, old = issuer.trust()
    for name, root in {"new": new, "old": old}.items():
        folder = tmp_path / name
        folder.mkdir()
        pem = folder / "root.pem"
        pem.write_text(to_pem(root))
        assert not openssl_refuses(pem, chain) and not gnutls_refuses(pem, chain)
        assert java_refuses(url, truststore(folder, pem), "changeit") is None
        ended = subprocess.run(
            ["openssl", "verify", "-CAfile", pem, "-untrusted", without, without],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode == 0) is (name == "new")
