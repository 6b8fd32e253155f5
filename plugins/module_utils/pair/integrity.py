# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is the live pair what was installed? By digests; only a key that differs is looked into."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.content import digest, read_plain
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import CERT, FULLCHAIN, PRIVKEY, PUBLIC_FILES
from ansible_collections.fleet.tls.plugins.module_utils.tls.pem import fingerprint


def pair_problems(folder: str, manifest: dict[str, Any]) -> list[dict[str, str]]:
    """What of a generation cannot go on being used, in the form of ``problems`` in docs/host-protocol.md.

    :raises StepError: openssl_missing; OSErrors as they come.
    """
    return [*public_problems(folder, manifest), *key_problems(folder, manifest)]


def problem(code: str, detail: str) -> dict[str, str]:
    """An entry of ``problems``."""
    return {"code": code, "detail": detail}


def public_problems(folder: str, manifest: dict[str, Any]) -> list[dict[str, str]]:
    """Certificates that are missing or are not what was installed."""
    found = []
    for name in PUBLIC_FILES:
        path = os.path.join(folder, name)
        content = read_plain(path)
        if content is None:
            found.append(problem("damaged", f"{path} {what_instead(path)}"))
            continue
        if digest(content) != manifest["files"].get(name):
            what = "was changed" if name != FULLCHAIN or fingerprint(content) else "is no complete PEM certificate"
            found.append(problem("damaged", f"{path} {what}"))
    return found


def key_problems(folder: str, manifest: dict[str, Any]) -> list[dict[str, str]]:
    """A key that is missing or does not belong to the certificate."""
    path = os.path.join(folder, PRIVKEY)
    key = read_plain(path)
    if key is None:
        return [problem("key_missing", f"{path} {what_instead(path)}")]
    if digest(key) == manifest["files"].get(PRIVKEY):
        return []
    # Another form of the same key is no damage.
    from ansible_collections.fleet.tls.plugins.module_utils.pair.soundness import belongs

    try:
        same = belongs(key, read_plain(os.path.join(folder, CERT)) or b"")
    except StepError as error:
        if error.code == "openssl_missing":
            raise
        same = False
    if same:
        return []
    return [problem("key_mismatch", f"{path} was replaced: it does not belong to the certificate")]


def what_instead(path: str) -> str:
    """What stands where a file has to be, for people."""
    if not os.path.lexists(path):
        return "is missing"
    long = os.path.isfile(path) and not os.path.islink(path)
    return "is longer than any of ours" if long else "was replaced by something that is not a file"
