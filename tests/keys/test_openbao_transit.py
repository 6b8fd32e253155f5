# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CA keys in the transit engine of a real OpenBao, with the rights that the docs give and no more."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import crl_to_pem
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import key_algorithm, to_pem
from ansible_collections.fleet.tls.tests.unit.support.openssl_verify import verdict
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW, make_issuer, make_spec, snapshot
from bao.policies import allow, documented
from bao.server import Cluster, running, until
from keys.test_pkcs11 import issue, refusal

# What says that all revoked certificates are listed is no loss.
WITHOUT = ("locks", ".gitignore", "listed.json")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("bao")) as cluster:
        yield cluster


@pytest.fixture
def transit(cluster: Cluster) -> dict[str, Any]:
    """An engine of the test's own, as users write it."""
    mount = f"transit-{uuid.uuid4().hex[:8]}"
    cluster.root.sys.enable_secrets_engine("transit", path=mount)
    policy = allow(cluster, mount, documented("keys.md").replace('"transit/', f'"{mount}/'))
    return {"type": "openbao_transit", "mount": mount, **cluster.options(cluster.token(policy))}


def key_names(cluster: Cluster, mount: str) -> list[str]:
    return sorted(cluster.root.secrets.transit.list_keys(mount_point=mount)["data"]["keys"])


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"])
def test_a_ca_whose_keys_are_in_transit(
    cluster: Cluster, transit: dict[str, Any], tmp_path: Path, algorithm: str
) -> None:
    ca = make_issuer(tmp_path / "store", key_algorithm=algorithm, keys={"root": transit, "issuing": transit})
    chain = issue(ca, spec=make_spec(usages=["client_auth"])).chain
    (root,), crls = ca.trust(), "".join(map(crl_to_pem, ca.crls(NOW)))
    assert verdict(tmp_path, chain, to_pem(root), crls, NOW + DAY) == "OK"
    assert key_algorithm(root.public_key()) == algorithm and not list((tmp_path / "store").rglob("*.key"))
    for name in key_names(cluster, transit["mount"]):
        told = cluster.root.secrets.transit.read_key(name, mount_point=transit["mount"])["data"]
        assert (told["exportable"], told["allow_plaintext_backup"], told["type"]) == (False, False, algorithm)


def test_a_key_that_was_rotated_there_signs_with_its_own_version(
    cluster: Cluster, transit: dict[str, Any], tmp_path: Path
) -> None:
    ca = make_issuer(tmp_path / "store", keys={"issuing": transit})
    issue(ca)
    (name,) = key_names(cluster, transit["mount"])
    assert name.startswith("fleet-tls-internal-issuing-1-")
    cluster.root.secrets.transit.rotate_key(name, mount_point=transit["mount"])
    again = make_issuer(tmp_path / "store", keys={"issuing": transit})
    leaf, issuing = issue(again, request_id="request-0002").chain
    leaf.verify_directly_issued_by(issuing)
    assert str(again.key_place("issuing-1")).endswith(f"{name} 1")
    # Version 1 is retired: nothing that is there is lost, and the words are the engine's own.
    cluster.root.secrets.transit.update_key_configuration(name, mount_point=transit["mount"], min_decryption_version=2)
    before = snapshot(tmp_path / "store")
    words = refusal(
        lambda: issue(make_issuer(tmp_path / "store", keys={"issuing": transit}), request_id="request-0003")
    )
    assert "no such key version" in words or "did not sign" in words
    assert snapshot(tmp_path / "store") == before


def test_replaced_in_transit(cluster: Cluster, transit: dict[str, Any], tmp_path: Path) -> None:
    ca = make_issuer(tmp_path / "store", keys={"root": transit, "issuing": transit})
    issue(ca)
    rollover = ca.rollover()
    rollover.prepare("root-2", NOW)
    assert sorted(rollover.canaries(NOW)) == ["new", "old"]
    rollover.activate()
    rollover.retire()
    assert len(key_names(cluster, transit["mount"])) == 4
    assert [str(ca.key_place(each)).split()[2][:-13] for each in ("root-2", "issuing-2")] == [
        f"fleet-tls-internal-{each}" for each in ("root-2", "issuing-2")
    ]


def test_a_sealed_engine_costs_nothing(cluster: Cluster, transit: dict[str, Any], tmp_path: Path) -> None:
    issue(make_issuer(tmp_path / "store", keys={"issuing": transit}))
    before = snapshot(tmp_path / "store", WITHOUT)
    cluster.seal()
    try:
        ca = make_issuer(tmp_path / "store", keys={"issuing": transit})
        words = refusal(lambda: issue(ca, request_id="request-0002"))
        # A revocation list that is due, and far from its end, waits.
        ca.crls(NOW + 4 * DAY)
    finally:
        cluster.unseal_all()
    assert "it is sealed" in words and "Unseal it" in words
    assert snapshot(tmp_path / "store", WITHOUT) == before
    until(lambda: not refusal(lambda: issue(ca, request_id="request-0002")), "it does not sign again")


def test_what_is_missing_is_named(cluster: Cluster, transit: dict[str, Any], tmp_path: Path) -> None:
    nothing = {**transit, **cluster.options(cluster.token("default"))}
    words = refusal(lambda: issue(make_issuer(tmp_path / "store", keys={"root": nothing})))
    assert f"permission denied for {transit['mount']}/keys/fleet-tls-internal-root-1-" in words
    issue(make_issuer(tmp_path / "store", keys={"issuing": transit}))
    (name,) = key_names(cluster, transit["mount"])
    cluster.root.secrets.transit.update_key_configuration(name, mount_point=transit["mount"], deletion_allowed=True)
    cluster.root.secrets.transit.delete_key(name, mount_point=transit["mount"])
    gone = refusal(lambda: issue(make_issuer(tmp_path / "store", keys={"issuing": transit}), request_id="request-0002"))
    assert "did not sign" in gone or "not found" in gone
    with pytest.raises(hvac.exceptions.InvalidPath):
        cluster.root.secrets.transit.read_key(name, mount_point=transit["mount"])
