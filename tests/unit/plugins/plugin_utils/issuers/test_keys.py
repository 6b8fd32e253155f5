# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import CertificateError, PassphraseError
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import REQUEST_ID
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import (
    ControllerKey,
    controller_key,
    make_csr,
    parse_csr,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import generate_key, make_leaf, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_algorithm, key_id, must_staple, names_of
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import CertificateSpec
from ansible_collections.fleet.tls.plugins.plugin_utils.store.entry_names import safe
from ansible_collections.fleet.tls.plugins.plugin_utils.store.sealing import get_key
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_spec, make_store
from ansible_collections.fleet.tls.tests.unit.support.processes import in_processes

ROOT = make_root("Root", "ecdsa-p256", NOW, 900 * DAY)
CONTROLLER = {"private_key": {"location": "controller"}}
NEVER = {"private_key": {"location": "controller", "rotation_policy": "never"}}


def certified(key: ControllerKey, spec: CertificateSpec, now: dt.datetime = NOW) -> x509.Certificate:
    """A certificate for the key, as an issuer gives it."""
    return make_leaf(key.csr.public_key(), spec.names, spec.usages, ROOT, now, 30 * DAY)


def test_the_key_its_csr_and_its_request_id(tmp_path: Path) -> None:
    spec = make_spec(**CONTROLLER, common_name="Chosen", ip_addresses=["192.0.2.1"])
    key = controller_key(make_store(tmp_path), "web1", spec, None)
    private = serialization.load_pem_private_key(key.pem.encode(), None)
    assert key_id(private.public_key()) == key.key_id == key_id(key.csr.public_key())  # type: ignore[arg-type]
    assert key.csr.is_signature_valid and names_of(key.csr) == spec.names
    assert REQUEST_ID.fullmatch(key.request_id)
    assert key_id(get_key(make_store(tmp_path), "keys/web1/www.key").public_key()) == key.key_id


def test_no_secret_in_its_repr_nor_in_the_store(tmp_path: Path) -> None:
    key = controller_key(make_store(tmp_path), "web1", make_spec(**CONTROLLER), None)
    body = key.pem.splitlines()[1]
    assert body not in repr(key) and "PRIVATE KEY" not in repr(key) and body not in str(key)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and body.encode() in path.read_bytes()]


@pytest.mark.parametrize("fields", [CONTROLLER, NEVER])
def test_a_key_that_no_certificate_uses_yet_is_used_now(fields: dict[str, Any], tmp_path: Path) -> None:
    store, spec = make_store(tmp_path), make_spec(**fields)
    first = controller_key(store, "web1", spec, None)
    assert controller_key(store, "web1", spec, None).request_id == first.request_id
    other = certified(controller_key(store, "web2", spec, None), spec)
    following = controller_key(store, "web1", spec, other)
    assert following.key_id == first.key_id and following.request_id != first.request_id


@pytest.mark.parametrize(("fields", "same"), [(CONTROLLER, False), (NEVER, True)])
def test_rotation_policy(fields: dict[str, Any], same: bool, tmp_path: Path) -> None:
    store, spec = make_store(tmp_path), make_spec(**fields)
    first = controller_key(store, "web1", spec, None)
    live = certified(first, spec)
    second = controller_key(store, "web1", spec, live)
    assert (second.key_id == first.key_id) is same
    assert second.request_id != first.request_id
    again = controller_key(store, "web1", spec, live)
    assert (again.request_id, again.pem) == (second.request_id, second.pem)
    third = controller_key(store, "web1", spec, certified(second, spec, NOW + DAY))
    assert len({first.request_id, second.request_id, third.request_id}) == 3


@pytest.mark.parametrize("fields", [CONTROLLER, NEVER])
def test_another_algorithm_makes_another_key(fields: dict[str, Any], tmp_path: Path) -> None:
    store = make_store(tmp_path)
    first = controller_key(store, "web1", make_spec(**fields), None)
    changed = make_spec(private_key={**fields["private_key"], "algorithm": "ed25519"})
    second = controller_key(store, "web1", changed, None)
    assert second.key_id != first.key_id and key_algorithm(second.csr.public_key()) == "ed25519"


def test_each_host_and_each_certificate_has_its_own_key(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    hosts = ["web-1", "web:1", "web 1", "web/1", "web.1", "web..1", "..", ".hidden", "-x", "ä" * 200, "h" * 250]
    keys = [
        controller_key(store, host, make_spec(name, dns_names=["x"], **CONTROLLER), None)
        for host in hosts
        for name in ("a", "b..c")
    ]
    assert len({key.key_id for key in keys}) == len(keys)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("name", ["web1", "web1.example.com", "a_b-c"])
def test_plain_names_stay_as_people_know_them(name: str) -> None:
    assert safe(name) == name


def test_processes_at_once_get_one_key(tmp_path: Path) -> None:
    spec = make_spec(**CONTROLLER)
    works = [lambda: controller_key(make_store(tmp_path), "web1", spec, None).key_id for _each in range(6)]
    assert len(set(in_processes(works))) == 1


def test_without_a_passphrase(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError):
        controller_key(make_store(tmp_path, None), "web1", make_spec(**CONTROLLER), None)


SPEC = make_spec(dns_names=["a.example", "b.example"])
KEY = generate_key("ecdsa-p256")


def pem(csr: x509.CertificateSigningRequest) -> str:
    return csr.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"])
def test_a_good_csr(algorithm: str) -> None:
    spec = make_spec(dns_names=["a.example"], common_name="x", private_key={"algorithm": algorithm})
    csr = make_csr(generate_key(algorithm), spec)
    assert parse_csr(pem(csr), spec) == csr


def test_a_csr_that_is_to_be_stapled() -> None:
    spec = make_spec(must_staple=True)
    csr = make_csr(generate_key("ecdsa-p256"), spec)
    assert must_staple(csr) and parse_csr(pem(csr), spec) == csr
    for one, other in ((make_spec(), spec), (spec, make_spec())):
        with pytest.raises(CertificateError, match="must_staple"):
            parse_csr(pem(make_csr(generate_key("ecdsa-p256"), one)), other)


def two_extensions() -> str:
    """A CSR whose signature is good and whose alternative names cannot be read."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    value = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x01\xff")
    return pem(builder.add_extension(value, critical=False).sign(KEY, hashes.SHA256()))


def broken_signature() -> str:
    lines = pem(make_csr(KEY, SPEC)).splitlines(keepends=True)
    other = "A" if lines[2][10] != "A" else "B"
    return "".join([lines[0], lines[1], lines[2][:10], other, lines[2][11:], *lines[3:]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("garbage", "cannot be read"),
        ("\ud800", "cannot be read"),
        (pem(make_csr(KEY, SPEC))[:120], "cannot be read"),
        (two_extensions(), "cannot be read"),
        (broken_signature(), "(cannot be read|not signed by its own key|other names)"),
        (pem(make_csr(KEY, make_spec(dns_names=["a.example"]))), "asks for other names"),
        (pem(make_csr(KEY, make_spec(dns_names=["a.example", "b.example", "bank.example"]))), "asks for other names"),
        (pem(make_csr(generate_key("ecdsa-p384"), SPEC)), "the host's key is ecdsa-p384, not ecdsa-p256"),
        (pem(make_csr(generate_key("rsa-2048"), SPEC)), "the host's key is rsa-2048, not ecdsa-p256"),
    ],
)
def test_bad_csrs(text: str, words: str) -> None:
    with pytest.raises(CertificateError, match=words) as caught:
        parse_csr(text, SPEC)
    assert caught.value.certificate == "www"
