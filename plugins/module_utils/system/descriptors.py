# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File descriptors: as many as this process may have, while it needs them."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

# What Python, Ansible and the resolver open besides.
_SPARE = 48
_LEAST = 8


@contextlib.contextmanager
def many_descriptors(wanted: int) -> Iterator[int]:
    """So many descriptors, or as many as there can be: the soft limit goes up to the hard one where that helps, and back afterwards.

    :returns: how many there are, at least 8.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = soft
    needed = wanted + in_use() + _SPARE
    if soft != resource.RLIM_INFINITY and soft < needed:
        top = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))
            soft = top
    try:
        yield wanted if soft == resource.RLIM_INFINITY else max(_LEAST, min(wanted, soft - in_use() - _SPARE))
    finally:
        if soft != before:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def in_use() -> int:
    """How many are open; 64 where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 64
