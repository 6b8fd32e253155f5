# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What small files hold: read, digest, JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import (
    replace_file,
)


def read(path: str) -> bytes:
    """A file's content."""
    with open(path, "rb") as stream:
        return stream.read()


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
