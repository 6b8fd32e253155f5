# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step trust, with Debian's own update-ca-certificates where the machine has it, on directories of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.services.trust_stores import (
    STORES,
    TrustStore,
    find_trust_store,
)
from ansible_collections.fleet.tls.plugins.module_utils.steps.trust import trust_step
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import find_program
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority

# Merges as p11-kit does: every file of the directory, hidden ones as well. Fails where told to, and notes that it was called.
MERGE = """
import pathlib, sys
source, bundle = map(pathlib.Path, sys.argv[1:])
with open(source.parent / "calls", "a") as calls:
    calls.write("merged\\n")
if (source.parent / "fail").exists():
    sys.exit("the disk of the bundle is on fire")
if not (source.parent / "idle").exists():
    bundle.write_text("# theirs\\n" + "".join(path.read_text() for path in sorted(source.iterdir())))
"""


@dataclass
class World:
    """A host with a trust store of its own."""

    root: Path
    store: TrustStore
    anchors: list[dict[str, str]]

    def run(self, *chosen: int, **changes: Any) -> tuple[bool, dict[str, Any]]:
        request = {
            "directory": str(self.root / "fleet-tls"),
            "anchors": [self.anchors[number] for number in chosen],
            "system": True,
            "bundles": [],
            "services": [],
            "check": False,
        }
        return trust_step({**request, **changes}, [self.store])

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in Path(self.store.directory).iterdir())

    @property
    def merged(self) -> str:
        return Path(self.store.bundle).read_text()

    def calls(self) -> int:
        path = self.root / "calls"
        count = len(path.read_text().split()) if path.exists() else 0
        path.unlink(missing_ok=True)
        return count


@pytest.fixture(scope="module")
def anchors(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    pems = [Authority(tmp_path_factory.mktemp(name)).root.pem for name in ("one", "two")]
    return [{"name": f"ca-{number}", "comment": f"# CA {number}", "pem": pem} for number, pem in enumerate(pems)]


@pytest.fixture
def world(tmp_path: Path, anchors: list[dict[str, str]]) -> World:
    source, bundle = tmp_path / "anchors", tmp_path / "bundle.pem"
    source.mkdir()
    (source / "theirs.pem").write_text("# theirs\n")
    merge = tmp_path / "merge.py"
    merge.write_text(MERGE)
    update = (sys.executable, str(merge), str(source), str(bundle))
    return World(tmp_path, TrustStore("test", str(source), str(source), ".pem", update, str(bundle)), anchors)


def test_anchors_are_written_and_merged_once(world: World) -> None:
    changed, answer = world.run(0, 1)
    assert changed and answer["family"] == "test" and answer["error"] is None
    assert world.files == ["fleet-tls-ca-0.pem", "fleet-tls-ca-1.pem", "theirs.pem"]
    assert all(anchor["pem"] in world.merged for anchor in world.anchors)
    assert world.calls() == 1
    changed, answer = world.run(0, 1)
    assert not changed and answer["changed_paths"] == [] and world.calls() == 0


def test_an_anchor_that_is_no_longer_wanted_is_gone_from_the_merged_bundle(world: World) -> None:
    world.run(0, 1)
    changed, answer = world.run(1)
    assert changed and answer["changed_paths"] == [str(Path(world.store.directory) / "fleet-tls-ca-0.pem")]
    assert world.files == ["fleet-tls-ca-1.pem", "theirs.pem"]
    assert world.anchors[0]["pem"] not in world.merged and world.anchors[1]["pem"] in world.merged


def test_what_a_killed_run_left_beside_an_anchor_is_removed(world: World) -> None:
    world.run(0)
    left = Path(world.store.directory) / ".fleet-tls-ca-9.pem.fleet-tls-old"
    left.write_text(world.anchors[1]["pem"])
    assert world.run(0)[0] is True
    assert not left.exists() and world.anchors[1]["pem"] not in world.merged


@pytest.mark.parametrize("kill", ["before the merge", "before the record"])
def test_a_killed_run_is_made_good(world: World, kill: str) -> None:
    world.run(0, 1)
    world.calls()
    if kill == "before the merge":
        # Removed, but not merged: only the record knows.
        (Path(world.store.directory) / "fleet-tls-ca-0.pem").unlink()
    else:
        (world.root / "fleet-tls" / "services" / "system-trust-store.json").unlink()
    assert world.run(1)[0] is True and world.calls() == 1
    assert world.anchors[0]["pem"] not in world.merged
    assert world.run(1)[0] is False


def test_a_merge_that_somebody_undid_is_done_again(world: World) -> None:
    world.run(0)
    Path(world.store.bundle).write_text("# theirs\n")
    changed, answer = world.run(0)
    assert changed and answer["changed_paths"] == [] and world.anchors[0]["pem"] in world.merged


@pytest.mark.parametrize(("trouble", "code"), [("fail", "trust_update_failed"), ("idle", "not_trusted")])
def test_a_merge_that_fails_puts_our_files_back(world: World, trouble: str, code: str) -> None:
    world.run(0)
    (world.root / trouble).touch()
    with pytest.raises(StepError) as caught:
        world.run(1)
    assert caught.value.code == code and "are as they were before" in caught.value.message
    if trouble == "fail":
        assert "the disk of the bundle is on fire" in caught.value.message
        assert "it was failing already before this change" in caught.value.message
    assert world.files == ["fleet-tls-ca-0.pem", "theirs.pem"]
    (world.root / trouble).unlink()
    assert world.run(1)[0] is True


def test_check_mode_tells_and_touches_nothing(world: World) -> None:
    changed, answer = world.run(0, check=True)
    assert changed and answer["diff"][0]["after"] == world.anchors[0]["pem"]
    assert world.files == ["theirs.pem"] and world.calls() == 0 and not (world.root / "fleet-tls").exists()


def test_bundles_hold_all_anchors_with_their_comments(world: World) -> None:
    path = world.root / "new" / "bundle.pem"
    bundle = {"path": str(path), "owner": None, "group": None, "mode": "0640"}
    changed, answer = world.run(0, 1, system=None, bundles=[bundle])
    assert changed and answer["family"] is None and answer["changed_paths"] == [str(path)]
    first, second = world.anchors
    assert path.read_text() == f"{first['comment']}\n{first['pem']}{second['comment']}\n{second['pem']}"
    assert path.stat().st_mode & 0o777 == 0o640
    assert world.run(0, 1, system=None, bundles=[bundle])[0] is False
    assert world.files == ["theirs.pem"]


def test_somebodys_file_where_a_bundle_is_to_be(world: World) -> None:
    path = world.root / "bundle-of-theirs.pem"
    kept = world.root / ".bundle-of-theirs.pem.before-fleet-tls"
    bundle = {"path": str(path), "owner": None, "group": None, "mode": "0644"}
    path.write_text("-----BEGIN PRIVATE KEY-----\ntheirs\n")
    path.chmod(0o600)
    inode, told = path.stat().st_ino, {str(path): str(kept)}
    changed, answer = world.run(0, system=None, bundles=[bundle], check=True)
    assert changed and answer["kept_files"] == told and str(kept) in answer["diff"][0]["before_header"]
    assert "theirs\n" not in str(answer["diff"]) and path.stat().st_nlink == 1
    # Where the services refuse, it is theirs again.
    refusing = service(world.root, "false")
    _changed, answer = world.run(0, system=None, bundles=[bundle], services=[refusing])
    assert answer["error"] and answer["kept_files"] == {} and (path.stat().st_ino, path.stat().st_nlink) == (inode, 1)
    changed, answer = world.run(0, system=None, bundles=[bundle])
    assert changed and answer["kept_files"] == told
    assert (kept.stat().st_ino, kept.stat().st_mode & 0o777) == (inode, 0o600)
    # Other anchors: no service has a record of the bundle, and it is ours.
    changed, answer = world.run(0, 1, system=None, bundles=[bundle])
    assert changed and answer["kept_files"] == {} and kept.stat().st_ino == inode
    assert world.run(0, 1, system=None, bundles=[bundle])[0] is False


@pytest.mark.parametrize("planted", ["a pipe", "two sparse gigabytes"])
def test_what_a_service_s_user_puts_in_the_place_of_a_bundle(world: World, planted: str) -> None:
    path = world.root / "bundle-of-a-service.pem"
    bundle = {"path": str(path), "owner": None, "group": None, "mode": "0644"}
    if planted == "a pipe":
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, 2 * 2**30)
    _changed, answer = world.run(0, system=False, bundles=[bundle], check=True)
    assert answer["diff"][0]["before"].startswith("(it is ")
    changed, _answer = world.run(0, system=False, bundles=[bundle])
    assert changed and path.read_text() == f"{world.anchors[0]['comment']}\n{world.anchors[0]['pem']}"


def service(root: Path, validate: str = "true") -> dict[str, Any]:
    """A service whose reload leaves a line."""
    return {
        "name": "reader",
        "preset": None,
        "validate": ["sh", "-c", validate],
        "reload": ["sh", "-c", f"echo reloaded >> {root}/reloads"],
        "check": None,
        "endpoints": [],
    }


def test_services_are_reloaded_when_a_bundle_changed_and_only_then(world: World) -> None:
    reloads, bundle = (
        world.root / "reloads",
        {"path": str(world.root / "b.pem"), "owner": None, "group": None, "mode": "0644"},
    )

    def run(*chosen: int):  # type: ignore[no-untyped-def]
        return world.run(*chosen, system=False, bundles=[bundle], services=[service(world.root)])

    changed, answer = run(0)
    assert changed and answer["services"]["reader"]["state"] == "reloaded" and reloads.read_text() == "reloaded\n"
    assert run(0)[0] is False and reloads.read_text() == "reloaded\n"
    (world.root / "fleet-tls" / "services" / "reader.json").unlink()  # killed before the record
    assert run(0)[0] is True and reloads.read_text() == "reloaded\n" * 2


@pytest.mark.parametrize("check", [True, False])
def test_a_service_that_nobody_can_reload_is_refused_before_anything_is_written(world: World, check: bool) -> None:
    bundle = {"path": str(world.root / "b.pem"), "owner": None, "group": None, "mode": "0644"}
    with pytest.raises(StepError, match="nobody says how it is reloaded") as caught:
        world.run(0, bundles=[bundle], services=[{**service(world.root), "reload": None}], check=check)
    assert caught.value.code == "cannot_reload" and not (world.root / "b.pem").exists()


def test_a_service_that_refuses_gets_its_old_bundle_back(world: World) -> None:
    path = world.root / "b.pem"
    bundle = {"path": str(path), "owner": None, "group": None, "mode": "0644"}
    world.run(0, system=False, bundles=[bundle])
    before = path.read_text()
    check = f"grep -q {world.anchors[0]['pem'].split()[-3]} {path} || {{ echo no CA 0; exit 1; }}"
    _changed, answer = world.run(1, system=False, bundles=[bundle], services=[service(world.root, check)])
    assert answer["error"]["code"] == "validate_failed" and "no CA 0" in answer["error"]["message"]
    assert "the bundles are as they were before" in answer["error"]["message"]
    assert path.read_text() == before and not (world.root / "reloads").exists()


@pytest.mark.parametrize("how", [{"system": False, "chosen": (0,)}, {"system": True, "chosen": ()}])
def test_the_last_anchor_goes_as_well(world: World, how: dict[str, Any]) -> None:
    ours = Path(world.store.path("ca-0"))
    assert world.run(0)[0] is True and world.anchors[0]["pem"] in world.merged
    assert world.run(*how["chosen"], system=None)[0] is False and ours.exists()
    assert world.run(*how["chosen"], system=how["system"], check=True)[0] is True and ours.exists()
    changed, answer = world.run(*how["chosen"], system=how["system"])
    assert changed and answer["family"] == "test" and answer["changed_paths"] == [str(ours)] and not ours.exists()
    assert world.anchors[0]["pem"] not in world.merged
    world.calls()
    assert world.run(*how["chosen"], system=how["system"])[0] is False and world.calls() == 0


def test_nothing_to_remove_on_a_host_without_a_store(world: World) -> None:
    world.store = replace(world.store, marker="/nonexistent")
    changed, answer = world.run(system=False)
    assert not changed and answer["family"] is None


def test_no_anchor_and_no_store_are_refused(world: World) -> None:
    with pytest.raises(StepError, match="no trust anchor"):
        world.run(bundles=[{"path": str(world.root / "ca.pem"), "owner": None, "group": None, "mode": "0644"}])
    world.store = replace(world.store, marker="/nonexistent")
    with pytest.raises(StepError, match=r"no system trust store that is known \(test\)"):
        world.run(0)


FAMILIES: dict[str, Callable[[str], bool]] = {
    "suse": lambda path: path.startswith("/etc/pki/trust"),
    "redhat": lambda path: path.startswith("/etc/pki/ca-trust"),
    "debian": lambda path: path in ("/usr/share/ca-certificates", "/usr/local/share/ca-certificates"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_told_by_its_directories_and_programs(tmp_path: Path, family: str) -> None:
    """Each family's own directories alone are there, and its program."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    stores = []
    for store in STORES:
        marker = tmp_path / store.marker.lstrip("/")
        if FAMILIES[family](store.marker):
            marker.mkdir(parents=True)
        stores.append(replace(store, marker=str(marker), update=(str(program),)))
    found = find_trust_store(stores)
    assert found is not None and found.family == family
    assert find_trust_store([replace(store, update=("/nonexistent",)) for store in stores]) is None


@pytest.mark.skipif(not find_program("update-ca-certificates"), reason="this machine has no update-ca-certificates")
def test_with_the_real_program_of_debian(world: World, tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("localcertsdir", "etccertsdir", "certsdir", "hooksdir")}
    for place in places.values():
        place.mkdir()
    conf = tmp_path / "ca-certificates.conf"
    # An empty one would make the program start from scratch every time, which on a host it does not.
    conf.write_text("# nothing of Debian's own\n")
    options = [text for name, place in places.items() for text in (f"--{name}", str(place))]
    world.store = TrustStore(
        family="debian",
        marker=str(places["certsdir"]),
        directory=str(places["localcertsdir"]),
        suffix=".crt",
        update=("update-ca-certificates", "--certsconf", str(conf), *options),
        bundle=str(places["etccertsdir"] / "ca-certificates.crt"),
        links=str(places["etccertsdir"]),
    )
    assert world.run(0, 1)[0] is True and world.run(0, 1)[0] is False
    leaf = tmp_path / "ca.pem"
    leaf.write_text(world.anchors[0]["pem"])
    verify = ["openssl", "verify", "-CApath", str(places["etccertsdir"]), "-no-CAfile", str(leaf)]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    (places["etccertsdir"] / "theirs.pem").symlink_to("/nowhere")
    assert world.run(1)[0] is True
    assert subprocess.run(verify, capture_output=True, check=False).returncode != 0
    dangling = [path.name for path in places["etccertsdir"].iterdir() if path.is_symlink() and not path.exists()]
    assert dangling == ["theirs.pem"]
    assert world.anchors[0]["pem"] not in world.merged and world.anchors[1]["pem"] in world.merged
    # The last one: of nothing at all, the program makes no bundle, and leaves the old one where it is.
    assert world.run()[0] is True and world.run()[0] is False
    assert not Path(world.store.bundle).exists()
