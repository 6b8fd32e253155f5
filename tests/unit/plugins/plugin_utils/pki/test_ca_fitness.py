# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused for its CA's sake is what openssl refuses, and nothing else."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import Authority, generate_key, make_leaf
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.ca_fitness import refusal
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names, to_pem
from ansible_collections.fleet.tls.tests.unit.support.foreign_ca import ISSUING, ROOT, ForeignCa
from ansible_collections.fleet.tls.tests.unit.support.openssl_verify import verdict

# Well after all that openssl makes here, however long it takes.
NOW = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=6)
CONSTRAINTS = {
    "a domain": "permitted;DNS:example.com",
    "not a domain": "excluded;DNS:secret.example.com",
    "a network": "permitted;IP:192.0.2.0/255.255.255.0",
    "a mail domain": "permitted;email:example.com",
    "URIs": "permitted;URI:.example.com",
}
NAMES = {
    "within": Names(dns_names=("www.example.com",)),
    "wildcard": Names(dns_names=("*.example.com",)),
    "elsewhere": Names(dns_names=("www.example.com", "www.example.org")),
    "secret": Names(dns_names=("a.secret.example.com",)),
    "address within": Names(dns_names=("www.example.com",), ip_addresses=("192.0.2.7",)),
    "address elsewhere": Names(dns_names=("www.example.com",), ip_addresses=("198.51.100.7",)),
    "address alone": Names(ip_addresses=("192.0.2.7",)),
    "mail within": Names(email_addresses=("a@example.com",)),
    "mail elsewhere": Names(email_addresses=("a@example.org",)),
    "URI within": Names(uris=("https://a.example.com/x",)),
    "URI elsewhere": Names(uris=("https://a.example.org/x",)),
    "common name": Names(uris=("https://a.example.com/x",), common_name="host.example.org"),
    "no host's name": Names(uris=("https://a.example.com/x",), common_name="Application 7"),
}


def read(ca: ForeignCa, name: str) -> Authority:
    key = serialization.load_pem_private_key(ca.path(f"{name}.key").read_bytes(), None)
    return Authority(ca.certificate(name), key)


@pytest.fixture(scope="module", params=CONSTRAINTS)
def chain(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Authority, x509.Certificate]:
    ca = ForeignCa(tmp_path_factory.mktemp("ca"))
    ca.make("root", f"{ROOT}nameConstraints=critical,{CONSTRAINTS[request.param]}\n")
    ca.make("issuing", ISSUING, "root", subject="/CN=issuing")
    return read(ca, "issuing"), ca.certificate("root")


KEY = generate_key("ecdsa-p256")


@pytest.mark.parametrize("wanted", NAMES)
def test_name_constraints(wanted: str, chain: tuple[Authority, x509.Certificate], tmp_path: Path) -> None:
    (issuing, root), usages = chain, ("client_auth",)
    leaf = make_leaf(KEY.public_key(), NAMES[wanted], usages, issuing, NOW, dt.timedelta(days=1))
    words = verdict(tmp_path, (leaf, issuing.certificate), to_pem(root), "", NOW)
    problem = refusal((issuing.certificate, root), NAMES[wanted], usages)
    # A wildcard stands for names that are excluded too, of which openssl makes nothing, and other clients do.
    stricter = bool(problem) and wanted == "wildcard" and words == "OK"
    assert stricter or (problem is None) == (words == "OK"), (problem, words)


@pytest.mark.parametrize(
    ("extended", "allowed"), [("", True), ("clientAuth", True), ("serverAuth", False), ("anyExtendedKeyUsage", True)]
)
def test_extended_key_usages(extended: str, allowed: bool, tmp_path: Path) -> None:
    ca = ForeignCa(tmp_path)
    ca.make("root", ROOT)
    ca.make("issuing", ISSUING + (f"extendedKeyUsage={extended}\n" if extended else ""), "root")
    issuing, names = read(ca, "issuing"), NAMES["within"]
    leaf = make_leaf(KEY.public_key(), names, ("client_auth",), issuing, NOW, dt.timedelta(days=1))
    chain = (issuing.certificate, ca.certificate("root"))
    assert (refusal(chain, names, ("client_auth",)) is None) is allowed
    # openssl is stricter about "any", of which Go and NSS make nothing.
    if extended != "anyExtendedKeyUsage":
        assert (verdict(tmp_path, (leaf, chain[0]), to_pem(chain[1]), "", NOW) == "OK") is allowed
