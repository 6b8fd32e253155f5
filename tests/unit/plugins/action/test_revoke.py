# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.revoke import ActionModule
from ansible_collections.fleet.tls.plugins.module_utils.steps.prove import prove_step
from ansible_collections.fleet.tls.plugins.plugin_utils.ca.crl import serials
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool, PoolPair, PoolState
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import serial_text, to_pem
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    PASSPHRASE,
    cheap_scrypt,
    make_issuer,
    make_request,
    make_spec,
    make_store,
    snapshot,
)
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair, tls_server

__all__ = ["cheap_scrypt"]


def options(store: Path, extra: str) -> str:
    return "\n".join(
        [
            f"store: {{path: {store}, passphrase: {PASSPHRASE}}}",
            "issuers: {internal: {type: ca}}",
            "certificates: [{name: www, issuer: internal, dns_names: [www.example.com]}]",
            extra,
        ]
    )


def issue(store: Path, host: str) -> Issued:
    request = make_request(make_spec("www"), request_id=f"request-{host}", host=host)
    (answer,) = make_issuer(store).issue([request], ActionModule.now())
    assert isinstance(answer, Issued)
    return answer


def on_host(host: HonestHost) -> type[ActionModule]:
    """The proof with the real step; the certificates of a host in memory."""

    class OnHost(ActionModule):
        def step(
            self,
            step: str,
            request: Mapping[str, Any],
            variables: dict[str, Any],
            secrets: Mapping[str, str] | None = None,
        ) -> dict[str, Any]:
            plain = json.loads(json.dumps(request))
            plain["look"]["certificates"], plain["look"]["services"] = [], []
            plain["patience"] = 0
            _changed, answer = prove_step(plain, secrets or {})
            host.clock = time.time()
            return {**answer, **host.look(request["look"])}

    return OnHost


def test_revoked_once(tmp_path: Path) -> None:
    issue(tmp_path, "web1")
    issue(tmp_path, "web2")
    first = run_action(ActionModule, options(tmp_path, "hosts: [web1]\nreason: key_compromise"))
    (entry,) = first["certificates"]
    assert first["changed"] and (entry["host"], entry["certificate"], entry["replaced_by"]) == ("web1", "www", "")
    assert any(entry["serial"] in crl["revoked"] for crl in first["crls"])
    before = snapshot(tmp_path)
    assert not run_action(ActionModule, options(tmp_path, "hosts: [web1]"))["changed"]
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(("extra", "check"), [("hosts: [web1]", True), ("hosts: [web1]\nstate: chosen", False)])
def test_only_told(extra: str, check: bool, tmp_path: Path) -> None:
    issue(tmp_path, "web1")
    before = snapshot(tmp_path)
    told = run_action(ActionModule, options(tmp_path, extra), check_mode=check)
    assert len(told["certificates"]) == len(told["key_ids"]) == 1 and told["changed"] is check
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("extra", "said"),
    [("", "not said which"), ("which: [xyz]", "neither a serial"), ("hosts: [nobody]", "knows no certificate"),
     ("hosts: [web1]\nreason: because", "reason: 'because' is unknown")],
)  # fmt: skip
def test_bad_input_revokes_nothing(extra: str, said: str, tmp_path: Path) -> None:
    issue(tmp_path, "web1")
    before = snapshot(tmp_path)
    with pytest.raises(AnsibleActionFail, match=said):
        run_action(ActionModule, options(tmp_path, extra))
    assert snapshot(tmp_path) == before


def pooled(store: Path, host: str) -> None:
    """The pair of the pool ``shared``, issued for ``host``."""
    spec = make_spec("www", scope="pool", pool="shared")
    (issued,) = make_issuer(store).issue([make_request(spec, request_id=f"pool-{host}", host=host)], ActionModule.now())
    assert isinstance(issued, Issued)
    pair = PoolPair(issued.chain, "internal", f"pool-{host}", spec.request_digest, "", "a", host, "run", 0.0)
    Pool(make_store(store), "shared").write(PoolState(pair))


def test_a_host_has_the_pair_of_its_pool_whoever_ordered_it(tmp_path: Path) -> None:
    pooled(tmp_path, "web1")
    issue(tmp_path, "web2")
    of = "certificates_of: {web3: [{name: www, scope: pool, pool: shared}, {name: mail}], web2: [{name: www}]}"
    told = run_action(ActionModule, options(tmp_path, f"hosts: [web2, web3]\nstate: chosen\n{of}"))
    assert {entry["host"] for entry in told["certificates"]} == {"web1", "web2"}
    with pytest.raises(AnsibleActionFail, match="no certificate for the host 'web3'"):
        run_action(ActionModule, options(tmp_path, "hosts: [web2, web3]\nstate: chosen"))


def test_a_server_that_does_not_know_is_named(tmp_path: Path) -> None:
    """Its CRLs are read by nobody: it takes the revoked canary."""
    issued = issue(tmp_path, "web1")
    run_action(ActionModule, options(tmp_path, "hosts: [web1]"))
    issuer, now = make_issuer(tmp_path), ActionModule.now()
    canary = issuer.rollover().canary("root-1", "issuing-1", now)
    pair = Pair(*(tmp_path / name for name in ("cert.pem", "key.pem", "chain.pem")))
    for path, text in zip((pair.certificate, pair.key, pair.chain), (canary.chain, canary.key, canary.chain)):
        path.write_text(text)
    (tmp_path / "ca.pem").write_text("".join(to_pem(anchor) for anchor in issuer.trust()))
    with tls_server(pair, client_ca=tmp_path / "ca.pem") as address:
        extra = f"hosts: [web1]\nstate: proven\nendpoints: [{{host: {address.host}, port: {address.port}}}]"
        with pytest.raises(AnsibleActionFail, match="accepts a revoked client") as caught:
            run_action(on_host(HonestHost()), options(tmp_path, extra))
    assert "PRIVATE" not in str(caught.value) and issued.chain
    # One that trusts nobody of this CA has nothing to do with it.
    assert run_action(on_host(HonestHost()), options(tmp_path, "hosts: [web1]\nstate: proven"))["problems"] == []


def test_a_key_that_is_still_in_use(tmp_path: Path) -> None:
    memory, wish = HonestHost(), {"name": "www", "dns_names": ["www.example.com"]}
    run_task(memory, {"internal": make_issuer(tmp_path)}, wish, now=ActionModule.now())
    run_action(ActionModule, options(tmp_path, "hosts: [web1]"))
    extra = "hosts: [web1]\nsame_key: true\nstate: proven"
    with pytest.raises(AnsibleActionFail, match="certificate 'www' still has a key that must no longer be used"):
        run_action(on_host(memory), options(tmp_path, extra))
    assert run_action(on_host(HonestHost()), options(tmp_path, extra))["problems"] == []


def listed(store: Path) -> set[str]:
    crls = make_issuer(store).crls(ActionModule.now())
    return {serial for crl in crls for serial in serials(crl)}


@pytest.mark.parametrize("given", ["pem", "number"])
def test_what_the_ledger_has_never_known(given: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    make_issuer(store).prepare(ActionModule.now())
    shutil.copytree(store, tmp_path / "other")
    # The same CA has issued, and this ledger knows nothing of it.
    leaf = issue(tmp_path / "other", "laptop7").chain[0]
    serial = serial_text(leaf.serial_number)
    which = json.dumps([to_pem(leaf) if given == "pem" else serial])
    if given == "number":
        with pytest.raises(AnsibleActionFail, match="by its number together with its issuer's name"):
            run_action(ActionModule, options(store, f"which: {which}"))
    named = "issuer: internal" if given == "number" else ""
    planned = run_action(ActionModule, options(store, f"which: {which}\n{named}"), check_mode=True)
    assert planned["changed"] and not listed(store)
    done = run_action(ActionModule, options(store, f"which: {which}\n{named}"))
    assert done["changed"] and serial in listed(store) and serial in done["crls"][1]["revoked"]
    assert not run_action(ActionModule, options(store, f"which: {which}\n{named}"))["changed"]
    # It goes on being listed, and nobody takes it for something that was issued here.
    assert make_issuer(store).ledger_lost() is None
    assert any(row.serial == serial for row in make_store(store).issuances())


def test_a_strangers_pem(tmp_path: Path) -> None:
    make_issuer(tmp_path / "store").prepare(ActionModule.now())
    leaf = issue(tmp_path / "other", "laptop7").chain[0]
    with pytest.raises(AnsibleActionFail, match="from none of the CAs whose CRLs are kept here"):
        run_action(ActionModule, options(tmp_path / "store", f"which: {json.dumps([to_pem(leaf)])}"))
