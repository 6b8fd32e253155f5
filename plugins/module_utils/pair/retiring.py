# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a host of something that is to be retired, and which of it goes when; see docs/retire.md.

What is retired is there as long as anything of it is. What says so goes last, so a run that was killed is finished by the next one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.files.content import digest, read_plain
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import LOCK
from ansible_collections.fleet.tls.plugins.module_utils.files.originals import RECORD, Originals, spelled
from ansible_collections.fleet.tls.plugins.module_utils.files.places import remove_all, remove_directory
from ansible_collections.fleet.tls.plugins.module_utils.files.taken import (
    ABSENT,
    BUNDLES_RECORD,
    SYSTEM_RECORD,
    TakenFiles,
)
from ansible_collections.fleet.tls.plugins.module_utils.files.ticket_ring import TicketPlace
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import link_target
from ansible_collections.fleet.tls.plugins.module_utils.pair.drift import is_ours
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import CERT, Layout

CERTIFICATE, CLIENT, BUNDLE, POOL, FILES = ("certificate", "client", "bundle", "pool", "files")
# A client's record among those of services.
OF_CLIENT = "client-"
LINK = "link:"
# Of our directory on a host.
FOLDERS = ("live", "generations", "pending", "services", "tickets", "ticket-rings", "upstreams")


@dataclass(frozen=True)
class Retiring:
    """One thing that is retired.

    :param files: paths of ours that users named → whether what lies there is what we put there.
    :param links: below our directory; what services follow. They go with ``files``, in one transaction.
    :param trees: directories that go when no service needs them any more.
    :param records: files that go last.
    :param leaves: fingerprint → path of the certificate (PEM), of all generations; the live one is the first.
    """

    kind: str
    name: str
    files: Mapping[str, bool] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    leaves: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """It, for people."""
        return f"{self.kind} '{self.name}'"

    @property
    def seen(self) -> tuple[str, ...]:
        """What services see of it."""
        return (*self.files, *self.links)

    @property
    def is_there(self) -> bool:
        """Whether anything of it is."""
        return bool(self.files) or bool(self.going())

    def going(self) -> list[str]:
        """What is there now and goes, or gives its place to what lay there before."""
        own = [path for path, ours in self.files.items() if ours]
        return [path for path in (*own, *self.links, *self.trees, *self.records) if os.path.lexists(path)]


class Holdings:
    """What of ours a host has, by the records of its directory.

    :param directory: the collection's own on the host (``/etc/fleet-tls``).
    :param claimed: paths that something which stays wants: those are left alone.
    """

    def __init__(self, directory: str, claimed: Iterable[str] = ()) -> None:
        self.directory = directory
        self.claimed = {spelled(path) for path in claimed}
        self.originals = Originals(directory)
        self.known = self.originals.known()
        names = [each[: -len(".json")] for each in names_in(self.place("services")) if each.endswith(".json")]
        self.services = {name: TakenFiles(directory, name) for name in names if not name.startswith(OF_CLIENT)}
        self.clients = {name[len(OF_CLIENT) :] for name in names if name.startswith(OF_CLIENT)}

    def place(self, *parts: str) -> str:
        """A path below the directory."""
        return os.path.join(self.directory, *parts)

    @property
    def certificates(self) -> list[str]:
        """Names of those of which anything is there."""
        folders = ("live", "generations", "pending")
        return sorted({name for folder in folders for name in names_in(self.place(folder))})

    @property
    def pools(self) -> list[str]:
        """Names of the pools whose session ticket keys are there."""
        links = {name[: -len(".json")] if name.endswith(".json") else name for name in names_in(self.place("tickets"))}
        return sorted(links | set(names_in(self.place("ticket-rings"))))

    @property
    def bundles(self) -> list[str]:
        """The paths of trust bundles."""
        record = self.services.get(BUNDLES_RECORD)
        return sorted(path for path in (record.known if record else ()) if spelled(path) in self.known)

    @property
    def configured(self) -> list[str]:
        """Names of the services of whose configuration files of ours are there."""
        bundles = set(self.bundles)
        return sorted(
            name
            for name, record in self.services.items()
            if name not in (SYSTEM_RECORD, BUNDLES_RECORD)
            and any(path not in bundles and os.path.lexists(path) for path in record.known)
        )

    def as_answer(self) -> dict[str, list[str]]:
        """JSON-ready: what there is, by kinds."""
        return {
            "certificates": self.certificates,
            "clients": sorted(self.clients),
            "bundles": self.bundles,
            "pools": self.pools,
            "configured": self.configured,
        }

    @property
    def is_bare(self) -> bool:
        """Whether our directory is there, of which nothing is of use any more once :meth:`rest` and all else has gone."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = os.listdir(self.directory)
            return not names or bool({*FOLDERS, RECORD, LOCK} & set(names))
        return False

    def remove_directory(self) -> None:
        """Remove our directory, by whoever holds its lock; what is not ours stays, and so does the directory then."""
        for name in (*FOLDERS, RECORD, LOCK):
            remove_all(self.place(name))
        remove_directory(self.directory)

    def certificate(self, name: str) -> Retiring:
        """A certificate: outputs and links to it, its live link, the pending key, generations."""
        layout = Layout(self.directory, name)
        live = layout.current()
        numbers = sorted(layout.numbers(), key=lambda number: (number != live, -number))
        manifests = {number: layout.manifest(number) for number in numbers}
        files: dict[str, bool] = {}
        leaves: dict[str, str] = {}
        for number, manifest in manifests.items():
            if manifest is not None:
                leaves.setdefault(manifest["fingerprint"], os.path.join(layout.generation(number), CERT))
                for path, recorded in manifest["outputs"].items():
                    files[path] = files.get(path, False) or is_ours(layout, path, recorded)
        for record in self.services.values():
            files.update({path: content_is(path, record.known[path]) for path in links_to(layout, record)})
        return Retiring(
            CERTIFICATE,
            name,
            self.ours_to_go(files),
            links=(layout.live,),
            trees=(layout.pending, layout.generations),
            leaves=leaves,
        )

    def client(self, name: str, bundle: str | None = None) -> Retiring:
        """A client: its bundle, and the record of what it was accepted with.

        :param bundle: where the inventory says it is; one that was never accepted has no record.
        """
        record = TakenFiles(self.directory, OF_CLIENT + name)
        recorded = {path: value for path, value in record.known.items() if not self.originals.is_own(path)}
        files = {path: content_is(path, value) for path, value in recorded.items()}
        if bundle is not None and bundle not in files:
            files[bundle] = True
        return Retiring(CLIENT, name, self.ours_to_go(files), records=(record.path,))

    def bundle(self, path: str) -> Retiring:
        """A trust bundle. Whether it is still ours, the records of the services that took it say."""
        values = [record.known[path] for record in self.services.values() if path in record.known]
        ours = not values or any(content_is(path, value) for value in values)
        files = self.ours_to_go({path: ours})
        # Of a run that was killed, only the records may be left.
        return Retiring(BUNDLE, path, files or self.unclaimed({path: False} if values else {}))

    def pool(self, name: str) -> Retiring:
        """The session ticket keys of a pool."""
        place = TicketPlace(self.directory, name, memory=True)
        return Retiring(POOL, name, links=(place.link,), trees=place.all_rings(), records=(place.manifest,))

    def rest(self, others: Iterable[Retiring]) -> Retiring:
        """Of a host that is retired as a whole: all further files, and the records of all services.

        :param others: what is retired beside it.
        """
        covered = {spelled(path) for each in others for path in each.files}
        files: dict[str, bool] = {}
        for name, record in self.services.items():
            # What is in the system's trust store, the system has merged: that is taken away by step trust.
            for path, value in record.known.items() if name != SYSTEM_RECORD else ():
                files[path] = files.get(path, False) or content_is(path, value)
        # Bundles that no service reads; and what was removed earlier, where something lay first.
        seen = {spelled(path) for path in files}
        files.update({path: True for path in self.known if path not in seen})
        records = tuple(record.path for record in self.services.values())
        elsewhere = {path: ours for path, ours in files.items() if spelled(path) not in covered}
        return Retiring(FILES, "of services", self.ours_to_go(elsewhere), records=records)

    def ours_to_go(self, files: Mapping[str, bool]) -> dict[str, bool]:
        """Those that we know to be ours, and that nothing else wants."""
        return {
            path: ours
            for path, ours in self.unclaimed(files).items()
            if spelled(path) in self.known or self.originals.is_own(path)
        }

    def unclaimed(self, files: Mapping[str, bool]) -> dict[str, bool]:
        """Those that nothing else wants."""
        return {path: ours for path, ours in files.items() if spelled(path) not in self.claimed}

    def forget(self, item: Retiring) -> None:
        """Let the services' records know nothing of it any more; errors as :meth:`TakenFiles.record`."""
        for record in self.services.values():
            links = links_to(Layout(self.directory, item.name), record) if item.kind == CERTIFICATE else []
            record.forget([*item.files, *links])


def links_to(layout: Layout, record: TakenFiles) -> list[str]:
    """The paths that a service took as links to a certificate's live pair."""
    return [path for path, value in record.known.items() if str(value).startswith(f"{LINK}{layout.live}/")]


def names_in(folder: str) -> list[str]:
    """What a directory of ours has, but for hidden files."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return []


def content_is(path: str, value: Any) -> bool:
    """Whether a path still has what a service's record says it took."""
    target = link_target(path)
    if target is not None:
        return LINK + target == value
    if value == ABSENT:
        return not os.path.lexists(path)
    content = read_plain(path)
    return content is not None and digest(content) == value
