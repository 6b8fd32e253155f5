# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of issuers whose first is a program that goes wrong in every way there is: the second one gives, and the first is asked again in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.tests.unit.support.openssl_ca import OpensslCa
from local.hosts import ISSUERS, Hosts, entry, ledger, serving
from tools.playbook import PlaybookResult, run_playbook

# How the first issuer goes wrong, and what is said of it.
MODES = {
    "fails": "'python' ended with 7: out of coffee",
    "sleeps": "was not done in 2 s; it said: still waiting",
    "nonsense": "not a complete PEM certificate",
    "truncated": "not a complete PEM certificate",
    "another-key": "answered with a certificate for another key",
    "other-names": "answered with other names (evil.example)",
    "an-administrator": "the common name 'db-admin', which was not asked for",
    "expired": "not valid now",
    "not-yet-valid": "not valid now",
    "out-of-order": "answered with a certificate for another key",
    "stranger": "does not lead to a trust anchor",
}
BOTH = ["public", "internal"]


@dataclass(frozen=True)
class Runs:
    """A first run with a first issuer that fails; one right after it; then one with that issuer well and the certificates due."""

    first: PlaybookResult
    again: PlaybookResult
    checked: PlaybookResult
    renewed: PlaybookResult
    orders: int


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path_factory.mktemp("fallback"), {name: ["www"] for name in (*MODES, "good")})
    hosts.issue()
    with serving(*hosts):
        yield hosts


@pytest.fixture(scope="module")
def runs(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    ca = OpensslCa(tmp_path_factory.mktemp("ca"))

    def issuers(mode: str) -> dict[str, object]:
        public = {"type": "command", "command": ca.command(mode), "anchors": str(ca.root), "timeout": "2s"}
        if mode != "sleeps":
            public["timeout"] = "10m"
        return {"public": public, **ISSUERS}

    def changes(well: bool = False, **wish: object) -> dict[str, dict[str, object]]:
        return {
            name: {
                "tls_issuers": issuers("good" if well or name == "good" else name),
                "tls_certificates": [hosts[name].certificate(issuer=BOTH, **wish)],
            }
            for name in hosts.sites
        }

    # The certificates from before are the internal CA's, and stay: another kind of key makes them due.
    first = hosts.play(changes(private_key={"algorithm": "ecdsa-p384"}))
    again = hosts.play(changes(private_key={"algorithm": "ecdsa-p384"}))
    checked = run_playbook("fleet.tls.check", hosts.inventory(changes(private_key={"algorithm": "ecdsa-p384"})))
    orders = ca.orders()
    # All but the first second of the internal CA's 30 days is "before the end".
    renewed = hosts.play(changes(well=True, private_key={"algorithm": "ecdsa-p384"}, renew_before="2591999s"))
    return Runs(first, again, checked, renewed, ca.orders() - orders)


@pytest.mark.parametrize("name", MODES)
def test_the_second_gives_and_it_is_said_why(hosts: Hosts, runs: Runs, name: str) -> None:
    found = entry(runs.first, name)
    assert (found["issuer"], found["fallback_for"], found["error"]) == ("internal", "public", None)
    assert [each["issuer"] for each in found["failed_issuers"]] == ["public"]
    assert MODES[name] in found["failed_issuers"][0]["message"]
    (result,) = runs.first.results(host=name)
    (warning,) = result["warnings"]
    assert warning.startswith(f"{name}: certificate 'www': issuer 'public': ") and MODES[name] in warning
    assert warning.endswith("(issued by 'internal' instead)")


def test_all_are_served(hosts: Hosts, runs: Runs) -> None:
    assert runs.first.rc == 0, runs.first.stdout
    assert entry(runs.first, "good")["issuer"] == "public" and entry(runs.first, "good")["failed_issuers"] == []
    assert entry(runs.first, "good")["fallback_for"] is None


def test_it_does_not_flap(runs: Runs) -> None:
    assert (runs.again.rc, runs.again.changed) == (0, 0), runs.again.stdout
    for name in MODES:
        found = entry(runs.again, name)
        assert (found["issuer"], found["fallback_for"], found["due"]) == ("internal", "public", False)
        assert found["failed_issuers"] == []


def test_check_shows_it(runs: Runs) -> None:
    assert runs.checked.rc == 0, runs.checked.stdout
    lines = [line for line in runs.checked.stdout.splitlines() if "internal (for public)" in line]
    assert len(lines) == len(MODES)
    assert [line for line in runs.checked.stdout.splitlines() if "good  " in line and " public " in line]


def test_the_first_is_asked_again_at_the_renewal(hosts: Hosts, runs: Runs) -> None:
    assert runs.renewed.rc == 0, runs.renewed.stdout
    for name in hosts.sites:
        found = entry(runs.renewed, name)
        assert (found["issuer"], found["fallback_for"], found["failed_issuers"]) == ("public", None, []), name
    assert runs.orders == len(hosts.sites)


def test_bad_answers_are_not_in_the_ledger(hosts: Hosts, runs: Runs) -> None:
    assert runs.renewed.rc == 0
    rows = [row for row in ledger(hosts.store) if row["issuer"] == "public"]
    assert len(rows) == runs.orders + 1 and all(Path(hosts[row["host"]].tls).exists() for row in rows)
