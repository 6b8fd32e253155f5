# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The KV engine of OpenBao, version 2: read, write-if-unchanged, list.

A write is repeated while the cluster changes its leader. That one of its tries was carried out though its answer was lost shows by
``written_by``, a value of that write alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import StoreBusy, StoreConflict, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.openbao.connection import CONNECTIONS, Answer, Connection

WRITER = "written_by"
# Seconds as text that sorts, and nanoseconds: the server leaves out zeros at the end of a fraction.
Moment = tuple[str, int]
NEVER: Moment = ("", 0)


@dataclass(frozen=True)
class Kept:
    """What lies under a path; version 0: nothing ever did. ``values`` is None where there is nothing, or no more.

    :param created: when this version was written, by the clock of the cluster's leader; empty: there is none.
    """

    version: int = 0
    values: Mapping[str, Any] | None = field(default=None, repr=False)
    created: Moment = NEVER


class KeyValues:
    """One KV mount. Errors are those of the connection; :class:`StoreConflict` where somebody else was faster."""

    def __init__(self, connection: Connection, mount: str) -> None:
        self.connection = connection
        self.mount = mount
        self.is_version_2 = False

    def read(self, path: str, version: int | None = None) -> Kept:
        """The newest version, or another one; of one that is not kept any more, what nothing ever was.

        :raises StoreError: the mount is not a KV engine of version 2.
        """
        which = f"?version={version}" if version else ""
        answer = self.connection.request("GET", f"{self.mount}/data/{path}{which}", accept=(404,))
        return self.kept(answer)

    def read_at(self, path: str, moment: Moment) -> Kept:
        """The version that was the newest at a moment.

        :raises StoreBusy: it has changed so often since that this version is not kept any more.
        """
        kept = self.read(path)
        while kept.created > moment:
            before = kept.version - 1
            kept = self.read(path, before) if before else Kept()
            if before and not kept.version:
                raise StoreBusy(
                    f"{self.connection.describe()}: '{path}' changes all the time",
                    remedy="run again when the runs that change it have ended",
                )
        return kept

    def kept(self, answer: Answer) -> Kept:
        """The answer to a read as a value."""
        self.check_mount(answer)
        data = answer.data.get("data")
        if not isinstance(data, Mapping):
            return Kept()
        metadata, values = data.get("metadata"), data.get("data")
        if not isinstance(metadata, Mapping) or not isinstance(metadata.get("version"), int):
            raise self.another_engine()
        self.is_version_2 = True
        created = moment_of(str(metadata.get("created_time", "")))
        return Kept(metadata["version"], values if isinstance(values, Mapping) else None, created)

    def read_all(self, paths: Sequence[str], moment: Moment | None = None) -> Iterator[Kept]:
        """Many reads, a few of them side by side, in the order of ``paths``.

        :param moment: as :meth:`read_at`; None: the newest versions.
        """
        read: Callable[[str], Kept] = self.read if moment is None else partial(self.read_at, moment=moment)
        if len(paths) < CONNECTIONS:
            yield from map(read, paths)
            return
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            yield from pool.map(read, paths)

    def write(
        self,
        path: str,
        values: Mapping[str, Any],
        *,
        expect: int,
        timeout: float | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> int:
        """A new version, when the present one is ``expect`` (0: there is none, or it was deleted); which it became.

        :param timeout: seconds for one try.
        :param before: called before every try; what it raises ends the write.
        :raises StoreConflict: the present version is another.
        """
        self.require_version_2()
        writer = secrets.token_hex(8)
        data = {**values, WRITER: writer}
        cas = expect
        for _try in range(3):
            answer = self.connection.request(
                "POST",
                f"{self.mount}/data/{path}",
                {"data": data, "options": {"cas": cas}},
                accept=(400, 404),
                timeout=timeout,
                before=before,
            )
            self.check_mount(answer)
            if answer.status < 300:
                return int(answer.data["data"]["version"])
            if not any("check-and-set" in each for each in answer.errors):
                raise StoreError(
                    f"{self.connection.describe()}: {path} cannot be written: {'; '.join(answer.errors)}",
                    remedy="see what the KV engine wants",
                )
            present = self.read(path)
            if present.values is not None and present.values.get(WRITER) == writer:
                return present.version
            if expect or present.values is not None:
                break
            # Deleted by hand: its versions count on.
            cas = present.version
        raise StoreConflict(
            f"{self.connection.describe()}: '{path}' was changed by another run", remedy="run again: nothing was lost"
        )

    def destroy(self, path: str) -> None:
        """Remove all versions that a path ever had; errors as :meth:`read`."""
        self.check_mount(self.connection.request("DELETE", f"{self.mount}/metadata/{path}", accept=(404,)))

    def names(self, path: str) -> list[str]:
        """What lies in a folder, sorted; folders end with a slash."""
        answer = self.connection.request("LIST", f"{self.mount}/metadata/{path}", accept=(404,))
        self.check_mount(answer)
        data = answer.data.get("data")
        keys = data.get("keys") if isinstance(data, Mapping) else None
        return sorted(str(key) for key in keys) if isinstance(keys, list) else []

    def all_names(self, folder: str) -> Iterator[str]:
        """The paths of all that lies below a folder."""
        for name in self.names(folder):
            path = f"{folder}/{name.rstrip('/')}"
            yield from self.all_names(path) if name.endswith("/") else (path,)

    def check_mount(self, answer: Answer) -> None:
        """:raises StoreError: there is no engine, so that nothing is missing *in* it."""
        if answer.status == 404 and any("no handler for route" in each for each in answer.errors):
            raise StoreError(
                f"{self.connection.describe()} has no secrets engine at '{self.mount}/'",
                remedy=f"bao secrets enable -path={self.mount} -version=2 kv; or set the right mount and namespace",
            )

    def require_version_2(self) -> None:
        """Before the first write: version 1 would take it as a value of another shape, and never refuse one.

        :raises StoreError: the mount is another engine.
        """
        if self.is_version_2:
            return
        answer = self.connection.request("GET", f"sys/internal/ui/mounts/{self.mount}")
        data = answer.data.get("data")
        data = data if isinstance(data, Mapping) else {}
        options = data.get("options")
        if data.get("type") != "kv" or not isinstance(options, Mapping) or options.get("version") != "2":
            raise self.another_engine()
        self.is_version_2 = True

    def another_engine(self) -> StoreError:
        """Something else answers there."""
        return StoreError(
            f"{self.connection.describe()}: '{self.mount}/' is not a KV engine of version 2",
            remedy=f"bao kv enable-versioning {self.mount}/; or set mount to one that is",
        )


def moment_of(text: str) -> Moment:
    """A time of the server's, RFC 3339 in UTC, so that two of them can be compared."""
    whole, _dot, fraction = text.removesuffix("Z").partition(".")
    return whole, int(fraction.ljust(9, "0")[:9]) if fraction.isdecimal() else 0
