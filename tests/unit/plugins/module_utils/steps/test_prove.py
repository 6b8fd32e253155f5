# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.proof.canary import Canary
from ansible_collections.fleet.tls.plugins.module_utils.services.trust_stores import TrustStore
from ansible_collections.fleet.tls.plugins.module_utils.steps.prove import ask_endpoint, endpoints_of, prove_step
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Address, Authority, tls_server
from tools.ports import free_port

NAME = "canary.fleet-tls.invalid"


@pytest.fixture(scope="module")
def cas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Authority]:
    folder = tmp_path_factory.mktemp("cas")
    return {name: Authority(folder / name) for name in ("old", "new")}


def ask(
    cas: dict[str, Authority], tmp_path: Path, *, expected: dict[str, str], patience: float = 0.0, **changes: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    """A request, and the keys that go with it."""
    pairs = {name: ca.issue(f"canary-{name}", f"DNS:{NAME}") for name, ca in cas.items()}
    return {
        "look": {"directory": str(tmp_path), "now": int(time.time()), "prepare": "never", "services": [], "certificates": []},
        "canaries": [{"name": name, "server_name": NAME, "chain": pairs[name].chain.read_text(), "expected": word} for name, word in expected.items()],
        "bundles": [], "system": False, "endpoints": [], "timeout": 5.0, "patience": patience, **changes,
    }, {name: pair.key.read_text() for name, pair in pairs.items()}  # fmt: skip


def outcomes(answer: dict[str, Any]) -> dict[tuple[str, str], str | None]:
    return {(proof["canary"], proof["kind"]): proof["outcome"] for proof in answer["proofs"]}


def as_endpoint(address: Address) -> dict[str, Any]:
    return {"host": address.host, "port": address.port, "server_name": "www.example.com"}


def test_bundles_and_endpoints_in_one_step(cas: dict[str, Authority], tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(cas["old"].root.pem + cas["new"].root.pem)
    pair = cas["old"].issue("www", "DNS:www.example.com")
    with tls_server(pair, client_ca=cas["old"].root.certificate) as address:
        request, secrets = ask(
            cas, tmp_path, expected={"old": "accepted", "new": "accepted"}, bundles=[str(bundle)], endpoints=[as_endpoint(address)]
        )  # fmt: skip
        changed, answer = prove_step(request, secrets)
    assert not changed and answer["certificates"] == {} and abs(answer["clock"] - time.time()) < 60
    assert outcomes(answer) == {
        ("old", "bundle"): "accepted", ("new", "bundle"): "accepted", ("old", "endpoint"): "accepted", ("new", "endpoint"): "refused",
    }  # fmt: skip
    assert "PRIVATE" not in str(answer)


def test_the_system_store(cas: dict[str, Authority], tmp_path: Path) -> None:
    merged = tmp_path / "merged.pem"
    merged.write_text(cas["new"].root.pem)
    store = TrustStore("test", str(tmp_path), str(tmp_path), ".pem", ("true",), str(merged))
    request, secrets = ask(cas, tmp_path, expected={"old": "refused", "new": "accepted"}, system=True)
    _changed, answer = prove_step(request, secrets, [store])
    assert outcomes(answer) == {("old", "bundle"): "refused", ("new", "bundle"): "accepted"}
    assert {proof["subject"] for proof in answer["proofs"]} == {str(merged)}
    _changed, answer = prove_step(request, secrets, [])
    assert outcomes(answer)["new", "bundle"] == "refused"


def test_what_is_not_yet_as_expected_is_given_time(cas: dict[str, Authority], tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(cas["old"].root.pem)
    request, secrets = ask(cas, tmp_path, expected={"new": "accepted"}, bundles=[str(bundle)], patience=60.0)
    later = threading.Timer(0.3, lambda: bundle.write_text(cas["new"].root.pem))
    later.start()
    _changed, answer = prove_step(request, secrets)
    later.join()
    assert outcomes(answer) == {("new", "bundle"): "accepted"}


def test_somebody_has_to_answer_where_the_user_says_so(cas: dict[str, Authority], tmp_path: Path) -> None:
    port = free_port()
    request, secrets = ask(
        cas,
        tmp_path,
        expected={"new": "accepted"},
        endpoints=[{"host": "127.0.0.1", "port": port, "server_name": None}],
    )
    entry = {"name": "www", "services": ["x"], "force": False, "key": {"location": "host"}, "outputs": []}
    preset = {"host": "127.0.0.1", "port": free_port(), "server_name": None, "certificate": "www", "explicit": False}
    assert endpoints_of(
        {
            **request,
            "look": {**request["look"], "certificates": [entry], "services": [{"name": "x", "endpoints": [preset]}]},
        }
    ) == {
        Endpoint("127.0.0.1", preset["port"], None, timeout=5.0): False,
        Endpoint("127.0.0.1", port, None, timeout=5.0): True,
    }
    _changed, answer = prove_step(request, secrets)
    (proof,) = answer["proofs"]
    assert proof["outcome"] == "absent" and "refused" in proof["error"]
    assert ask_endpoint(Canary(secrets_pem(cas), NAME), (Endpoint("127.0.0.1", port), False))["outcome"] is None


def secrets_pem(cas: dict[str, Authority]) -> bytes:
    """A canary's chain and key."""
    pair = cas["new"].issue("canary-pem", f"DNS:{NAME}")
    return pair.chain.read_bytes() + pair.key.read_bytes()
