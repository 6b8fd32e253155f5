# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What small files hold: read, digest, JSON.

Whoever owns a directory can put anything in a file's place: a pipe that nobody writes to, a device, a link to somebody else's file,
two sparse gigabytes. Everything that is read on a host is therefore read by :func:`read`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import (
    replace_file,
)

# Bytes: no configuration, bundle or CRL that a host works with is longer.
LONGEST = 64 * 2**20


class UnusableFile(OSError):
    """What is there is no regular file, or longer than any of ours."""


@contextlib.contextmanager
def regular_file(path: str, *, follow: bool = False) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """A regular file, open for reading, and what fstat(2) says of it. Nothing that may stand in its place is waited for.

    :param follow: whether a link in the last place is followed: for files that the system or the user names, never for ours.
    :raises OSError: ``UnusableFile``: a pipe, socket, device or directory; ELOOP: a link.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        # A socket, or a device without a driver.
        if error.errno in (errno.ENXIO, errno.ENODEV):
            raise UnusableFile(error.errno, "it is not a regular file", path) from None
        raise
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise UnusableFile(errno.EINVAL, "it is not a regular file", path)
    with os.fdopen(descriptor, "rb") as stream:
        yield stream, about


def read(path: str, *, follow: bool = False, longest: int = LONGEST) -> bytes:
    """A file's content; see :func:`regular_file`.

    :param longest: bytes; a longer one is refused before it is read.
    :raises OSError: ``UnusableFile``: no regular file, or longer.
    """
    with regular_file(path, follow=follow) as (stream, about):
        # Those of /proc have no size, and one that grows may outgrow it.
        content = stream.read(longest + 1) if about.st_size <= longest else b""
        if about.st_size > longest or len(content) > longest:
            raise UnusableFile(errno.EFBIG, f"it is longer than {longest // 2**20} MiB", path)
        return content


def read_text(path: str, *, follow: bool = False) -> str:
    """The same as text, whatever it is made of."""
    return read(path, follow=follow).decode(errors="replace")


def read_plain(path: str) -> bytes | None:
    """The content of a file as we install it; None: missing, or a link, pipe, or something too long stands in its place.

    What a link leads to has its owner and mode from somebody else.
    """
    try:
        return read(path)
    except (FileNotFoundError, UnusableFile):
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return None


def read_if_there(path: str) -> bytes | None:
    """A file's content; None: there is none."""
    try:
        return read(path)
    except FileNotFoundError:
        return None


def digest(data: bytes) -> str:
    """SHA-256, lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def as_json(content: dict[str, Any]) -> bytes:
    """A JSON file's content, the same for the same."""
    return json.dumps(content, indent=1, sort_keys=True).encode()


def write_json(path: str, content: dict[str, Any], mode: str = "0600") -> None:
    """Replace a JSON file durably."""
    replace_file(path, as_json(content), mode=mode)
