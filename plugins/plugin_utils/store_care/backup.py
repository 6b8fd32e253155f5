# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a store, and a backup put in place. See docs/stores/care.md.

A backup is a directory store with one entry more, ``backup.json``: when and by whom it was made, the digests of its entries and the head of its
ledger. It is filled under another name and renamed when it is whole.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, StoreError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory
from ansible_collections.fleet.tls.plugins.plugin_utils.base.providers import load_provider
from ansible_collections.fleet.tls.plugins.plugin_utils.base.whoami import present
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import iso
from ansible_collections.fleet.tls.plugins.plugin_utils.store.chain import breaks
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store
from ansible_collections.fleet.tls.plugins.plugin_utils.store.json_entry import JsonEntry
from ansible_collections.fleet.tls.plugins.plugin_utils.store.snapshot import Snapshot
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.copies import (
    MANIFEST,
    content_of,
    fill,
    head_of,
    is_empty,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.store_care.entries import (
    close,
    one_care,
    refuse_within,
    reopen,
)

WHERE = "tls_store_backup"
UNFINISHED = ".new-tls-store-"
WRITABLE = "see that the user who runs the playbook owns it, and that its file system has room and is not read-only"
ANOTHER_ONE = "take another backup"


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself.

    :param entries: key → SHA-256 of its value, hexadecimal.
    :param head: of its ledger, as text.
    :param whole: whether the ledger's chain was whole when it was made.
    """

    made_at: str
    made_by: Mapping[str, str]
    of: str
    entries: Mapping[str, str]
    head: str
    whole: bool

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Manifest:
        """:raises ValueError, KeyError, TypeError, AttributeError: it is none."""
        return cls(
            str(raw["made_at"]),
            {str(name): str(value) for name, value in raw["made_by"].items()},
            str(raw["of"]),
            {str(key): str(digest) for key, digest in raw["entries"].items()},
            str(raw["head"]),
            raw["whole"] is True,
        )


@dataclass(frozen=True)
class Copied:
    """What a backup, or putting one in place, came to. ``path``: the backup; empty in check mode, where there is none yet."""

    changed: bool
    path: str
    entries: int
    head: str


def back_up(store: Store, root: Any, now: dt.datetime, *, check_mode: bool = False) -> Copied:
    """Make a backup below ``root``.

    :param check_mode: the store is read as for one, and nothing is written.
    :raises SpecError: no absolute path; :raises StoreError: the store cannot be read, or the backup not be written.
    """
    folder = Path(parse_directory(root, WHERE))
    refuse_within(store, folder, WHERE)
    store.refuse_closed()
    with contextlib.ExitStack() as stack:
        if not check_mode:
            stack.enter_context(one_care(store))
        snapshot = stack.enter_context(store.snapshot())
        manifest = manifest_of(store, snapshot, now)
        if check_mode:
            return Copied(True, "", len(manifest.entries), str(snapshot.head))
        with translated(folder):
            path = written(folder, f"{now:%Y%m%dT%H%M%SZ}", snapshot, manifest)
        return Copied(True, str(path), len(manifest.entries), str(snapshot.head))


def manifest_of(store: Store, snapshot: Snapshot, now: dt.datetime) -> Manifest:
    """What is to be said of a backup of this."""
    return Manifest(
        iso(now),
        asdict(present()),
        store.describe(),
        digests(snapshot),
        str(head_of(snapshot.records())),
        not any(breaks(snapshot.records())),
    )


def written(folder: Path, name: str, snapshot: Snapshot, manifest: Manifest) -> Path:
    """The backup, where it is whole.

    :raises OSError, StoreError: it cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Of this store, which is backed up by one run at a time; others may have their backups here, too.
    prefix = f"{UNFINISHED}{hashlib.sha256(manifest.of.encode()).hexdigest()[:16]}-"
    for leftover in folder.glob(f"{prefix}*"):
        shutil.rmtree(leftover)
    unfinished = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    try:
        copy = directory_store(unfinished)
        fill(copy, snapshot)
        manifest_entry(copy).put(manifest, expect=None)
        path = free_name(folder, name)
        os.rename(unfinished, path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path


def free_name(folder: Path, name: str) -> Path:
    """The name, with a number where there is one of this second."""
    numbers = ["", *(f"-{number}" for number in range(2, 1000))]
    return next(path for number in numbers if not (path := folder / f"{name}{number}").exists())


def restore(store: Store, path: Any, *, check_mode: bool = False) -> Copied:
    """Put a backup into an empty store.

    :raises SpecError: no absolute path, or no backup there.
    :raises StoreError: the backup is not whole, or the store is not empty; nothing was written then. Or it cannot be written.
    """
    folder = Path(parse_directory(path, WHERE))
    source = directory_store(folder)
    manifest = manifest_entry(source).read()
    if manifest is None:
        raise SpecError(
            f"{WHERE}: there is no backup in {folder}", remedy="name one backup, the directory with a backup.json in it"
        )
    why = f"the backup {folder} is being put into it"
    with contextlib.ExitStack() as stack:
        snapshot = stack.enter_context(source.snapshot())
        check_whole(folder, manifest, snapshot)
        if not check_mode:
            stack.enter_context(one_care(store))
        store.uses_closed = True
        if store.closed() not in (None, why) or (store.closed() is None and not is_empty(store)):
            raise StoreError(
                f"{store.describe()} is not empty",
                remedy="move its directory away (or give OpenBao another path), so that nothing in it is lost, and run again",
            )
        if not check_mode:
            close(store, why)
            fill(store, snapshot)
            reopen(store)
        return Copied(True, str(folder), len(manifest.entries), str(snapshot.head))


def check_whole(folder: Path, manifest: Manifest, snapshot: Snapshot) -> None:
    """:raises StoreError: it is not what was written."""
    found = digests(snapshot)
    wrong = sorted({key for key in {*found, *manifest.entries} if found.get(key) != manifest.entries.get(key)})
    if wrong:
        raise StoreError(f"the backup {folder} is not whole: '{wrong[0]}' is missing, or another", remedy=ANOTHER_ONE)
    if str(head_of(snapshot.records())) != manifest.head or (manifest.whole and any(breaks(snapshot.records()))):
        raise StoreError(f"the backup {folder} is not whole: its ledger is another", remedy=ANOTHER_ONE)


def digests(snapshot: Snapshot) -> dict[str, str]:
    """Key → SHA-256 of its value."""
    return {key: hashlib.sha256(value).hexdigest() for key, value in sorted(content_of(snapshot.entries).items())}


def manifest_entry(store: Store) -> JsonEntry[Manifest]:
    """Where it lies."""
    return JsonEntry(store, MANIFEST, Manifest.from_json, asdict, ANOTHER_ONE)


def directory_store(path: Path) -> Store:
    """The form that every backup has."""
    store: Store = load_provider("store", "directory")({"path": str(path)})
    return store


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """The system's errors in our words."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"a backup cannot be written to {folder}: {error.strerror}", remedy=WRITABLE) from error
