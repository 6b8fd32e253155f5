# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Truststores: made on the controller, installed by a host, and taken by a Java that shakes hands with real servers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cryptography
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, DependencyError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.host_requests import (
    check_request,
    install_entry,
    look_request,
    repair_entry,
    wish,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.progress import Settings
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.anchors import Anchor
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.java_truststore import java_truststore
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec, parse_host
from ansible_collections.fleet.tls.tests.unit.support.https_files import https_files
from ansible_collections.fleet.tls.tests.unit.support.java_client import java_refuses
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost
from ansible_collections.fleet.tls.tests.unit.support.pki import LIFETIMES, NOW
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority

SECRET = "changeit or not"
needs_new_cryptography = pytest.mark.skipif(
    not hasattr(pkcs12, "serialize_java_truststore"), reason="this cryptography is too old, see the test of just that"
)


def wanted(path: str = "/x/trust.p12", **options: Any) -> CertificateSpec:
    """A certificate with a truststore."""
    output = {"path": path, "format": "truststore", **options}
    raw = {"name": "www", "issuer": "internal", "dns_names": ["www.example.com"], "outputs": [output]}
    return parse_host([raw], LIFETIMES).certificates[0]


def test_an_old_cryptography_is_refused_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is taken from that of the oldest controller, which does not have it.
    monkeypatch.delattr(pkcs12, "serialize_java_truststore", raising=False)
    with pytest.raises(DependencyError) as caught:
        wanted()
    assert str(caught.value) == (
        "certificate 'www': outputs: /x/trust.p12 with format: truststore needs the Python package cryptography 45 or newer on the"
        f" controller, which has {cryptography.__version__}. Install it where ansible runs: pip install 'cryptography>=45'."
    )


class World:
    """A host, and two CAs with a server each."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.host = OneHost(folder / "host")
        self.authorities = {name: Authority(folder / name) for name in ("old", "new")}
        self.urls = {}
        for name, authority in self.authorities.items():
            pair = authority.issue("localhost", "DNS:localhost")
            files = stack.enter_context(https_files(pair.chain, pair.key))
            self.urls[name] = files.put("/ca.crl", revocation_list(authority))

    def anchors(self, names: tuple[str, ...]) -> list[Anchor]:
        """The roots of CAs."""
        pems = [self.authorities[name].root.pem.encode() for name in names]
        return [Anchor("internal", x509.load_pem_x509_certificate(pem)) for pem in pems]

    def outputs(self, spec: CertificateSpec, *names: str, whole: bool) -> dict[str, Any]:
        """What the host is told of its outputs."""
        entry = wish(spec, lambda _spec: self.anchors(names), whole=whole)
        return self.host.wish(outputs=entry["outputs"])

    def trusted(self, path: str, passphrase: str | None) -> set[str]:
        """Whose server Java takes; the others' it refuses for their issuer."""
        said = {name: java_refuses(url, Path(path), passphrase) for name, url in self.urls.items()}
        assert all(words is None or "SSLHandshakeException: PKIX path" in words for words in said.values()), said
        return {name for name, words in said.items() if words is None}


def revocation_list(authority: Authority) -> bytes:
    """One without entries."""
    root = x509.load_pem_x509_certificate(authority.root.pem.encode())
    key: Any = serialization.load_pem_private_key(authority.root.key.read_bytes(), None)
    builder = x509.CertificateRevocationListBuilder().issuer_name(root.subject)
    builder = builder.last_update(root.not_valid_before_utc).next_update(root.not_valid_after_utc)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


@needs_new_cryptography
def test_java_goes_along_with_a_rollover(world: World) -> None:
    path = str(world.host.out / "trust.p12")
    spec = wanted(path, passphrase=SECRET)
    pair = world.authorities["old"].issue("www", "DNS:www.example.com")
    assert world.host.install(world.outputs(spec, "old", whole=True), pair)[1]["error"] is None
    assert world.trusted(path, SECRET) == {"old"}
    for names in (("old", "new"), ("new",)):
        look, apply = world.outputs(spec, *names, whole=False), world.outputs(spec, *names, whole=True)
        assert len(world.host.look_at(look)["drift"]) == 1
        assert world.host.repair(apply)[0]
        assert world.trusted(path, SECRET) == set(names)
        # Made again, it is another file for the same: none is written.
        again = world.outputs(spec, *names, whole=True)
        assert again["outputs"] != apply["outputs"]
        assert world.host.look_at(look)["drift"] == [] and world.host.repair(again)[0] is False


@needs_new_cryptography
@pytest.mark.parametrize("options", [{}, {"passphrase": SECRET, "profile": "legacy"}])
def test_java_takes_each_profile(world: World, options: dict[str, str]) -> None:
    path = str(world.host.out / "trust.p12")
    pair = world.authorities["old"].issue("www", "DNS:www.example.com")
    world.host.install(world.outputs(wanted(path, **options), "new", whole=True), pair)
    assert world.trusted(path, options.get("passphrase")) == {"new"}
    content = Path(path).read_bytes()
    # The object identifiers of pbeWithSHAAnd3-KeyTripleDES-CBC (RFC 7292) and of PBES2 (RFC 8018).
    assert (bytes.fromhex("060a2a864886f70d010c0103") in content) is bool(options)
    assert bytes.fromhex("06092a864886f70d01050d") not in content


@needs_new_cryptography
def test_it_is_made_for_those_only_that_write_it(world: World) -> None:
    spec = wanted(passphrase=SECRET)
    host = parse_host([], LIFETIMES)

    def anchors(_spec: CertificateSpec) -> list[Anchor]:
        return world.anchors(("old", "new"))

    look = look_request([spec], [], Settings(), NOW, "auto", anchors)["certificates"][0]["outputs"][0]
    check = check_request([spec], host, Settings())["certificates"][0]["outputs"][0]
    assert "content" not in look and "content" not in check
    assert (look["format"], look["mode"], look["anchors"].count("BEGIN")) == ("truststore", "0644", 2)
    leaf = anchors(spec)[0].certificate
    for entry in (install_entry(spec, (leaf,), "internal", "id", anchors), repair_entry(spec, {}, anchors)):
        found = pkcs12.load_pkcs12(base64.b64decode(entry["outputs"][0]["content"]), SECRET.encode())
        assert found.key is None and found.cert is None
        names = {each.friendly_name: each.certificate for each in found.additional_certs}
        assert names == {each.name.encode(): each.certificate for each in anchors(spec)}


def test_nobody_to_trust_is_no_truststore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pkcs12, "serialize_java_truststore", java_truststore, raising=False)
    with pytest.raises(CertificateError, match=r"/x/trust\.p12: there is no valid trust anchor"):
        repair_entry(wanted(), {})
