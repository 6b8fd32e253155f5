# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuer ``fetch`` with a KV engine of a real OpenBao: certificate and key from a secret, again when its version changes."""

from __future__ import annotations

import base64
import datetime as dt
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base import playbook_run as this_run
from ansible_collections.fleet.tls.plugins.plugin_utils.base.playbook_run import ThisRun
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure, task_result
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, parse_pem_chain
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.fetch import FetchIssuer
from ansible_collections.fleet.tls.tests.unit.support.given import DAY, Given, Makers
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import NOW as TASK_NOW
from ansible_collections.fleet.tls.tests.unit.support.pki import make_store
from bao.policies import allow
from bao.server import Cluster

NOW = dt.datetime.now(dt.timezone.utc)
MAKERS = Makers(NOW)
WWW: dict[str, Any] = {"name": "www", "issuer": "kept", "dns_names": ["www.example.com"]}
POLICY = 'path "secret/data/certificates/*" { capabilities = ["read"] }'


class Safe:
    """A folder of secrets, and a host that gets one of them."""

    def __init__(self, cluster: Cluster, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster, self.store, self.monkeypatch = cluster, store, monkeypatch
        self.folder = f"certificates/{uuid.uuid4().hex}"
        self.token = cluster.token(allow(cluster, "fetch", POLICY))
        self.host = HonestHost()

    def put(self, **values: Any) -> None:
        """A new version of the secret."""
        self.cluster.root.secrets.kv.v2.create_or_update_secret(f"{self.folder}/www", secret=values)

    def run(self, token: str | None = None, **options: Any) -> HostRun:
        """The task in a run of its own."""
        self.monkeypatch.setattr(this_run, "THIS_RUN", ThisRun("next", time.time()))
        place = {"path": f"{self.folder}/{{certificate}}", **self.cluster.options(token or self.token)}
        issuer = FetchIssuer("kept", {"openbao": place, "anchors": MAKERS.anchors(), **options}, make_store(self.store))
        self.host.clock = TASK_NOW.timestamp()
        return run_task(self.host, {"kept": issuer}, WWW, now=NOW)

    def ok(self, **options: Any) -> HostRun:
        """The same; it succeeds."""
        run = self.run(**options)
        assert failure(run) is None, str(failure(run))
        return run

    def leaf(self) -> str:
        """The fingerprint on the host."""
        return fingerprint(parse_pem_chain("".join(self.host.live["www"].chain))[0])


@pytest.fixture
def safe(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Safe:
    return Safe(cluster, tmp_path, monkeypatch)


FORMS: dict[str, Callable[[Given], dict[str, Any]]] = {
    "apart": lambda pair: {"certificate": pair.pem(0), "chain": pair.pem(1), "private_key": pair.key_pem()},
    "as lists": lambda pair: {"certificate": pair.pem(0), "chain": [pair.pem(1)], "private_key": pair.key_pem()},
    "in one": lambda pair: {"certificate": pair.key_pem() + pair.pem(1, 0)},
    "pkcs12": lambda pair: {"certificate": base64.encodebytes(pair.pkcs12("passphrase")).decode()},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_pair_then_nothing_then_a_newer_one(form: str, safe: Safe) -> None:
    first, second = MAKERS.give(age=10 * DAY), MAKERS.give(age=DAY)
    safe.put(**FORMS[form](first))
    safe.ok(passphrase="passphrase")
    assert safe.leaf() == first.fingerprint and len(safe.host.live["www"].chain) == 2
    assert task_result(safe.ok(passphrase="passphrase"), True)["changed"] is False
    safe.put(**FORMS[form](second))
    run = safe.ok(passphrase="passphrase")
    assert [reason.code for reason in run.progress["www"].verdict.reasons] == ["source_changed"]
    assert safe.leaf() == second.fingerprint
    body = second.key_pem().splitlines()[1]
    assert body not in repr(run) + repr(task_result(run, True)) and safe.token not in repr(run)
    assert not [path for path in safe.store.rglob("*") if path.is_file() and body.encode() in path.read_bytes()]


def test_fields_of_another_name(safe: Safe) -> None:
    pair = MAKERS.give()
    safe.put(crt=pair.pem(), key=pair.key_pem(), certificate="not this one")
    place = {"path": f"{safe.folder}/{{certificate}}", "fields": ["crt", "key"], **safe.cluster.options(safe.token)}
    safe.ok(openbao=place)
    assert safe.leaf() == pair.fingerprint


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (None, "there is no secret secret/certificates/"),
        ({"crt": "x"}, "has none of the fields certificate, chain, private_key"),
        ({"certificate": "no base64 either!"}, "what is there is neither PEM nor base64"),
    ],
)
def test_what_is_not_there(values: dict[str, Any] | None, words: str, safe: Safe) -> None:
    if values is not None:
        safe.put(**values)
    assert words in str(failure(safe.run())) and safe.host.live == {}


def test_a_token_without_rights_costs_nothing_that_works(safe: Safe) -> None:
    pair = MAKERS.give(age=10 * DAY)
    safe.put(**FORMS["apart"](pair))
    safe.ok()
    poor = safe.cluster.token(allow(safe.cluster, "nothing", 'path "secret/data/other/*" { capabilities = ["read"] }'))
    run = safe.run(token=poor)
    assert failure(run) is None and "issuer 'kept': OpenBao at" in run.warnings()[0] and poor not in run.warnings()[0]
    assert safe.leaf() == pair.fingerprint and task_result(run, True)["changed"] is False
