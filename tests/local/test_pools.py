# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool of three real nginx: one order for all of them, by a CA that is a program and counts, however the runs begin, meet or end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.fleet.tls.tests.unit.support.openssl_ca import OpensslCa
from local.family import Family
from local.hosts import Hosts, Site, entry, ledger, message, serving
from tools.playbook import PlaybookResult, run_playbook

NAMES = ("web1", "web2", "web3")
DOMAIN = "www.pool.example.com"


@dataclass(frozen=True)
class Pool:
    """Hosts whose certificates are one, and who issues it."""

    hosts: Hosts
    ca: OpensslCa

    def wish(self, host: str, **changes: Any) -> dict[str, Any]:
        """The entry of ``tls_certificates``, the same for all but for the service."""
        site = self.hosts[host]
        chosen = {"issuer": "ours", "scope": "pool", "dns_names": [DOMAIN, *(each.domain for each in self.hosts)]}
        return site.certificate(**{**chosen, **changes})

    def variables(self, *names: str, **changes: Any) -> dict[str, dict[str, Any]]:
        """What is different for these hosts."""
        return {name: {"tls_certificates": [self.wish(name, **changes)]} for name in names or NAMES}

    def issuers(self) -> dict[str, Any]:
        """``tls_issuers``."""
        return {"ours": {"type": "command", "command": self.ca.command(), "anchors": str(self.ca.root)}}

    def play(
        self, *names: str, wish: dict[str, Any] | None = None, args: tuple[str, ...] = (), **options: Any
    ) -> PlaybookResult:
        """Run the task on these hosts, or on all."""
        chosen = {"issuers": self.issuers(), **options}
        return self.hosts.play(self.variables(*names, **(wish or {})), *args, **chosen)

    def leaves(self) -> set[str]:
        """What is on disk, all of it sound and served."""
        for site in self.hosts:
            assert site.pair_fault() is None
            assert site.served(self.ca.root) == site.on_disk()
        return {site.on_disk() for site in self.hosts}

    def keys(self) -> set[bytes]:
        """The private keys on the hosts."""
        return {(site.live / "privkey.pem").read_bytes() for site in self.hosts}

    def state(self) -> dict[str, Any]:
        """What the store has of it in the clear."""
        return dict(json.loads((self.hosts.store / "pools" / "www.json").read_text()))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    hosts = Hosts(tmp_path_factory.mktemp("pools"), {name: ["www"] for name in NAMES})
    pool = Pool(hosts, OpensslCa(hosts.folder / "ca"))
    pool.play(wish={"services": []}).check()
    with serving(*hosts):
        pool.play().check()
        yield pool


def test_issued_once_then_nothing_then_forced_once(pool: Pool) -> None:
    first = pool.leaves()
    assert pool.ca.orders() == 1 and len(first) == 1 and len(pool.keys()) == 1
    again = pool.play().check()
    assert again.changed == 0 and pool.ca.orders() == 1
    for name in NAMES:
        found = entry(again, name)
        assert (found["pool"], found["issuer"], found["settled"]) == ("www", "ours", True)

    forced = pool.play(force=["www"]).check()
    assert pool.ca.orders() == 2 and len(pool.leaves()) == 1 and pool.leaves() != first
    assert forced.changed == 3 and pool.state()["current"]["fingerprint"] in pool.leaves()

    # A run with nothing due needs no passphrase, and one that has to hand out the pair says so.
    without = {"type": "directory", "path": str(pool.hosts.store)}
    assert pool.play(store=without).check().changed == 0
    pool.hosts["web3"].live.unlink()
    assert "needs its passphrase" in message(pool.play("web3", store=without), "web3")
    pool.play("web3").check()
    assert pool.ca.orders() == 2 and len(pool.leaves()) == 1


def test_batches_in_one_run_force_once_and_wait_their_turn(pool: Pool) -> None:
    """``serial: 1``: while the first host has the new pair, the others go on serving the old one; forced once for all."""
    old = pool.leaves()
    seen, orders = pool.hosts.folder / "seen", pool.ca.orders()
    lives = " ".join(str(site.live) for site in pool.hosts)
    task = {
        "name": "What the others serve meanwhile",
        "ansible.builtin.shell": f"for f in {lives}; do cat $f/fullchain.pem | sha256sum; done >> {seen}; echo >> {seen}",
    }
    playbook = pool.hosts.playbook(issuers=pool.issuers(), force=True)
    (play,) = json.loads(playbook.read_text())
    play.update(serial=1, tasks=[*play["tasks"], task])
    playbook.write_text(json.dumps([play]))
    run_playbook(playbook, pool.hosts.inventory(pool.variables())).check()
    steps = [len(set(block.split())) - 1 for block in seen.read_text().strip().split("\n\n")]
    assert steps == [2, 2, 1] and pool.ca.orders() == orders + 1
    assert len(pool.leaves()) == 1 and pool.leaves() != old


def test_two_runs_at_once_from_the_start(pool: Pool) -> None:
    """A new pool, two runs, six hosts that want a pair at the same moment: one order, by a slow CA."""
    orders = pool.ca.orders()
    wish = {"name": "green", "pool": "green", "dns_names": ["green.example.com"], "services": []}
    pool.ca.change_mode("slow")
    try:
        with ThreadPoolExecutor(2) as lanes:
            runs = [each.result() for each in [lanes.submit(pool.play, wish=wish) for _run in range(2)]]
    finally:
        pool.ca.change_mode("good")
    assert [run.rc for run in runs] == [0, 0], "\n".join(run.stdout for run in runs)
    keys = {(site.live.parent / "green" / "privkey.pem").read_bytes() for site in pool.hosts}
    assert pool.ca.orders() == orders + 1 and len(keys) == 1
    assert len([row for row in ledger(pool.hosts.store) if "green.example.com" in row["names"]]) == 1


def test_hosts_that_disagree(pool: Pool) -> None:
    wishes = {
        name: {
            "tls_certificates": [
                pool.wish(name, name="blue", pool="blue", dns_names=[f"{name}.example.com"], services=[])
            ]
        }
        for name in NAMES
    }
    orders = pool.ca.orders()
    run = pool.hosts.play(wishes, issuers=pool.issuers())
    failed = [name for name in NAMES if run.stats[name]["failures"]]
    assert len(failed) == 2 and pool.ca.orders() == orders + 1
    (given,) = set(NAMES) - set(failed)
    for name in failed:
        words = message(run, name)
        assert "the hosts of the pool 'blue' wish for different things" in words
        assert f"{given}.example.com" in words and f"this host wishes for {name}.example.com" in words
        assert not (pool.hosts[name].live.parent / "blue").exists()


def test_a_failing_ca_costs_nothing(pool: Pool) -> None:
    old = pool.leaves()
    pool.ca.change_mode("fails")
    try:
        run = pool.play(force=True)
    finally:
        pool.ca.change_mode("good")
    for name in NAMES:
        assert "ended with 7: out of coffee" in message(run, name) and ". Kept: generation " in message(run, name)
    assert pool.leaves() == old and pool.state()["waiting"]
    pool.play(force=True).check()
    assert len(pool.leaves()) == 1 and pool.leaves() != old and pool.state()["waiting"] is None


def await_true(site: Site, run: Family, what: Any) -> None:
    """Until it is so, or the run is over."""
    end = time.monotonic() + 120
    while time.monotonic() < end and run.process.poll() is None and not what():
        time.sleep(0.001)


def test_killed_at_many_moments(pool: Pool) -> None:
    """Forced renewals killed while the key is made, while it is ordered, after that, and while it is handed out: a later run issues only
    what its own force asks for, and no order is lost."""
    state, kills = pool.hosts.store / "pools" / "www.json", 0
    playbook, inventory = (
        pool.hosts.playbook(issuers=pool.issuers(), force=True),
        pool.hosts.inventory(pool.variables()),
    )
    moments = {
        "key": lambda before: state.read_text() != before["state"],
        "ordered": lambda before: pool.ca.orders() > before["orders"],
        "recorded": lambda before: len(ledger(pool.hosts.store)) > before["rows"],
        "in the pool": lambda before: pool.state()["current"]["fingerprint"] != before["current"],
        "on a host": lambda before: len({site.on_disk() for site in pool.hosts}) > 1,
    }
    for name, moment in moments.items():
        before = {
            "state": state.read_text(),
            "orders": pool.ca.orders(),
            "rows": len(ledger(pool.hosts.store)),
            "current": pool.state()["current"]["fingerprint"],
        }
        run = Family(playbook, inventory)
        await_true(pool.hosts["web1"], run, lambda moment=moment, before=before: moment(before))  # type: ignore[misc]
        kills += run.process.poll() is None
        run.kill()
        for site in pool.hosts:
            assert site.pair_fault() is None, name
        # The next run is not forced: what had been recorded is handed out, and nothing is ordered.
        orders, rows = pool.ca.orders(), len(ledger(pool.hosts.store))
        pool.play().check()
        assert (pool.ca.orders(), len(ledger(pool.hosts.store))) == (orders, rows), name
        assert len(pool.leaves()) == 1 and pool.leaves() == {pool.state()["current"]["fingerprint"]}, name
        if name == "recorded" and pool.state()["waiting"]:
            # Recorded and not yet in the pool: the next force gets that very certificate.
            last = ledger(pool.hosts.store)[-1]["fingerprint"]
            pool.play(force=True).check()
            assert pool.ca.orders() == orders and pool.leaves() == {last}
    assert kills >= 3
    assert pool.play().check().changed == 0
