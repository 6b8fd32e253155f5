# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of a CA and of keys killed over and over, at stage boundaries and inside stages: each is gone on with, nothing is issued twice."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local.family import Family
from local.hosts import Hosts, ledger, serving
from tools.playbook import run_playbook

HOSTS = {"web1": ["www", "api"], "web2": ["mail", "imap"]}


@contextlib.contextmanager
def deployed(folder: Path, labels: Mapping[str, list[str]]) -> Iterator[Hosts]:
    """Hosts that serve what they have, with everything deployed."""
    made = Hosts(folder, labels, one_nginx=True)
    made.issue()
    with serving(*made):
        run_playbook("fleet.tls.deploy", inventory(made)).check()
        yield made


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with deployed(tmp_path, HOSTS) as made:
        yield made


def inventory(hosts: Hosts, changes: Mapping[str, Mapping[str, Any]] | None = None, **common: Any) -> Path:
    """Every host with a bundle, and no system's trust store; ``changes``: variables of single hosts, ``common``: of all."""
    values = {
        host: {"tls_trust_bundles": [{"path": str(bundle(hosts, host))}], **(changes or {}).get(host, {})}
        for host in hosts.sites
    }
    return hosts.inventory(values, tls_trust_system=False, **common)


def bundle(hosts: Hosts, host: str) -> Path:
    """The host's bundle."""
    return hosts.folder / host / "bundle.pem"


def record(hosts: Hosts, name: str) -> dict[str, Any]:
    """What the store has of a rotation."""
    path = hosts.store / "rotations" / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def killed_when(playbook: str, path: Path, happened: Callable[[], bool]) -> bool:
    """Whether a run was killed, as soon as something had happened, before it came to its end; what it had begun on hosts is over then."""
    run = Family(playbook, path)
    while run.process.poll() is None and not happened():
        time.sleep(0.01)
    ended = run.process.poll() is not None
    if not ended:
        run.kill_controller_only()
    return not ended


def assert_whole(hosts: Hosts) -> None:
    """No mixed pair, and every server serves its own to a client that trusts the host's bundle."""
    for site in hosts:
        assert site.pair_fault() is None
        assert site.served(bundle(hosts, site.host))


def test_a_ca_is_replaced_by_runs_that_are_killed(hosts: Hosts) -> None:
    path, first = inventory(hosts), len(ledger(hosts.store))
    state = hosts.store / "ca/internal/ca.json"
    before = bundle(hosts, "web1").read_bytes()
    moments: list[Callable[[], bool]] = [
        lambda: bool(record(hosts, "ca-internal")),
        lambda: b'"next"' in state.read_bytes(),
        lambda: bundle(hosts, "web1").read_bytes() != before,
        lambda: bool(record(hosts, "ca-internal").get("proven")),
        lambda: b'"root": "root-2"' in state.read_bytes() and b'"next"' not in state.read_bytes(),
        lambda: record(hosts, "ca-internal")["stage"] == "activate",
        lambda: len(ledger(hosts.store)) > first,
        lambda: len(ledger(hosts.store)) >= first + 3,
        lambda: record(hosts, "ca-internal")["stage"] == "activate" and bool(record(hosts, "ca-internal")["proven"]),
        lambda: b"root-1" not in state.read_bytes(),
        lambda: record(hosts, "ca-internal")["stage"] == "retire" and bool(record(hosts, "ca-internal")["proven"]),
    ]
    killed = 0
    for happened in moments:
        killed += killed_when("fleet.tls.rotate_ca", path, happened)
        assert_whole(hosts)
    # Moments that lie close together are passed in one go now and then.
    assert killed > len(moments) // 2
    if record(hosts, "ca-internal")["stage"] != "done":
        run_playbook("fleet.tls.rotate_ca", path).check()
    assert record(hosts, "ca-internal")["stage"] == "done"
    assert_whole(hosts)
    assert json.loads(state.read_text()) == {
        "version": 1,
        "root": "root-2",
        "issuing": "issuing-2",
        "trusted": ["root-2"],
    }
    later = ledger(hosts.store)[first:]
    assert Counter((row["host"], row["certificate"]) for row in later) == Counter(
        (site.host, site.label) for site in hosts
    )
    assert run_playbook("fleet.tls.deploy", path).check().changed == 0


def test_keys_are_replaced_once_by_runs_that_are_killed(hosts: Hosts) -> None:
    path, rows = inventory(hosts), ledger(hosts.store)
    # The ledger counts whole seconds.
    while int(time.time()) <= max(row["issued_at"] for row in rows):
        time.sleep(0.05)
    moments: list[Callable[[], bool]] = [
        lambda: bool(record(hosts, "keys")),
        lambda: len(ledger(hosts.store)) > len(rows),
        lambda: len(ledger(hosts.store)) >= len(rows) + 3,
        lambda: bool(record(hosts, "keys").get("proven")),
    ]
    killed = 0
    for happened in moments:
        killed += killed_when("fleet.tls.rotate_keys", path, happened)
        assert_whole(hosts)
    assert killed >= 3
    if record(hosts, "keys")["stage"] != "done":
        run_playbook("fleet.tls.rotate_keys", path).check()
    later = ledger(hosts.store)[len(rows) :]
    assert Counter((row["host"], row["certificate"]) for row in later) == Counter(
        (site.host, site.label) for site in hosts
    )
    assert not {row["key_id"] for row in rows} & {row["key_id"] for row in later}
    assert run_playbook("fleet.tls.deploy", path).check().changed == 0
