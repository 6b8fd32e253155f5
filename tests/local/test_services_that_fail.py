# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that refuse, or do not come to serve, a new certificate: the old pair is back on disk, and was served all the time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from demo import handshakes
from local.hosts import Hosts, Site, entry, message, serving
from tools.playbook import PlaybookResult


def typo(site: Site) -> None:
    (site.folder / "extra-typo.conf").write_text("server_tokenz off;\n")


@dataclass(frozen=True)
class Case:
    """What is wrong: changes of the service, something done to the host, or a pair that nginx reads elsewhere."""

    says: tuple[str, ...]
    service: dict[str, Any] = field(default_factory=dict)
    trouble: Callable[[Site], None] = lambda site: None
    copy: bool = False


CASES = {
    "typo": Case(
        (
            "service 'nginx-typo'",
            'unknown directive "server_tokenz"',
            "extra-typo.conf:1",
            "orrect what it complains about",
        ),
        trouble=typo,
    ),
    "reload-fails": Case(
        ("service 'nginx-reload-fails'", "'false' ended with 1", "then run again"), {"reload": ["false"]}
    ),
    "no-program": Case(
        ("there is no program 'no-such-program'", "nstall it or correct the command"),
        {"reload": ["no-such-program", "-x"]},
    ),
    "reload-does-nothing": Case(
        ("not served after 10 s at 127.0.0.1:", "another certificate", "heck that the service runs"),
        {"reload": ["true"]},
    ),
    "copy-elsewhere": Case(
        ("not served after 10 s at 127.0.0.1:", "another certificate", "uses this certificate"), copy=True
    ),
}


@dataclass(frozen=True)
class State:
    """A site before the run."""

    served: str
    files: dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Run:
    """One forced run over all the trouble, with clients asking all the time, and the one after the repair."""

    before: dict[str, State]
    result: PlaybookResult
    storm: handshakes.Storm


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path_factory.mktemp("services"), {"web": [*CASES, "good"]})
    hosts.issue()
    with contextlib.ExitStack() as stack:
        for site in hosts:
            elsewhere = None
            if site.label in CASES and CASES[site.label].copy:
                elsewhere = site.folder.parent / "elsewhere"
                shutil.copytree(site.live, elsewhere)
            stack.enter_context(serving(site, pair=elsewhere))
        # The first pair is settled before there is trouble.
        hosts.play().check()
        yield hosts


@pytest.fixture(scope="module")
def run(hosts: Hosts) -> Run:
    before = {site.label: State(site.served(hosts.root), site.snapshot()) for site in hosts}
    certificates = [hosts["good"].certificate()]
    for name, case in CASES.items():
        case.trouble(hosts[name])
        certificates.append(hosts[name].certificate(services=[hosts[name].service(**case.service)]))
    with handshakes.storm({site.label: site.address for site in hosts}, hosts.root) as storm:
        result = hosts.play({"web": {"tls_certificates": certificates}}, force=True)
    return Run(before, result, storm)


@pytest.mark.parametrize("name", CASES)
def test_rolled_back(hosts: Hosts, run: Run, name: str) -> None:
    words, found = message(run.result, "web"), entry(run.result, name)
    assert words.startswith("web: certificate '")
    (mine,) = [part for part in words.split("certificate '") if part.startswith(f"{name}': ")]
    for part in CASES[name].says:
        assert part in mine
    assert ". Kept: generation 1, valid until 20" in mine
    assert (found["rolled_back"], found["changed"], found["generation"]) == (True, False, 1)
    assert found["fingerprint_sha256"] == run.before[name].served
    assert hosts[name].snapshot() == run.before[name].files
    assert hosts[name].on_disk() == hosts[name].served(hosts.root) == run.before[name].served
    # The signed chain's key waits: the run after the repair asks for nothing new.
    assert (hosts[name].tls / "pending" / name / "privkey.pem").stat().st_mode & 0o777 == 0o600


def test_no_client_noticed(run: Run) -> None:
    assert run.storm.done > len(CASES) and run.storm.failed == []


def test_the_good_one_is_served(hosts: Hosts, run: Run) -> None:
    assert run.result.rc == 2
    assert entry(run.result, "good")["installed"] is True
    assert "certificate 'good'" not in message(run.result, "web")
    assert hosts["good"].on_disk() == hosts["good"].served(hosts.root) != run.before["good"].served


def test_first_pair_that_nothing_serves(tmp_path: Path) -> None:
    """There is nothing to go back to: it stays, the host fails, and the run after the repair only settles it."""
    hosts = Hosts(tmp_path, {"first": ["www"]})
    failed = hosts.play()
    words = message(failed, "first")
    assert words.startswith("first: certificate 'www': not served after 10 s at 127.0.0.1:")
    assert "not running: nginx-www" in words and "Generation 1 stays installed" in words
    assert entry(failed, "first")["settled"] is False
    with serving(*hosts):
        settled = hosts.play().check()
        assert hosts["first"].served(hosts.root) == entry(failed, "first")["fingerprint_sha256"]
    assert (entry(settled, "first")["action"], entry(settled, "first")["settled"]) == ("repair", True)
