# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a service has taken: what lets a run tell a finished change from one that was killed before the reload.

``<directory>/services/<name>.json`` holds path → digest of what was there when the service had taken it. It is written last,
so a file that differs from its entry, or has none, is one that the service may not know of yet.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping

from ansible_collections.fleet.tls.plugins.module_utils.errors import from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.content import digest, read, write_json
from ansible_collections.fleet.tls.plugins.module_utils.files.places import make_directory

ABSENT = "absent"
# The record of what the system itself has merged, beside those of services.
SYSTEM_RECORD = "system-trust-store"
# The record of trust bundles, which services may have taken or nobody.
BUNDLES_RECORD = "trust-bundles"


class TakenFiles:
    """The record of one service. One that cannot be read counts as empty: at worst there is a reload too many.

    :param directory: the collection's own on the host (``/etc/fleet-tls``).
    """

    def __init__(self, directory: str, name: str) -> None:
        self.path = os.path.join(directory, "services", re.sub(r"[^A-Za-z0-9._-]", "-", name) + ".json")
        self.known: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(read(self.path))
            if isinstance(content, dict):
                self.known = content

    def covers(self, digests: Mapping[str, str]) -> bool:
        """Whether the service has taken all of these."""
        return all(self.known.get(path) == digest for path, digest in digests.items())

    def record(self, digests: Mapping[str, str], *, all_there_is: bool = False) -> None:
        """Note that the service has taken these.

        :param all_there_is: forget every other path; else the entries of other tasks' files stay.
        :raises StepError: disk_full, not_permitted, io.
        """
        known = dict(digests) if all_there_is else {**self.known, **digests}
        if known == self.known:
            return
        self.known = known
        try:
            make_directory(os.path.dirname(self.path), 0o755)
            write_json(self.path, known)
        except OSError as error:
            raise from_os_error(error, f"writing {self.path}") from error

    def forget(self, paths: Iterable[str]) -> None:
        """Files that are no more; errors as :meth:`record`."""
        gone = set(paths)
        if gone & set(self.known):
            self.record({path: each for path, each in self.known.items() if path not in gone}, all_there_is=True)


def digest_of(content: bytes | None) -> str:
    """SHA-256 (hex) of a file's content; None: there is no file."""
    return ABSENT if content is None else digest(content)
