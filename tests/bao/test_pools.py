# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool whose pair is in a real OpenBao: controllers that know nothing of each other issue once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, parse_pem_chain
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.plugins.sub_plugins.store.openbao import OpenBaoStore
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import DAY, NOW
from ansible_collections.fleet.tls.tests.unit.support.processes import in_processes

WWW: dict[str, Any] = {"name": "www", "dns_names": ["www.example.com"], "scope": "pool"}


def take(open_store: Callable[..., OpenBaoStore], name: str, days: int = 0) -> str:
    """What a host gets from a controller of its own."""
    host, now = HonestHost(), NOW + days * DAY
    issuers = {"internal": CaIssuer("internal", {}, open_store())}
    run = run_task(host, issuers, WWW, name=name, now=now, run=name, run_started=now.timestamp())
    assert failure(run) is None, str(failure(run))
    return fingerprint(parse_pem_chain("".join(host.live["www"].chain))[0])


def test_controllers_at_once_issue_once_and_renew_once(open_store: Callable[..., OpenBaoStore]) -> None:
    CaIssuer("internal", {}, open_store()).prepare(NOW)
    first = in_processes([partial(take, open_store, f"web{number}") for number in range(3)])
    assert len(set(first)) == 1 and len(list(open_store().issuances())) == 1
    later = in_processes([partial(take, open_store, f"web{number}", 70) for number in range(3)])
    assert len(set(later)) == 1 and later != first and len(list(open_store().issuances())) == 2
    current = Pool(open_store(), "www").load().current
    assert current is not None and fingerprint(current.leaf) == later[0]
    assert "PRIVATE KEY" in Pool(open_store(), "www").key_of(current)
