# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs that were killed left in Ansible's temporary directory: our modules with all that they were told, secrets among it.

Secrets go through a pipe wherever the connection can (``plugin_utils/hosts/steps.py``). Where it cannot, the next run removes what is left.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat

OURS = re.compile(r"AnsiballZ_host_(look|apply|configure|prove|files|several)\.py")
# As Ansible names them: the moment, the process id, a random number.
TEMPORARY = re.compile(r"ansible-tmp-[0-9.]+-[0-9]+-[0-9]+")
# Seconds; longer than any step may take, so that none of it can be in use.
OLD = 4 * 3600.0


def remove_leftovers(own: str, now: float) -> list[str]:
    """Remove temporary directories of old modules of this collection; what cannot be removed stays.

    :param own: the temporary directory of the module that is running: what is removed lies beside it and has the same owner.
    :param now: seconds since the epoch.
    :returns: their paths.
    """
    own = own.rstrip("/")
    if not TEMPORARY.fullmatch(os.path.basename(own)):
        return []
    removed = []
    with contextlib.suppress(OSError):
        owner = os.lstat(own).st_uid
        for entry in os.scandir(os.path.dirname(own)):
            if entry.path != own and is_leftover(entry, owner, now):
                shutil.rmtree(entry.path, ignore_errors=True)
                removed.append(entry.path)
    return removed


def is_leftover(entry: os.DirEntry[str], owner: int, now: float) -> bool:
    """Whether an entry is a directory of ours that no run uses any more."""
    found = entry.stat(follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or now - found.st_mtime < OLD:
        return False
    names = os.listdir(entry.path) if TEMPORARY.fullmatch(entry.name) else []
    return bool(names) and all(OURS.fullmatch(name) for name in names)
