# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs whose CA keys are in a token: nine hosts, eight forks, servers that serve what is issued."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from keys.softhsm import PIN, Token, make_token
from keys.test_pkcs11 import WRONG, objects
from local.hosts import Hosts, serving
from tools.playbook import PlaybookResult, run_playbook

FORKS = "8"


class Fleet:
    """Hosts with a certificate each, one of which an nginx serves."""

    def __init__(self, folder: Path, hosts: int) -> None:
        self.token: Token = make_token(folder / "token")
        self.hosts = Hosts(folder, {f"web{number}": [f"www{number}"] for number in range(hosts)})

    def issuers(self, **changes: Any) -> dict[str, Any]:
        """The root's key and the issuing CA's in the token, each PIN in the environment."""
        option = self.token.options(spied=True, pin=None, pin_env="TOKEN_PIN", **changes)
        provider = {name: value for name, value in option.items() if value is not None}
        return {"internal": {"type": "ca", "duration": "30d", "keys": {"root": provider, "issuing": provider}}}

    def certificates(self, *, served: bool = True) -> dict[str, dict[str, Any]]:
        """Only the first is served: an nginx each would show nothing more. Nobody touches this machine's own trust store."""
        first, *others = self.hosts
        return {
            first.host: {"tls_certificates": [first.certificate(**({} if served else {"services": []}))]},
            **{each.host: {"tls_certificates": [each.certificate(services=[])]} for each in others},
        }

    def play(self, *arguments: str, pin: str = PIN, served: bool = True, **options: Any) -> PlaybookResult:
        """Run the task fleet.tls.certificates."""
        inventory = self.hosts.inventory(self.certificates(served=served), tls_issuers=self.issuers())
        environment = {**os.environ, **self.token.environment, "TOKEN_PIN": pin}
        return run_playbook(
            self.hosts.playbook(**options), inventory, args=("--forks", FORKS, *arguments), env=environment
        )

    def run(self, name: str, *arguments: str) -> PlaybookResult:
        """Run a playbook of the collection."""
        common = {"tls_issuers": self.issuers(), "tls_trust_system": False}
        inventory = self.hosts.inventory(self.certificates(), **common)
        environment = {**os.environ, **self.token.environment, "TOKEN_PIN": PIN}
        return run_playbook(f"fleet.tls.{name}", inventory, args=("--forks", FORKS, *arguments), env=environment)


def test_a_fleet_whose_ca_is_in_a_token(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 9)
    site = fleet.hosts["web0"]
    assert fleet.play(served=False).check().changed == 9
    with serving(site):
        assert site.served(fleet.hosts.root) == site.on_disk() and site.pair_fault() is None
        assert fleet.play().check().changed == 0
        logins = fleet.token.calls("C_Login")
        # Nothing due: the token is not asked.
        assert 2 <= logins <= 10 and not list((tmp_path / "store/ca").rglob("*.key"))

        # Nine hosts with a wrong PIN, eight at once: it is sent once, nobody loses anything, and it is told nowhere.
        before = [each.snapshot() for each in fleet.hosts]
        wrong = fleet.play(pin=WRONG, force=True)
        assert wrong.rc != 0 and all(each["failures"] == 1 for each in wrong.stats.values())
        assert "the token 'fleet' refused the PIN" in wrong.stdout + wrong.stderr
        assert WRONG not in wrong.stdout + wrong.stderr
        assert fleet.token.calls("C_Login") == logins + 1
        assert [each.snapshot() for each in fleet.hosts] == before
        assert site.served(fleet.hosts.root) == site.on_disk()


def test_a_ca_is_replaced_in_its_token(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 2)
    site = fleet.hosts["web0"]
    fleet.play(served=False).check()
    with serving(site):
        fleet.run("rotate_ca").check()
        assert site.served(tmp_path / "store/ca/internal/root-2.pem") == site.on_disk()
        labels = [str(each["LABEL"]).rpartition("internal-")[2] for each in objects(fleet.token)]
        assert labels == ["issuing-1", "issuing-2", "root-1", "root-2"]
        # Who asks for the state of things is told where the keys are, and needs no token for it.
        fleet.token.pull_out()
        shown = fleet.run("check")
        told = json.dumps(shown.task_results)
        assert shown.rc == 0 and "pkcs11 pkcs11:token=fleet;serial=" in told, shown.stdout
        fleet.run("store", "-e", "tls_store_action=verify").check()
