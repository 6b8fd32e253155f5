# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has drifted around a pair that is good: owners, modes, outputs, leftovers."""

from __future__ import annotations

import hmac
import json
import os
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.files.content import digest, read_plain
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import leftovers, link_target, metadata_drift
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import (
    MANIFEST,
    PRIVKEY,
    PUBLIC_FILES,
    PUBLIC_MODE,
    Layout,
    output_file,
)


def drift(layout: Layout, number: int, entry: dict[str, Any], manifest: dict[str, Any]) -> list[str]:
    """Owners, modes, outputs and leftovers that are not as they have to be, for people."""
    folder = layout.generation(number)
    found: list[str] = []
    for name in (PRIVKEY, *PUBLIC_FILES):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and not os.path.islink(path):
            mode = entry["mode"] if name == PRIVKEY else PUBLIC_MODE
            found += metadata_drift(path, entry["owner"], entry["group"], mode)
    recorded = manifest["outputs"]
    for output in entry["outputs"]:
        found += output_drift(layout, folder, output, recorded.get(output["path"]))
    wanted = {output["path"] for output in entry["outputs"]}
    found += [f"{path}: no longer wanted" for path in recorded if path not in wanted]
    left = left_behind(layout, number, entry, manifest)
    if os.path.lexists(layout.pending):
        from ansible_collections.fleet.tls.plugins.module_utils.pair.pending import is_leftover, pending_request

        if is_leftover(pending_request(layout), manifest):
            left.append(layout.pending)
    return found + [f"{name}: left over from an interrupted run" for name in left]


def left_behind(layout: Layout, number: int, entry: dict[str, Any], manifest: dict[str, Any]) -> list[str]:
    """What a killed transaction left beside any path that one may have been about; some of it may be keys."""
    outputs = list(dict.fromkeys([*(output["path"] for output in entry["outputs"]), *manifest["outputs"]]))
    folder = layout.generation(number)
    inside = [os.path.join(folder, name) for name in (MANIFEST, *map(output_file, outputs))]
    return [name for path in [layout.live, *outputs, *inside] for name in leftovers(path)]


def output_drift(layout: Layout, folder: str, output: dict[str, Any], recorded: dict[str, Any] | None) -> list[str]:
    """One output: a link to its file in the generation, or a copy of it."""
    found = content_drift(layout, folder, output, recorded)
    return found or metadata_drift(content_path(folder, output), output["owner"], output["group"], output["mode"])


def content_path(folder: str, output: dict[str, Any]) -> str:
    """Where the file of an output is: in the generation, or (a copy) at its own place."""
    return os.path.join(folder, output_file(output["path"])) if output["method"] == "link" else str(output["path"])


def content_drift(layout: Layout, folder: str, output: dict[str, Any], recorded: dict[str, Any] | None) -> list[str]:
    """The same without its owner and mode."""
    path = output["path"]
    if not recorded or (recorded.get("format"), recorded.get("method")) != (output["format"], output["method"]):
        return [f"{path}: not there yet"]
    if output["method"] == "link" and link_target(path) != os.path.join(layout.live, output_file(path)):
        return [f"{path}: does not link to the live certificate"]
    file = content_path(folder, output)
    content = read_plain(file)
    if content is None:
        return [f"{path}: missing"]
    if digest(content) != recorded.get("sha256"):
        return [f"{path}: is not made of the live certificate"]
    key = read_plain(os.path.join(folder, PRIVKEY))
    if key is not None and recorded.get("ingredients") != ingredients_digest(output, key):
        return [f"{path}: has another passphrase, other anchors or another profile"]
    return []


def ingredients_digest(output: dict[str, Any], key: bytes) -> str | None:
    """What tells a file's passphrase, anchors and profile from others, which the file itself, made with a salt, does not; None: it has
    none. Manifests are for everybody to read: keyed with the private key, it lets nobody try passphrases who could not read that.
    """
    made_with = [output.get("passphrase"), output.get("anchors")]
    # Not for those of the usual one: their digests stand in manifests.
    made_with += ["legacy"] if output.get("profile") == "legacy" else []
    return hmac.new(key, json.dumps(made_with).encode(), "sha256").hexdigest() if any(made_with) else None


def is_ours(layout: Layout, path: str, recorded: dict[str, Any]) -> bool:
    """Whether a path still has what was put there as an output; what somebody else put there is left alone."""
    if recorded.get("method") == "link":
        return link_target(path) == os.path.join(layout.live, output_file(path))
    content = read_plain(path)
    return content is not None and digest(content) == recorded.get("sha256")
