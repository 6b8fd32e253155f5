# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every preset beyond the nine, on its real server of Debian 13: first issue, renewal, a bad pair, nothing to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.system.polling import ask_until
from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import Endpoint, handshake
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.presets import find_preset, preset_names
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority
from fleet import preset_servers, servers
from fleet.broken_controller import mismatched, see_refused, wanted_install
from fleet.conftest import WORKER
from fleet.fleet import Fleet, Host
from fleet.preset_servers import LIVE, SERVERS, PresetServer
from tools.playbook import PlaybookResult, run_playbook

HOSTS = ("one", "two")
PLAY = [{"hosts": "all", "gather_facts": False, "roles": ["fleet.tls.certificates"]}]
# Until a server that was started, or told, serves; some are written in Java and Erlang, and the machine may be busy.
SECONDS = 120.0


@dataclass(frozen=True)
class World:
    """Two hosts with the services of ``preset_servers.py``."""

    fleet: Fleet
    folder: Path

    def run(self, **variables: Any) -> PlaybookResult:
        """The role certificates on both hosts."""
        play, inventory = self.folder / "play.yml", self.folder / "inventory.json"
        play.write_text(json.dumps(PLAY))
        hosts = {
            name: {**known, "tls_certificates": self.wanted(name)} for name, known in self.fleet.host_vars().items()
        }
        given = {
            "tls_store": {"path": str(self.folder / "store"), "passphrase": "a passphrase of the tests"},
            "tls_issuers": {"internal": {"type": "ca", "duration": "90d"}},
            "tls_prove_timeout": f"{SECONDS:g}s",
            **variables,
        }
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": given}}))
        return run_playbook(play, inventory)

    def wanted(self, host: str) -> list[dict[str, Any]]:
        """The certificates of a host."""
        return [server.wanted() for server in SERVERS if server.host == host]

    def start(self, host: str) -> None:
        """Configure and start the services of a host; their certificates are there."""
        mine = [server for server in SERVERS if server.host == host]
        units = " ".join(server.unit for server in mine)
        # All at once, and then what those say that do not run.
        start = f"systemctl daemon-reload\nsystemctl restart {units} || {{ systemctl --no-pager status {units}; exit 1; }}\n"
        lines = [
            *(server.script() for server in mine),
            start,
            *(f"{server.after}\n" for server in mine if server.after),
        ]
        started = self.fleet.exec(host, ["sh", "-e"], stdin="".join(lines), check=False)
        assert started.returncode == 0, started.stdout[-20000:] + started.stderr

    def served(self, server: PresetServer, expected: str | None = None) -> str:
        """The leaf (PEM) that a client from outside gets to see, or why it sees none.

        :param expected: wait for this one, if need be.
        """
        port, starttls = server.probe
        address = self.fleet.addresses[server.host]

        def ask(left: float) -> str:
            result = handshake(Endpoint(address, port, server.server_name, max(left, 5), starttls=starttls))
            return result.chain[0] if result.chain else f"none: {result.error}"

        return ask_until(ask, lambda leaf: leaf == expected, SECONDS if expected else 0)

    def live(self) -> dict[str, str]:
        """Preset → the certificate on its host."""
        found = {}
        for host in HOSTS:
            mine = [server.preset for server in SERVERS if server.host == host]
            shown = self.fleet.exec(host, ["cat", *(f"{LIVE}/{name}/cert.pem" for name in mine)]).stdout
            leaves = [text + "-----END CERTIFICATE-----\n" for text in shown.split("-----END CERTIFICATE-----\n")[:-1]]
            found.update(zip(mine, leaves))
        return found

    def all_served(self, expected: dict[str, str]) -> dict[str, str]:
        """Preset → what it serves, asked all at once."""
        with ThreadPoolExecutor(8) as pool:
            seen = pool.map(lambda server: self.served(server, expected[server.preset]), SERVERS)
            return dict(zip((server.preset for server in SERVERS), seen))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """First certificates, then the services."""
    hosts = tuple(Host(name, "trixie", servers=preset_servers.packages_of(name)) for name in HOSTS)
    with Fleet("presets" + WORKER, hosts) as fleet:
        made = World(fleet, tmp_path_factory.mktemp("presets"))
        made.run(tls_defer_proof=True).check()
        with ThreadPoolExecutor() as pool:
            list(pool.map(made.start, HOSTS))
        yield made


@dataclass(frozen=True)
class Seen:
    """Preset → leaf on the host, and leaf as served; its state in the run."""

    live: dict[str, str]
    served: dict[str, str]
    states: dict[str, str]


def look(world: World, result: PlaybookResult) -> Seen:
    """What there is after a run."""
    states: dict[str, str] = {}
    for host in HOSTS:
        (found,) = result.results(host=host, action="fleet.tls.certificates")
        states.update({name: each["state"] for name, each in found["services"].items()})
        assert all(each["settled"] for each in found["certificates"]), found["certificates"]
    live = world.live()
    return Seen(live, world.all_served(live), states)


@pytest.fixture(scope="module")
def first(world: World) -> Seen:
    """The first certificates, in servers that were set up after them."""
    live = world.live()
    served = world.all_served(live)
    assert {name for name in served if served[name] != live[name]} == set(), served
    return look(world, world.run().check())


@pytest.fixture(scope="module")
def renewed(world: World, first: Seen) -> Seen:
    """All of them renewed, which every endpoint has to prove: each has served one of ours before."""
    assert first.live
    return look(world, world.run(tls_force=True).check())


def each_preset() -> Any:
    return pytest.mark.parametrize("name", [server.preset for server in SERVERS])


def test_every_preset_has_a_server() -> None:
    assert {server.preset for server in SERVERS} | set(servers.NAMES) == set(preset_names())


@each_preset()
def test_first_issue(first: Seen, name: str) -> None:
    assert first.served[name] == first.live[name]


@each_preset()
def test_renewal(first: Seen, renewed: Seen, name: str) -> None:
    preset = find_preset(name)
    assert preset is not None
    assert renewed.served[name] == renewed.live[name] != first.live[name]
    assert renewed.states[name] == ("unchanged" if preset.reload_by == "none" else "reloaded")


def test_a_second_run_changes_nothing(world: World, renewed: Seen) -> None:
    assert renewed.live
    assert world.run().check().changed == 0


def test_a_mismatched_pair_is_refused_and_the_old_one_served(world: World, renewed: Seen, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    hosts = {
        name: {**known, **wanted_install(world.wanted(name), stranger, mismatched)}
        for name, known in world.fleet.host_vars().items()
    }
    see_refused(tmp_path, hosts, "pair_mismatch")
    assert world.all_served(renewed.live) == renewed.live
    assert world.run().check().changed == 0
