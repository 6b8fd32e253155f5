# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything around a good pair that can be otherwise than wanted: each is found, named, and put right by a repair."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import beside
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import output_file
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority, Pair

ROOT = os.geteuid() == 0


@dataclass
class World:
    """An installed certificate with a linked and a copied output."""

    host: OneHost
    wish: dict[str, Any]

    @property
    def linked(self) -> Path:
        return self.host.out / "linked.pem"

    @property
    def copied(self) -> Path:
        return self.host.out / "copied.pem"

    @property
    def inside(self) -> Path:
        """Where the linked one's content is."""
        return self.host.live(output_file(str(self.linked)))

    def drift(self) -> list[str]:
        found = self.host.look_at(self.wish)
        assert (found["problems"], found["error"]) == ([], None)
        return list(found["drift"])


@pytest.fixture
def world(host: OneHost, pairs: list[Pair]) -> World:
    outputs = [host.output("linked.pem"), host.output("copied.pem", method="copy")]
    world = World(host, host.wish(outputs=outputs))
    changed, answer = host.install(world.wish, pairs[0])
    assert changed and answer["error"] is None
    assert world.drift() == []
    return world


def foreign_file(path: Path) -> None:
    path.unlink()
    path.write_text("somebody else's")


def foreign_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def leftover(path: Path, what: str = "old") -> None:
    Path(beside(str(path), what)).write_text("of a killed run")


@dataclass(frozen=True)
class Case:
    """What is done to the world; the words that name it."""

    damage: Callable[[World], object]
    words: str


CASES = {
    "key mode": Case(lambda w: w.host.live("privkey.pem").chmod(0o644), "privkey.pem: mode 0644, wanted 0600"),
    "key mode, too narrow": Case(lambda w: w.host.live("privkey.pem").chmod(0o400), "privkey.pem: mode 0400, wanted"),
    "certificate mode": Case(lambda w: w.host.live("cert.pem").chmod(0o600), "cert.pem: mode 0600, wanted 0644"),
    "linked mode": Case(lambda w: w.inside.chmod(0o644), "mode 0644, wanted 0600"),
    "copied mode": Case(lambda w: w.copied.chmod(0o640), "copied.pem: mode 0640, wanted 0600"),
    "link gone": Case(lambda w: w.linked.unlink(), "linked.pem: does not link to the live certificate"),
    "link is a file": Case(lambda w: foreign_file(w.linked), "linked.pem: does not link to the live certificate"),
    "link elsewhere": Case(lambda w: foreign_link(w.linked), "linked.pem: does not link to the live certificate"),
    "link's file gone": Case(lambda w: w.inside.unlink(), "linked.pem: missing"),
    "link's file changed": Case(lambda w: w.inside.write_text("x"), "linked.pem: is not made of the live certificate"),
    "copy gone": Case(lambda w: w.copied.unlink(), "copied.pem: missing"),
    "copy changed": Case(lambda w: w.copied.write_text("x"), "copied.pem: is not made of the live certificate"),
    "copy is a link": Case(lambda w: foreign_link(w.copied), "copied.pem: missing"),
    "output added": Case(
        lambda w: w.wish["outputs"].append(w.host.output("added.pem", "cert", mode="0644")), "added.pem: not there yet"
    ),
    "output of another form": Case(lambda w: w.wish["outputs"][1].update(format="fullchain"), "copied.pem: not there yet"),
    "a copy is to be a link": Case(lambda w: w.wish["outputs"][1].update(method="link"), "copied.pem: not there yet"),
    "a link is to be a copy": Case(lambda w: w.wish["outputs"][0].update(method="copy"), "linked.pem: not there yet"),
    "link not wanted": Case(lambda w: w.wish["outputs"].pop(0), "linked.pem: no longer wanted"),
    "copy not wanted": Case(lambda w: w.wish["outputs"].pop(1), "copied.pem: no longer wanted"),
    "leftover of live": Case(lambda w: leftover(Path(w.host.layout().live), "new"), "left over from an interrupted run"),
    "leftover of an output": Case(lambda w: leftover(w.copied), ".copied.pem.fleet-tls-old: left over"),
    "leftover in the generation": Case(lambda w: leftover(w.inside), "left over from an interrupted run"),
    "leftover of the manifest": Case(lambda w: leftover(w.host.live("manifest.json"), "new"), "left over from"),
    "leftover of an output not wanted": Case(
        lambda w: (leftover(w.copied), w.wish["outputs"].pop(1)), ".copied.pem.fleet-tls-old: left over"
    ),
}  # fmt: skip
OWNED = {
    "key owner": Case(lambda w: os.chown(w.host.live("privkey.pem"), 12345, -1), "owner 12345, wanted 0"),
    "key group": Case(lambda w: os.chown(w.host.live("privkey.pem"), -1, 12345), "group 12345, wanted 0"),
    "linked owner": Case(lambda w: os.chown(w.inside, 12345, -1), "owner 12345, wanted 0"),
    "copied owner": Case(lambda w: os.chown(w.copied, 12345, -1), "copied.pem: owner 12345, wanted 0"),
}


@pytest.mark.parametrize("name", CASES)
def test_found_and_put_right(world: World, name: str) -> None:
    check(world, CASES[name])


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
@pytest.mark.parametrize("name", OWNED)
def test_owner(world: World, name: str) -> None:
    for each in [world.wish, *world.wish["outputs"]]:
        each.update(owner="0", group="0")
    assert world.drift() == []
    check(world, OWNED[name])


def check(world: World, case: Case) -> None:
    key = world.host.live("privkey.pem").read_bytes()
    case.damage(world)
    found = world.drift()
    assert any(case.words in text for text in found), found
    changed, answer = world.host.repair(world.wish)
    assert answer["error"] is None and changed and answer["changed"] and not answer["installed"]
    assert answer["repaired"]
    assert world.drift() == []
    assert world.host.live("privkey.pem").read_bytes() == key
    assert not list(world.host.folder.rglob(".*fleet-tls-*"))
    for output in world.wish["outputs"]:
        path = Path(output["path"])
        assert path.is_symlink() == (output["method"] == "link")
        assert stat.S_IMODE(path.stat().st_mode) == int(output["mode"], 8)
        assert (key in path.read_bytes()) == (output["format"] == "combined")
    wanted = {output["path"] for output in world.wish["outputs"]}
    assert {str(path) for path in world.host.out.iterdir()} == wanted
    # No key lies on in the generation under the rights of somebody who no longer is to have it.
    linked = {output_file(each["path"]) for each in world.wish["outputs"] if each["method"] == "link"}
    assert {path.name for path in world.host.live().glob("output-*")} == linked
    changed, answer = world.host.repair(world.wish)
    assert (changed, answer["changed"], answer["repaired"]) == (False, False, [])


def test_what_somebody_else_put_there_is_left_alone(world: World) -> None:
    foreign_file(world.linked)
    foreign_link(world.copied)
    world.wish["outputs"].clear()
    _changed, answer = world.host.repair(world.wish)
    assert answer["error"] is None and world.drift() == []
    assert world.linked.read_text() == "somebody else's" and world.copied.is_symlink()


def test_only_rights_are_put_right_in_place(world: World) -> None:
    """Not for an instant is the file away that a server reads."""
    before = {path: path.stat().st_ino for path in (world.inside, world.host.live("privkey.pem"))}
    for path in before:
        path.chmod(0o644)
    world.host.repair(world.wish)
    assert {path: path.stat().st_ino for path in before} == before
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in before)


def test_the_order_is_always_the_same(world: World) -> None:
    for number in range(6):
        world.wish["outputs"].append(world.host.output(f"{number}.pem"))
        leftover(world.host.out / f"{number}.pem")
    found = world.drift()
    assert found == world.drift()
    assert [os.path.basename(text.split(":")[0]) for text in found[:6]] == [f"{number}.pem" for number in range(6)]
    assert [os.path.basename(text).split(".")[1] for text in found[6:]] == [str(number) for number in range(6)]


def test_a_pending_request_of_the_live_pair_is_a_leftover(world: World) -> None:
    folder = Path(world.host.layout().pending)
    folder.mkdir(parents=True)
    (folder / "privkey.pem").write_text("half made")
    assert world.drift() == [f"{folder}: left over from an interrupted run"]
    world.host.repair(world.wish)
    assert not folder.exists() and world.drift() == []


def pkcs12_world(host: OneHost, pair: Pair, method: str, **ingredients: Any) -> World:
    world = World(host, host.wish(outputs=[host.output("app.p12", "pkcs12", method, **ingredients)]))
    _changed, answer = host.install(world.wish, pair)
    assert answer["error"] is None and world.drift() == []
    return world


@pytest.mark.parametrize("method", ["link", "copy"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"passphrase": "first"}),
        ({"passphrase": "first"}, {"passphrase": "second"}),
        ({"passphrase": "first"}, {}),
        ({"passphrase": "first", "anchors": "old"}, {"passphrase": "first", "anchors": "old+new"}),
        ({"profile": "modern"}, {"profile": "legacy"}),
        ({"passphrase": "first", "profile": "legacy"}, {"passphrase": "first", "profile": "modern"}),
    ],
)
def test_what_a_pkcs12_file_is_made_with(
    host: OneHost, pairs: list[Pair], shared_authority: Authority, before: Any, after: Any, method: str
) -> None:
    root, issuing = shared_authority.root.pem, shared_authority.issuing.pem
    texts = {"old": root, "old+new": root + issuing}
    known, wanted = (
        {field: texts.get(value, value) if field == "anchors" else value for field, value in each.items()}
        for each in (before, after)
    )
    world = pkcs12_world(host, pairs[0], method, **known)
    path = Path(world.wish["outputs"][0]["path"])
    content = path.read_bytes()
    world.wish["outputs"] = [host.output("app.p12", "pkcs12", method, **wanted)]
    assert world.drift() == [f"{path}: has another passphrase, other anchors or another profile"]
    changed, answer = host.repair(world.wish)
    assert changed and answer["error"] is None and world.drift() == [] and path.read_bytes() != content
    loaded = load_pkcs12(path.read_bytes(), wanted.get("passphrase", "").encode())
    roots = [each for each in loaded.additional_certs if each.certificate.subject.rfc4514_string() == "CN=Test root"]
    assert loaded.key is not None and len(roots) == ("anchors" in wanted)
    assert host.repair(world.wish)[0] is False


def test_a_manifest_tells_nobody_a_passphrase(host: OneHost, pairs: list[Pair]) -> None:
    world = pkcs12_world(host, pairs[0], "link", passphrase="hunter2")
    recorded = host.live("manifest.json").read_text()
    digests = {hashlib.sha256(text.encode()).hexdigest() for text in ("hunter2", '["hunter2", null]')}
    assert "hunter2" not in recorded and not any(each in recorded for each in digests)
    # The next pair has another key, so that not even its being the same shows.
    before = json.loads(recorded)["outputs"][str(host.out / "app.p12")]["ingredients"]
    host.install(world.wish, pairs[1])
    after = json.loads(host.live("manifest.json").read_text())["outputs"][str(host.out / "app.p12")]["ingredients"]
    assert before != after and world.drift() == []
