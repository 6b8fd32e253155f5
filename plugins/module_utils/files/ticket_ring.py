# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Session ticket keys as servers want them, and where they live on a host.

A key is 80 bytes: a name of 16, which every ticket shows in clear, 32 of an HMAC key, 32 of an AES key. A ring is three of them,
[prev, cur, next]: cur encrypts, the other two decrypt what other hosts of the pool have encrypted.

::

    <directory>/tickets/<pool>       -> /run/fleet-tls/tickets/<pool>/7-3f9ac1d2     what servers point at; replaced by rename(2)
    <directory>/tickets/<pool>.json  which ring that is: names and digests, no secret; its owner is that of the keys
    <directory>/ticket-rings/<pool>/7-3f9ac1d2    the same on disk, where that was chosen
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.content import as_json, digest, read
from ansible_collections.fleet.tls.plugins.module_utils.files.places import (
    directory,
    make_directory,
    remove_if_there,
    remove_tree,
)
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import (
    group_id,
    link_target,
    metadata_drift,
    relink,
    replace_file,
    user_id,
    write_new,
)

KEY_BYTES, NAME_BYTES, HALF = 80, 16, 32
RING_SIZE = 3
MEMORY = "/run/fleet-tls/tickets"
# nginx reads one key a file, and encrypts with the first it is told of.
NGINX_FILES = ("prev.key", "cur.key", "next.key")
HAPROXY_FILE = "haproxy.keys"
MODE, DIRECTORY_MODE, PUBLIC_MODE = "0600", 0o700, "0644"
RING_NAME = re.compile("[1-9][0-9]*-[0-9a-f]{8}")
# A host is ahead of the store where the store was restored from a copy. So many steps are years of them.
MOST_AHEAD = 1000


def is_believable(had: int, known: int) -> bool:
    """Whether a host can have come to the generation ``had`` while the store knows no newer than ``known``.

    A host that says another number is treated as one without a ring: no host's word takes the whole pool there.
    """
    return 0 < had <= known + MOST_AHEAD


@dataclass(frozen=True)
class KeyId:
    """What everybody may know of a key: its name (hex), and a digest (SHA-256, hex) of all of it, of which 64 bytes are random."""

    name: str
    digest: str


def key_id(key: bytes) -> KeyId:
    """Of a whole key."""
    return KeyId(key[:NAME_BYTES].hex(), digest(key))


def haproxy_order(key: bytes) -> bytes:
    """HAProxy and nginx have the two halves after the name the other way round; the same function leads back."""
    return key[:NAME_BYTES] + key[NAME_BYTES + HALF :] + key[NAME_BYTES : NAME_BYTES + HALF]


def haproxy_line(key: bytes) -> str:
    """A key as HAProxy reads it from its file and at its socket."""
    return base64.b64encode(haproxy_order(key)).decode()


def haproxy_keys(text: str) -> tuple[bytes, ...] | None:
    """The keys of such lines, in our own order; None: one of them is none."""
    try:
        keys = [base64.b64decode(line, validate=True) for line in text.split()]
    except (binascii.Error, ValueError):
        return None
    return tuple(haproxy_order(key) for key in keys) if all(len(key) == KEY_BYTES for key in keys) else None


def render(keys: Sequence[bytes]) -> dict[str, bytes]:
    """All files of a ring [prev, cur, next].

    HAProxy takes the last three lines of its file and encrypts with the last but one; nginx is told of cur.key first.
    """
    files = dict(zip(NGINX_FILES, keys))
    files[HAPROXY_FILE] = "".join(haproxy_line(key) + "\n" for key in keys).encode()
    return files


@dataclass(frozen=True)
class TicketPlace:
    """The places of one pool's ring on this host.

    :param owner, group: of the keys; None: the user that the step runs as.
    """

    directory: str
    pool: str
    memory: bool
    owner: str | None = None
    group: str | None = None

    @property
    def link(self) -> str:
        """What servers point at."""
        return os.path.join(self.directory, "tickets", self.pool)

    @property
    def manifest(self) -> str:
        """What is known of the ring there; it outlives a boot."""
        return self.link + ".json"

    @property
    def rings(self) -> str:
        """The directory of this pool's rings."""
        return self.all_rings()[0 if self.memory else 1]

    def all_rings(self) -> tuple[str, str]:
        """Where rings of this pool can be: in memory, on disk."""
        return os.path.join(MEMORY, self.pool), os.path.join(self.directory, "ticket-rings", self.pool)

    def read_manifest(self) -> dict[str, Any]:
        """``{"generation", "keys": [[name, digest], ...], "settled"}``; empty where there is none that can be read."""
        try:
            found = json.loads(read(self.manifest))
            keys = [[str(name), str(known)] for name, known in found["keys"]]
            return {"generation": int(found["generation"]), "keys": keys, "settled": bool(found["settled"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def write_manifest(self, generation: int, keys: Sequence[KeyId], *, settled: bool) -> None:
        """What :meth:`read_manifest` returns; errors as OSErrors."""
        content = {"generation": generation, "keys": [[each.name, each.digest] for each in keys], "settled": settled}
        make_directory(os.path.dirname(self.manifest), 0o755)
        # The boot unit gives the keys that it makes to the owner of this file.
        replace_file(self.manifest, as_json(content), self.owner, self.group, PUBLIC_MODE)

    def put_manifest_back(self, known: dict[str, Any]) -> None:
        """The manifest as it was before, or none; a full disk is no hindrance where nothing has to be written."""
        if known == self.read_manifest():
            return
        if known:
            keys = [KeyId(name, value) for name, value in known["keys"]]
            self.write_manifest(known["generation"], keys, settled=known["settled"])
        else:
            remove_if_there(self.manifest)

    def target(self) -> str | None:
        """The directory that the link leads to, when it is one of ours; it may be gone (after a boot)."""
        target = link_target(self.link)
        ours = target and os.path.dirname(target) == self.rings and RING_NAME.fullmatch(os.path.basename(target))
        return target if ours else None

    def keys(self) -> tuple[bytes, ...] | None:
        """The ring that servers would read now; None: there is none, or its files do not agree with each other."""
        target = self.target()
        if target is None:
            return None
        try:
            keys = tuple(read(os.path.join(target, name)) for name in NGINX_FILES)
            lines = haproxy_keys(read(os.path.join(target, HAPROXY_FILE)).decode(errors="replace"))
        except OSError:
            return None
        return keys if keys == lines else None

    def drift(self) -> list[str]:
        """Owners and modes that are not as they have to be, for people."""
        target = self.target()
        if target is None:
            return []
        found: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            for name in (*NGINX_FILES, HAPROXY_FILE):
                found += metadata_drift(os.path.join(target, name), self.owner, self.group, MODE)
            found += metadata_drift(target, self.owner, self.group, f"{DIRECTORY_MODE:04o}")
        return found

    def write(self, generation: int, keys: Sequence[bytes]) -> str:
        """A ring in a new directory that nothing points at yet; returns its path.

        :raises StepError: disk_full, not_permitted, unknown_user, io. Nothing is left of it then.
        """
        path = os.path.join(self.rings, f"{generation}-{secrets.token_hex(4)}")
        try:
            make_directory(os.path.dirname(os.path.dirname(path)), 0o755)
            make_directory(self.rings, 0o755)
            make_directory(path, DIRECTORY_MODE)
            for name, content in render(keys).items():
                write_new(os.path.join(path, name), content, self.owner, self.group, MODE)
            with directory(path) as descriptor:
                os.chown(descriptor, user_id(self.owner), group_id(self.group))
                os.fsync(descriptor)
        except OSError as error:
            remove_tree(path)
            raise from_os_error(error, f"writing the session ticket keys of '{self.pool}'") from error
        except StepError:
            remove_tree(path)
            raise
        return path

    def point_at(self, target: str | None) -> None:
        """Let the link lead to a ring, all its files at once; None: no link.

        :raises StepError: disk_full, not_permitted, io (something that is no link is in the way).
        """
        try:
            if target == link_target(self.link):
                return
            if target is None:
                remove_if_there(self.link)
                return
            make_directory(os.path.dirname(self.link), 0o755)
            relink(self.link, target)
        except OSError as error:
            raise from_os_error(error, f"writing {self.link}") from error

    def prune(self) -> None:
        """Remove every ring but the one in use: keys that are not needed must not lie about."""
        live = link_target(self.link)
        for rings in self.all_rings():
            with contextlib.suppress(OSError):
                for name in os.listdir(rings):
                    path = os.path.join(rings, name)
                    if path != live:
                        remove_tree(path)
