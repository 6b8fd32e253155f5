# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in variables of playbooks choose whom they name and nobody else, and a slip of the pen stops a run before anything is done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.playbook import PlaybookResult, run_playbook

# Each is a part of another one's name.
HOSTS = ("web1", "web10")


@dataclass(frozen=True)
class World:
    """Two hosts that have had a certificate each, and the store that issued them."""

    folder: Path

    def run(self, playbook: str, *args: str) -> PlaybookResult:
        """A playbook of the collection; ``args``: ``-e`` and what follows it, as somebody types it."""
        variables: dict[str, Any] = {
            "ansible_connection": "local",
            "tls_directory": f"{self.folder}/{{{{ inventory_hostname }}}}",
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca"}},
            "tls_trust_system": False,
            "tls_certificates": [
                {"name": "www", "issuer": "internal", "dns_names": ["{{ inventory_hostname }}.example.com"]}
            ],
        }
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": dict.fromkeys(HOSTS, {}), "vars": variables}}))
        return run_playbook(f"fleet.tls.{playbook}", inventory, args=args)

    @property
    def files(self) -> dict[str, bytes]:
        """Everything but locks."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and "lock" not in str(path)]
        return {str(path): path.read_bytes() for path in paths if path.name != "inventory.json"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("victims"))
    made.run("deploy").check()
    return made


def test_a_name_is_no_part_of_another_ones(world: World) -> None:
    """-e gives texts, and ``in`` would look for a part of a text."""
    told = world.run("replace_compromised", "-e", "tls_compromised_hosts=web10", "--check")
    (chosen,) = told.results(task="Find every certificate that depends on it")[:1]
    assert [each["host"] for each in chosen["certificates"]] == ["web10"], told.stdout
    left = world.run("rotate_keys", "-e", "tls_leave_behind=web10", "--check")
    assert {host: each["ok"] > 0 for host, each in left.stats.items()} == {"web1": True, "web10": False}, left.stdout


@pytest.mark.parametrize(
    ("playbook", "variables", "said"),
    [
        ("revoke", {"tls_revoke_hosts": ["web1", "laptop7"]}, "the ledger knows no certificate for the host 'laptop7'"),
        ("revoke", {"tls_revoke_hosts": "web1,web10"}, "tls_revoke_hosts: it must be a list of names, or one name"),
        ("replace_compromised", {"tls_compromised_names": ["www", "wwww"]}, "no certificate for the name 'wwww'"),
        ("rotate_keys", {"tls_rotate": ["typo"]}, "neither inventory nor store know a certificate 'typo'"),
        ("rotate_ca", {"tls_leave_behind": ["wbe1"]}, "neither inventory nor store know a host 'wbe1'"),
        ("deploy", {"tls_force": ["www", "typo"]}, "tls_force: no certificate is called typo. Nothing was changed"),
    ],
)
def test_a_slip_of_the_pen(world: World, playbook: str, variables: dict[str, Any], said: str) -> None:
    before = world.files
    refused = world.run(playbook, "-e", json.dumps(variables))
    assert refused.rc != 0 and said in refused.stdout, refused.stdout
    assert world.files == before
