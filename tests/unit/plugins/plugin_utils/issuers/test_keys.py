# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import PassphraseError
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.answers import REQUEST_ID
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.keys import (
    ControllerKey,
    controller_key,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.authority import make_leaf, make_root
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_algorithm, key_id, names_of
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
