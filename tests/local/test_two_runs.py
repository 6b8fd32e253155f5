# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs of ansible-playbook at once on one inventory and one store, begun at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from demo import handshakes
from local.hosts import Hosts, entry, ledger, serving
from tools.playbook import PlaybookResult


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    yield Hosts(tmp_path_factory.mktemp("two-runs"), {"web1": ["www1", "api1"], "web2": ["www2"]}, one_nginx=True)


def twice(hosts: Hosts, *, services: bool, **options: Any) -> list[PlaybookResult]:
    """The same run two times at once."""
    changes: dict[str, dict[str, Any]] = {
        host: {} if services else {"tls_certificates": [site.certificate(services=[]) for site in mine]}
        for host, mine in hosts.sites.items()
    }
    with ThreadPoolExecutor(2) as pool:
        return [each.result() for each in [pool.submit(hosts.play, changes, **options) for _run in range(2)]]


def assert_each_key_signed_once(hosts: Hosts) -> None:
    """No request, key or serial number stands in the ledger twice."""
    rows = ledger(hosts.store)
    for column in ("request_id", "key_id", "serial", "fingerprint"):
        assert len({row[column] for row in rows}) == len(rows), column


def test_first_issue_then_rotation(hosts: Hosts) -> None:
    first = twice(hosts, services=False)
    assert [run.rc for run in first] == [0, 0], "\n".join(run.stdout for run in first)
    assert_each_key_signed_once(hosts)
    # One CA, whoever made it.
    assert sorted(path.name for path in (hosts.store / "ca" / "internal").glob("*.pem")) == [
        "issuing-1.pem",
        "root-1.pem",
    ]
    fingerprints = {row["fingerprint"] for row in ledger(hosts.store)}
    assert {site.on_disk() for site in hosts} <= fingerprints
    # Both say what is live, whichever of them installed it.
    for run in first:
        for site in hosts:
            assert (entry(run, site.label)["installed"], entry(run, site.label)["issuer"]) == (True, "internal")
            assert entry(run, site.label)["fingerprint_sha256"] == site.on_disk()

    with serving(*hosts):
        hosts.play().check()
        before = {site.label: site.served(hosts.root) for site in hosts}
        with handshakes.storm({site.label: site.address for site in hosts}, hosts.root) as storm:
            rotated = twice(hosts, services=True, force=True)
        assert [run.rc for run in rotated] == [0, 0], "\n".join(run.stdout for run in rotated)
        assert storm.done > 10 and storm.failed == []
        assert_each_key_signed_once(hosts)
        for site in hosts:
            assert site.pair_fault() is None
            assert site.on_disk() == site.served(hosts.root) != before[site.label]
            assert site.on_disk() in {row["fingerprint"] for row in ledger(hosts.store)}
        last = hosts.play().check()
    assert last.changed == 0
    for site in hosts:
        assert not (site.tls / "pending" / site.label).exists()
