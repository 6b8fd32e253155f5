# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a certificate lives on a host, and what its files are made of. The layout is in docs/inside.md."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import Any, NamedTuple

from ansible_collections.fleet.tls.plugins.module_utils.files.content import digest, read
from ansible_collections.fleet.tls.plugins.module_utils.files.places import remove_tree
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import (
    link_target,
)

PRIVKEY, CERT, CHAIN, FULLCHAIN, MANIFEST = "privkey.pem", "cert.pem", "chain.pem", "fullchain.pem", "manifest.json"
PUBLIC_FILES = (CERT, CHAIN, FULLCHAIN)
PUBLIC_MODE = "0644"


class Layout(NamedTuple):
    """The places of one certificate below the collection's directory on the host."""

    directory: str
    name: str

    @property
    def live(self) -> str:
        """The link to the generation in use."""
        return os.path.join(self.directory, "live", self.name)

    @property
    def generations(self) -> str:
        """The directory of all generations."""
        return os.path.join(self.directory, "generations", self.name)

    @property
    def pending(self) -> str:
        """The directory of a key that waits for its certificate."""
        return os.path.join(self.directory, "pending", self.name)

    def generation(self, number: int) -> str:
        """The directory of one generation."""
        return os.path.join(self.generations, str(number))

    def target(self, number: int) -> str:
        """What the live link says for a generation."""
        return os.path.join("..", "generations", self.name, str(number))

    def current(self) -> int | None:
        """The number of the live generation; None: no link, or one that is not ours."""
        target = link_target(self.live) or ""
        number = generation_number(os.path.basename(target))
        return number if number is not None and target == self.target(number) else None

    def numbers(self) -> list[int]:
        """All generations there are, oldest first."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            numbers = (generation_number(name) for name in os.listdir(self.generations))
            return sorted(number for number in numbers if number is not None)
        return []

    def manifest(self, number: int) -> dict[str, Any] | None:
        """The manifest of a generation; None: there is none that can be read and has the form of one."""
        try:
            found = json.loads(read(os.path.join(self.generation(number), MANIFEST)))
        except (OSError, ValueError):
            return None
        return found if is_manifest(found) else None

    def prune(self, keep: int) -> None:
        """Remove what a killed staging left, and all but the newest ``keep`` generations; never the live one."""
        live = self.current()
        complete = [number for number in self.numbers() if self.manifest(number) is not None]
        kept = {live, *complete[-keep:]}
        if live is not None:
            # The one before the live one is what a roll-back by hand needs, more than one that never was live.
            kept = {live, *[number for number in complete if number < live][-(keep - 1) :]} if keep > 1 else {live}
        for number in self.numbers():
            if number not in kept:
                remove_tree(self.generation(number))


def generation_number(name: str) -> int | None:
    """The number that a generation's directory has for its name; None: it is not one of ours."""
    return int(name) if re.fullmatch("[1-9][0-9]{0,8}", name) else None


def is_manifest(found: Any) -> bool:
    """Whether what was read has the parts that the host itself goes by."""
    if not isinstance(found, dict) or not isinstance(found.get("fingerprint"), str):
        return False
    outputs = found.get("outputs")
    if not isinstance(found.get("files"), dict) or not isinstance(outputs, dict):
        return False
    return all(isinstance(each, dict) for each in outputs.values())


def output_file(path: str) -> str:
    """The name that an output has inside a generation."""
    return f"output-{digest(path.encode())[:12]}"
