# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet.tls.deploy_due visits the hosts that have something to do, and leaves the others out until they have."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.due import WEEK
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import known_looks, note_look
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import load_issuers
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store, load_store
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from local.deployment import Deployment
from tools.playbook import PlaybookResult

NAMES = ("calm", "due", "old", "changed", "unknown", "guarded")
# A CA dates an hour back, so it is due as soon as it is issued.
ALWAYS_DUE = {"duration": "24h", "renew_before": "99%"}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("deploy-due"), NAMES).running() as made:
        # Nothing is known yet: it is a deployment like any other.
        first = run(made)
        assert visited(first) == dict.fromkeys(NAMES, "unknown")
        assert set(looked_at(first)) == set(NAMES)
        yield made


def wishes(made: Deployment) -> dict[str, dict[str, Any]]:
    """What is not as usual: one host has clients that it verifies, another a certificate that is always due."""
    plain = {}
    for name, host in made.hosts.items():
        usual = host.variables()
        plain[name] = {"tls_certificates": usual["tls_certificates"][:1]}
        if name != "guarded":
            plain[name] |= {"tls_sites": usual["tls_sites"][:1], "tls_clients": []}
        else:
            plain[name] = {"tls_clients": []}
    plain["due"]["tls_certificates"] = [{**plain["due"]["tls_certificates"][0], **ALWAYS_DUE}]
    return plain


def run(made: Deployment, *args: str, extra: Any = None, **changes: Any) -> PlaybookResult:
    """The playbook; the hosts' variables are as usual but for ``changes``."""
    hosts = wishes(made)
    for name, each in changes.items():
        hosts[name] |= each
    return made.deploy(*args, extra=extra, playbook="fleet.tls.deploy_due", changes=hosts)


def visited(result: PlaybookResult) -> dict[str, str]:
    """Host → why it was chosen."""
    (found,) = result.results(action="fleet.tls.due_hosts")
    return dict(found["hosts"])


def looked_at(result: PlaybookResult) -> list[str]:
    """The hosts that were asked."""
    return sorted(each["host"] for each in result.task_results if each["action"] == "fleet.tls.due_parts")


def store(made: Deployment) -> Store:
    """The store."""
    return load_store({"path": str(made.store), "passphrase": made.passphrase})


def test_who_is_visited(deployment: Deployment) -> None:
    before = {name: host.live() for name, host in deployment.hosts.items()}
    result = run(deployment).check()
    assert visited(result) == {"due": "renewal"} and looked_at(result) == ["due"]
    assert "1 hosts are visited: 1 (a certificate is due); 5 are left out" in result.stdout
    changed = {name for name, host in deployment.hosts.items() if host.live() != before[name]}
    assert changed == {"due"}

    known = known_looks(store(deployment))
    assert set(known) == set(NAMES)
    note_look(store(deployment), "old", dataclasses.replace(known["old"], at=int(time.time()) - WEEK))
    note_look(store(deployment), "unknown", None)
    wider = {
        **wishes(deployment)["changed"]["tls_certificates"][0],
        "dns_names": ["changed.example.com", "w.example.com"],
    }
    # It refuses what the inventory says now, and is not taken for one that is in order when that is taken back.
    again = run(deployment, changed={"tls_certificates": [wider]})
    wanted = {"due": "renewal", "old": "week", "unknown": "unknown", "changed": "inventory"}
    assert visited(again.check()) == wanted and looked_at(again) == sorted(wanted)
    assert again.stats["changed"]["changed"] and not again.stats["old"]["changed"]
    assert visited(run(deployment, "--check", changed={"tls_certificates": [wider]}).check()) == {"due": "renewal"}
    assert visited(run(deployment, changed={"tls_certificates": [wider]}, extra={"tls_hosts": "calm,old"})) == {}


def test_a_host_that_failed_is_visited_again(deployment: Deployment) -> None:
    broken = [{**wishes(deployment)["calm"]["tls_sites"][0], "certificate": "nobody"}]
    run(deployment, "--limit", "calm").check()
    failed = run(deployment, "--limit", "calm", calm={"tls_sites": broken})
    assert visited(failed)["calm"] == "inventory" and failed.stats["calm"]["failures"] == 1
    result = run(deployment, "--limit", "calm").check()
    assert visited(result)["calm"] == "unknown" and looked_at(result) == ["calm"]
    assert "calm" not in visited(run(deployment, "--limit", "calm").check())


def test_a_revocation_and_names_in_tls_force(deployment: Deployment) -> None:
    run(deployment).check()
    kept = store(deployment)
    known = known_looks(kept)
    issuer = load_issuers({"internal": {"type": "ca"}}, kept)["internal"]
    assert isinstance(issuer, CaIssuer)
    issuer.crl_keeper.forget_all_listed()
    with kept.ledger() as ledger:
        assert ledger.revoke(known["old"].certificates["www"].fingerprint, "superseded", int(time.time()))
    result = run(deployment).check()
    # One host's server knows revocation lists, and gets the new one. Whoever has the revoked certificate keeps it until it is due.
    assert visited(result) == {"due": "renewal", "guarded": "lists"}
    assert result.stats["guarded"]["changed"]
    forced = run(deployment, extra={"tls_force": "other"}).check()
    assert visited(forced) == {"due": "renewal", "guarded": "forced"}
    assert not re.search(deployment.passphrase, forced.stdout + forced.stderr)
