# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lay at a path before we wrote there: kept beside it, once, and put back when the path is given up.

It is kept by a second name for it (link(2)): the same inode, so the same content, owner, mode and labels, and neither a full disk nor a
kill can leave half of it. The name is hidden: servers that read whole directories (HAProxy's ``crt``, nginx' ``sites-enabled/*``) pass over
hidden files, and would else go on serving the old certificate beside the new one.

``<directory>/originals.json`` has the paths that are ours: path → where what lay there is kept, null: nothing lay there. It is written after
the second name and before anything is put at the path, so at any moment a path is either not ours, or what lay there is kept. A path that was
given back and may still have its second name is false there: not ours. What lies below ``<directory>`` is ours anyway.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
from collections.abc import Iterable
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read, write_json
from ansible_collections.fleet.tls.plugins.module_utils.files.places import make_directory, place, remove_if_there
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import link_target

RECORD = "originals.json"
SUFFIX = "before-fleet-tls"
GIVEN_BACK = False


def kept_path(path: str) -> str:
    """Where what lies at a path is kept."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{SUFFIX}")


def spelled(path: str) -> str:
    """A path in the one spelling that it is recorded in; a link in its last place is itself what it is about."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def one_file(path: str, other: str) -> bool:
    """Whether two paths are names of one file (or of one link)."""
    try:
        return os.path.samestat(os.lstat(path), os.lstat(other))
    except OSError:
        return False


class Originals:
    """The paths of this host that are ours, and what lay there before. Whoever changes anything holds the host's lock.

    :param directory: the collection's own on the host (``/etc/fleet-tls``).
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.record = os.path.join(directory, RECORD)

    def known(self) -> dict[str, str | None]:
        """Path → where what lay there is kept; None: nothing lay there."""
        ours = {path: kept for path, kept in self.recorded().items() if kept is not GIVEN_BACK}
        return {path: kept if isinstance(kept, str) else None for path, kept in ours.items()}

    def recorded(self) -> dict[str, Any]:
        """What the record says."""
        found = as_mapping(self.record)
        return dict.fromkeys(map(spelled, self.written_before())) if found is None else found

    def written_before(self) -> set[str]:
        """Where there is no record yet: what the manifests of live pairs and the services' records say that we wrote.

        The manifest of a pair that is being installed has paths already that are not ours yet.
        """
        manifests = glob.glob(os.path.join(glob.escape(self.directory), "live", "*", "manifest.json"))
        records = glob.glob(os.path.join(glob.escape(self.directory), "services", "*.json"))
        outputs = [(as_mapping(each) or {}).get("outputs") for each in manifests]
        return {path for each in [*outputs, *map(as_mapping, records)] if isinstance(each, dict) for path in each}

    def is_own(self, path: str) -> bool:
        """Whether a path lies below our directory."""
        return spelled(path).startswith(os.path.realpath(self.directory) + os.sep)

    def leads_to_own(self, path: str) -> bool:
        """Whether a path is a link to what lies below our directory."""
        target = link_target(path)
        return target is not None and self.is_own(os.path.join(os.path.dirname(path), target))

    def foreign(self, paths: Iterable[str]) -> dict[str, str]:
        """Those of the paths where something lies that is not ours → where :meth:`claim` will keep it."""
        there = [
            path for path in paths if os.path.lexists(path) and not self.is_own(path) and not self.leads_to_own(path)
        ]
        known = self.known() if there else {}
        found = {path: kept_path(path) for path in there if spelled(path) not in known}
        return {path: kept for path, kept in found.items() if one_file(path, kept) or not os.path.lexists(kept)}

    def kept(self, path: str) -> str | None:
        """Where what lay at one of our paths is kept; None: nothing lay there, or somebody took it away."""
        kept = self.known().get(spelled(path))
        return kept if kept is not None and os.path.lexists(kept) else None

    def claim(self, paths: Iterable[str]) -> list[str]:
        """Keep what lies at these paths and is not ours. They are ours from now on.

        What is kept there already stays: it is what lay there first.

        :returns: those that were not ours before.
        :raises StepError: disk_full, not_permitted, unsafe_path, io; nothing is claimed then.
        """
        wanted = [path for path in paths if not self.is_own(path)]
        known = self.recorded() if wanted else {}
        new = [path for path in wanted if known.get(spelled(path), GIVEN_BACK) is GIVEN_BACK]
        if not new:
            return []
        try:
            for path in new:
                known[spelled(path)] = None if self.leads_to_own(path) else keep(spelled(path))
            self.write(known)
        except BaseException as error:
            self.forget(new)
            if isinstance(error, OSError):
                raise from_os_error(error, f"keeping what lies at {', '.join(new)}") from error
            raise
        return new

    def forget(self, paths: Iterable[str]) -> None:
        """These paths are not ours any more. What lies there again needs no second name; what else was kept stays beside it.

        It raises nothing: what could not be done now is done by :meth:`tidy`.
        """
        known, gone = self.recorded(), {spelled(path) for path in paths}
        kept = {path: each for path, each in known.items() if path not in gone}
        twice = [path for path in gone if one_file(path, kept_path(path))]
        known_ones = bool(gone & set(known))
        with contextlib.suppress(OSError, StepError):
            if known_ones:
                # Whoever finds a second name then knows whose it is.
                self.write({**kept, **dict.fromkeys(twice, GIVEN_BACK)})
            for path in twice:
                remove_if_there(kept_path(path))
            if known_ones and twice:
                self.write(kept)

    def tidy(self) -> None:
        """What a killed run had claimed and not yet taken, or put back and not yet forgotten, is not ours."""
        recorded = as_mapping(self.record) or {}
        unfinished = [path for path, kept in recorded.items() if kept is GIVEN_BACK or is_unfinished(path, kept)]
        if unfinished:
            self.forget(unfinished)

    def write(self, known: dict[str, Any]) -> None:
        """Replace the record. OSErrors as they come."""
        make_directory(self.directory, 0o755)
        write_json(self.record, known)


def is_unfinished(path: str, kept: Any) -> bool:
    """Whether what lay at a path before we claimed it lies there now."""
    return one_file(path, kept) if isinstance(kept, str) else not os.path.lexists(path)


def keep(path: str) -> str | None:
    """Give what lies at a path its second name; None: nothing lies there. OSErrors as they come.

    :raises StepError: unsafe_path, io (a directory has that name).
    """
    kept = kept_path(path)
    with contextlib.suppress(FileNotFoundError), place(path) as (folder, name):
        with contextlib.suppress(FileExistsError):
            os.link(name, os.path.basename(kept), src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        os.fsync(folder)
    if os.path.isdir(kept) and not os.path.islink(kept):
        raise StepError("io", f"{kept} is a directory", f"rename it: what lies at {path} is to be kept there")
    return kept if os.path.lexists(kept) else None


def as_mapping(path: str) -> dict[str, Any] | None:
    """A JSON file's mapping; None: there is none that can be read."""
    try:
        found = json.loads(read(path))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
