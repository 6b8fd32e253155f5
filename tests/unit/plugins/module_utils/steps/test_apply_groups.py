# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step ``apply`` with several certificates: which hang together, and whose trouble is whose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import Layout
from ansible_collections.fleet.tls.plugins.module_utils.pair.staging import Staged
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service
from ansible_collections.fleet.tls.plugins.module_utils.steps.apply import groups
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost, service
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Pair


@pytest.mark.parametrize(
    ("wanted", "together"),
    [
        ({"a": ["x"], "b": ["x"], "c": ["y"]}, [["a", "b"], ["c"]]),
        # One certificate joins two groups that had nothing to do with each other.
        ({"a": ["x"], "b": ["y"], "c": ["y", "x"]}, [["a", "b", "c"]]),
        ({"a": [], "b": [], "c": ["x"]}, [["a"], ["b"], ["c"]]),
        ({"a": ["x", "y"], "b": ["z"], "c": ["y"]}, [["a", "c"], ["b"]]),
    ],
)
def test_groups(wanted: dict[str, list[str]], together: list[list[str]]) -> None:
    staged = [
        Staged({"name": name, "services": services}, Layout("/nowhere", name), 1, {}, None, installs=True)
        for name, services in wanted.items()
    ]
    found = groups(staged, {name: Service(name) for name in "xyz"})
    assert sorted(sorted(each.name for each in group.staged) for group in found) == together
    for group in found:
        names = [each.name for each in group.services]
        assert sorted(names) == sorted({name for each in group.staged for name in wanted[each.name]})


def noting(folder: Path, name: str, code: int = 0) -> dict[str, Any]:
    """A service that notes its reloads; its validation ends with ``code``."""
    return service(name, validate=["sh", "-c", f"exit {code}"], reload=["sh", "-c", f"echo {name} >> {folder}/reloads"])


def reloads(host: OneHost) -> list[str]:
    path = host.folder / "reloads"
    words = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return words


def apply_all(
    host: OneHost, wanted: dict[str, tuple[dict[str, Any], Pair]], services: list[dict[str, Any]], **changes: Any
) -> tuple[bool, dict[str, Any]]:
    entries = [host.install_entry(wish, pair) for wish, pair in wanted.values()]
    secrets = {name: pair.key.read_text() for name, (_wish, pair) in wanted.items()}
    return host.apply(*entries, secrets=secrets, services=services, **changes)


@pytest.fixture
def wishes(host: OneHost) -> dict[str, dict[str, Any]]:
    """Two certificates of one service, and one of another."""
    return {
        "first": host.wish("first", services=["shared"], outputs=[host.output("first", method="copy")]),
        "second": host.wish("second", services=["shared"]),
        "apart": host.wish("apart", services=["other"]),
    }


def test_a_service_is_reloaded_once_whatever_changed(host: OneHost, wishes: Any, pairs: list[Pair]) -> None:
    services = [noting(host.folder, "shared"), noting(host.folder, "other"), noting(host.folder, "of-nobody")]
    changed, answer = apply_all(host, {name: (wish, pairs[0]) for name, wish in wishes.items()}, services)
    assert changed and all(each["installed"] and not each["error"] for each in answer["certificates"].values())
    assert sorted(reloads(host)) == ["other", "shared"]
    assert answer["services"] == {name: {"state": "reloaded", "error": None} for name in ("shared", "other")}


def test_certificates_of_one_service_go_back_together(host: OneHost, wishes: Any, pairs: list[Pair]) -> None:
    good = [noting(host.folder, "shared"), noting(host.folder, "other")]
    apply_all(host, {name: (wish, pairs[0]) for name, wish in wishes.items()}, good)
    output = (host.out / "first").read_bytes()
    reloads(host)
    bad = [noting(host.folder, "shared", 7), noting(host.folder, "other")]
    changed, answer = apply_all(host, {name: (wish, pairs[1]) for name, wish in wishes.items()}, bad)
    found = answer["certificates"]
    assert changed
    for name in ("first", "second"):
        assert (found[name]["rolled_back"], found[name]["changed"], found[name]["generation"]) == (True, False, 1)
        assert "service 'shared': " in found[name]["error"]["message"] and host.layout(name).current() == 1
    assert found["apart"]["installed"] and found["apart"]["error"] is None and host.layout("apart").current() == 2
    assert (host.out / "first").read_bytes() == output and reloads(host) == ["other"]
    assert answer["services"]["shared"]["state"] == "failed" and answer["services"]["other"]["state"] == "reloaded"


def test_a_first_pair_stays_while_its_neighbour_goes_back(host: OneHost, wishes: Any, pairs: list[Pair]) -> None:
    apply_all(host, {"first": (wishes["first"], pairs[0])}, [noting(host.folder, "shared")])
    wanted = {"first": (wishes["first"], pairs[1]), "second": (wishes["second"], pairs[2])}
    changed, answer = apply_all(host, wanted, [noting(host.folder, "shared", 7)])
    found = answer["certificates"]
    assert changed and found["first"]["rolled_back"] and not found["second"]["rolled_back"]
    assert found["second"]["installed"] and found["second"]["error"] and found["second"]["generation"] == 1
    manifest = host.layout("second").manifest(1)
    assert manifest is not None and not manifest.get("settled")


def test_one_that_cannot_be_staged_stops_no_other(host: OneHost, wishes: Any, pairs: list[Pair]) -> None:
    services = [noting(host.folder, "shared"), noting(host.folder, "other")]
    wishes["first"]["owner"] = "no-such-user"
    changed, answer = apply_all(host, {name: (wish, pairs[0]) for name, wish in wishes.items()}, services)
    found = answer["certificates"]
    assert found["first"]["error"]["code"] == "unknown_user" and found["first"]["generation"] is None
    assert not found["first"]["changed"] and not (host.out / "first").exists()
    assert changed and found["second"]["installed"] and found["apart"]["installed"]


def test_a_swap_that_fails_takes_none_of_its_group_along(host: OneHost, wishes: Any, pairs: list[Pair]) -> None:
    services = [noting(host.folder, "shared"), noting(host.folder, "other")]
    apply_all(host, {name: (wish, pairs[0]) for name, wish in wishes.items()}, services)
    reloads(host)
    # Where the old file is to be kept there is a directory: this is found out only while the files change places.
    wishes["second"]["outputs"] = [host.output("added", method="copy")]
    (host.out / ".added.fleet-tls-old").mkdir()
    changed, answer = apply_all(host, {name: (wish, pairs[1]) for name, wish in wishes.items()}, services)
    found = answer["certificates"]
    for name in ("first", "second"):
        assert (
            found[name]["error"]["code"] in ("io", "not_permitted")
            and f"{host.out}/added" in found[name]["error"]["message"]
        )
        assert (found[name]["changed"], found[name]["generation"]) == (False, 1)
        assert host.layout(name).numbers() == [1]
    assert changed and found["apart"]["installed"] and reloads(host) == ["other"]
    assert sorted(path.name for path in host.out.iterdir()) == [".added.fleet-tls-old", "first"]


def test_a_neighbour_s_repair_goes_back_as_well(host: OneHost, wishes: Any, pairs: list[Pair]) -> None:
    """And the manifest with it: what it no longer names would never be found again."""
    good = [noting(host.folder, "shared")]
    apply_all(host, {"first": (wishes["first"], pairs[0]), "second": (wishes["second"], pairs[0])}, good)
    before = host.layout("first").manifest(1)
    unwanted = {**wishes["first"], "outputs": []}
    entries = [host.repair_entry(unwanted), host.install_entry(wishes["second"], pairs[1])]
    secrets = {"second": pairs[1].key.read_text()}
    _changed, answer = host.apply(*entries, secrets=secrets, services=[noting(host.folder, "shared", 7)])
    found = answer["certificates"]["first"]
    assert found["rolled_back"] and found["error"] and not found["changed"]
    assert host.layout("first").manifest(1) == before and (host.out / "first").exists()
    assert host.look_at(unwanted)["drift"] == [f"{host.out}/first: no longer wanted"]
    host.apply(*entries, secrets=secrets, services=good)
    assert host.look_at(unwanted)["drift"] == [] and not (host.out / "first").exists()


@pytest.mark.parametrize("method", ["link", "copy"])
def test_somebodys_key_is_kept_and_comes_back_when_no_certificate_has_an_output_there(
    host: OneHost, pairs: list[Pair], method: str
) -> None:
    theirs, output = host.out / "site.key", host.output("site.key", "privkey", method)
    theirs.write_text("theirs")
    theirs.chmod(0o640)
    inode, kept = theirs.stat().st_ino, host.out / ".site.key.before-fleet-tls"
    refusing = [noting(host.folder, "any", 7)]
    entry = {**host.wish("first", outputs=[output]), "services": ["any"]}
    host.install(host.wish("first"), pairs[0])
    # A pair that its service refuses leaves theirs alone.
    _changed, answer = apply_all(host, {"first": (entry, pairs[1])}, refusing)
    assert answer["certificates"]["first"]["rolled_back"]
    assert (theirs.stat().st_ino, theirs.stat().st_nlink, kept.exists()) == (inode, 1, False)
    for pair in pairs[:2]:
        apply_all(host, {"first": (entry, pair)}, [noting(host.folder, "any")])
        assert (kept.stat().st_ino, theirs.read_text()) == (inode, pair.key.read_text())
    # To another certificate, and from there to none.
    wishes = [host.wish("first"), host.wish("second", outputs=[output])]
    apply_all(host, {wish["name"]: (wish, pair) for wish, pair in zip(wishes, pairs)}, [])
    assert (kept.stat().st_ino, theirs.read_text()) == (inode, pairs[1].key.read_text())
    host.repair(host.wish("second"))
    found = theirs.stat()
    assert (found.st_ino, found.st_nlink, found.st_mode & 0o777, theirs.read_text()) == (inode, 1, 0o640, "theirs")
    assert not kept.exists() and host.look_at(host.wish("second"))["drift"] == []


def test_what_somebody_put_in_the_place_of_an_output_is_left_alone_with_what_was_kept(
    host: OneHost, pairs: list[Pair]
) -> None:
    output = host.output("site.key", "privkey", "copy")
    (host.out / "site.key").write_text("theirs")
    host.install(host.wish(outputs=[output]), pairs[0])
    (host.out / "site.key").write_text("by hand")
    host.repair(host.wish())
    kept = host.out / ".site.key.before-fleet-tls"
    assert ((host.out / "site.key").read_text(), kept.read_text()) == ("by hand", "theirs")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("method", ["link", "copy"])
def test_an_output_moves_from_one_certificate_to_another(
    host: OneHost, pairs: list[Pair], order: int, method: str
) -> None:
    output = host.output("moved", "cert", method)
    wishes = [host.wish("first", outputs=[output]), host.wish("second")]
    apply_all(host, {wish["name"]: (wish, pair) for wish, pair in zip(wishes, pairs)}, [])
    wishes = [host.wish("first"), host.wish("second", outputs=[output])]
    _changed, answer = host.apply(*(host.repair_entry(wish) for wish in wishes[::order]))
    assert not any(each["error"] for each in answer["certificates"].values())
    assert (host.out / "moved").read_text() == pairs[1].pem
    assert [each["drift"] for each in host.look(*wishes).values()] == [[], []]


def test_without_services_it_is_settled_by_the_next_run(host: OneHost, pairs: list[Pair]) -> None:
    """After a kill between swap and record; that something was recorded is a change, once."""
    host.install(host.wish(), pairs[0])
    path = host.live("manifest.json")
    path.write_text(path.read_text().replace('"settled"', '"not-settled"'))
    assert [host.repair(host.wish())[0] for _time in range(2)] == [True, False]


def test_generations_kept(host: OneHost, pairs: list[Pair]) -> None:
    for pair in pairs:
        host.install(host.wish(), pair, keep=3)
    assert host.layout().numbers() == [1, 2, 3]
    host.install(host.wish(), pairs[0], keep=1)
    assert host.layout().numbers() == [4]
