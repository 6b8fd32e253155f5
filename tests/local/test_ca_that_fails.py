# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA or store that is not as it was: nothing due means nothing needed of it; something due fails with what to do, and costs nothing."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.hosts import Hosts, Site, entry, ledger, message, serving
from tools.playbook import PlaybookResult

P384 = {"private_key": {"algorithm": "ecdsa-p384"}}


def remove(name: str) -> Callable[[Path], None]:
    def work(store: Path) -> None:
        path = store / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return work


def truncate(name: str) -> Callable[[Path], None]:
    return lambda store: (store / name).write_text((store / name).read_text()[:150])


def spoil_ledger(store: Path) -> None:
    (store / "ledger.sqlite3").write_text("no database, but long enough to be taken for one\n" * 20)


@dataclass(frozen=True)
class Case:
    """What is done to the host's copy of the store, how its certificate is to change, and what the message says."""

    says: tuple[str, ...]
    remedy: str
    store: Callable[[Path], None] = lambda store: None
    wish: dict[str, Any] = field(default_factory=lambda: P384)
    passphrase: str | None = None
    issuer: dict[str, Any] = field(default_factory=dict)


CASES = {
    "wrong-passphrase": Case(
        ("wrong passphrase for the store",),
        "ive the passphrase the store was made with",
        passphrase="not the one it was",
    ),
    "no-passphrase": Case(("needs its passphrase",), "et tls_store.passphrase, best from Ansible Vault", passphrase=""),
    "no-key": Case(
        ("the private key 'ca/internal/issuing-1.key' is not in the store",),
        "estore it from the store's backup",
        remove("ca/internal/issuing-1.key"),
    ),
    "half-a-key": Case(
        ("the private key 'ca/internal/issuing-1.key'", "is damaged"),
        "estore it from the store's backup",
        truncate("ca/internal/issuing-1.key"),
    ),
    "no-ca": Case(
        ("has issued with the CA 'internal', but the CA itself is missing",),
        "estore ca/internal/ from the store's backup",
        remove("ca/internal"),
    ),
    "half-a-root": Case(
        ("'ca/internal/root-1.pem' in the store", "missing or damaged"),
        "estore it from the store's backup",
        truncate("ca/internal/root-1.pem"),
    ),
    "no-ledger": Case(("the ledger is damaged",), "estore it from the store's backup", spoil_ledger),
    "too-long": Case(
        ("of 'internal' expires on 20", "before the certificate would (4000d from now)"),
        "horten the certificate's duration",
        wish={"duration": "4000d", **P384},
    ),
}
NEW = {
    "new-host": Case(
        ("has issued with the CA 'internal', but the CA itself is missing",),
        "estore ca/internal/ from the store's backup",
        remove("ca/internal"),
    ),
    "dead-root": Case(
        ("the root of the CA 'brief' has expired on 20",),
        "eplace the CA with fleet.tls.rotate_ca",
        wish={"issuer": "brief"},
    ),
    "short-passphrase": Case(
        ("shorter than 12 characters",),
        "openssl rand -base64 32",
        shutil.rmtree,
        passphrase="short",
    ),
}
# Long enough for a first certificate on a busy machine, and over when it is needed again.
BRIEF_SECONDS = 20
BRIEF = {"type": "ca", "duration": "15s", "issuing_duration": "18s", "root_duration": "{0}s".format(BRIEF_SECONDS)}


@dataclass(frozen=True)
class Runs:
    """What was there before; a run with nothing due (in check mode too); then one with something due."""

    served: dict[str, str]
    files: dict[str, dict[str, tuple[int, str]]]
    noop: PlaybookResult
    due: PlaybookResult
    rows: int


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path_factory.mktemp("ca"), {name: ["www"] for name in (*CASES, *NEW, "good")})
    worked = [hosts[name] for name in (*CASES, "good")]
    brief = {
        "tls_certificates": [hosts["dead-root"].certificate(issuer="brief", services=[])],
        "tls_directory": str(hosts.folder / "x"),
    }
    first = {site.host: {"tls_certificates": [site.certificate(services=[])]} for site in worked}
    hosts.play(
        {**first, "dead-root": brief}, issuers={"internal": {"type": "ca", "duration": "30d"}, "brief": BRIEF}
    ).check()
    time.sleep(BRIEF_SECONDS)
    with serving(*worked):
        hosts.play({site.host: {} for site in worked}).check()
        yield hosts


def store_of(hosts: Hosts, name: str) -> Path:
    """The host's own copy of the store."""
    return hosts.folder / name / "store"


@pytest.fixture(scope="module")
def runs(hosts: Hosts) -> Runs:
    cases = {**CASES, **NEW}
    worked = [hosts[name] for name in (*CASES, "good")]
    served = {site.host: site.served(hosts.root) for site in worked}
    files = {site.host: site.snapshot() for site in worked}
    for name, case in cases.items():
        shutil.copytree(hosts.store, store_of(hosts, name))
        case.store(store_of(hosts, name))

    def variables(name: str, **wish: Any) -> dict[str, Any]:
        case = cases[name]
        store = hosts.store_options(path=str(store_of(hosts, name)))
        if case.passphrase is not None:
            store["passphrase"] = case.passphrase
        return {"tls_store": store, "tls_certificates": [hosts[name].certificate(**wish)]}

    rows = len(ledger(hosts.store))
    noop = hosts.play({name: variables(name) for name in ("wrong-passphrase", "no-passphrase", "no-key", "no-ca")})
    changed = {name: variables(name, **case.wish) for name, case in cases.items() if name not in NEW}
    changed.update(
        {name: variables(name, **(case.wish if case.wish is not P384 else {})) for name, case in NEW.items()}
    )
    issuers = {"internal": {"type": "ca", "duration": "30d"}, "brief": BRIEF}
    due = hosts.play({**changed, "good": {"tls_certificates": [hosts["good"].certificate(**P384)]}}, issuers=issuers)
    return Runs(served, files, noop, due, rows)


@pytest.mark.parametrize("name", ["wrong-passphrase", "no-passphrase", "no-key"])
def test_nothing_due_needs_no_secret(runs: Runs, name: str) -> None:
    assert runs.noop.stats[name]["failures"] == 0
    assert entry(runs.noop, name)["changed"] is False


def test_a_missing_ca_is_said_even_when_nothing_is_due(runs: Runs) -> None:
    assert "has issued with the CA 'internal', but the CA itself is missing" in message(runs.noop, "no-ca")


@pytest.mark.parametrize("name", CASES)
def test_what_worked_goes_on(hosts: Hosts, runs: Runs, name: str) -> None:
    site, words = hosts[name], message(runs.due, name)
    assert words.startswith(f"{name}: certificate 'www': ")
    for part in (*CASES[name].says, CASES[name].remedy):
        assert part in words
    assert ". Kept: generation 1, valid until 20" in words or "the certificate was kept as it is" in words
    # The new kind of key is in pending/, never beside the old certificate.
    assert site.snapshot() == runs.files[name]
    assert site.pair_fault() is None
    assert site.served(hosts.root) == runs.served[name]
    assert nginx_is_content(site)


@pytest.mark.parametrize("name", NEW)
def test_nothing_is_installed(hosts: Hosts, runs: Runs, name: str) -> None:
    words = message(runs.due, name)
    assert words.startswith(f"{name}: certificate 'www': ")
    for part in (*NEW[name].says, NEW[name].remedy):
        assert part in words
    assert not hosts[name].live.exists()


def test_the_others_go_on(hosts: Hosts, runs: Runs) -> None:
    assert runs.due.stats["good"]["failures"] == 0
    assert [reason["code"] for reason in entry(runs.due, "good")["reasons"]] == ["key_algorithm_changed"]
    assert hosts["good"].served(hosts.root) == hosts["good"].on_disk() != runs.served["good"]
    assert len(ledger(hosts.store)) == runs.rows + 1


def test_another_ca_of_the_same_name(hosts: Hosts, runs: Runs) -> None:
    """The store was swapped for a new one: that does not take over the fleet, unless it is forced to; and it is said why."""
    site, store = hosts["good"], hosts.folder / "new-store"
    other = {"tls_store": hosts.store_options(path=str(store))}
    hosts.play({"new-host": {**other, "tls_certificates": [hosts["new-host"].certificate(services=[])]}}).check()
    wish = {"good": {**other, "tls_certificates": [site.certificate(**P384)]}}
    before = site.served(hosts.root)

    refused = message(hosts.play(wish), "good")
    assert "it was issued by 'internal', but that issuer has another CA in the store" in refused
    assert "restore the store from its backup; where that is lost, name the certificate in tls_force" in refused
    assert site.served(hosts.root) == site.on_disk() == before

    found = entry(hosts.play(wish, force=["www"]).check(), "good")
    assert [reason["code"] for reason in found["reasons"]] == ["chain_untrusted", "forced"]
    assert "does not lead to a trust anchor" in found["reasons"][0]["detail"]
    assert site.served(store / "ca" / "internal" / "root-1.pem") == site.on_disk() == found["fingerprint_sha256"]


def nginx_is_content(site: Site) -> bool:
    """Whether ``nginx -t`` passes."""
    return subprocess.run(site.service()["validate"], capture_output=True, timeout=300, check=False).returncode == 0
