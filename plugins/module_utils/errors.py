# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong on a host, in the form the controller understands."""

from __future__ import annotations

import errno


class StepError(Exception):
    """Something a step could not do.

    :param code: one word for programs, see docs/host-protocol.md.
    :param message: what is wrong, for people, one sentence without a full stop.
    :param remedy: what to do about it.
    """

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy

    def as_answer(self) -> dict[str, str]:
        """JSON-ready."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


def from_os_error(error: OSError, what: str) -> StepError:
    """An operating system's error in our words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StepError(
            "disk_full",
            f"{what}: no space left on the host",
            "free some space and run again; nothing was lost",
        )
    where = f" ({error.filename})" if error.filename else ""
    message = f"{what}: {error.strerror or error}{where}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return StepError("not_permitted", message, "does the task need become: true?")
    if error.errno == errno.EROFS:
        return StepError("not_permitted", message, "name a directory on a file system that can be written to")
    return StepError("io", message)
