# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of files as they are wanted, compared with what is there, and staged as one transaction."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.blocks import block_of, with_block
from ansible_collections.fleet.tls.plugins.module_utils.files.content import UnusableFile, read_if_there
from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals
from ansible_collections.fleet.tls.plugins.module_utils.files.places import refuse_unsafe
from ansible_collections.fleet.tls.plugins.module_utils.files.taken import digest_of
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import (
    Transaction,
    link_target,
    metadata_drift,
)

SECRET = re.compile(rb"-----BEGIN [^\n]*PRIVATE KEY|[\x00-\x08]")


@dataclass(frozen=True)
class WantedFile:
    """One path: a file with ``content``, a symbolic link to ``link``, or nothing where both are None.

    :param owner, group: None: as it is, or the process's for a new file.
    :param mode: octal text.
    :param block: ``content`` is a block of ours in somebody else's file, whose rest, owner and mode stay.
    :param shared: ``content`` is such a file as a whole.
    :param secret: ``content`` has a private key: what it was and is to be is told to nobody.
    :param upkeep: it is brought up to date though the configuration is refused.
    """

    path: str
    content: bytes | None = None
    link: str | None = None
    owner: str | None = None
    group: str | None = None
    mode: str = "0644"
    block: bool = False
    shared: bool = False
    secret: bool = False
    upkeep: bool = False

    @property
    def digest(self) -> str:
        """What is recorded as taken by the service, see :mod:`taken_files`."""
        return "link:" + self.link if self.link is not None else digest_of(self.content)

    @property
    def text(self) -> str:
        """The content for people."""
        return self.shown(self.content, self.link)

    def shown(self, content: bytes | None, link: str | None) -> str:
        """What the path holds, for people."""
        if self.secret and content is not None:
            return f"(a certificate with its private key, SHA-256 {digest_of(content)})\n"
        return shown(content, link)


@dataclass(frozen=True)
class Change:
    """A path that is not as wanted.

    :param before, after: its content for people; of a file that has a block of ours, the block.
    :param drift: owner, group and mode, when only they differ.
    :param kept: where what is there, which is not ours, is kept; None: it is ours, or there is nothing.
    """

    wanted: WantedFile
    before: str
    after: str
    drift: tuple[str, ...] = ()
    kept: str | None = None

    def as_diff(self) -> dict[str, str]:
        """In Ansible's form."""
        before, after = self.before, self.after
        if self.drift:
            before, after = "".join(line + "\n" for line in self.drift), ""
        path = self.wanted.path
        header = f"{path} (not of fleet.tls, kept as {self.kept})" if self.kept else path
        return {"before_header": header, "after_header": path, "before": before, "after": after}


def parse_wanted(raw: dict[str, Any]) -> WantedFile:
    """One of ``files`` of step configure, see docs/host-protocol.md."""
    block = bool(raw.get("block"))
    # What is to keep the rest of a file must not put a file in the place of a link to it.
    path = os.path.realpath(raw["path"]) if block else raw["path"]
    if raw.get("state") == "absent":
        return WantedFile(path, block=block, secret=bool(raw.get("secret")))
    if raw.get("link") is not None:
        return WantedFile(raw["path"], link=raw["link"])
    return WantedFile(
        path=path,
        content=content_of(raw),
        owner=raw.get("owner"),
        group=raw.get("group"),
        mode=raw.get("mode") or "0644",
        block=block,
        secret=bool(raw.get("secret")),
        upkeep=bool(raw.get("upkeep")),
    )


def content_of(raw: dict[str, Any]) -> bytes:
    """The content of one of them: text, or anything in Base64."""
    return base64.b64decode(raw["content_base64"]) if "content_base64" in raw else raw["content"].encode()


def compare(files: Iterable[WantedFile], originals: Originals | None = None) -> list[Change]:
    """The paths that are not as wanted, in order.

    :param originals: knows which are ours; None: all are, by their names.
    :raises StepError: not_permitted, unknown_user, unsafe_path, io (a directory is in the way).
    """
    changes = []
    for wanted in files:
        try:
            change = compare_one(wanted)
        except OSError as error:
            raise from_os_error(error, f"reading {wanted.path}") from error
        if change:
            changes.append(change)
    taken = [change.wanted.path for change in changes if not change.wanted.shared]
    kept = originals.foreign(taken) if originals else {}
    return [replace(change, kept=kept.get(change.wanted.path)) for change in changes]


def kept_files(changes: Iterable[Change]) -> dict[str, str]:
    """The paths where something lies that is not ours → where it is kept."""
    return {change.wanted.path: change.kept for change in changes if change.kept}


def compare_one(wanted: WantedFile) -> Change | None:
    """The change one path needs. A link where a file is wanted is replaced, not followed: it is somebody else's file."""
    refuse_unsafe(wanted.path)
    if os.path.isdir(wanted.path) and not os.path.islink(wanted.path):
        raise StepError("io", f"{wanted.path} is a directory", "name a file, or remove the directory")
    link = link_target(wanted.path)
    try:
        present = read_if_there(wanted.path) if link is None else None
    except UnusableFile as error:
        if wanted.block:
            raise
        # A pipe or the like is somebody else's as well.
        return Change(wanted, f"({error.strerror})\n", wanted.text)
    if wanted.block:
        whole = whole_file(wanted, present)
        before = shown(block_of(present or b"", wanted.path), None)
        return Change(whole, before, wanted.text) if whole.content != present else None
    if (present, link) != (wanted.content, wanted.link):
        return Change(wanted, wanted.shown(present, link), wanted.text)
    if wanted.content is None:
        return None
    drift = tuple(metadata_drift(wanted.path, wanted.owner, wanted.group, wanted.mode))
    return Change(wanted, wanted.shown(present, link), wanted.text, drift) if drift else None


def whole_file(wanted: WantedFile, present: bytes | None) -> WantedFile:
    """The file that has a block as wanted, and everything else as it is.

    :raises StepError: damaged_block.
    """
    if present is None:
        new = None if wanted.content is None else with_block(b"", wanted.content, wanted.path)
        return replace(wanted, content=new, block=False, shared=True)
    mode = f"{stat.S_IMODE(os.stat(wanted.path).st_mode):04o}"
    new = with_block(present, wanted.content, wanted.path)
    return replace(wanted, content=new, owner=None, group=None, mode=mode, block=False, shared=True)


def swap(changes: Sequence[Change], originals: Originals | None = None) -> Transaction:
    """Make all changes in one transaction, which can still be undone.

    :param originals: keeps what is not ours; None: all is, by its name.
    :raises StepError: as :meth:`Transaction.replace_file` and :meth:`Transaction.swap`; nothing is changed then.
    """
    transaction = Transaction(originals)
    try:
        stage(transaction, changes)
        transaction.swap()
    except BaseException:
        transaction.rollback()
        raise
    return transaction


def stage(transaction: Transaction, changes: Sequence[Change]) -> None:
    """Put all changes into a transaction; errors as :meth:`Transaction.replace_file`."""
    for wanted in (change.wanted for change in changes):
        if wanted.shared:
            transaction.share(wanted.path)
        if wanted.link is not None:
            transaction.relink(wanted.path, wanted.link)
        elif wanted.content is None:
            transaction.remove(wanted.path)
        else:
            owner, group = kept_owner(wanted)
            transaction.replace_file(wanted.path, wanted.content, owner, group, wanted.mode)


def kept_owner(wanted: WantedFile) -> tuple[str | None, str | None]:
    """Owner and group for the new file: those of the old one where the user does not say."""
    owner, group = wanted.owner, wanted.group
    with contextlib.suppress(FileNotFoundError):
        present = os.lstat(wanted.path)
        owner, group = owner or str(present.st_uid), group or str(present.st_gid)
    return owner, group


def digests(files: Iterable[WantedFile]) -> dict[str, str]:
    """Path → digest, as :class:`taken_files.TakenFiles` records them."""
    return {wanted.path: wanted.digest for wanted in files}


def shown(content: bytes | None, link: str | None) -> str:
    """What a path holds, for people; of what may be a private key, in PEM or (binary) in DER, the digest only."""
    if link is not None:
        return f"link to {link}\n"
    if content is not None and SECRET.search(content):
        return f"(binary, or with a private key, SHA-256 {digest_of(content)})\n"
    return "" if content is None else content.decode(errors="replace")
