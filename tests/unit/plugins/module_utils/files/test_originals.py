# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody has at a path of ours is kept, once, and comes back; on a real file system, with kills and disks that are full."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals, kept_path
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import Transaction, leftovers
from ansible_collections.fleet.tls.tests.unit.support.killed import run_killed

THEIRS, OURS = b"-----BEGIN PRIVATE KEY-----\ntheirs\n", b"ours"


class World:
    """A host's directory, and a path where somebody's file lies."""

    def __init__(self, folder: Path) -> None:
        self.tls, self.path = folder / "tls", folder / "out" / "site.key"
        self.path.parent.mkdir(parents=True)
        self.tls.mkdir()
        self.path.write_bytes(THEIRS)
        self.path.chmod(0o640)
        self.inode = self.path.stat().st_ino

    @property
    def kept(self) -> Path:
        return Path(kept_path(str(self.path)))

    @property
    def originals(self) -> Originals:
        return Originals(str(self.tls))

    @property
    def record(self) -> dict[str, str | None]:
        return dict(json.loads((self.tls / "originals.json").read_text()))

    def swapped(self, content: bytes = OURS) -> Transaction:
        transaction = Transaction(self.originals)
        transaction.replace_file(str(self.path), content)
        transaction.swap()
        return transaction

    def write(self, content: bytes = OURS) -> None:
        self.swapped(content).commit()

    def give_back(self) -> None:
        transaction = Transaction(self.originals)
        transaction.give_back(str(self.path))
        transaction.swap()
        transaction.commit()

    def assert_theirs(self) -> None:
        """As it was before anything of ours came, and nothing is left over."""
        found = self.path.stat()
        assert (self.path.read_bytes(), found.st_ino, found.st_nlink) == (THEIRS, self.inode, 1)
        assert stat.S_IMODE(found.st_mode) == 0o640
        assert [each.name for each in self.path.parent.iterdir()] == [self.path.name]
        assert not (self.tls / "originals.json").exists() or self.record == {}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_first_foreign_file_is_kept_once_and_comes_back(world: World) -> None:
    assert world.originals.foreign([str(world.path)]) == {str(world.path): str(world.kept)}
    world.write()
    assert world.path.read_bytes() == OURS and world.kept.stat().st_ino == world.inode
    assert world.record == {str(world.path): str(world.kept)}
    # Edited by hand, and by a tool that writes a new file: it is ours all the same.
    world.path.write_bytes(b"edited")
    assert world.originals.foreign([str(world.path)]) == {}
    world.path.unlink()
    world.path.write_bytes(b"new")
    before = (world.tls / "originals.json").stat().st_ino
    world.write(b"ours again")
    assert world.kept.read_bytes() == THEIRS and world.path.read_bytes() == b"ours again"
    assert (world.tls / "originals.json").stat().st_ino == before
    world.give_back()
    world.assert_theirs()


def test_where_nothing_lay_nothing_is_kept_and_nothing_comes_back(world: World) -> None:
    world.path.unlink()
    world.write()
    world.write(b"renewed")
    assert world.record == {str(world.path): None} and not world.kept.exists()
    world.give_back()
    assert list(world.path.parent.iterdir()) == [] and world.record == {}
    # Given up, it is somebody's who puts something there.
    world.path.write_bytes(b"somebody's")
    world.write()
    assert world.kept.read_bytes() == b"somebody's"


def test_what_is_kept_already_is_never_replaced(world: World) -> None:
    world.write()
    # All that we knew is gone, and so our own file is a stranger.
    (world.tls / "originals.json").unlink()
    assert world.originals.foreign([str(world.path)]) == {}
    world.write(b"renewed")
    assert world.kept.read_bytes() == THEIRS and world.path.read_bytes() == b"renewed"
    world.give_back()
    world.assert_theirs()


def test_what_is_undone_was_never_kept(world: World) -> None:
    assert world.swapped().rollback() == []
    world.assert_theirs()
    world.path.unlink()
    assert world.swapped().rollback() == []
    assert list(world.path.parent.iterdir()) == [] and world.record == {}


def test_giving_back_can_be_undone(world: World) -> None:
    world.write()
    transaction = Transaction(world.originals)
    transaction.give_back(str(world.path))
    transaction.swap()
    assert world.path.stat().st_ino == world.inode
    assert transaction.rollback() == []
    assert world.path.read_bytes() == OURS and world.kept.read_bytes() == THEIRS
    assert world.record == {str(world.path): str(world.kept)} and leftovers(str(world.path)) == []
    world.give_back()
    world.assert_theirs()


def test_a_file_that_is_removed_is_kept_as_well(world: World) -> None:
    transaction = Transaction(world.originals)
    transaction.remove(str(world.path))
    transaction.remove(str(world.path) + "-that-is-not-there")
    transaction.swap()
    transaction.commit()
    assert not world.path.exists() and world.kept.read_bytes() == THEIRS
    assert world.record == {str(world.path): str(world.kept)}


def test_a_link_is_kept_as_the_link_that_it_is(world: World) -> None:
    target = world.tls.parent / "theirs.pem"
    target.write_bytes(THEIRS)
    world.path.unlink()
    world.path.symlink_to(target)
    world.write()
    assert os.readlink(world.kept) == str(target) and target.read_bytes() == THEIRS
    assert not world.path.is_symlink() and world.path.read_bytes() == OURS
    world.give_back()
    assert os.readlink(world.path) == str(target) and target.stat().st_nlink == 1


def test_a_pipe_is_kept_and_nobody_waits_for_it(world: World) -> None:
    world.path.unlink()
    os.mkfifo(world.path)
    world.write()
    assert stat.S_ISFIFO(world.kept.lstat().st_mode) and world.path.read_bytes() == OURS


@pytest.mark.parametrize("path", ["the output", "what is kept"])
def test_a_directory_is_refused_and_nothing_changes(world: World, path: str) -> None:
    transaction = Transaction(world.originals)
    if path == "the output":
        world.path.unlink()
        world.path.mkdir()
    else:
        world.kept.mkdir()
    with pytest.raises(StepError, match="is a directory"):
        transaction.replace_file(str(world.path), OURS)
        transaction.swap()
    transaction.rollback()
    assert world.path.is_dir() or world.path.read_bytes() == THEIRS
    assert leftovers(str(world.path)) == [] and not (world.tls / "originals.json").exists()


def test_a_link_to_what_is_ours_is_nobody_elses(world: World) -> None:
    live = world.tls / "live" / "www"
    live.mkdir(parents=True)
    world.path.unlink()
    world.path.symlink_to(live / "output-1")
    assert world.originals.foreign([str(world.path)]) == {}
    # Replaced by a copy, it is no link any more and ours still.
    world.write()
    world.write(b"renewed")
    assert not os.path.lexists(world.kept) and world.record == {str(world.path): None}


def test_below_our_own_directory_all_is_ours(world: World) -> None:
    own = world.tls / "bundle.pem"
    own.write_bytes(b"old")
    transaction = Transaction(world.originals)
    transaction.replace_file(str(own), OURS)
    transaction.swap()
    transaction.commit()
    assert sorted(each.name for each in world.tls.iterdir()) == ["bundle.pem"]


def test_a_path_of_another_spelling_is_the_same_path(world: World) -> None:
    world.write()
    (world.tls.parent / "alias").symlink_to(world.path.parent)
    alias = world.tls.parent / "alias" / world.path.name
    assert world.originals.foreign([str(alias)]) == {}
    assert world.originals.kept(str(alias)) == str(world.kept)


@pytest.mark.parametrize("record", [None, "{", "[]", '{"a'])
def test_without_a_record_the_older_ones_say_what_is_ours(world: World, record: str | None) -> None:
    """As on a host that was deployed before there was one: its own old keys must not be kept as somebody's."""
    generation, services = world.tls / "generations" / "www" / "1", world.tls / "services"
    generation.mkdir(parents=True)
    services.mkdir()
    (world.tls / "live").mkdir()
    (world.tls / "live" / "www").symlink_to(generation)
    (generation / "manifest.json").write_text(json.dumps({"outputs": {str(world.path): {"format": "privkey"}}}))
    site = world.path.parent / "site.conf"
    site.write_text("ours")
    (services / "nginx.json").write_text(json.dumps({str(site): "0" * 64}))
    (services / "damaged.json").write_text("{")
    if record is not None:
        (world.tls / "originals.json").write_text(record)
    stranger = world.path.parent / "stranger"
    stranger.write_text("theirs")
    paths = [str(world.path), str(site), str(stranger)]
    assert list(world.originals.foreign(paths)) == [str(stranger)]
    world.originals.claim(paths)
    assert world.record == {paths[0]: None, paths[1]: None, paths[2]: kept_path(paths[2])}


def test_a_full_disk_changes_nothing(world: World) -> None:
    """The file itself still fits, what is recorded of it does not."""
    transaction = Transaction(world.originals)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(OURS), limits[1]))
    try:
        transaction.replace_file(str(world.path), OURS)
        with pytest.raises(StepError, match="keeping what lies at"):
            transaction.swap()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    world.assert_theirs()


def killed_everywhere(folder: Path, work: Callable[[World], None], prepare: Callable[[World], None]) -> Iterator[World]:
    """Worlds in which it was killed, each a change later."""
    number = 0
    while True:
        number += 1
        world = World(folder / str(number))
        prepare(world)
        if run_killed(partial(work, world), number, folder):
            assert number > 5
            return
        yield world


def test_killed_while_it_is_taken(tmp_path: Path) -> None:
    """At any moment the file is whole, in its place or kept; whoever goes on, or gives up, finds it."""
    for world in killed_everywhere(tmp_path, World.write, lambda _world: None):
        whole = [each for each in (world.path, world.kept) if each.exists() and each.stat().st_ino == world.inode]
        assert whole and all(each.read_bytes() == THEIRS for each in whole)
        assert world.path.read_bytes() in (THEIRS, OURS)
        taken = world.path.read_bytes() == OURS
        world.originals.tidy()
        # Where nothing came of it, it is theirs still, also when nobody asks for it any more.
        assert bool(world.originals.foreign([str(world.path)])) != taken
        world.write(b"renewed")
        assert world.path.read_bytes() == b"renewed" and world.kept.stat().st_ino == world.inode
        for each in leftovers(str(world.path)):
            os.unlink(each)
        world.give_back()
        world.assert_theirs()


def test_killed_while_it_comes_back(tmp_path: Path) -> None:
    for world in killed_everywhere(tmp_path, World.give_back, World.write):
        assert world.path.exists()
        assert world.path.read_bytes() == THEIRS or world.kept.read_bytes() == THEIRS
        for each in leftovers(str(world.path)):
            os.unlink(each)
        world.originals.tidy()
        if world.path.read_bytes() == OURS:
            world.give_back()
        world.assert_theirs()
