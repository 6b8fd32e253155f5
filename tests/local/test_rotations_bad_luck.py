# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations that meet bad luck: hosts that are away, a store that is locked or lost, a clock that is wrong, a restart, a second run."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.hosts import Hosts, ledger, serving
from local.test_rotations_killed import assert_whole, bundle, deployed, inventory, killed_when, record
from tools.playbook import PlaybookResult, run_playbook

HOSTS = {"web1": ["www"], "web2": ["mail"], "web3": ["api"]}
# Nobody listens there.
AWAY = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
# Every Python that finds it thinks that it is two hours earlier.
EARLIER = """import time
real = time.time
time.time = lambda: real() - 7200
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """One fleet for all tests here: every one leaves it whole, and no rotation under way."""
    with deployed(tmp_path_factory.mktemp("bad-luck"), HOSTS) as made:
        yield made


def rotate(hosts: Hosts, playbook: str = "rotate_ca", **changes: dict[str, Any]) -> PlaybookResult:
    """A run; ``changes``: variables of single hosts."""
    return run_playbook(f"fleet.tls.{playbook}", inventory(hosts, changes))


def stage(hosts: Hosts, name: str = "ca-internal") -> str:
    """Where the rotation is."""
    return str(record(hosts, name).get("stage", "none"))


def brought_to(hosts: Hosts, wanted: str) -> None:
    """Killed as soon as the rotation is at that stage."""
    assert killed_when("fleet.tls.rotate_ca", inventory(hosts), lambda: stage(hosts) == wanted)


def issued_by(hosts: Hosts) -> dict[str, str]:
    """Host → fingerprint of its live certificate."""
    return {site.host: site.on_disk() for site in hosts}


def assert_done(hosts: Hosts) -> None:
    """The next run brings it to its end, and the one after it has nothing to do."""
    rotate(hosts).check()
    assert stage(hosts) == "done"
    assert_whole(hosts)
    assert run_playbook("fleet.tls.deploy", inventory(hosts)).check().changed == 0


def test_the_first_host_is_away_when_all_is_issued_anew(hosts: Hosts) -> None:
    """It would be a batch of its own, at whose end Ansible ends a run without a word about the rotation."""
    brought_to(hosts, "activate")
    before = issued_by(hosts)
    held = rotate(hosts, web1=AWAY)
    assert held.rc != 0 and stage(hosts) == "activate"
    assert "stays at 'activate', held back by web1 (unreachable: " in held.stdout, held.stdout
    after = issued_by(hosts)
    assert {host for host in before if before[host] == after[host]} == {"web1"}
    assert record(hosts, "ca-internal")["proven"].keys() == {"web2", "web3"}
    assert_done(hosts)


def test_hosts_are_away_while_keys_are_replaced(hosts: Hosts) -> None:
    # The ledger counts whole seconds.
    while int(time.time()) <= max(row["issued_at"] for row in ledger(hosts.store)):
        time.sleep(0.05)
    before = issued_by(hosts)
    held = rotate(hosts, "rotate_keys", web1=AWAY, web3=AWAY)
    assert held.rc != 0 and stage(hosts, "keys") == "rekey"
    assert "stays at 'rekey', held back by web1 (unreachable: " in held.stdout and "web3 (unreachable: " in held.stdout
    after = issued_by(hosts)
    assert {host for host in before if before[host] != after[host]} == {"web2"}
    rotate(hosts, "rotate_keys").check()
    assert stage(hosts, "keys") == "done" and issued_by(hosts)["web2"] == after["web2"]
    assert_whole(hosts)


def test_a_lost_store_and_a_wrong_passphrase_cost_nothing(hosts: Hosts) -> None:
    brought_to(hosts, "activate")
    before, rows = issued_by(hosts), len(ledger(hosts.store))
    wrong = run_playbook(
        "fleet.tls.rotate_ca",
        inventory(hosts, tls_store=hosts.store_options(passphrase="another passphrase")),
        timeout=600,
    )
    assert wrong.rc != 0 and "wrong passphrase" in wrong.stdout
    away = hosts.folder / "away"
    hosts.store.rename(away)
    lost = rotate(hosts)
    assert lost.rc != 0
    assert "the CA 'internal' does not exist yet: there is nothing to replace" in lost.stdout
    # What that tells to run knows that these hosts' certificates are from a CA that is not there.
    deployed = run_playbook("fleet.tls.deploy", inventory(hosts))
    assert deployed.rc != 0 and "web1: certificate 'www': " in deployed.stdout and "has no CA in" in deployed.stdout
    assert issued_by(hosts) == before
    assert all(bundle(hosts, host).read_bytes() for host in hosts.sites)
    shutil.rmtree(hosts.store, ignore_errors=True)
    away.rename(hosts.store)
    assert_whole(hosts)
    assert len(ledger(hosts.store)) == rows and stage(hosts) == "activate"
    assert_done(hosts)


def test_a_store_that_somebody_has_locked_is_waited_for(hosts: Hosts) -> None:
    brought_to(hosts, "prepare")
    locks = sorted((hosts.store / "locks").iterdir())
    assert locks
    with ThreadPoolExecutor(1) as pool:
        held = [os.open(path, os.O_RDWR) for path in locks]
        for each in held:
            fcntl.flock(each, fcntl.LOCK_EX)
        run = pool.submit(rotate, hosts)
        # It has come as far as it can when it has nothing done for a while.
        time.sleep(3)
        assert not run.done() and stage(hosts) == "prepare"
        for each in held:
            os.close(each)
        run.result().check()
    assert stage(hosts) == "done"
    assert_whole(hosts)


def test_a_clock_that_is_wrong_holds_the_stage_back(hosts: Hosts) -> None:
    late = hosts.folder / "late"
    late.mkdir()
    (late / "sitecustomize.py").write_text(EARLIER)
    python = late / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={late} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    held = rotate(hosts, web2={"ansible_python_interpreter": str(python)})
    assert held.rc != 0 and stage(hosts) == "prepare"
    assert "held back by web2 (failed: " in held.stdout and "its clock is" in held.stdout, held.stdout
    assert_whole(hosts)
    assert_done(hosts)


def test_servers_restarted_in_the_middle(tmp_path: Path) -> None:
    with deployed(tmp_path, HOSTS) as made:
        rows = len(ledger(made.store))
        # Some hosts have their new certificate, the run is gone, and the servers go down and come up.
        assert killed_when("fleet.tls.rotate_ca", inventory(made), lambda: len(ledger(made.store)) > rows)
    with serving(*made):
        assert_whole(made)
        assert_done(made)


def test_two_rotations_of_keys_at_once_are_one(hosts: Hosts) -> None:
    rows = ledger(hosts.store)
    while int(time.time()) <= max(row["issued_at"] for row in rows):
        time.sleep(0.05)
    with ThreadPoolExecutor(2) as pool:
        runs = [each.result() for each in [pool.submit(rotate, hosts, "rotate_keys") for _run in range(2)]]
    good = [run for run in runs if run.rc == 0]
    assert good
    if len(good) == 1:
        (other,) = [run for run in runs if run.rc]
        assert "another run drives the rotation of the keys: process " in other.stdout, other.stdout
        assert len(ledger(hosts.store)) == len(rows) + len(HOSTS)
    assert stage(hosts, "keys") == "done"
    assert_whole(hosts)


def test_a_revocation_that_was_killed_is_made_good(hosts: Hosts) -> None:
    # The tests before have replaced the CA.
    issuing = json.loads((hosts.store / "ca/internal/ca.json").read_text())["issuing"]
    crl = hosts.store / f"ca/internal/{issuing}.crl"
    before = crl.read_bytes() if crl.exists() else b""
    path = inventory(hosts, tls_revoke_hosts=["web3"])
    assert killed_when("fleet.tls.revoke", path, lambda: crl.exists() and crl.read_bytes() != before)
    revoked = crl.read_bytes()
    again = run_playbook("fleet.tls.revoke", path).check()
    assert again.results(task="Revoke certificates")[0]["changed"] is False
    assert crl.read_bytes() == revoked
    old = issued_by(hosts)["web3"]
    compromised = inventory(hosts, tls_compromised_hosts=["web3"])
    assert killed_when("fleet.tls.replace_compromised", compromised, lambda: issued_by(hosts)["web3"] != old)
    run_playbook("fleet.tls.replace_compromised", compromised).check()
    assert issued_by(hosts)["web3"] != old
    assert_whole(hosts)


@pytest.mark.parametrize("name", ["rotate_ca", "rotate_keys", "revoke", "replace_compromised"])
def test_hosts_that_are_chosen_with_e_leave_a_rotation_its_own_batches(tmp_path: Path, name: str) -> None:
    # What is given with -e beats the variables of an import.
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"all": {"children": {"web": {"hosts": {"web1": {}}}}}}))
    told = run_playbook(f"fleet.tls.{name}", inventory, {"tls_hosts": "web"}, ["--list-hosts"]).check().stdout
    plays = [line.split("(", 1)[1] for line in told.splitlines() if "play #" in line]
    assert [play for play in plays if play.startswith("web)") and "Choose the hosts" not in play] == [], told
    assert len(plays) > 3
