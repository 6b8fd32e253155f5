# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Canary first: what breaks stops at the first host of ``tls_serial: [1, 25%, 100%]``, which serves on what it served before."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo import handshakes
from fleet.fleet import Fleet
from tools.playbook import PlaybookResult, run_playbook

SERIAL = [1, "25%", "100%"]
FILES = "find /etc/fleet-tls/live /etc/fleet-tls/generations /etc/nginx -not -type d -printf".split()


@dataclass(frozen=True)
class World:
    """The fleet, each host with an nginx of ours."""

    fleet: Fleet
    folder: Path

    @property
    def hosts(self) -> list[str]:
        """In the inventory's order."""
        return list(self.fleet.addresses)

    def variables(self) -> dict[str, Any]:
        """Of all hosts."""
        name = "{{ inventory_hostname }}.test"
        return {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "30d"}},
            "tls_certificates": [{"name": "www", "issuer": "internal", "dns_names": [name], "services": ["nginx"]}],
            "tls_sites": [{"name": "www", "server_names": [name], "certificate": "www", "root": "/var/www/html"}],
            "tls_trust_system": False,
        }

    def run(self, playbook: str | Path = "fleet.tls.deploy", *args: str, **changes: Any) -> PlaybookResult:
        """The playbook on all hosts, with changed variables."""
        inventory = self.folder / "inventory.json"
        known = {"hosts": self.fleet.host_vars(), "vars": {**self.variables(), **changes}}
        inventory.write_text(json.dumps({"all": known}))
        return run_playbook(playbook, inventory, args=args)

    def canary(self, *args: str, **changes: Any) -> PlaybookResult:
        """The deploy, one host first."""
        extra = {"tls_serial": SERIAL, "tls_max_fail_percentage": 0}
        return self.run("fleet.tls.deploy", "-e", json.dumps(extra), *args, **changes)

    @property
    def root(self) -> Path:
        """The CA that clients trust."""
        return self.folder / "store" / "ca" / "internal" / "root-1.pem"

    def sites(self) -> dict[str, handshakes.Site]:
        """Where every host serves."""
        return {host: handshakes.Site(address, 443, f"{host}.test") for host, address in self.fleet.addresses.items()}

    def served(self) -> dict[str, str]:
        """Fingerprints of what all hosts serve."""
        context = ssl.create_default_context(cafile=str(self.root))
        return {host: hashlib.sha256(handshakes.leaf(site, context)).hexdigest() for host, site in self.sites().items()}

    def files(self) -> dict[str, str]:
        """Everything that a run could have touched, with its time."""
        return {host: self.fleet.exec(host, [*FILES, "%p %l %T@ %C@\\n"]).stdout for host in self.hosts}


@pytest.fixture(scope="module")
def world(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    one = World(fleet, tmp_path_factory.mktemp("canary"))
    try:
        one.run().check()
        yield one
    finally:
        for host in fleet.addresses:
            leavings = ["/etc/fleet-tls", "/etc/nginx/sites-enabled/zz-fleet-tls.conf", "/etc/nginx/conf.d/theirs.conf"]
            fleet.exec(host, ["rm", "-rf", *leavings])
            fleet.exec(host, ["systemctl", "stop", "nginx"])


def visited(result: PlaybookResult) -> list[str]:
    """The hosts that a task was run for."""
    return sorted({each["host"] for each in result.task_results if each["status"] != "skipped"})


def typing_mistake(world: World) -> dict[str, Any]:
    """Somebody's own configuration of nginx is broken everywhere: nginx refuses every change from now on."""
    for host in world.hosts:
        path = "/etc/nginx/conf.d/theirs.conf"
        world.fleet.exec(host, ["sh", "-c", f"cat > {path}"], stdin="server { listen 8099; oops on; }\n")
    return {"tls_force": True}


def corrected(world: World) -> None:
    """The same, put right."""
    for host in world.hosts:
        world.fleet.exec(host, ["rm", "-f", "/etc/nginx/conf.d/theirs.conf"])


def reload_that_fails(world: World) -> dict[str, Any]:
    """New certificates, and a service that does not take them."""
    certificate = world.variables()["tls_certificates"][0]
    service = {"name": "nginx", "reload": ["sh", "-c", "echo the disk is on fire >&2; exit 9"]}
    return {"tls_force": True, "tls_certificates": [{**certificate, "services": [service]}]}


def bad_site(world: World) -> dict[str, Any]:
    """A site at a port that sshd has."""
    site = world.variables()["tls_sites"][0]
    return {"tls_sites": [{**site, "listen": ["443", "22"]}]}


@pytest.mark.parametrize(
    ("breaks", "action", "words"),
    [
        (typing_mistake, "fleet.tls.certificates", 'unknown directive "oops"'),
        (reload_that_fails, "fleet.tls.certificates", "the disk is on fire"),
        (bad_site, "fleet.tls.service_config", "port 22 is held by 'sshd'"),
    ],
)
def test_what_breaks_stops_at_the_first_host(world: World, breaks: Any, action: str, words: str) -> None:
    changes = breaks(world)
    served, files = world.served(), world.files()
    with handshakes.storm(world.sites(), world.root) as storm:
        result = world.canary(**changes)
    corrected(world)

    first, *others = world.hosts
    assert result.rc == 2 and result.stats[first]["failures"] == 1
    assert words in str(result.results(host=first, action=action)[0]["msg"])
    assert visited(result) == [first] and set(result.stats) == {first}
    # Nobody noticed: every handshake was taken, everybody serves the old leaf, and the others' files were never touched.
    assert storm.failed == [] and storm.done > 5
    assert world.served() == served
    after = world.files()
    assert all(after[host] == without_theirs(files[host]) for host in others)
    # The certificate that was issued for the first host is waiting; put right, the run goes through all of them.
    healed = world.canary().check()
    assert visited(healed) == sorted(world.hosts) and world.run().check().changed == 0


def without_theirs(listing: str) -> str:
    """A listing of before the mistake was put right."""
    return "".join(f"{line}\n" for line in listing.splitlines() if "theirs.conf" not in line)


def test_one_host_first_then_a_quarter_then_all(world: World) -> None:
    result = world.canary("-e", "tls_force=true").check()
    plays = [line for line in result.stdout.splitlines() if line.startswith("PLAY [")]
    assert len(plays) == 3 and result.changed == len(world.hosts)


def test_batches_in_a_playbook_of_ones_own(world: World, tmp_path: Path) -> None:
    play = tmp_path / "site.yml"
    variables = {"tls_hosts": "all", "tls_serial": [1, "100%"], "tls_max_fail_percentage": 0}
    play.write_text(
        json.dumps([{"ansible.builtin.import_playbook": "fleet.tls.deploy", "vars": variables}]), encoding="utf-8"
    )
    changes = reload_that_fails(world)
    result = world.run(play, **changes)
    assert result.rc == 2 and visited(result) == world.hosts[:1]
    healed = world.run(play).check()
    assert len([line for line in healed.stdout.splitlines() if line.startswith("PLAY [")]) == 2


def test_without_a_canary_a_failing_host_stops_no_other(world: World) -> None:
    certificate = world.variables()["tls_certificates"][0]
    bad = {
        "name": "nginx",
        "reload": ["sh", "-c", f"test {{{{ inventory_hostname }}}} != {world.hosts[0]} && nginx -s reload"],
    }
    result = world.run(tls_force=True, tls_certificates=[{**certificate, "services": [bad]}])
    assert {host for host in world.hosts if result.stats[host]["failures"]} == {world.hosts[0]}
    assert visited(result) == sorted(world.hosts)
    world.run().check()
