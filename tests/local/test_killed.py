# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook killed at many moments between look and proof: never a mixed pair, never a failed handshake, nothing issued twice.

Each kill hits two certificates of one host that share an nginx with all the others, while clients ask for every one of them. Kills run in
two lanes at once, so that they meet each other in the store, in the host's lock and in nginx.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo import handshakes
from local.family import Family
from local.hosts import Hosts, Site, ledger, serving
from tools.playbook import PlaybookResult

LANES = 2
# While Ansible starts, and looks: parts of the time until the first key is there.
EARLY = (0.5, 0.9)
# From then on: parts of the time from the first key to the end of the run.
MOMENTS = [step / 16 for step in range(17)]
# Things that a run does, seen from outside: the kill follows at once.
EVENTS: dict[str, Callable[[Site], bool]] = {
    "key": lambda site: (site.tls / "pending" / site.label / "privkey.pem").exists(),
    "request": lambda site: (site.tls / "pending" / site.label / "request.json").exists(),
    "staging": lambda site: (site.tls / "generations" / site.label / "2").exists(),
    "staged": lambda site: (site.tls / "generations" / site.label / "2" / "manifest.json").exists(),
    "swapped": lambda site: site.live.readlink().name == "2",
    "controller": lambda site: (site.tls / "generations" / site.label / "2").exists(),
}


@dataclass(frozen=True)
class Kill:
    """When to kill a run that forces new certificates for these sites.

    :param event: wait for this first; None: for nothing.
    :param delay: seconds after that.
    """

    sites: tuple[Site, Site]
    event: str | None
    delay: float = 0.0

    @property
    def title(self) -> str:
        """The moment in words."""
        return f"{self.event or 'start'}+{self.delay:.2f}s"


@dataclass(frozen=True)
class Outcome:
    """All kills; what was wrong with a pair right after one; the clients' requests; the two runs that followed."""

    kills: list[Kill]
    faults: list[str]
    ended_first: int
    storm: handshakes.Storm
    converge: PlaybookResult
    again: PlaybookResult
    first_rows: int


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    labels = [f"c{number:02}{part}" for number in range(len(EARLY) + len(MOMENTS) + len(EVENTS)) for part in "ab"]
    hosts = Hosts(tmp_path_factory.mktemp("killed"), {"web": [*labels, "probe"]}, one_nginx=True)
    hosts.issue()
    with serving(*hosts):
        hosts.play().check()
        yield hosts


@pytest.fixture(scope="module")
def outcome(hosts: Hosts) -> Outcome:
    sites = list(hosts)
    pairs = iter(zip(sites[0:-1:2], sites[1::2]))
    first_rows = len(ledger(hosts.store))
    playbook = hosts.playbook(force=True)
    looked, acted = durations(playbook, inventory(hosts, hosts["probe"]), hosts["probe"])
    kills = [Kill(next(pairs), None, part * looked) for part in EARLY]
    kills += [Kill(next(pairs), "key", part * acted) for part in MOMENTS]
    kills += [Kill(next(pairs), event) for event in EVENTS]
    inventories = {kill: inventory(hosts, *kill.sites) for kill in kills}
    with handshakes.storm({site.label: site.address for site in sites}, hosts.root, pause=0.03) as storm:
        with ThreadPoolExecutor(LANES) as pool:
            found = list(pool.map(lambda kill: perform(kill, playbook, inventories[kill]), kills))
        converge = hosts.play()
        again = hosts.play()
    faults = [f"{kill.title}: {text}" for kill, (_ended, texts) in zip(kills, found) for text in texts]
    return Outcome(kills, faults, sum(ended for ended, _texts in found), storm, converge, again, first_rows)


def inventory(hosts: Hosts, *sites: Site) -> Path:
    """The host with these certificates only."""
    return hosts.inventory({"web": {"tls_certificates": [site.certificate() for site in sites]}})


def durations(playbook: Path, path: Path, site: Site) -> tuple[float, float]:
    """How long a run takes until it has a new key, and from then to its end, in seconds."""
    run = Family(playbook, path)
    # Not before: the first one may have to wait for the process that it is forked from.
    start = time.monotonic()
    await_event("key", [site], run, start + 60)
    key = time.monotonic()
    run.process.communicate(timeout=300)
    assert run.process.returncode == 0
    return key - start, time.monotonic() - key


def await_event(event: str, sites: Sequence[Site], run: Family, end: float) -> None:
    """Until the event has happened to one of the sites, the run is over, or the clock shows ``end``."""
    while time.monotonic() < end and run.process.poll() is None and not any(EVENTS[event](site) for site in sites):
        time.sleep(0.0005)


def perform(kill: Kill, playbook: Path, path: Path) -> tuple[bool, list[str]]:
    """Start, wait, kill; whether it had ended by itself, and what was wrong with the pairs then."""
    run = Family(playbook, path)
    if kill.event:
        await_event(kill.event, kill.sites, run, time.monotonic() + 60)
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.process.wait(kill.delay)
    ended = run.process.poll() is not None
    if kill.event == "controller":
        run.kill_controller_only()
    else:
        run.kill()
    return ended, [fault for site in kill.sites if (fault := site.pair_fault())]


def test_there_was_always_a_pair(outcome: Outcome) -> None:
    assert len(outcome.kills) >= 25
    assert outcome.faults == []


def test_the_kills_hit_runs_at_work(hosts: Hosts, outcome: Outcome) -> None:
    """Else this would test nothing: most were killed, some before anything was issued, some after."""
    assert outcome.ended_first <= 8
    rows = len(ledger(hosts.store)) - outcome.first_rows
    assert 4 <= rows


def test_no_handshake_failed(outcome: Outcome) -> None:
    assert outcome.storm.done > 100
    assert outcome.storm.failed == []


def test_the_next_run_converges(hosts: Hosts, outcome: Outcome) -> None:
    assert outcome.converge.rc == 0, outcome.converge.stdout
    for site in hosts:
        assert site.pair_fault() is None
        assert site.on_disk() == site.served(hosts.root)


def test_the_run_after_it_changes_nothing(outcome: Outcome) -> None:
    assert (outcome.again.rc, outcome.again.changed) == (0, 0), outcome.again.stdout


def test_nothing_is_left_over(hosts: Hosts, outcome: Outcome) -> None:
    assert outcome.again.rc == 0
    assert [path for path in (hosts["probe"].tls / "live").iterdir() if path.name.startswith(".")] == []
    # A key that still waits has no live pair yet: the rotation that made it was killed before its certificate was installed.
    live_keys = {(site.live / "privkey.pem").read_bytes() for site in hosts}
    pending = list((hosts["probe"].tls / "pending").glob("*/privkey.pem"))
    assert not [path for path in pending if path.read_bytes() in live_keys]


def test_one_issuance_for_each_pending_key(hosts: Hosts, outcome: Outcome) -> None:
    """The killed rotations are asked for again: what was signed for their keys is used, and nothing is signed twice."""
    assert outcome.again.rc == 0
    before = ledger(hosts.store)
    pending = {path.parent.name for path in (hosts["probe"].tls / "pending").glob("*/request.json")}
    signed = {
        row["certificate"] for row in before if row["certificate"] in pending and row["request_id"] in requests(hosts)
    }
    forced = hosts.play(force=sorted(pending)).check()
    rows = ledger(hosts.store)
    assert forced.stats["web"]["changed"] == (1 if pending else 0)
    assert len(rows) == len(before) + len(pending - signed)
    for column in ("request_id", "key_id", "serial"):
        assert len({row[column] for row in rows}) == len(rows)
    for site in hosts:
        assert site.on_disk() == site.served(hosts.root)


def requests(hosts: Hosts) -> set[str]:
    """The ids of all pending requests, as far as their files can be read."""
    texts = [path.read_text() for path in (hosts["probe"].tls / "pending").glob("*/request.json")]
    return {word for text in texts for word in text.split('"')}
