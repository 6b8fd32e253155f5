# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import asdict

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import RotationError, SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.rotation.stages import LEASE, Rotation, Runner, as_result, begin

ME, OTHER = Runner("here", 100, "boot 1"), Runner("here", 200, "boot 2")


def proven(rotation: Rotation, *hosts: str) -> Rotation:
    for host in hosts:
        rotation = rotation.proved(host, 1000)
    return rotation


def test_a_ca_goes_through_all_stages() -> None:
    rotation, seen = begin("ca", "internal", ["web2", "web1"], 1000), []
    while not rotation.is_done:
        seen.append(rotation.stage)
        rotation = proven(rotation, "web1", "web2").advanced(["web1", "web2"], 1001)
    assert (seen, rotation.stage, rotation.next_stage) == (["prepare", "activate", "retire"], "done", "done")


def test_keys_have_one_stage() -> None:
    rotation = begin("keys", "keys", ["web1"], 1000, ["www", "mail", "www"])
    assert (rotation.stage, rotation.names) == ("rekey", ("mail", "www"))
    assert proven(rotation, "web1").advanced([], 1001).is_done


@pytest.mark.parametrize(
    ("done", "left", "inventory", "waiting"),
    [
        ((), (), (), ("web1", "web2")),
        (("web1",), (), (), ("web2",)),
        (("web1", "web2"), (), (), ()),
        (("web1", "web2"), (), ("web3",), ("web3",)),
        (("web1",), ("web2",), (), ()),
        (("web1",), ("web2",), ("web3",), ("web3",)),
        # Proven hosts are not left behind, whoever says so.
        (("web1", "web2"), ("web2",), (), ()),
    ],
)
def test_every_host_of_the_record_and_of_the_inventory_has_to_prove_it(
    done: tuple[str, ...], left: tuple[str, ...], inventory: tuple[str, ...], waiting: tuple[str, ...]
) -> None:
    rotation = proven(begin("ca", "internal", ["web1", "web2"], 1000), *done).leaving(left)
    assert rotation.holding_back(inventory) == waiting
    if waiting:
        with pytest.raises(RotationError) as caught:
            rotation.advanced(inventory, 1001, {"web2": "unreachable: no route"})
        assert all(host in str(caught.value) for host in waiting) and "stays at 'prepare'" in str(caught.value)
        assert ("unreachable: no route" in str(caught.value)) == ("web2" in waiting)
        assert f'"tls_leave_behind": ["{waiting[0]}"]' in str(caught.value)
    else:
        assert rotation.advanced(inventory, 1001).stage == "activate"


def test_who_is_left_behind_is_remembered_until_it_proves_a_stage() -> None:
    rotation = proven(begin("ca", "internal", ["web1", "web2"], 1000), "web1").leaving(["web2"]).advanced([], 1001)
    assert rotation.left_behind == {"web2": "prepare"}
    assert proven(rotation, "web1").advanced([], 1002).stage == "retire"
    back = proven(rotation, "web1", "web2")
    assert back.left_behind == {} and back.advanced([], 1002).holding_back([]) == ("web1", "web2")


def test_a_proof_counts_for_one_stage_and_can_be_lost() -> None:
    rotation = proven(begin("ca", "internal", ["web1"], 1000), "web1")
    assert rotation.disproved("web1").holding_back([]) == ("web1",)
    assert rotation.advanced([], 1001).proven == {}


def test_hosts_that_leave_the_inventory_keep_being_named() -> None:
    rotation = proven(begin("ca", "internal", ["web1"], 1000), "web1", "web9").advanced(["web9"], 1001)
    assert rotation.holding_back([]) == ("web1", "web9")


@pytest.mark.parametrize(
    ("runner", "alive", "later", "lasts"),
    [
        (None, None, 0, False),
        (ME, True, 0, False),
        (OTHER, True, 0, True),
        (OTHER, True, 10 * LEASE, True),
        (OTHER, False, 0, False),
        (OTHER, None, LEASE - 1, True),
        (OTHER, None, LEASE, False),
    ],
)
def test_one_run_drives_it_at_a_time(runner: Runner | None, alive: bool | None, later: int, lasts: bool) -> None:
    rotation = begin("ca", "internal", ["web1"], 1000)
    rotation = rotation.taken_by(runner, 1000) if runner else rotation
    assert rotation.lasts_elsewhere(ME, alive, 1000 + later) is lasts


def test_what_is_done_is_driven_by_nobody() -> None:
    rotation = proven(begin("keys", "keys", ["web1"], 1000).taken_by(OTHER, 1000), "web1").advanced([], 1001)
    assert not rotation.lasts_elsewhere(ME, True, 1001)


def test_it_comes_back_from_the_store_as_it_was() -> None:
    rotation = (
        proven(begin("ca", "internal", ["web1", "web2"], 1000, ["www"]), "web1").leaving(["web2"]).taken_by(ME, 5)
    )
    assert Rotation.from_json(asdict(rotation)) == rotation
    assert Rotation.from_json(asdict(begin("keys", "keys", ["web1"], 1000))).runner is None


@pytest.mark.parametrize("raw", [{}, {"kind": "ca", "stage": "rekey"}])
def test_what_is_no_record(raw: dict[str, str]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Rotation.from_json(raw)


def test_bad_input() -> None:
    with pytest.raises(SpecError, match="no host of the inventory"):
        begin("ca", "internal", [], 1000)
    with pytest.raises(SpecError, match="rotation: 'cas' is unknown"):
        begin("cas", "internal", ["web1"], 1000)


def test_result() -> None:
    rotation = proven(begin("ca", "internal", ["web1", "web2"], 1000), "web1")
    assert as_result(rotation, ["web3"]) == {
        "stage": "prepare", "next": "activate", "begun_at": 1000, "names": [], "proven": ["web1"],
        "held_back_by": ["web2", "web3"], "left_behind": {}, "stage_seconds": {},
    }  # fmt: skip
    later = rotation.proved("web2", 1005).advanced([], 1007).leaving(["web1", "web2"]).advanced([], 1010)
    assert Rotation.from_json(asdict(later)) == later
    assert as_result(later)["stage_seconds"] == {"prepare": 7, "activate": 3}
    # Recorded before stages were timed.
    before = {name: value for name, value in asdict(later).items() if name != "entered"}
    assert Rotation.from_json(before).stage_seconds == {}
