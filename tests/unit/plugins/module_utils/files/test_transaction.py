# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and transactions on a real file system: modes, links, full disks, the way back."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files import transaction as files
from ansible_collections.fleet.tls.tests.unit.support.one_host import state_of

ROOT = os.geteuid() == 0
NOBODY = "nobody"
as_root = pytest.mark.skipif(not ROOT, reason="only root gives files away")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A file cannot grow beyond ``size``: what comes first where no small disk can be mounted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[list[str]]:
    """Whatever in ``folder`` has content and can be read by group or others, at any moment that a thread gets to look."""
    seen: list[str] = []
    ending = threading.Event()

    def watch() -> None:
        while not ending.is_set():
            for entry in os.scandir(folder):
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_size and found.st_mode & 0o077:
                        seen.append("{0} {1:o}".format(entry.name, found.st_mode))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ending.set()
        thread.join()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mode", ["0600", "0640", "0644", "0400"])
def test_write_new_has_the_mode_asked_for_whatever_the_umask(tmp_path: Path, mask: int, mode: str) -> None:
    with umask(mask):
        files.write_new(str(tmp_path / "file"), b"content", mode=mode)
        files.make_directory(str(tmp_path / "a" / "b"), 0o700)
    assert mode_of(tmp_path / "file") == int(mode, 8)
    assert (tmp_path / "file").read_bytes() == b"content"
    assert [mode_of(tmp_path / each) for each in ("a", "a/b")] == [0o755, 0o700]


EACH_STEP = """
import os, stat, sys
sys.path[:0] = {path!r}
from ansible_collections.fleet.tls.plugins.module_utils.files import transaction as files
def hook(event, arguments):
    if event in ("os.chmod", "os.chown"):
        found = os.fstat(arguments[0])
        print(event, found.st_size, oct(stat.S_IMODE(found.st_mode)))
sys.addaudithook(hook)
os.umask(0)
files.write_new({file!r}, b"secret", {owner!r}, None, "0640")
"""


def test_mode_and_owner_come_before_content(tmp_path: Path) -> None:
    owner = NOBODY if ROOT else None
    script = EACH_STEP.format(path=[each for each in sys.path if each], file=str(tmp_path / "key"), owner=owner)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines() == [*(["os.chown 0 0o600"] if ROOT else []), "os.chmod 0 0o600"]


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_a_key_is_never_readable_by_others(tmp_path: Path, mask: int) -> None:
    path = str(tmp_path / "key")
    with umask(mask), watching(tmp_path) as seen:
        for number in range(60):
            files.replace_file(path, b"first %d" % number, mode="0600")
            transaction = files.Transaction()
            transaction.replace_file(path, b"second %d" % number, mode="0600")
            transaction.swap()
            transaction.rollback()
    assert seen == []


@as_root
@pytest.mark.parametrize(
    ("present", "wanted", "steps"),
    [
        ("0640", "0600", ["chmod 0o600", "chown"]),
        ("0644", "0640", ["chmod 0o640", "chown"]),
        ("0600", "0640", ["chown", "chmod 0o640"]),
        # A certificate that everybody reads goes on being read.
        ("0644", "0644", ["chown"]),
    ],
)
def test_a_new_owner_gets_no_right_that_is_not_to_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: str, wanted: str, steps: list[str]
) -> None:
    path = tmp_path / "key"
    files.write_new(str(path), b"secret", mode=present)
    seen: list[str] = []
    chmod, chown = os.chmod, os.chown
    monkeypatch.setattr(os, "chmod", lambda target, bits: (seen.append(f"chmod {bits:#o}"), chmod(target, bits)))
    monkeypatch.setattr(os, "chown", lambda *arguments: (seen.append("chown"), chown(*arguments)))
    drift = files.fix_metadata(str(path), NOBODY, None, wanted)
    assert seen == steps
    assert f"{path}: owner root, wanted nobody" in drift
    assert files.metadata_drift(str(path), NOBODY, None, wanted) == []
    assert files.fix_metadata(str(path), NOBODY, None, wanted) == [] and seen == steps


@as_root
def test_owner_and_group_by_name_and_number(tmp_path: Path) -> None:
    files.write_new(str(tmp_path / "a"), b"x", NOBODY, None)
    files.write_new(str(tmp_path / "b"), b"x", "12345", "54321")
    assert files.user_name((tmp_path / "a").stat().st_uid) == NOBODY
    found = (tmp_path / "b").stat()
    assert (found.st_uid, found.st_gid) == (12345, 54321)
    assert (files.user_name(12345), files.group_name(54321)) == ("12345", "54321")
    assert files.metadata_drift(str(tmp_path / "b"), "root", "54321", "0600") == [
        "{0}: owner 12345, wanted root".format(tmp_path / "b")
    ]


@pytest.mark.parametrize("name", ["no-such-user", "4294967295", "99999999999999", "²", "a\0b"])
def test_unknown_users_and_groups(tmp_path: Path, name: str) -> None:
    for owner, group in ((name, None), (None, name)):
        with pytest.raises(StepError) as caught:
            files.write_new(str(tmp_path / "file"), b"content", owner, group)
        assert caught.value.code == "unknown_user"
        assert name in caught.value.message and caught.value.remedy
    assert os.listdir(tmp_path) == []


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    path = tmp_path / "key"
    for name in (path, files.beside(str(path), "new"), files.beside(str(path), "old")):
        os.symlink(target, name)
    with pytest.raises(FileExistsError):
        files.write_new(str(path), b"secret")
    transaction = files.Transaction()
    transaction.replace_file(str(path), b"secret")
    transaction.swap()
    transaction.commit()
    files.replace_file(str(path), b"secret")
    assert target.read_text() == "precious"
    assert not path.is_symlink() and path.read_bytes() == b"secret"
    assert sorted(os.listdir(tmp_path)) == ["key", "target"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A file, a link, a link that leads nowhere."""
    folder = tmp_path / "tree"
    folder.mkdir()
    files.write_new(str(folder / "file"), b"old", mode="0640")
    os.symlink("file", folder / "link")
    os.symlink("nowhere", folder / "dangling")
    return folder


def everything(folder: Path) -> files.Transaction:
    """A transaction that does one of each."""
    transaction = files.Transaction()
    transaction.replace_file(str(folder / "file"), b"new", mode="0600")
    transaction.relink(str(folder / "link"), "elsewhere")
    transaction.replace_file(str(folder / "dangling"), b"was a link")
    transaction.replace_file(str(folder / "deep" / "added"), b"added")
    transaction.remove(str(folder / "never-was"))
    return transaction


def without_times(folder: Path) -> dict[str, tuple[Any, ...]]:
    return {path: each[:4] + each[5:] for path, each in state_of(folder).items() if not path.endswith("/deep")}


def test_a_transaction_is_seen_as_a_whole_or_not_at_all(tree: Path) -> None:
    before = without_times(tree)
    transaction = everything(tree)
    assert (tree / "file").read_bytes() == b"old" and os.readlink(tree / "link") == "file"
    transaction.swap()
    assert transaction.changed_paths == [str(tree / each) for each in "file link dangling deep/added never-was".split()]
    assert (tree / "file").read_bytes() == b"new" and mode_of(tree / "file") == 0o600
    assert os.readlink(tree / "link") == "elsewhere" and not (tree / "dangling").is_symlink()
    assert transaction.rollback() == []
    # The same inodes: content, owner, mode, links.
    assert without_times(tree) == before


def test_commit_leaves_nothing_beside(tree: Path) -> None:
    transaction = everything(tree)
    transaction.swap()
    transaction.remove(str(tree / "dangling"))
    transaction.swap()
    transaction.commit()
    found = {path.name for path in tree.rglob("*")}
    assert found == {"file", "link", "deep", "added"}
    assert transaction.rollback() == [] and (tree / "file").read_bytes() == b"new"


def test_a_removal_comes_back(tree: Path) -> None:
    before = without_times(tree)
    transaction = files.Transaction()
    for name in ("file", "link", "dangling"):
        transaction.remove(str(tree / name))
    transaction.swap()
    assert {name for name in os.listdir(tree) if not name.startswith(".")} == set()
    transaction.rollback()
    assert without_times(tree) == before


def test_what_was_only_staged_goes(tree: Path) -> None:
    before = without_times(tree)
    everything(tree).rollback()
    assert without_times(tree) == before


def test_a_swap_that_fails_half_way_undoes_itself(tree: Path) -> None:
    before = without_times(tree)
    transaction = everything(tree)
    os.unlink(files.beside(str(tree / "dangling"), "new"))
    with pytest.raises(StepError) as caught:
        transaction.swap()
    assert caught.value.code == "io" and str(tree / "dangling") in caught.value.message
    assert without_times(tree) == before


def test_what_cannot_be_put_back_costs_no_other_its_way_back(tree: Path) -> None:
    transaction = everything(tree)
    transaction.swap()
    os.unlink(files.beside(str(tree / "link"), "old"))
    (failed,) = transaction.rollback()
    assert str(tree / "link") in failed and "No such file" in failed
    assert (tree / "file").read_bytes() == b"old" and os.readlink(tree / "dangling") == "nowhere"


def test_a_directory_in_the_way(tree: Path) -> None:
    (tree / "here").mkdir()
    for stage in ("replace_file", "relink"):
        with pytest.raises(StepError) as caught:
            getattr(files.Transaction(), stage)(str(tree / "here"), b"x")
        assert "is a directory" in caught.value.message and caught.value.remedy


def test_leftovers_are_named_and_replaced(tree: Path) -> None:
    path = str(tree / "file")
    left = [files.beside(path, what) for what in ("new", "old")]
    assert files.leftovers(path) == []
    for name in left:
        Path(name).write_text("of a killed run")
    assert files.leftovers(path) == left
    assert all(os.path.basename(name).startswith(".") for name in left)
    transaction = files.Transaction()
    transaction.replace_file(path, b"new")
    transaction.swap()
    transaction.rollback()
    assert (tree / "file").read_bytes() == b"old" and files.leftovers(path) == []


def test_a_file_that_cannot_grow(tree: Path) -> None:
    before = without_times(tree)
    transaction = files.Transaction()
    transaction.relink(str(tree / "link"), "elsewhere")
    with largest_file(1024), pytest.raises(StepError) as caught:
        transaction.replace_file(str(tree / "file"), b"x" * 5000)
    assert caught.value.code == "io"
    transaction.rollback()
    assert without_times(tree) == before


FULL_DISK = """
import json, os, sys
sys.path[:0] = {path!r}
from ansible_collections.fleet.tls.plugins.module_utils.files import transaction as files
from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
folder = {folder!r}
files.write_new(folder + "/file", b"old")
with open(folder + "/filler", "wb", buffering=0) as filler:
    try:
        while filler.write(b"x" * 4096): pass
    except OSError: pass
transaction = files.Transaction()
transaction.relink(folder + "/link", "elsewhere")
try:
    transaction.replace_file(folder + "/file", b"y" * 20000)
except StepError as error:
    said = error.as_answer()
transaction.rollback()
with open(folder + "/file", "rb") as stream:
    print(json.dumps([said, sorted(os.listdir(folder)), stream.read().decode()]))
"""


def test_a_full_disk_leaves_everything_as_it_was(tmp_path: Path) -> None:
    import json

    script = FULL_DISK.format(path=[each for each in sys.path if each], folder=str(tmp_path))
    # Its own mount namespace: the small disk goes with the process.
    command = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3"'
    done = subprocess.run(
        ["unshare", "--mount", *([] if ROOT else ["--map-root-user"]), "sh", "-c", command, "sh", str(tmp_path)]
        + [sys.executable, script],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no file system can be mounted here")
    said, names, content = json.loads(done.stdout)
    assert said["code"] == "disk_full" and "no space left" in said["message"] and said["remedy"]
    assert (names, content) == (["file", "filler"], "old")


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
def test_without_the_right_to_write(tree: Path) -> None:
    tree.chmod(0o500)
    with pytest.raises(StepError) as caught:
        files.Transaction().replace_file(str(tree / "file"), b"new")
    tree.chmod(0o700)
    assert caught.value.code == "not_permitted" and "become" in caught.value.remedy
