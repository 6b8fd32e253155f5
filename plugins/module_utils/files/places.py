# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories by descriptor: what a path leads to is decided once, a component at a time, and nothing is written anywhere else.

Whoever owns a directory can put anything in the place of what is below it, a link to another user's directory say, and root would
write, remove and give away files there. So root follows a path that an ordinary user can steer only to a directory of that same user:

- Every directory and every link on the way that belongs to an ordinary user (not to root) is steered by that user.
- The directory that a path leads to has to belong to all who steer it; else ``unsafe_path`` names the component. systemd-tmpfiles
  (``CHASE_SAFE``) and sshd (``StrictModes``) have rules like it. A service's output in its user's own directory is fine.
- A directory that is made below an ordinary user's belongs to that user as well, so that the next run finds what it may use.

An ordinary user, who has no power to lend, may go wherever the system permits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shutil
import stat
from collections.abc import Iterator

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError

ROOT = 0
MOST_LINKS = 40
COMPONENT = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Walk:
    """A way down from the root directory.

    :ivar here: descriptor (O_PATH) of where it is now.
    :ivar at: the same as a path.
    :ivar steered: the directories and links of ordinary users on the way: user's number → the first one.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.here = os.open("/", COMPONENT)
        self.at = "/"
        self.steered: dict[int, str] = {}
        self.owner = self.group = ROOT
        self.links = 0
        # The next component comes last.
        self.waiting = os.path.join(os.getcwd(), path).split("/")[::-1]

    def go(self, make: int | None) -> None:
        """To the end.

        :param make: mode of the last directory where it has to be made; those above it get 0755. None: nothing is made.
        :raises StepError: unsafe_path. OSErrors as they come.
        """
        while self.waiting:
            name = self.waiting.pop()
            if name not in ("", "."):
                last = not any(each not in ("", ".") for each in self.waiting)
                self.enter(name, make if last or make is None else 0o755)
        self.refuse_steered()

    def enter(self, name: str, make: int | None) -> None:
        """One component, which may be a link."""
        try:
            below = os.open(name, COMPONENT, dir_fd=self.here)
        except FileNotFoundError:
            if make is None:
                raise
            self.make(name, make)
            below = os.open(name, COMPONENT, dir_fd=self.here)
        about = os.fstat(below)
        at = os.path.join(self.at, name)
        if about.st_uid != ROOT:
            self.steered.setdefault(about.st_uid, at)
        if stat.S_ISLNK(about.st_mode):
            self.follow(below)
        elif stat.S_ISDIR(about.st_mode):
            self.move(below, at)
            self.owner, self.group = about.st_uid, about.st_gid
        else:
            os.close(below)
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), at)

    def follow(self, link: int) -> None:
        """Where a link leads comes next."""
        try:
            target = os.readlink("", dir_fd=link)
        finally:
            os.close(link)
        self.links += 1
        if self.links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.path)
        self.waiting += target.split("/")[::-1]
        if target.startswith("/"):
            self.move(os.open("/", COMPONENT), "/")
            self.owner = self.group = ROOT

    def move(self, descriptor: int, at: str) -> None:
        """Be somewhere else."""
        os.close(self.here)
        self.here, self.at = descriptor, at

    def make(self, name: str, mode: int) -> None:
        """A directory, whatever the umask; below an ordinary user's it is that user's."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self.here)
            made = os.open(name, DIRECTORY, dir_fd=self.here)
            try:
                # Another one could have been put in its place, which would be given away.
                if os.fstat(made).st_uid == os.geteuid() and not os.listdir(made):
                    if self.owner != ROOT and os.geteuid() == ROOT:
                        with contextlib.suppress(PermissionError):  # a server of files may not let root
                            os.chown(made, self.owner, self.group)
                    os.chmod(made, mode)
            finally:
                os.close(made)

    def refuse_steered(self) -> None:
        """:raises StepError: unsafe_path."""
        for user, component in self.steered.items():
            if user != self.owner and os.geteuid() == ROOT:
                raise StepError(
                    "unsafe_path",
                    f"unsafe path transition: {self.path} leads through {component}, which belongs to {named(user)},"
                    f" to {self.at}, which belongs to {named(self.owner)}",
                    f"give {component} to root or {self.at} to {named(user)}, or name another path; nothing was written there",
                )


def named(user: int) -> str:
    """A user for people."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


@contextlib.contextmanager
def directory(path: str, make: int | None = None) -> Iterator[int]:
    """A descriptor of a directory.

    :param make: as in :meth:`Walk.go`.
    :raises StepError: unsafe_path. OSErrors as they come.
    """
    walk = Walk(path)
    try:
        walk.go(make)
        opened = os.open(".", DIRECTORY, dir_fd=walk.here)
    finally:
        os.close(walk.here)
    try:
        yield opened
    finally:
        os.close(opened)


@contextlib.contextmanager
def place(path: str) -> Iterator[tuple[int, str]]:
    """The directory that ``path`` is in, as a descriptor, and its name there; errors as :func:`directory`."""
    folder, name = os.path.split(path)
    with directory(folder) as descriptor:
        yield descriptor, name


def refuse_unsafe(*paths: str) -> None:
    """Before anything is made: whether files may be put at these paths. A directory that is not there yet is no hindrance.

    :raises StepError: unsafe_path.
    """
    for folder in {os.path.dirname(path) for path in paths}:
        with contextlib.suppress(OSError), directory(folder):
            pass


def make_directory(path: str, mode: int) -> None:
    """Make a directory and those above it, whatever the umask; what exists keeps its mode. Errors as :func:`directory`."""
    with directory(path, make=mode):
        pass


def sync_directory(path: str) -> None:
    """Make renames in a directory durable."""
    with directory(path) as descriptor:
        os.fsync(descriptor)


def remove_if_there(path: str) -> None:
    """Remove a file or link."""
    with contextlib.suppress(FileNotFoundError), place(path) as (descriptor, name):
        os.unlink(name, dir_fd=descriptor)


def remove_tree(path: str) -> None:
    """Remove a directory with all that is in it, as far as that can be done. No link is followed, neither above nor below it."""
    with contextlib.suppress(OSError, StepError), place(path) as (descriptor, name):
        shutil.rmtree(f"/proc/self/fd/{descriptor}/{name}", ignore_errors=True)


def remove_all(path: str) -> None:
    """Remove what lies at a path, a directory with all that is in it as :func:`remove_tree` does; errors as :func:`directory`."""
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    else:
        remove_if_there(path)


def remove_directory(path: str) -> None:
    """Remove a directory, unless anything is in it."""
    with contextlib.suppress(OSError, StepError), place(path) as (descriptor, name):
        os.rmdir(name, dir_fd=descriptor)
