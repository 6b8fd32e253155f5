# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content for OpenSSL, which opens files by their paths: in memory, so that it is on no disk and nothing else can be in its place."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def in_memory(content: bytes) -> Iterator[int]:
    """A descriptor that a child can read ``content`` from; it is in no file, on no command line and in no environment."""
    descriptor = os.memfd_create("content")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            stream.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def private_file(content: bytes) -> Iterator[str]:
    """A path at which this process finds ``content`` as long as the context lasts: in memory where the system can, else 0600 and removed."""
    if hasattr(os, "memfd_create"):
        with in_memory(content) as descriptor:
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.NamedTemporaryFile(prefix="fleet-tls-") as named:
        named.write(content)
        named.flush()
        yield named.name
