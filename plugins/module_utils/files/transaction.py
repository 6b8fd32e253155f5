# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on a host: modes before content, whole or not at all, and a transaction that can be undone.

A file is never written in place. New content goes to a file beside it that is created 0600, gets its owner and mode while it is
still empty, and then takes the old one's place by rename(2). The names beside it are fixed, so that the leftovers of a killed
run are found and replaced by the next one. All of it happens in a directory that is open, see ``places.py``.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable, Optional

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.places import (
    make_directory,
    place,
    remove_if_there,
    sync_directory,
)

if TYPE_CHECKING:
    from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals

Name = Optional[str]


def user_id(owner: Name) -> int:
    """A user's number; -1 for None: as it is.

    :raises StepError: unknown_user.
    """
    if owner is None:
        return -1
    try:
        return number_of(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
    except (KeyError, ValueError):
        raise StepError("unknown_user", f"there is no user '{owner}' on the host", "create it first") from None


def group_id(group: Name) -> int:
    """A group's number; -1 for None: as it is.

    :raises StepError: unknown_user.
    """
    if group is None:
        return -1
    try:
        return number_of(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        raise StepError("unknown_user", f"there is no group '{group}' on the host", "create it first") from None


def number_of(text: str) -> int:
    """A user's or group's number.

    :raises ValueError: chown(2) would not take it, or would take it for "as it is".
    """
    number = int(text)
    if number >= 2**32 - 1:
        raise ValueError(text)
    return number


def write_new(path: str, data: bytes, owner: Name = None, group: Name = None, mode: str = "0600") -> None:
    """Create a file durably; owner and mode are right before there is content.

    :param mode: octal text.
    :raises FileExistsError: there is something at ``path``; other OSErrors as they come.
    """
    with place(path) as (folder, name):
        create(folder, name, data, owner, group, mode)


def create(folder: int, name: str, data: bytes, owner: Name, group: Name, mode: str) -> None:
    """:func:`write_new` in a directory that is open."""
    uid, gid = user_id(owner), group_id(group)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            apply_metadata(stream.fileno(), uid, gid, int(mode, 8))
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
        raise


def apply_metadata(target: int, uid: int, gid: int, bits: int) -> None:
    """Of an open file: owner, then mode (a change of owner may clear bits); only what differs, so an ordinary user may keep its own."""
    present = os.stat(target)
    if (uid not in (-1, present.st_uid)) or (gid not in (-1, present.st_gid)):
        # Not for an instant may the new owner's group, or others, have a right that they are not to keep; nor may those who
        # keep theirs be without it.
        if stat.S_IMODE(present.st_mode) & ~bits:
            os.chmod(target, stat.S_IMODE(present.st_mode) & bits)
        os.chown(target, uid, gid)
    if stat.S_IMODE(os.stat(target).st_mode) != bits:
        os.chmod(target, bits)


def replace_file(path: str, data: bytes, owner: Name = None, group: Name = None, mode: str = "0600") -> None:
    """Write a file as a whole in the place of what is there; errors as :func:`write_new`."""
    with place(path) as (folder, name):
        temporary = beside(name, "new")
        unlink(folder, temporary)
        create(folder, temporary, data, owner, group, mode)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)


def unlink(folder: int, name: str) -> None:
    """Remove a file or link of a directory that is open, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def relink(path: str, target: str) -> None:
    """A symbolic link in the place of what is there; errors as :func:`write_new`."""
    with place(path) as (folder, name):
        unlink(folder, beside(name, "new"))
        os.symlink(target, beside(name, "new"), dir_fd=folder)
        os.rename(beside(name, "new"), name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)


def metadata_drift(path: str, owner: Name, group: Name, mode: str) -> list[str]:
    """How owner, group and mode of a file differ from the wanted, for people; empty: not at all.

    :raises StepError: unknown_user.
    """
    present = os.lstat(path)
    found = []
    bits = stat.S_IMODE(present.st_mode)
    if bits != int(mode, 8):
        found.append(f"{path}: mode {bits:04o}, wanted {mode}")
    if user_id(owner) not in (-1, present.st_uid):
        found.append(f"{path}: owner {user_name(present.st_uid)}, wanted {owner}")
    if group_id(group) not in (-1, present.st_gid):
        found.append(f"{path}: group {group_name(present.st_gid)}, wanted {group}")
    return found


def fix_metadata(path: str, owner: Name, group: Name, mode: str) -> list[str]:
    """Put owner, group and mode of a file right; returns what differed.

    :raises OSError: it is not a regular file, or has another name as well: then it may be somebody else's.
    """
    drift = metadata_drift(path, owner, group, mode)
    if drift:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        with place(path) as (folder, name):
            with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as stream:
                about = os.fstat(stream.fileno())
                if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
                    raise OSError(errno.EMLINK, "it is not a file with only this name", path)
                apply_metadata(stream.fileno(), user_id(owner), group_id(group), int(mode, 8))
    return drift


def user_name(uid: int) -> str:
    """A user's name, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """A group's name, or the number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def beside(path: str, what: str) -> str:
    """A hidden name in the same directory; servers that read whole directories pass over hidden files."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.fleet-tls-{what}")


def leftovers(path: str) -> list[str]:
    """What a killed run left beside a file."""
    return [name for name in (beside(path, "new"), beside(path, "old")) if os.path.lexists(name)]


def undo_killed(path: str, *, back: bool) -> None:
    """Clear up beside a path after a run that was killed before it kept its changes.

    :param back: whether what that run took away is put back.
    """
    if back:
        with contextlib.suppress(FileNotFoundError), place(path) as (folder, name):
            os.rename(beside(name, "old"), name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
    for name in leftovers(path):
        remove_if_there(name)


def link_target(path: str) -> str | None:
    """Where a symbolic link points; None: there is none."""
    try:
        return os.readlink(path)
    except OSError:
        return None


class Transaction:
    """Changes that are staged first, made together, and can be undone until they are kept.

    Staging (``replace_file``, ``relink``, ``remove``) writes new content beside the old and may fail (full disk, no rights)
    with nothing changed. ``swap`` only renames. ``rollback`` renames back what was there: same inode, so same content,
    owner and mode. ``commit`` removes the old ones.

    :param originals: keeps what is not ours before it is replaced or removed; None: all paths are ours by their names.
    """

    def __init__(self, originals: Originals | None = None) -> None:
        self.originals = originals
        self.staged: list[tuple[str, bool]] = []
        self.done: list[str] = []
        self.replaced: set[str] = set()
        self.shared: set[str] = set()
        self.claimed: list[str] = []
        self.given_up: list[str] = []

    def replace_file(self, path: str, data: bytes, owner: Name = None, group: Name = None, mode: str = "0600") -> None:
        """Stage new content for ``path``.

        :raises StepError: disk_full, not_permitted, unknown_user, io.
        """
        self.stage(path, lambda folder, temporary: create(folder, temporary, data, owner, group, mode))

    def relink(self, path: str, target: str) -> None:
        """Stage a symbolic link at ``path``; errors as :meth:`replace_file`."""
        self.stage(path, lambda folder, temporary: os.symlink(target, temporary, dir_fd=folder))

    def remove(self, path: str) -> None:
        """Stage the removal of ``path``."""
        self.staged.append((path, False))

    def share(self, path: str) -> None:
        """What is at ``path`` is somebody else's and, but for a block of ours, stays as it is: there is nothing to keep."""
        self.shared.add(path)

    def give_up(self, path: str) -> None:
        """``path`` is left as it is, and is ours no longer."""
        self.given_up.append(path)

    def give_back(self, path: str) -> None:
        """Stage what lay at ``path`` before we wrote there; where that was nothing, its removal. It is ours no longer.

        :raises StepError: as :meth:`replace_file`.
        """
        kept = self.originals.kept(path) if self.originals else None
        if kept is None:
            self.remove(path)
        else:
            name = os.path.basename(kept)
            # A second name again, so that it is still kept when this is undone.
            self.stage(
                path,
                lambda folder, new: os.link(name, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False),
            )
        self.give_up(path)

    def stage(self, path: str, make: Callable[[int, str], None]) -> None:
        """Let ``make`` create what shall take the place of ``path``, in a directory that is open, under a name."""
        with self.translated(path):
            if os.path.isdir(path) and not os.path.islink(path):
                raise StepError("io", f"{path} is a directory", "name a file, or remove the directory")
            make_directory(os.path.dirname(path), 0o755)
            with place(path) as (folder, name):
                unlink(folder, beside(name, "new"))
                make(folder, beside(name, "new"))
        self.staged.append((path, True))

    def swap(self) -> None:
        """Make all staged changes; when one fails, those made are undone.

        :raises StepError: as staging.
        """
        try:
            self.claim()
            for path, present in self.staged:
                with self.translated(path):
                    self.swap_one(path, present)
            for directory in {os.path.dirname(path) for path in self.done}:
                with self.translated(directory), contextlib.suppress(FileNotFoundError):
                    sync_directory(directory)
        except StepError as error:
            error.message = "; ".join([error.message, *self.rollback()])
            raise
        except BaseException:
            self.rollback()
            raise
        self.staged = []

    def claim(self) -> None:
        """Keep what somebody else has put where something of ours is to be; errors as :meth:`Originals.claim`."""
        if self.originals:
            spared = {*self.shared, *self.given_up}
            taken = [path for path, present in self.staged if present or os.path.lexists(path)]
            self.claimed += self.originals.claim(path for path in taken if path not in spared)

    def swap_one(self, path: str, present: bool) -> None:
        """Give what is there now a second name, and its place to what was staged, or to nothing."""
        try:
            with place(path) as (folder, name):
                old = beside(name, "old")
                unlink(folder, old)
                with contextlib.suppress(FileNotFoundError):
                    os.link(name, old, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
                    self.replaced.add(path)
                self.done.append(path)
                if present:
                    os.rename(beside(name, "new"), name, src_dir_fd=folder, dst_dir_fd=folder)
                else:
                    unlink(folder, name)
        except FileNotFoundError:
            # Where there is no directory there is nothing to remove.
            if present or path in self.done:
                raise
            self.done.append(path)

    def rollback(self) -> list[str]:
        """Undo everything that was made, and what was only staged; what one path refuses costs no other its way back.

        :returns: what could not be put back, for people.
        """
        failed = {}
        for path in reversed(self.done):
            try:
                self.put_back(path)
            except (OSError, StepError) as error:
                why = error.message if isinstance(error, StepError) else error.strerror
                failed[path] = f"{path} could not be put back: {why}"
        for path, _present in self.staged:
            with contextlib.suppress(OSError, StepError):
                remove_if_there(beside(path, "new"))
        if self.originals and self.claimed:
            self.originals.forget(path for path in self.claimed if path not in failed)
        self.end()
        return list(failed.values())

    def put_back(self, path: str) -> None:
        """What was at ``path`` before."""
        if path in self.replaced:
            # rename(2) does nothing between two names of one inode, so the name has to go in any case.
            with place(path) as (folder, name):
                os.rename(beside(name, "old"), name, src_dir_fd=folder, dst_dir_fd=folder)
                unlink(folder, beside(name, "old"))
        else:
            remove_if_there(path)

    def commit(self) -> None:
        """Keep everything; the old ones go."""
        for path in self.replaced:
            remove_if_there(beside(path, "old"))
        if self.originals and self.given_up:
            self.originals.forget(self.given_up)
        self.end()

    def end(self) -> None:
        """There is nothing more to be undone."""
        self.staged, self.done, self.replaced = [], [], set()
        self.claimed, self.given_up = [], []

    @property
    def changed_paths(self) -> list[str]:
        """What was changed and is not yet kept, in order."""
        return list(self.done)

    @staticmethod
    @contextlib.contextmanager
    def translated(path: str) -> Iterator[None]:
        """The operating system's errors in our words."""
        try:
            yield
        except OSError as error:
            raise from_os_error(error, f"writing {path}") from error
