# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names as path components of the store."""

from __future__ import annotations

import hashlib
import re

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def safe(name: str) -> str:
    """A name as a path component of the store; two names never become one, which would share a key."""
    if SAFE.fullmatch(name):
        return name
    return f"x{UNSAFE.sub('-', name)[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
