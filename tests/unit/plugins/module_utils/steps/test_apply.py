# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step ``apply`` with a real nginx: taken and proven, or everything back as it was; what is said of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.tls.handshake import served_leaf
from ansible_collections.fleet.tls.tests.unit.support.nginx_service import NginxService
from ansible_collections.fleet.tls.tests.unit.support.one_host import (
    OneHost,
    endpoint,
    fingerprint_of,
    sign,
    state_of,
)
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair, tls_server
from tools.ports import free_port

NAME = "www.example.com"


@dataclass
class World:
    """A host whose nginx serves its certificate ``www`` on ``port``."""

    host: OneHost
    nginx: NginxService
    port: int
    wish: dict[str, Any]

    def service(self, explicit: bool = True, **commands: Any) -> dict[str, Any]:
        endpoints = [endpoint(self.port, explicit=explicit, server_name=NAME)]
        return {**self.nginx.described(), "preset": None, "endpoints": endpoints, **commands}

    def install(self, pair: Pair, *, explicit: bool = True, commands: Any = None, **changes: Any) -> dict[str, Any]:
        """Install a pair; the certificate's answer, with the step's own ``changed`` checked against it."""
        services = [self.service(explicit, **(commands or {}))]
        changed, answer = self.host.install(self.wish, pair, **{"services": services, **changes})
        assert changed is answer["changed"]
        json.dumps(answer)
        return answer

    def repair(self, *, explicit: bool = True, commands: Any = None, **changes: Any) -> dict[str, Any]:
        services = [self.service(explicit, **(commands or {}))]
        changed, answer = self.host.repair(self.wish, **{"services": services, **changes})
        assert changed is answer["changed"]
        return answer

    def configure(self, extra: str = "", folder: Path | None = None) -> None:
        """The site, with the certificate's own files or another folder's."""
        live = folder or Path(self.host.layout().live)
        (self.nginx.conf / "site.conf").write_text(
            f"server {{ listen 127.0.0.1:{self.port} ssl; server_name {NAME};\n"
            f"ssl_certificate {live}/fullchain.pem; ssl_certificate_key {live}/privkey.pem; {extra} }}\n"
        )

    def serves(self, pair: Pair) -> bool:
        """Whether it does, once the old workers of a reload are gone: until then they answer as well."""
        children = Path(f"/proc/{self.nginx.pid()}/task/{self.nginx.pid()}/children")
        for _try in range(200):
            if len(children.read_text().split()) == 1 and served_leaf("127.0.0.1", self.port, NAME, 3) == pair.der:
                return True
            time.sleep(0.02)
        return False

    def settled(self) -> bool:
        manifest = self.host.layout().manifest(self.host.layout().current() or 0)
        return bool(manifest and manifest.get("settled"))


@pytest.fixture
def fresh(host: OneHost, tmp_path: Path) -> Iterator[World]:
    """nginx is not running yet."""
    outputs = [host.output("linked"), host.output("copied", method="copy")]
    with NginxService(tmp_path / "nginx") as nginx:
        yield World(host, nginx, free_port(), host.wish(services=["own-nginx"], outputs=outputs))


@pytest.fixture
def world(fresh: World, pairs: list[Pair]) -> World:
    """It runs, and serves the first pair."""
    fresh.host.install({**fresh.wish, "services": []}, pairs[0])
    fresh.configure()
    fresh.nginx.start()
    assert fresh.serves(pairs[0]) and fresh.settled()
    return fresh


def test_taken_and_proven(world: World, pairs: list[Pair]) -> None:
    answer = world.install(pairs[1])
    assert world.nginx.calls() == ["validate", "reload"]
    (proof,) = answer.pop("proof")
    assert answer == {
        "generation": 2, "changed": True, "installed": True, "rolled_back": False, "unproven": False,
        "repaired": [], "error": None,
    }  # fmt: skip
    assert (proof["fingerprint"], proof["ours"], proof["error"]) == (fingerprint_of(pairs[1]), "live", None)
    assert world.serves(pairs[1]) and world.settled()
    # The one before stays, for a roll-back by hand; nothing else does.
    world.install(pairs[2])
    assert world.host.layout().numbers() == [2, 3]


def test_again_is_no_change(world: World, pairs: list[Pair]) -> None:
    world.install(pairs[1])
    assert world.serves(pairs[1]) and world.nginx.calls()
    before = state_of(world.host.folder)
    for again in (world.install(pairs[1]), world.repair()):
        assert (again["changed"], again["installed"], again["repaired"], again["error"]) == (False, False, [], None)
        assert again["proof"][0]["ours"] == "live"
    assert world.nginx.calls() == [] and state_of(world.host.folder) == before


def test_a_mere_mode_reloads_nothing(world: World) -> None:
    world.host.live("privkey.pem").chmod(0o644)
    answer = world.repair()
    assert answer["changed"] and len(answer["repaired"]) == 1 and world.nginx.calls() == []


def test_an_output_of_other_content_reloads(world: World) -> None:
    (world.host.out / "copied").write_text("x")
    assert world.repair()["changed"] and world.nginx.calls() == ["validate", "reload"]


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ({"validate": shell("echo my own words >&2; exit 3")}, ["ended with 3", "my own words"]),
        ({"validate": ["/no/such/program"]}, ["there is no program '/no/such/program'"]),
        ({"reload": shell("echo it will not; exit 4")}, ["ended with 4", "it will not"]),
        # It says that it did, and goes on serving the old one.
        ({"reload": ["true"]}, ["not served after 0.5 s", "another certificate"]),
    ],
)
def test_back_to_the_old_pair(
    world: World, pairs: list[Pair], shared_authority: Authority, commands: Any, words: list[str]
) -> None:
    wish = {**world.wish, "force": True}
    pending = world.host.look_at(wish)["pending"]
    new = sign(shared_authority, pending["csr"], world.host.folder)
    entry = world.host.install_entry(wish, new, pending["request_id"])
    paths = [world.host.live(), world.host.out, Path(world.host.layout().pending)]
    before = [{path: each[:4] + each[5:] for path, each in state_of(folder).items()} for folder in paths]
    changed, answer = world.host.apply(entry, services=[world.service(**commands)], prove_timeout=0.5)
    found = answer["certificates"]["www"]
    assert not changed and not found["changed"] and not found["installed"]
    assert found["rolled_back"] and found["generation"] == 1 == world.host.layout().current()
    message = found["error"]["message"]
    assert all(word in message for word in words), message
    if "reload" in commands and commands["reload"] != ["true"] or "validate" in commands:
        assert message.startswith("service 'own-nginx': ") and "failing already before this change" in message
        assert answer["services"]["own-nginx"]["state"] == "failed" and found["error"]["remedy"]
    assert [{path: each[:4] + each[5:] for path, each in state_of(folder).items()} for folder in paths] == before
    assert world.host.layout().numbers() == [1] and world.serves(pairs[0]) and world.settled()
    # With the service in order the same order succeeds: nothing has to be issued again.
    changed, answer = world.host.apply(entry, services=[world.service()])
    assert changed and answer["certificates"]["www"]["error"] is None
    assert world.serves(new)


def test_nginx_itself_refuses(world: World, pairs: list[Pair]) -> None:
    world.configure(extra="no_such_directive on;")
    answer = world.install(pairs[1])
    assert answer["rolled_back"] and answer["error"]["code"] == "validate_failed"
    assert 'unknown directive "no_such_directive"' in answer["error"]["message"]
    # The running one goes on, and was never asked to reload.
    assert world.nginx.calls() == ["validate", "validate"] and world.serves(pairs[0])


def test_an_old_state_that_does_not_come_back_is_told(world: World, pairs: list[Pair]) -> None:
    once = shell(f"test -e {world.host.folder}/once || {{ touch {world.host.folder}/once; exit 1; }}; exit 5")
    answer = world.install(pairs[1], commands={"reload": once})
    message = answer["error"]["message"]
    assert "ended with 1" in message and "with the old state: " in message and "ended with 5" in message


def test_what_cannot_be_put_back_is_told(world: World, pairs: list[Pair]) -> None:
    lose = shell(f"rm {world.host.tls}/live/.www.fleet-tls-old; exit 1")
    answer = world.install(pairs[1], commands={"validate": lose})
    assert f"{world.host.layout().live} could not be put back" in answer["error"]["message"]
    # What the live link says is kept.
    assert world.host.layout().current() == 2 and world.host.live("fullchain.pem").exists()
    assert (world.host.out / "copied").read_text() == pairs[0].chain.read_text() + pairs[0].key.read_text()


def test_a_first_pair_that_is_refused_stays(fresh: World, pairs: list[Pair]) -> None:
    """There is nothing to go back to; the next run goes on from there, and issues nothing."""
    fresh.configure(extra="no_such_directive on;")
    commands = {"check": ["true"]}
    answer = fresh.install(pairs[0], commands=commands)
    assert answer["error"]["code"] == "validate_failed" and answer["unproven"] and answer["generation"] == 1
    assert (answer["changed"], answer["installed"], answer["rolled_back"]) == (True, True, False)
    assert not fresh.settled() and fresh.host.look_at(fresh.wish)["problems"] == []
    again = fresh.repair(commands=commands)
    assert again["error"] and not again["changed"] and not fresh.settled()
    fresh.configure()
    fresh.nginx.start()
    fresh.nginx.calls()
    answer = fresh.repair()
    assert answer["changed"] and answer["error"] is None and not answer["installed"] and fresh.settled()
    # It served the pair already; whether it has taken the outputs too, nobody knew.
    assert fresh.nginx.calls() == ["validate", "reload"] and not fresh.repair()["changed"]


def test_a_service_that_does_not_run(fresh: World, pairs: list[Pair]) -> None:
    changed, answer = fresh.host.apply(
        fresh.host.install_entry(fresh.wish, pairs[0]),
        secrets={"www": pairs[0].key.read_text()}, services=[fresh.service()], prove_timeout=0.3,
    )  # fmt: skip
    found = answer["certificates"]["www"]
    assert answer["services"] == {"own-nginx": {"state": "not_running", "error": None}} and fresh.nginx.calls() == []
    assert found["error"]["code"] == "not_served" and "not running: own-nginx" in found["error"]["message"]
    assert changed and found["unproven"] and not found["rolled_back"] and not fresh.settled()
    assert found["error"]["remedy"]


def test_an_endpoint_of_a_preset_need_not_be_ours(fresh: World, pairs: list[Pair]) -> None:
    answer = fresh.install(pairs[0], explicit=False, prove_timeout=0.3)
    assert answer["error"] is None and not answer["unproven"] and fresh.settled()
    with tls_server(pairs[2]) as address:
        fresh.port = address.port
        answer = fresh.install(pairs[1], explicit=False)
    assert answer["error"] is None and answer["proof"][0]["ours"] is None and fresh.settled()


def test_but_it_has_to_be_where_it_was_before(world: World, pairs: list[Pair]) -> None:
    answer = world.install(pairs[1], explicit=False, commands={"reload": ["true"]}, prove_timeout=0.5)
    assert answer["error"]["code"] == "not_served" and answer["rolled_back"] and world.serves(pairs[0])
    assert world.install(pairs[1], explicit=False)["error"] is None and world.serves(pairs[1])


def test_a_service_that_never_served_it_is_no_reason_to_go_back(world: World, pairs: list[Pair]) -> None:
    """The old pair was not served either: going back would help nobody, and lose the new pair."""
    with tls_server(pairs[2]) as address:
        world.port = address.port
        answer = world.install(pairs[1], prove_timeout=0.3)
    assert answer["error"]["code"] == "not_served" and not answer["rolled_back"] and answer["generation"] == 2
    assert not world.settled()


def test_a_proof_that_a_later_task_gives(fresh: World, pairs: list[Pair]) -> None:
    answer = fresh.install(pairs[0], defer_proof=True, prove_timeout=0.3)
    assert answer["error"] is None and answer["unproven"] and not fresh.settled()
    fresh.configure()
    fresh.nginx.start()
    answer = fresh.repair()
    assert answer["error"] is None and not answer["unproven"] and fresh.settled() and answer["changed"]


def test_unsettled_is_taken_again(world: World) -> None:
    """The run that installed it was killed before it could say so."""
    path = world.host.live("manifest.json")
    manifest = json.loads(path.read_text())
    del manifest["settled"]
    path.write_text(json.dumps(manifest))
    answer = world.repair()
    assert answer["changed"] and answer["repaired"] == [] and world.settled()
    assert world.nginx.calls() == ["validate", "reload"]


def test_a_service_that_missed_a_reload_gets_one(world: World, pairs: list[Pair]) -> None:
    world.host.install({**world.wish, "services": []}, pairs[1])
    assert world.settled() and world.serves(pairs[0])
    answer = world.repair()
    assert answer["changed"] and world.nginx.calls() == ["validate", "reload"] and world.serves(pairs[1])


def test_a_disk_that_is_full_at_the_very_end(world: World, pairs: list[Pair]) -> None:
    """The new pair is served; that this could not be recorded is told, and the next run sees to it."""
    folder = world.host.layout().generation(2)
    reload = shell(f"mkdir {folder}/.manifest.json.fleet-tls-new; exec {' '.join(world.nginx.command('-s', 'reload'))}")
    answer = world.install(pairs[1], commands={"reload": reload})
    assert answer["error"]["code"] in ("io", "not_permitted") and "manifest.json" in answer["error"]["message"]
    assert answer["changed"] and not answer["rolled_back"] and world.serves(pairs[1]) and not world.settled()
    assert not (world.host.tls / "live" / ".www.fleet-tls-old").is_symlink()
    os.rmdir(f"{folder}/.manifest.json.fleet-tls-new")
    assert world.repair()["changed"] and world.settled()
