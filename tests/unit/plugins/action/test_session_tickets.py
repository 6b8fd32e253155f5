# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two actions over hosts in memory that do what they are asked."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.fleet.tls.plugins.action.session_ticket_keys import ActionModule as Keys
from ansible_collections.fleet.tls.plugins.action.session_ticket_rotation import ActionModule as Rotation
from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import key_id
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.tickets.ring_store import RingStore
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action
from ansible_collections.fleet.tls.tests.unit.support.pki import PASSPHRASE, cheap_scrypt, make_store

__all__ = ["cheap_scrypt"]

DAY = 86400


@dataclass
class Host:
    """One host; ``configured``: its server uses the ring; ``wire`` what its tickets show instead of that."""

    name: str = "web1"
    configured: bool = True
    generation: int | None = None
    keys: list[bytes] | None = None
    known: list[list[str]] | None = None
    wire: str | None = None
    refuses: str | None = None
    drift: list[str] = field(default_factory=list)
    visits: int = 0
    secrets_seen: list[Mapping[str, str]] = field(default_factory=list)

    def step(self, request: Mapping[str, Any], secrets: Mapping[str, str] | None) -> dict[str, Any]:
        self.visits += 1
        if secrets:
            return self.install(request, secrets)
        pairs = [[each.name, each.digest] for each in map(key_id, self.keys)] if self.keys else None
        return {
            "generation": self.generation, "known": self.known, "settled": self.configured and self.generation is not None,
            "present": pairs, "drift": self.drift, "wire": [self.shown()], "error": None,
        }  # fmt: skip

    def install(self, request: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
        self.secrets_seen.append(secrets)
        if self.refuses:
            raise HostError(self.refuses, code="not_proven")
        self.keys = [base64.b64decode(secrets[part]) for part in ("prev", "cur", "next")]
        self.generation, self.known, self.drift, self.wire = request["generation"], request["keys"], [], None
        shown = self.shown()
        return {
            "changed": True, "how": {"nginx": "reloaded"}, "notes": [], "wire": [shown], "proven": shown["name"] is not None, "error": None,
        }  # fmt: skip

    def shown(self) -> dict[str, Any]:
        name = self.wire or (self.keys[1][:16].hex() if self.keys and self.configured else None)
        return {"endpoint": "127.0.0.1:443", "name": name, "error": None if name else "it sent no session ticket"}


@dataclass
class World:
    """A store and hosts of one pool."""

    folder: Path
    hosts: dict[str, Host]

    @property
    def rings(self) -> RingStore:
        return RingStore(make_store(self.folder), "web")

    def keys(
        self, host: str = "web1", extra: str = "", *, passphrase: str = PASSPHRASE, check: bool = False
    ) -> dict[str, Any]:
        one = self.hosts[host]

        class OnHost(Keys):
            def step(self, step: str, request: Any, variables: Any, secrets: Any = None) -> dict[str, Any]:
                assert step == "tickets"
                return one.step(request, secrets)

        options = f"""
        store: {{path: {self.folder}, passphrase: "{passphrase}"}}
        pool: web
        servers: [nginx]
        {extra}
        """
        return run_action(OnHost, options, {"inventory_hostname": host}, check_mode=check, diff=True)

    def looks(self) -> dict[str, Any]:
        """As the playbook collects them."""
        found = {}
        for host in self.hosts:
            try:
                found[host] = self.keys(host, check=True, passphrase="")
            except AnsibleActionFail as error:
                found[host] = {"failed": True, "msg": str(error), **error.result}
        return found

    def rotation(self, looks: dict[str, Any] | None = None, extra: str = "", *, check: bool = False) -> dict[str, Any]:
        options = f"""
        store: {{path: {self.folder}, passphrase: "{PASSPHRASE}"}}
        looks: {json.dumps(looks or self.looks())}
        pools: {json.dumps(dict.fromkeys(self.hosts, "web"))}
        {extra}
        """
        result = run_action(Rotation, options, {"inventory_hostname": "web1"}, check_mode=check, diff=True)
        return {**result, **result["pools"].get("web", {})}

    def long_ago(self) -> None:
        """All that was noted happened two days earlier."""
        path = self.folder / "tickets" / "web.json"
        raw = json.loads(path.read_text())
        raw["made_at"] -= 2 * DAY
        raw["proven"] = {host: [generation, at - 2 * DAY] for host, (generation, at) in raw["proven"].items()}
        path.write_text(json.dumps(raw))

    def generations(self) -> list[int | None]:
        known = self.rings.known()
        return [known.record.generation if known else None, *(host.generation for host in self.hosts.values())]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store", {name: Host(name) for name in ("web1", "web2")})


@pytest.fixture
def settled(world: World) -> World:
    """Both hosts have the first ring, since two days."""
    for host in world.hosts:
        world.keys(host)
    world.long_ago()
    return world


def test_made_installed_proven_and_left_alone(world: World) -> None:
    first = world.keys()
    assert first["changed"] and first["proven"] and first["servers"] == {"nginx": "reloaded"}
    assert world.hosts["web1"].visits == 2
    second = world.keys(passphrase="")
    assert (second["changed"], second["proven"], world.hosts["web1"].visits) == (False, True, 3)
    assert second["found"] == {"generation": 1, "current": True, "same": True}
    # The second host gets the same keys.
    world.keys("web2")
    assert world.hosts["web2"].keys == world.hosts["web1"].keys
    known = world.rings.known()
    assert known is not None and sorted(known.record.proven) == ["web1", "web2"]


def test_no_result_has_a_key(world: World) -> None:
    text = repr([world.keys(), world.keys(check=True)])
    for key in world.hosts["web1"].keys or ():
        for half in (key[16:48], key[48:]):
            assert (
                half.hex() not in text and base64.b64encode(half).decode()[:40] not in text and repr(half) not in text
            )
        assert base64.b64encode(key).decode()[24:] not in text


def test_check_mode_makes_nothing(world: World, tmp_path: Path) -> None:
    result = world.keys(check=True, passphrase="")
    assert result["changed"] and result["generation"] is None
    assert result["diff"][0]["before"].startswith("no ring\n") and result["diff"][0]["after"] == "generation 1\n"
    assert not world.folder.exists() and world.hosts["web1"].keys is None


def test_a_server_that_does_not_use_it_yet_is_not_touched_again(world: World) -> None:
    host = world.hosts["web1"]
    host.configured = False
    first = world.keys(extra="defer_proof: true")
    assert first["changed"] and not first["proven"]
    again = world.keys(extra="defer_proof: true", passphrase="")
    assert (again["changed"], again["proven"], len(host.secrets_seen)) == (False, False, 1)
    host.configured = True
    assert world.keys()["proven"]


@pytest.mark.parametrize(
    "field, value", [("drift", ["cur.key: mode 0644, wanted 0600"]), ("wire", "ff" * 16), ("keys", None)]
)
def test_what_is_not_as_it_has_to_be_is_put_right(settled: World, field: str, value: Any) -> None:
    setattr(settled.hosts["web1"], field, value)
    assert settled.keys(check=True)["changed"]
    assert settled.keys()["changed"] and not settled.keys()["changed"]


@pytest.mark.parametrize(
    "generation, known, words",
    [
        (2, None, "web1 has generation 2 of the ring, the store knows no newer than 1"),
        (1, [["00" * 16, "00" * 32]] * 3, "web1 has other keys for generation 1 of the ring than the store"),
    ],
)
def test_a_store_that_has_forgotten_something_is_not_rolled_out(
    settled: World, generation: int, known: Any, words: str
) -> None:
    host = settled.hosts["web1"]
    host.generation, host.known = generation, known or host.known
    with pytest.raises(AnsibleActionFail, match=words) as caught:
        settled.keys()
    # What the look showed is there all the same, for the rotation to judge.
    assert caught.value.result["found"]["generation"] == generation
    assert len(host.secrets_seen) == 1
    refused = settled.rotation()
    assert refused["step"] == "refuse" and words in refused["text"]


def test_a_store_without_the_ring_makes_no_other(settled: World) -> None:
    (settled.folder / "tickets" / "web.json").unlink()
    with pytest.raises(
        AnsibleActionFail, match="the host has generation 1 of the ring of 'web', and the store has none"
    ):
        settled.keys()
    assert not (settled.folder / "tickets" / "web.json").exists()


def test_a_host_that_refuses_is_told_with_its_words(settled: World) -> None:
    settled.rotation()
    settled.hosts["web1"].refuses = "no ticket with the ring's current key"
    with pytest.raises(AnsibleActionFail, match="web1: no ticket with the ring's current key"):
        settled.keys()
    known = settled.rings.known()
    assert known is not None and known.record.unproven == ("web1", "web2")


def test_a_step_on_all_hosts(settled: World) -> None:
    old = list(settled.hosts["web1"].keys or ())
    step = settled.rotation()
    assert (step["changed"], step["step"], step["before"], step["generation"]) == (True, "begin", 1, 2)
    assert step["diff"][0]["after"] == "generation 2\n"
    for host in settled.hosts:
        assert settled.keys(host)["changed"]
    assert settled.generations() == [2, 2, 2]
    assert (settled.hosts["web2"].keys or [])[:2] == old[1:]
    # Too soon for the next.
    assert settled.rotation()["step"] == "refuse"


def test_a_step_waits_for_a_maintenance_window_and_what_has_begun_does_not(settled: World) -> None:
    frozen = "freeze: {until: '2100-01-01', reason: holidays}"
    held = settled.rotation(extra=frozen)
    assert (held["changed"], held["step"], held["generation"]) == (False, "wait", 1)
    assert held["text"] == "the next step waits until 2100-01-01T00:00:00Z: a freeze (holidays)."
    assert settled.rotation()["step"] == "begin"
    assert settled.rotation(extra=frozen)["step"] == "resume"
    assert settled.rotation(extra=f"{frozen}\n        replace: true")["step"] == "replace"


def test_check_mode_begins_nothing(settled: World) -> None:
    step = settled.rotation(check=True)
    assert (step["changed"], step["step"], step["generation"]) == (True, "begin", 2)
    assert settled.generations() == [1, 1, 1]


def test_a_step_that_was_not_taken_everywhere_is_finished(settled: World) -> None:
    settled.rotation()
    settled.keys("web1")
    settled.long_ago()
    step = settled.rotation()
    assert (step["changed"], step["step"], step["generation"]) == (False, "resume", 2) and "web2" in step["text"]


def test_another_run_was_faster(settled: World) -> None:
    looks = settled.looks()
    assert settled.rotation(looks)["step"] == "begin"
    late = settled.rotation(looks)
    assert (
        late["step"] == "refuse" and "another run has brought the ring of 'web' from generation 1 to 2" in late["text"]
    )
    assert settled.generations()[0] == 2


def test_a_host_that_cannot_be_reached_and_one_that_is_passed_over(settled: World) -> None:
    looks = {**settled.looks(), "web2": {"unreachable": True, "msg": "no route to host"}, "mail": {"skipped": True}}
    held = settled.rotation(looks)
    assert held["step"] == "refuse" and "web2 could not be looked at (no route to host)" in held["text"]
    assert settled.rotation(looks, "leave_behind: [web2]")["step"] == "begin"
    known = settled.rings.known()
    assert known is not None and list(known.record.left_behind) == ["web2"]
    settled.keys("web1")
    assert settled.keys("web1")["warnings"] == ["left behind, until fleet.tls.deploy has been there: web2"]
    assert "warnings" not in settled.keys("web2")


def test_a_stranger_cannot_be_left_behind(settled: World) -> None:
    with pytest.raises(AnsibleActionFail, match="no host of the pool is called 'wbe2'"):
        settled.rotation(extra="leave_behind: [wbe2]")


def test_all_keys_at_once(settled: World) -> None:
    """Also where the store is older than the hosts: the new ring is newer than all."""
    old = set(settled.hosts["web1"].keys or ())
    settled.hosts["web2"].generation = 9
    step = settled.rotation(extra="replace: true")
    assert (step["step"], step["generation"]) == ("replace", 10)
    settled.keys("web1")
    assert not old & set(settled.hosts["web1"].keys or ())
    looks = {**settled.looks(), "web2": {"unreachable": True, "msg": "gone"}}
    assert settled.rotation(looks, "replace: true")["step"] == "refuse"


def test_a_generation_that_nobody_can_have_come_to_is_one_hosts_own_affair(settled: World) -> None:
    hostile = settled.hosts["web2"]
    hostile.generation, hostile.known = 999_999_999, [["0" * 32, "0" * 64]] * 3
    held = settled.rotation()
    assert held["step"] == "refuse" and "web2 has no ring yet" in held["text"]
    # Its number is not that of the pool's next ring, and the others go on without it.
    assert settled.rotation(extra="replace: true", check=True)["generation"] == 2
    assert settled.rotation(extra="leave_behind: [web2]")["generation"] == 2
    # The remedy works as well: it gets the ring that the others have.
    settled.keys("web1")
    hostile.generation = 999_999_999
    assert settled.keys("web2")["changed"] and settled.generations() == [2, 2, 2]


def test_a_ring_is_replaced_once_for_one_revocation(settled: World) -> None:
    an_hour_ago = int(time.time()) - 3600
    again = f"replace: true\n        replace_older_than: {an_hour_ago}"
    assert settled.rotation(extra=again)["step"] == "replace"
    # The next run only sees to it that every host has it.
    step = settled.rotation(extra=again)
    assert (step["step"], step["changed"]) == ("resume", False) and step["generation"] == step["before"]


def test_who_is_left_behind_need_not_be_of_a_pool_whose_ring_is_replaced(settled: World) -> None:
    assert settled.rotation(extra="replace: true\n        leave_behind: [db1]")["step"] == "replace"


def test_a_jump_is_told(settled: World) -> None:
    for _step in range(2):
        settled.rotation(extra="leave_behind: [web2]")
        settled.keys("web1")
        settled.long_ago()
    held = settled.rotation()
    assert held["step"] == "refuse" and "web2 is 2 steps behind (generation 1 of 3)" in held["text"]
    back = settled.keys("web2")
    assert "it was 2 steps behind its pool: sessions that it began cannot be resumed" in back["warnings"]


def test_no_ring_yet(world: World) -> None:
    step = world.rotation()
    assert step["step"] == "refuse" and "the store has no ring of it yet" in step["text"]


@pytest.mark.parametrize(
    "answer",
    [
        {"generation": "7"},
        {"generation": True},
        {"known": [["a", "b"]]},
        {"present": 5},
        {"wire": [{}]},
        {"wire": ["x"]},
    ],
)
def test_what_a_host_says_is_not_believed_blindly(settled: World, answer: dict[str, Any]) -> None:
    host = settled.hosts["web1"]
    good = host.step({}, None)
    host.step = lambda request, secrets: {**good, **answer}  # type: ignore[method-assign]
    with pytest.raises(AnsibleActionFail, match="does not have the agreed form"):
        settled.keys()
