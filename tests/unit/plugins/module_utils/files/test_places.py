# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths that lead through other users' directories: root goes where those users may go, and nowhere else, whenever they swap what is there."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files import transaction as files
from ansible_collections.fleet.tls.plugins.module_utils.files.places import (
    Walk,
    directory,
    make_directory,
    refuse_unsafe,
    remove_if_there,
    remove_tree,
)
from ansible_collections.fleet.tls.tests.unit.support.one_host import OneHost
from ansible_collections.fleet.tls.tests.unit.support.tls_servers import Authority

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has power to lend, and files to give away")
MALLORY, OTHER = "nobody", "daemon"
RACE_SECONDS = 1.5
# renameat2(2).
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def of(user: str, path: Path) -> Path:
    """Made, if need be, and given to a user."""
    if not path.is_symlink():
        path.mkdir(exist_ok=True)
    account = pwd.getpwnam(user)
    os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return path


def link_of(user: str, path: Path, target: str | Path) -> Path:
    path.symlink_to(target)
    return of(user, path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory of Mallory's, below root's."""
    tmp_path.chmod(0o755)
    return of(MALLORY, tmp_path / "home")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A directory of root's with a key that is root's alone."""
    (tmp_path / "www").mkdir(0o755)
    files.write_new(str(tmp_path / "www" / "privkey.pem"), b"secret", mode="0600")
    return tmp_path / "www"


def refused(path: Path) -> str:
    with pytest.raises(StepError) as caught:
        refuse_unsafe(str(path / "file"))
    assert caught.value.code == "unsafe_path" and caught.value.remedy
    return caught.value.message


def test_what_root_s_own_directories_lead_to(tmp_path: Path, home: Path) -> None:
    """Whoever owns the last one; links of root's are followed; what is not there yet is no hindrance."""
    (tmp_path / "link").symlink_to(home)
    (tmp_path / "relative").symlink_to("../" + tmp_path.name + "/home")
    inner = of(MALLORY, home / "certs")
    link_of(MALLORY, home / "current", "certs")
    link_of(MALLORY, home / "absolute", inner)
    ways = [tmp_path, home, tmp_path / "link", tmp_path / "relative", inner, home / "current", home / "absolute"]
    for way in [*ways, home / "certs" / ".." / "certs", tmp_path / "none"]:
        refuse_unsafe(str(way / "file"))


def test_what_another_user_can_steer(tmp_path: Path, home: Path, secret: Path) -> None:
    message = refused(link_of(MALLORY, home / "link", secret))
    assert "unsafe path transition" in message and str(home) in message and MALLORY in message
    assert str(secret) in message and "root" in message
    refused(link_of(MALLORY, home / "relative", "../www"))
    (home / "made-by-root").mkdir()
    assert str(home / "made-by-root") in refused(home / "made-by-root")
    refused(of(OTHER, home / "another-s"))
    # By a link alone, as anybody may have one in /tmp.
    (tmp_path / "tmp").mkdir(0o1777)
    assert str(tmp_path / "tmp" / "link") in refused(link_of(MALLORY, tmp_path / "tmp" / "link", secret))
    # Through a directory of Mallory's, and by its parent out of it.
    refused(home / ".." / "www")
    with pytest.raises(OSError, match="symbolic links"), directory(str(link_of(MALLORY, home / "loop", "loop"))):
        pass


def test_what_is_made_below_a_user_s_directory_is_that_user_s(home: Path) -> None:
    before = os.umask(0o077)
    try:
        for _run in range(2):
            make_directory(str(home / "a" / "b"), 0o750)
    finally:
        os.umask(before)
    found = [(home / each).stat() for each in ("a", "a/b")]
    assert [(pwd.getpwuid(each.st_uid).pw_name, each.st_mode & 0o777) for each in found] == [
        (MALLORY, 0o755),
        (MALLORY, 0o750),
    ]


def test_a_directory_that_was_put_in_the_place_of_a_new_one_is_not_given_away(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "root-s").mkdir(0o700)
    (home / "root-s" / "file").touch(0o600)
    mkdir = os.mkdir

    def swapped(name: str, mode: int, *, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        os.rmdir(name, dir_fd=dir_fd)
        os.rename("root-s", name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", swapped)
    with pytest.raises(StepError, match="unsafe path"):
        make_directory(str(home / "new"), 0o755)
    found = (home / "new").stat()
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o700)


@contextlib.contextmanager
def swapping(place: Path, target: Path) -> Iterator[None]:
    """At any moment a directory of Mallory's, or a link of hers, with nothing in between."""
    of(MALLORY, place)
    other = link_of(MALLORY, place.with_name("other"), target)
    exchange = ctypes.CDLL(None, use_errno=True).renameat2
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            if exchange(AT_FDCWD, bytes(place), AT_FDCWD, bytes(other), RENAME_EXCHANGE):
                # It was removed, as was asked for.
                with contextlib.suppress(OSError):
                    of(MALLORY, other if place.is_symlink() else place)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def replace(path: str) -> None:
    files.replace_file(path, b"another", MALLORY)


def swap_in(path: str) -> None:
    transaction = files.Transaction()
    try:
        transaction.replace_file(path, b"another", MALLORY)
        transaction.swap()
    except StepError:
        transaction.rollback()
        raise
    transaction.commit()


def go_back(path: str) -> None:
    transaction = files.Transaction()
    transaction.replace_file(path, b"another", MALLORY)
    with contextlib.suppress(StepError):
        transaction.swap()
    transaction.rollback()


def give(path: str) -> None:
    files.fix_metadata(path, MALLORY, None, "0644")


def remove_all(path: str) -> None:
    remove_tree(os.path.dirname(path))


@pytest.mark.parametrize("work", [replace, swap_in, go_back, give, remove_if_there, remove_all])
def test_a_parent_that_is_swapped_all_the_time(home: Path, secret: Path, work: Callable[[str], None]) -> None:
    key = secret / "privkey.pem"
    before = [(each.name, each.read_bytes(), each.stat().st_uid, each.stat().st_mode) for each in secret.iterdir()]
    refusals = rounds = 0
    with swapping(home / "certs", secret):
        end = time.monotonic() + RACE_SECONDS
        while time.monotonic() < end:
            rounds += 1
            try:
                work(str(home / "certs" / key.name))
            except StepError:
                refusals += 1
            except OSError:
                pass
    assert rounds > 20
    after = [(each.name, each.read_bytes(), each.stat().st_uid, each.stat().st_mode) for each in secret.iterdir()]
    assert after == before


def test_a_file_with_another_name_is_not_given_away(home: Path, secret: Path) -> None:
    """As it may have where the kernel does not forbid such links (fs.protected_hardlinks)."""
    os.link(secret / "privkey.pem", home / "privkey.pem")
    with pytest.raises(OSError, match="with only this name"):
        give(str(home / "privkey.pem"))
    link_of(MALLORY, home / "link", secret / "privkey.pem")
    with pytest.raises(OSError):
        give(str(home / "link"))
    assert (secret / "privkey.pem").stat().st_uid == 0


def test_an_ordinary_user_goes_where_the_system_permits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "made-by-root").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    refuse_unsafe(str(home / "made-by-root" / "file"))


def test_no_descriptor_stays_open(home: Path, secret: Path) -> None:
    link_of(MALLORY, home / "link", secret)
    (home / "file").touch()
    before = sorted(os.listdir("/proc/self/fd"))
    for path in (home / "link", home / "file" / "x", home / "none" / "x", home):
        with contextlib.suppress(StepError):
            refuse_unsafe(str(path / "file"))
    with contextlib.suppress(OSError):
        Walk(str(home / "none")).go(None)
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def host(tmp_path: Path) -> OneHost:
    tmp_path.chmod(0o755)
    return OneHost(tmp_path / "host")


def test_a_service_s_copy_in_its_own_directory(host: OneHost, authority: Authority) -> None:
    """Installed, found right, repaired and renewed there."""
    of(MALLORY, host.out)
    wish = host.wish(outputs=[host.output("deep/app.pem", method="copy", owner=MALLORY)])
    assert host.install(wish, authority.issue("www"))[1]["error"] is None
    assert host.look_at(wish)["drift"] == []
    (host.out / "deep" / "app.pem").write_text("mine")
    assert host.look_at(wish)["drift"]
    assert host.apply(host.repair_entry(wish))[1]["certificates"]["www"]["error"] is None
    assert host.look_at(wish)["drift"] == []
    assert host.install(wish, authority.issue("www"))[1]["error"] is None
    assert (host.out / "deep" / "app.pem").stat().st_uid == pwd.getpwnam(MALLORY).pw_uid


def test_a_copy_s_directory_becomes_a_link_to_another_s_live_pair(host: OneHost, authority: Authority) -> None:
    mallory = host.wish(
        "mallory", outputs=[host.output("certs/privkey.pem", form="privkey", method="copy", owner=MALLORY)]
    )
    of(MALLORY, host.out)
    assert host.install(host.wish(), authority.issue("www"))[1]["error"] is None
    assert host.install(mallory, authority.issue("mallory"))[1]["error"] is None
    os.rename(host.out / "certs", host.out / "away")
    link_of(MALLORY, host.out / "certs", host.layout().live)
    key = host.live("privkey.pem")
    before = key.read_bytes(), key.stat()
    seen = host.look_at(mallory)
    assert seen["error"]["code"] == "unsafe_path" and str(host.out) in seen["error"]["message"]
    for entry in (host.repair_entry(mallory), host.install_entry(mallory, authority.issue("mallory"))):
        _changed, answer = host.apply(entry, secrets={"mallory": authority.issue("mallory").key.read_text()})
        assert answer["certificates"]["mallory"]["error"]
    assert (key.read_bytes(), key.stat().st_uid, key.stat().st_ino) == (before[0], 0, before[1].st_ino)


def test_the_collection_s_directory_below_a_user_s(host: OneHost, tmp_path: Path) -> None:
    """Root's directories below are refused, and nothing is removed by a link that leads out."""
    of(MALLORY, host.folder)
    host.tls.mkdir()
    seen = host.look_at(host.wish())
    assert seen["error"]["code"] == "unsafe_path" and str(host.folder) in seen["error"]["message"]
    with pytest.raises(StepError, match="unsafe path transition"):
        host.apply(host.repair_entry(host.wish()))
    precious = tmp_path / "generations" / "www" / "1"
    precious.mkdir(parents=True)
    (precious / "file").touch()
    of(MALLORY, host.tls)
    link_of(MALLORY, host.tls / "generations", tmp_path / "generations")
    host.layout().prune(1)
    assert (precious / "file").exists()
