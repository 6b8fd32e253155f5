# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two raft nodes: the leader steps down in the middle of what we do."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreError
from ansible_collections.fleet.tls.plugins.sub_plugins.store.openbao import OpenBaoStore
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE
from ansible_collections.fleet.tls.tests.unit.support.processes import in_processes
from ansible_collections.fleet.tls.tests.unit.support.store_contract import value_of
from bao.playbooks import Fleet
from bao.policies import STORE, allow
from bao.server import Cluster, running
from local.hosts import message

# Seconds; a node that stepped down does not stand for election for ten.
REST = 12.0
TRIES = 3


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes."""
    with running(tmp_path_factory.mktemp("pair"), 2) as cluster:
        yield cluster


@contextlib.contextmanager
def stepping_down(cluster: Cluster) -> Iterator[list[str]]:
    """Over and over, as long as the block lasts; which nodes did."""
    over, done = threading.Event(), list[str]()

    def work() -> None:
        pause = 1.0
        while not over.wait(pause):
            # In the middle of an election there is nobody to step down.
            with contextlib.suppress(OSError, hvac.exceptions.VaultError):
                done.append(cluster.step_down().name)
                pause = REST

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join(200)


@pytest.mark.parametrize("nodes", [(1,), (0, 1)])
def test_counting_under_a_lock_while_leaders_change(pair: Cluster, nodes: tuple[int, ...]) -> None:
    """Nothing is lost and nothing counted twice, whichever of the nodes is known."""
    token = pair.token(allow(pair, "store", STORE))
    place = {"path": f"fleet-tls/{uuid.uuid4().hex}", "passphrase": PASSPHRASE}
    urls = [pair.nodes[number].url for number in nodes]

    def open_store() -> OpenBaoStore:
        return OpenBaoStore({**pair.options(token, url=urls), **place})

    def add_one(store: OpenBaoStore) -> None:
        with store.lock("number", wait=120):
            entry = store.get("number")
            number = int(entry.value) + 1 if entry else 1
            store.put("number", str(number).encode(), expect=entry.version if entry else None)

    def count() -> None:
        store = open_store()
        for _each in range(3):
            for left in reversed(range(TRIES)):
                try:
                    add_one(store)
                    break
                except StoreError as error:
                    # An election on a busy machine may outlast a lease, or all patience before there is a lock; then nothing was written,
                    # and the remedy is to run again.
                    assert left and ("was lost" in str(error) or "no active node" in str(error)), error

    with stepping_down(pair) as done:
        while len(done) < 2:
            in_processes([count] * 2)
    total = int(value_of(open_store(), "number") or b"0")
    assert total % 6 == 0 and total >= 6
    assert len(done) >= 2


def test_a_run_while_leaders_change(pair: Cluster, tmp_path: Path) -> None:
    names = [f"web{number}" for number in range(4)]
    fleet = Fleet(tmp_path, pair, names)
    with stepping_down(pair) as done:
        run = fleet.play()
    # A signature that a leader began and could not end is not asked for again in the same run, but in the next.
    for host, stats in run.stats.items():
        assert (
            not stats["failures"]
            or "/sign/web" in message(run, host)
            or "broke the connection off" in message(run, host)
            # On a busy machine a run waits longer for it than it may, and so it does for the election of a leader.
            or "was held for 60 s by another run" in message(run, host)
            or "was lost: this run stood still, or was cut off from the store" in message(run, host)
            or "it has no active node" in message(run, host)
        )
    fleet.play().check()
    assert done
    rows = fleet.rows()
    assert Counter((row.host, row.certificate) for row in rows) == {
        (name, what): 1 for name in names for what in ("www", "api")
    }
    assert {site.on_disk() for site in fleet.sites()} == {row.fingerprint for row in rows}
    assert fleet.play().check().changed == 0
