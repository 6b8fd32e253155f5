# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Step ``challenge``: answers to http-01 challenges (RFC 8555, 8.3) as files below a web server's root.

The web root may belong to another user, who could put a link where a directory is expected: none is followed below it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error

FOLDERS = (".well-known", "acme-challenge")
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def challenge_step(request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Make or remove the files, as in docs/host-protocol.md; whether anything was changed, and an empty answer.

    :raises StepError: bad_input, no_webroot, or what keeps it from being done.
    """
    for each in request["files"]:
        if not TOKEN.fullmatch(each["token"]):
            raise StepError("bad_input", "a challenge's token has characters that no token has")
    present = request["state"] == "present"
    try:
        with folder(request["webroot"], present) as descriptor:
            changed = [put(descriptor, each) if present else remove(descriptor, each) for each in request["files"]]
    except FileNotFoundError:
        # Without the folder there is nothing to remove.
        changed = []
    except OSError as error:
        raise from_os_error(error, f"challenge files in {request['webroot']}") from None
    return any(changed), {}


@contextlib.contextmanager
def folder(webroot: str, make: bool) -> Iterator[int]:
    """A descriptor of the challenges' folder.

    :raises StepError: no_webroot; OSErrors as they come.
    """
    try:
        descriptor = os.open(webroot, DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        raise StepError(
            "no_webroot", f"there is no directory {webroot} on the host", "see the issuer's challenge.webroot"
        ) from None
    try:
        for name in FOLDERS:
            made = False
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=descriptor)
                    made = True
            inner = os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
            if made:
                # Whatever the umask: the web server has to get in. By the descriptor, as the name may be a link by now.
                os.fchmod(descriptor, 0o755)
        yield descriptor
    finally:
        os.close(descriptor)


def put(descriptor: int, wanted: dict[str, str]) -> bool:
    """One file, replaced as a whole; True."""
    remove(descriptor, wanted)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(wanted["token"], flags, 0o644, dir_fd=descriptor), "w", encoding="ascii") as stream:
        os.fchmod(stream.fileno(), 0o644)
        stream.write(wanted["content"])
    return True


def remove(descriptor: int, wanted: dict[str, str]) -> bool:
    """Whether there was a file to remove."""
    try:
        os.unlink(wanted["token"], dir_fd=descriptor)
    except FileNotFoundError:
        return False
    return True
