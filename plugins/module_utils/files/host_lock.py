# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writing step at a time on a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.places import make_directory, place

LOCK_SECONDS = 60.0
LOCK = ".lock"


@contextlib.contextmanager
def host_lock(directory: str, wait: float = LOCK_SECONDS) -> Iterator[None]:
    """One writing step at a time on a host; the kernel ends the lock with its holder.

    :param wait: seconds.
    :raises StepError: busy; or the directory cannot be made.
    """
    end = time.monotonic() + wait
    descriptor = opened(directory)
    try:
        acquire(descriptor, end, wait)
        while not is_current(descriptor, directory):
            # Whoever held it has retired the host, and the file with it.
            os.close(descriptor)
            descriptor = opened(directory)
            acquire(descriptor, end, wait)
        yield
    finally:
        os.close(descriptor)


def opened(directory: str) -> int:
    """The lock file's descriptor.

    :raises StepError: it cannot be made.
    """
    try:
        make_directory(directory, 0o755)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with place(os.path.join(directory, LOCK)) as (folder, name):
            return os.open(name, flags, 0o600, dir_fd=folder)
    except OSError as error:
        raise from_os_error(error, f"preparing {directory}") from error


def acquire(descriptor: int, end: float, wait: float) -> None:
    """Take the lock.

    :param end: until when it is waited for, by the monotonic clock; ``wait``: how long that is from the beginning.
    :raises StepError: busy.
    """
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise StepError(
                    "busy",
                    f"another run has worked on this host for {wait:g} s",
                    "wait until it has ended, then run again",
                ) from None
            time.sleep(0.05)


def is_current(descriptor: int, directory: str) -> bool:
    """Whether the lock that is held is the one that others come to."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(os.path.join(directory, LOCK)))
    except OSError:
        return False
