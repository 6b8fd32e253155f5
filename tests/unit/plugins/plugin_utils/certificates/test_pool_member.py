# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pair for many hosts: issued once, taken by all, renewed by whoever comes first, and never twice."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import IssuerError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.pool_store import Pool
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.results import failure, task_result
from ansible_collections.fleet.tls.plugins.plugin_utils.certificates.run import HostRun
from ansible_collections.fleet.tls.plugins.plugin_utils.issuers.contract import Issued, Issuer, IssueRequest
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import fingerprint, key_id, parse_pem_chain
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.ca import CaIssuer
from ansible_collections.fleet.tls.tests.unit.support.honest_host import HonestHost, run_task
from ansible_collections.fleet.tls.tests.unit.support.pki import (
    DAY,
    NOW,
    PASSPHRASE,
    make_issuer,
    make_spec,
    make_store,
    snapshot,
)
from ansible_collections.fleet.tls.tests.unit.support.processes import in_processes

WWW: dict[str, Any] = {"name": "www", "dns_names": ["www.example.com"], "scope": "pool"}
NAMES = ("web1", "web2", "web3")


class Fleet:
    """Hosts that share a store."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.issuers: dict[str, Issuer] = {name: make_issuer(store, name) for name in ("internal", "other")}
        self.hosts = {name: HonestHost() for name in NAMES}
        self.runs = 0

    def run(
        self, *names: str, wish: Mapping[str, Any] | None = None, now: dt.datetime = NOW, **settings: Any
    ) -> list[HostRun]:
        """One run of ansible-playbook, its hosts one after the other."""
        self.runs += 1
        mark = {"run": f"run-{self.runs}", "run_started": now.timestamp()}
        return [
            run_task(self.hosts[name], self.issuers, wish or WWW, name=name, now=now, **{**mark, **settings})
            for name in names or self.hosts
        ]

    def ok(self, *names: str, **options: Any) -> list[HostRun]:
        """The same; it succeeds."""
        runs = self.run(*names, **options)
        assert [str(failure(run)) for run in runs if failure(run)] == []
        return runs

    def issued(self) -> int:
        """The number of certificates there ever were."""
        return len(list(make_store(self.store).issuances()))

    def leaf(self, name: str, certificate: str = "www") -> x509.Certificate:
        return parse_pem_chain("".join(self.hosts[name].live[certificate].chain))[0]

    def leaves(self) -> set[str]:
        """The fingerprints on all hosts that have one."""
        return {fingerprint(self.leaf(name)) for name, host in self.hosts.items() if host.live}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def reasons(run: HostRun) -> list[str]:
    return [reason.code for reason in run.progress["www"].verdict.reasons]


def test_issued_once_for_all(fleet: Fleet) -> None:
    runs = fleet.ok()
    assert fleet.issued() == 1 and len(fleet.leaves()) == 1
    assert {key_id(host.live["www"].key.public_key()) for host in fleet.hosts.values()} == {
        key_id(fleet.leaf("web1").public_key())
    }
    assert [host.steps() for host in fleet.hosts.values()] == [["look auto", "apply"]] * 3
    for run in runs:
        (entry,) = task_result(run, True)["certificates"]
        assert (entry["pool"], entry["action"], entry["issuer"]) == ("www", "issue", "internal")
    again = fleet.ok(now=NOW + DAY)
    assert [task_result(run, True)["changed"] for run in again] == [False] * 3
    assert [host.steps()[2:] for host in fleet.hosts.values()] == [["look auto"]] * 3


def test_nothing_due_needs_no_secret_and_writes_nothing(fleet: Fleet, tmp_path: Path) -> None:
    fleet.ok()
    for path in [*tmp_path.rglob("*.key"), tmp_path / "ledger.sqlite3", tmp_path / "passphrase.json"]:
        path.unlink()
    shutil.rmtree(tmp_path / "locks")
    before = snapshot(tmp_path, without=())
    fleet.issuers = {"internal": make_issuer(tmp_path, passphrase=None)}
    assert [task_result(run, True)["changed"] for run in fleet.ok()] == [False] * 3
    assert snapshot(tmp_path, without=()) == before


def test_what_is_in_the_store(fleet: Fleet, tmp_path: Path) -> None:
    fleet.ok()
    public = json.loads((tmp_path / "pools/www.json").read_text())["current"]
    assert public["fingerprint"] == fingerprint(fleet.leaf("web1")) and public["host"] == "web1"
    assert sorted(path.name for path in (tmp_path / "pools").iterdir()) == ["www-a.key", "www.json"]
    key = fleet.hosts["web1"].secrets["www"].splitlines()[1]
    assert (tmp_path / "pools/www-a.key").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


def test_a_new_host_gets_the_existing_pair(fleet: Fleet) -> None:
    fleet.ok("web1", "web2")
    fleet.ok(now=NOW + DAY)
    assert fleet.issued() == 1 and len(fleet.leaves()) == 1


def test_the_first_host_renews_and_the_others_take_it(fleet: Fleet) -> None:
    fleet.ok()
    first = fleet.leaves()
    later = NOW + 70 * DAY
    runs = fleet.ok(now=later)
    assert fleet.issued() == 2 and len(fleet.leaves()) == 1 and fleet.leaves() != first
    # All of them found it due by their own pairs; the first had it issued.
    assert [reasons(run) for run in runs] == [["expiring"]] * 3
    assert [run.progress["www"].reused for run in runs] == [False, True, True]
    assert {host.live["www"].generation for host in fleet.hosts.values()} == {2}


def test_batches_keep_the_old_one_until_it_is_their_turn(fleet: Fleet) -> None:
    fleet.ok()
    first = fleet.leaves()
    later = NOW + 70 * DAY
    fleet.ok("web1", now=later)
    assert {fingerprint(fleet.leaf("web2")), fingerprint(fleet.leaf("web3"))} == first
    runs = fleet.ok("web2", "web3", now=later + DAY)
    assert fleet.issued() == 2 and len(fleet.leaves()) == 1
    assert [run.progress["www"].reused for run in runs] == [True, True]


def test_a_host_that_missed_a_renewal_takes_it_though_its_own_is_not_due(fleet: Fleet) -> None:
    fleet.ok()
    fleet.ok("web1", force=True, now=NOW + DAY / 2)
    (run,) = fleet.ok("web2", now=NOW + DAY)
    assert reasons(run) == ["pool_changed"] and fleet.leaf("web2") == fleet.leaf("web1") and fleet.issued() == 2


@pytest.mark.parametrize("force", [True, ("www",)])
def test_force_once_a_run_not_once_a_host(fleet: Fleet, force: Any) -> None:
    fleet.ok()
    fleet.ok(force=force, now=NOW + DAY)
    assert fleet.issued() == 2 and len(fleet.leaves()) == 1
    fleet.ok(force=force, now=NOW + 2 * DAY)
    assert fleet.issued() == 3 and len(fleet.leaves()) == 1
    fleet.ok(force=("other",), now=NOW + 3 * DAY)
    assert fleet.issued() == 3


def test_force_by_the_name_of_the_pool(fleet: Fleet) -> None:
    wish = {**WWW, "pool": "blue"}
    fleet.ok(wish=wish)
    runs = fleet.ok(wish=wish, force=("blue",), now=NOW + DAY)
    assert fleet.issued() == 2 and len(fleet.leaves()) == 1 and [run.warnings() for run in runs] == [[]] * 3


def test_a_clock_that_goes_back_during_a_run_forces_no_second_one(fleet: Fleet) -> None:
    fleet.ok()
    one_run = {"run": "the-run", "run_started": (NOW + DAY).timestamp(), "force": True}
    fleet.ok("web1", now=NOW + DAY - dt.timedelta(minutes=5), **one_run)
    fleet.ok("web2", now=NOW + DAY, **one_run)
    assert fleet.issued() == 2


def test_two_forced_runs_at_once_issue_once(fleet: Fleet) -> None:
    """The second began before the first had anything issued."""
    fleet.ok()
    fleet.ok("web1", now=NOW + DAY, run="one", run_started=(NOW + DAY).timestamp() - 5, force=True)
    fleet.ok("web2", now=NOW + DAY, run="two", run_started=(NOW + DAY).timestamp() - 4, force=True)
    assert fleet.issued() == 2 and fleet.leaf("web1") == fleet.leaf("web2")


def issue_in_process(store: str, name: str) -> str:
    """A host of its own process that wants the pool's pair."""
    host = HonestHost()
    run = run_task(host, {"internal": make_issuer(Path(store))}, WWW, name=name, run=name, run_started=NOW.timestamp())
    assert failure(run) is None, str(failure(run))
    return fingerprint(parse_pem_chain("".join(host.live["www"].chain))[0])


def test_many_processes_at_once_issue_once(fleet: Fleet) -> None:
    found = in_processes([partial(issue_in_process, str(fleet.store), f"web{number}") for number in range(6)])
    assert len(set(found)) == 1 and fleet.issued() == 1


class Killed(BaseException):
    """The end of a process."""


class DiesAfterIssuing(CaIssuer):
    """A CA whose client dies with the answer in its hands."""

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        super().issue(requests, now)
        raise Killed


def test_killed_after_issuing_and_before_the_pool_knows(fleet: Fleet, tmp_path: Path) -> None:
    fleet.ok()
    old, own = fleet.leaves(), fleet.issuers
    fleet.issuers = {"internal": DiesAfterIssuing("internal", {}, make_store(tmp_path))}
    later = NOW + 70 * DAY
    with pytest.raises(Killed):
        fleet.run("web1", now=later)
    assert fleet.issued() == 2 and fleet.leaves() == old
    fleet.issuers = own
    # A new host, whose pair is not due, would take the pool's present one; that is due, so the order is finished.
    fleet.ok("web3", "web1", "web2", now=later)
    assert fleet.issued() == 2 and len(fleet.leaves()) == 1 and fleet.leaves() != old


def test_killed_before_the_deployment(fleet: Fleet) -> None:
    host = fleet.hosts["web1"]
    work, host.apply = host.apply, lambda *_arguments: (each for each in ()).throw(Killed())  # type: ignore[method-assign]
    with pytest.raises(Killed):
        fleet.run("web1")
    host.apply = work  # type: ignore[method-assign]
    fleet.ok(now=NOW + DAY)
    assert fleet.issued() == 1 and len(fleet.leaves()) == 1


class Out(CaIssuer):
    """A CA that is out of order."""

    def issue(self, requests: Sequence[IssueRequest], now: dt.datetime) -> tuple[Issued | TlsError, ...]:
        raise IssuerError("the line is dead")


def test_a_ca_that_fails_costs_nothing_and_the_key_waits(fleet: Fleet, tmp_path: Path) -> None:
    fleet.ok("web1", "web2")
    old, own, later = fleet.leaves(), fleet.issuers, NOW + 70 * DAY
    fleet.issuers = {"internal": Out("internal", {}, make_store(tmp_path))}
    assert "the line is dead. Kept: generation 1" in str(failure(fleet.run("web1", now=later)[0]))
    waiting = Pool(make_store(tmp_path), "www").load().waiting
    assert fleet.leaves() == old and waiting is not None
    fleet.issuers = own
    fleet.ok(now=later)
    assert key_id(fleet.leaf("web3").public_key()) == waiting.key_id


@pytest.mark.parametrize(("policy", "same"), [("always", False), ("never", True)])
def test_rotation_policy(policy: str, same: bool, fleet: Fleet) -> None:
    wish = {**WWW, "private_key": {"rotation_policy": policy}}
    fleet.ok(wish=wish)
    first = fleet.leaf("web1").public_key()
    for number in range(1, 4):
        fleet.ok(wish=wish, now=NOW + number * DAY, force=True)
        assert (fleet.leaf("web1").public_key() == first) is same and len(fleet.leaves()) == 1
    assert fleet.issued() == 4


@pytest.mark.parametrize(
    "change",
    [
        {"dns_names": ["www.example.com", "new.example.com"]},
        {"usages": ["client_auth", "server_auth"]},
        {"private_key": {"algorithm": "ed25519"}},
        {"issuer": "other"},
    ],
)
def test_a_wish_that_changes_for_all(change: dict[str, Any], fleet: Fleet) -> None:
    fleet.ok()
    fleet.ok(wish={**WWW, **change}, now=NOW + DAY)
    assert fleet.issued() == 2 and len(fleet.leaves()) == 1
    assert [task_result(run, True)["changed"] for run in fleet.ok(wish={**WWW, **change}, now=NOW + 2 * DAY)] == [
        False
    ] * 3


def named_after(host: str) -> dict[str, Any]:
    return {**WWW, "dns_names": [f"{host}.example.com"]}


def test_hosts_that_disagree_from_the_start(fleet: Fleet) -> None:
    mark = {"run": "one", "run_started": NOW.timestamp()}
    fleet.ok("web1", wish=named_after("web1"), **mark)
    (refused,) = fleet.run("web2", wish=named_after("web2"), **mark)
    words = str(failure(refused))
    assert "the hosts of the pool 'www' wish for different things" in words
    assert "issued for web1, web1.example.com (server_auth, ecdsa-p256) from internal" in words
    assert "this host wishes for web2.example.com" in words and "no inventory_hostname" in words
    # Nor in the next run, when the first host is content.
    for name in ("web2", "web1", "web2"):
        failed = failure(fleet.run(name, wish=named_after(name), now=NOW + DAY)[0])
        assert (failed is None) is (name == "web1")
    assert fleet.issued() == 1


def test_hosts_that_come_to_disagree(fleet: Fleet) -> None:
    fleet.ok()
    mark = {"run": "two", "run_started": (NOW + DAY).timestamp(), "now": NOW + DAY}
    fleet.ok("web1", wish=named_after("web1"), **mark)
    for wish in (named_after("web2"), WWW):
        (refused,) = fleet.run("web2", wish=wish, **mark)
        assert "wish for different things" in str(failure(refused))
        assert "Kept: generation 1" in str(failure(refused))
    # A later run by a host whose wish is as it was does not take the names back; forcing it does.
    assert "wish for different things" in str(failure(fleet.run("web2", now=NOW + 2 * DAY)[0]))
    assert fleet.issued() == 2
    fleet.ok("web2", now=NOW + 3 * DAY, force=("www",))
    assert fleet.issued() == 3


def test_two_issuers_wished_for_in_one_run(fleet: Fleet) -> None:
    mark = {"run": "one", "run_started": NOW.timestamp()}
    fleet.ok("web1", **mark)
    (refused,) = fleet.run("web2", wish={**WWW, "issuer": "other"}, **mark)
    assert "from internal; this host wishes for www.example.com (server_auth, ecdsa-p256) from other" in str(
        failure(refused)
    )


def test_check_mode_makes_nothing(fleet: Fleet, tmp_path: Path) -> None:
    runs = fleet.ok(check_mode=True)
    assert [task_result(run, True)["changed"] for run in runs] == [True] * 3 and snapshot(tmp_path) == {}
    fleet.ok("web1")
    before = snapshot(tmp_path)
    runs = fleet.ok(check_mode=True)
    assert [task_result(run, True)["changed"] for run in runs] == [False, True, True] and snapshot(tmp_path) == before


def test_a_damaged_pair_is_put_back_from_the_pool(fleet: Fleet) -> None:
    fleet.ok()
    fleet.hosts["web2"].problems["www"] = [{"code": "key_mismatch", "detail": "x"}]
    fleet.ok(now=NOW + DAY)
    assert fleet.issued() == 1 and fleet.hosts["web2"].live["www"].generation == 2 and len(fleet.leaves()) == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"current": {"chain": "x"}, "waiting": null}', '{"current": 7}'])
def test_a_damaged_entry_is_said_and_nothing_is_issued(text: str, fleet: Fleet, tmp_path: Path) -> None:
    fleet.ok("web1")
    (tmp_path / "pools/www.json").write_text(text)
    (run,) = fleet.run("web1", now=NOW + DAY)
    assert "'pools/www.json' in the store" in str(failure(run)) and "is damaged. Restore it" in str(failure(run))
    assert fleet.issued() == 1


def test_a_lost_key_is_said(fleet: Fleet, tmp_path: Path) -> None:
    fleet.ok("web1")
    (tmp_path / "pools/www-a.key").unlink()
    fleet.ok("web1", now=NOW + DAY)
    (run,) = fleet.run("web2", now=NOW + DAY)
    assert "the private key 'pools/www-a.key' is not in the store" in str(failure(run)) and fleet.issued() == 1
    fleet.ok(now=NOW + 2 * DAY, force=("www",))
    assert fleet.issued() == 2 and len(fleet.leaves()) == 1


def test_pools_with_names_of_their_own(fleet: Fleet) -> None:
    one, two = {**WWW, "pool": "blue"}, {**WWW, "pool": "green"}
    fleet.ok("web1", wish=one)
    fleet.ok("web2", wish=two)
    assert fleet.issued() == 2 and len(fleet.leaves()) == 2
    fleet.ok("web2", wish=one, now=NOW + DAY)
    assert fleet.issued() == 2 and len(fleet.leaves()) == 1


def test_no_secret_is_told(fleet: Fleet) -> None:
    runs = fleet.ok()
    told = (
        repr(runs)
        + "".join(repr(task_result(run, True)) for run in runs)
        + repr([host.calls for host in fleet.hosts.values()])
    )
    for host in fleet.hosts.values():
        assert host.secrets["www"].splitlines()[1] not in told
    assert "PRIVATE KEY" not in told and PASSPHRASE not in told


def test_the_spec_of_a_pool() -> None:
    assert make_spec().pool is None
    assert make_spec(scope="pool").pool == "www" and make_spec(scope="pool").private_key.location == "controller"
    assert make_spec(scope="pool", pool="blue", private_key={"location": "controller"}).pool == "blue"
    for wrong, words in (
        ({"scope": "fleet"}, "scope: 'fleet' is unknown"),
        ({"pool": "blue"}, "pool: it has no pool, its scope is host"),
        ({"scope": "pool", "pool": "a/b"}, "pool: 'a/b' is not a valid name"),
        ({"scope": "pool", "private_key": {"location": "host"}}, "the hosts of a pool share one key"),
    ):
        with pytest.raises(SpecError) as caught:
            make_spec(**wrong)
        assert words in caught.value.message and caught.value.remedy
