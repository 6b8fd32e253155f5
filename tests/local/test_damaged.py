# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs that somebody or something has damaged on the host: found, said, replaced by a new one, and served."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.hosts import Hosts, Site, entry, ledger, public_key, serving
from tools.playbook import PlaybookResult


def truncate(path: Path) -> None:
    path.write_text(path.read_text()[:200])


def replace_key(path: Path) -> None:
    path.write_bytes(public_key("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))


def reencode_key(path: Path) -> None:
    # The same key in the form of RFC 5915: another digest, no damage.
    path.write_bytes(public_key("ec", "-in", str(path)))


def mix_link(path: Path) -> None:
    live = path.parent
    target = live.resolve()
    live.unlink()
    live.symlink_to(target)


@dataclass(frozen=True)
class Case:
    """What is done to a file of the live pair, and the reason that follows; None: nothing is due."""

    file: str
    damage: Callable[[Path], None]
    reason: str | None
    detail: str = ""


CASES = {
    "truncated": Case("fullchain.pem", truncate, "damaged", "fullchain.pem is no complete PEM certificate"),
    "truncated-leaf": Case("cert.pem", truncate, "damaged", "cert.pem was changed"),
    "unreadable": Case("fullchain.pem", lambda path: path.write_bytes(b"\xff\xfe\0junk"), "damaged", "no complete PEM"),
    "empty": Case("chain.pem", lambda path: path.write_bytes(b""), "damaged", "chain.pem was changed"),
    "no-cert": Case("fullchain.pem", Path.unlink, "damaged", "fullchain.pem is missing"),
    "no-manifest": Case("manifest.json", truncate, "damaged", "manifest.json is missing or damaged"),
    "key-replaced": Case("privkey.pem", replace_key, "key_mismatch", "does not belong to the certificate"),
    "key-truncated": Case("privkey.pem", truncate, "key_mismatch", "privkey.pem"),
    "no-key": Case("privkey.pem", Path.unlink, "key_missing", "privkey.pem is missing"),
    "no-link": Case("cert.pem", lambda path: path.parent.unlink(), "missing", "no certificate on the host"),
    "own-link": Case("cert.pem", mix_link, "damaged", "is not a link of ours"),
    "other-form": Case("privkey.pem", reencode_key, None),
    "mode": Case("privkey.pem", lambda path: path.chmod(0o644), None),
}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path_factory.mktemp("damaged"), {"web": [*CASES, "expired"]})
    hosts.issue()
    with serving(*hosts):
        yield hosts


# A certificate has to be valid still when it is taken, however busy the machine is; the tests wait for its end.
BRIEF = "20s"


@dataclass(frozen=True)
class Runs:
    """What was served before the damage, the run after it, and the one after that."""

    before: dict[str, str]
    repair: PlaybookResult
    again: PlaybookResult


@pytest.fixture(scope="module")
def runs(hosts: Hosts) -> Runs:
    expired = hosts["expired"]
    hosts.play({"web": {"tls_certificates": [expired.certificate(duration=BRIEF)]}}, force=True).check()
    before = {site.label: site.served(hosts.root) for site in hosts if site is not expired}
    for name, case in CASES.items():
        case.damage(hosts[name].live / case.file)
    time.sleep(max(0.0, expired.ends() + 1 - time.time()))
    return Runs(before, hosts.play(), hosts.play())


def faultless(site: Site, root: Path) -> bool:
    """Whether the live pair is one, and is the one served."""
    return site.pair_fault() is None and site.on_disk() == site.served(root)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.reason])
def test_damage_is_replaced(hosts: Hosts, runs: Runs, name: str) -> None:
    case = CASES[name]
    found = entry(runs.repair, name)
    assert found["action"] == "issue" and found["error"] is None, runs.repair.stdout
    assert [reason["code"] for reason in found["reasons"]] == [case.reason]
    assert case.detail in found["reasons"][0]["detail"]
    assert faultless(hosts[name], hosts.root)
    assert hosts[name].served(hosts.root) != runs.before[name]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.reason])
def test_what_is_no_damage_costs_no_certificate(hosts: Hosts, runs: Runs, name: str) -> None:
    found = entry(runs.repair, name)
    assert (found["due"], found["error"]) == (False, None)
    assert found["changed"] is (name == "mode")
    assert hosts[name].served(hosts.root) == hosts[name].on_disk() == runs.before[name]
    assert (hosts[name].live / "privkey.pem").stat().st_mode & 0o777 == 0o600


def test_an_expired_certificate_is_reissued(hosts: Hosts, runs: Runs) -> None:
    found = entry(runs.repair, "expired")
    assert [reason["code"] for reason in found["reasons"]] == ["expired"]
    assert (found["changed"], found["action"]) == (True, "issue")
    assert faultless(hosts["expired"], hosts.root)


def test_the_next_run_changes_nothing(hosts: Hosts, runs: Runs) -> None:
    assert (runs.repair.rc, runs.again.rc, runs.again.changed) == (0, 0, 0)
    rows = ledger(hosts.store)
    assert len({row["request_id"] for row in rows}) == len(rows)
    damaged = sum(1 for case in CASES.values() if case.reason)
    assert len(rows) == len(CASES) + 1 + 2 + damaged


def test_nginx_has_no_complaint(hosts: Hosts, runs: Runs) -> None:
    assert runs.again.rc == 0
    for site in hosts:
        done = subprocess.run(site.service()["validate"], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
