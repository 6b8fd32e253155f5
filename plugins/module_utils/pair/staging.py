# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Staging one certificate: everything that can fail is done before anything that is in use is touched."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError, from_os_error
from ansible_collections.fleet.tls.plugins.module_utils.files.content import (
    as_json,
    digest,
    read,
    write_json,
)
from ansible_collections.fleet.tls.plugins.module_utils.files.originals import Originals
from ansible_collections.fleet.tls.plugins.module_utils.files.places import (
    make_directory,
    remove_if_there,
    remove_tree,
    sync_directory,
)
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import (
    Transaction,
    beside,
    fix_metadata,
    leftovers,
    link_target,
    write_new,
)
from ansible_collections.fleet.tls.plugins.module_utils.pair.drift import (
    content_drift,
    content_path,
    ingredients_digest,
    is_ours,
    left_behind,
    output_drift,
)
from ansible_collections.fleet.tls.plugins.module_utils.pair.integrity import pair_problems
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import (
    CERT,
    CHAIN,
    FULLCHAIN,
    MANIFEST,
    PRIVKEY,
    PUBLIC_FILES,
    PUBLIC_MODE,
    Layout,
    output_file,
)
from ansible_collections.fleet.tls.plugins.module_utils.pair.material import check_material
from ansible_collections.fleet.tls.plugins.module_utils.pair.pending import pending_request
from ansible_collections.fleet.tls.plugins.module_utils.pair.rendering import rendered
from ansible_collections.fleet.tls.plugins.module_utils.pair.soundness import Link, belongs


@dataclass
class Staged:
    """One certificate on its way.

    :param manifest: of the generation that is, or will be, live.
    :param previous: number of the generation that was live before.
    :param claimed: the paths of all outputs that any certificate of the request wants.
    :param awaited: those that others of the host want, which cannot have them yet.
    :param repaired: what was put right, for people.
    :param fallback: of a live pair that no service has taken yet (its run was killed), the generation they took last.
    :param kept_content: the outputs of a pair that is taken over where the very same lies already.
    """

    entry: dict[str, Any]
    layout: Layout
    number: int
    manifest: dict[str, Any]
    previous: int | None
    installs: bool
    claimed: frozenset[str] = frozenset()
    awaited: frozenset[str] = frozenset()
    transaction: Transaction = field(init=False)
    repaired: list[str] = field(default_factory=list)
    fallback: int | None = None
    kept_content: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.transaction = Transaction(Originals(self.layout.directory))

    @property
    def name(self) -> str:
        """The certificate's name."""
        return str(self.entry["name"])

    @property
    def folder(self) -> str:
        """The directory of its generation."""
        return self.layout.generation(self.number)

    @property
    def is_the_same(self) -> bool:
        """Whether services would be told nothing new: a pair that is taken over, and lies already wherever they look for it."""
        outputs = {output["path"] for output in self.entry["outputs"]}
        return self.installs and bool(self.entry.get("adopt")) and outputs == self.kept_content

    @property
    def can_go_back(self) -> bool:
        """Whether there is an earlier state that worked; asked before anything is swapped."""
        return self.fallback is not None or (bool(self.transaction.staged) and os.path.lexists(self.layout.live))

    def go_back(self) -> list[str]:
        """To the state that worked; of a pair whose run was killed before it was taken, to the one before it.

        :returns: what could not be put back, for people.
        """
        failed = self.discard()
        if self.fallback is not None:
            back = Transaction()
            try:
                back.relink(self.layout.live, self.layout.target(self.fallback))
                back.swap()
            except StepError as error:
                return [*failed, error.message]
            back.commit()
            remove_tree(self.folder)
        return failed

    def discard(self) -> list[str]:
        """Undo it all; a generation that was made for this leaves again. The pending key stays.

        :returns: what could not be put back, for people.
        """
        failed = self.transaction.rollback()
        # While the live link still says so, it is better to have it than to have nothing.
        if self.installs and self.layout.current() != self.number:
            remove_tree(self.folder)
        return failed


def stage(
    directory: str,
    entry: dict[str, Any],
    secret: str | None,
    claimed: frozenset[str] = frozenset(),
    awaited: frozenset[str] = frozenset(),
    sound: frozenset[Link] = frozenset(),
) -> Staged:
    """Stage what an apply's entry asks for.

    :param secret: the private key (PEM) where the controller made it.
    :param claimed: the paths of all outputs that any certificate of the request wants.
    :param awaited: those that others of the host want, which cannot have them yet.
    :param sound: links of chains that need not be looked at again.
    :raises StepError: nothing was changed then.
    """
    layout = Layout(directory, entry["name"])
    live = layout.current()
    manifest = layout.manifest(live) if live is not None else None
    problems = pair_problems(layout.generation(live), manifest) if live is not None and manifest is not None else []
    if entry["action"] == "install" and not (is_live(entry, manifest) and not problems):
        return stage_generation(layout, entry, live, secret, claimed, awaited, sound)
    if live is None or manifest is None or problems:
        detail = "; ".join(each["detail"] for each in problems) or "there is none"
        raise StepError("damaged", f"there is no sound certificate to repair: {detail}", "run again")
    return stage_repair(layout, entry, live, manifest, claimed, awaited)


def is_live(entry: dict[str, Any], manifest: dict[str, Any] | None) -> bool:
    """Whether the leaf to install is the live one: the run that was sent here before did it."""
    return manifest is not None and manifest["fingerprint"] == entry["manifest"]["fingerprint"]


def stage_generation(
    layout: Layout,
    entry: dict[str, Any],
    live: int | None,
    secret: str | None,
    claimed: frozenset[str],
    awaited: frozenset[str],
    sound: frozenset[Link],
) -> Staged:
    """A new generation beside the live one, checked, and the links that will lead to it."""
    chain = [pem.encode() for pem in entry["chain"]]
    check_material(chain, entry, sound)
    leaf, above = chain[0], b"".join(chain[1:])
    key = new_key(layout, entry, secret)
    if not belongs(key, leaf):
        raise StepError("pair_mismatch", "the certificate is not for the key that was made for it", "run again")
    # A link that leads nowhere must not lead into a generation that is half made.
    number = max([0, live or 0, *layout.numbers()]) + 1
    staged = Staged(
        entry, layout, number, dict(entry["manifest"]), live, installs=True, claimed=claimed, awaited=awaited
    )
    folder = staged.folder
    contents = {PRIVKEY: key, CERT: leaf, CHAIN: above, FULLCHAIN: leaf + above}
    try:
        make_directory(folder, 0o755)
        for name, content in contents.items():
            mode = entry["mode"] if name == PRIVKEY else PUBLIC_MODE
            write_new(os.path.join(folder, name), content, entry["owner"], entry["group"], mode)
        staged.manifest["files"] = {name: digest(content) for name, content in contents.items()}
        staged.manifest["outputs"] = {}
        # First: no output of a first pair ever leads nowhere, and what is taken over is ours before the files that it was read from change.
        staged.transaction.relink(layout.live, layout.target(number))
        for output in entry["outputs"]:
            stage_output(staged, output, contents)
        retire_outputs(staged, (layout.manifest(live) if live is not None else None) or {})
        write_json(os.path.join(folder, MANIFEST), staged.manifest)
        sync_directory(layout.generations)
    except BaseException as error:
        staged.discard()
        if isinstance(error, OSError):
            raise from_os_error(error, f"writing {folder}") from error
        raise
    return staged


def new_key(layout: Layout, entry: dict[str, Any], secret: str | None) -> bytes:
    """The private key the certificate was issued for.

    :raises StepError: pending_lost; of a pair that is taken over, as :func:`~.adopting.adopted_key`.
    """
    if secret is not None:
        return secret.encode()
    if entry.get("adopt"):
        # Late, once in a host's life.
        from ansible_collections.fleet.tls.plugins.module_utils.pair.adopting import adopted_key

        return adopted_key(entry["adopt"], entry["chain"][0].encode())
    pending = pending_request(layout)
    if pending is None or pending["request_id"] != entry["request_id"]:
        raise StepError(
            "pending_lost", "the key that waited for this certificate is gone", "run again: a new one is made"
        )
    return read(os.path.join(layout.pending, PRIVKEY))


def stage_output(staged: Staged, output: dict[str, Any], contents: dict[str, bytes]) -> None:
    """Render one output into the generation (link) or for its place (copy), and record it in the manifest."""
    path, access = output["path"], (output["owner"], output["group"], output["mode"])
    inside = os.path.join(staged.folder, output_file(path))
    content = rendered(output, contents, staged.name, scratch=beside(inside, "new"))
    if staged.entry.get("adopt"):
        from ansible_collections.fleet.tls.plugins.module_utils.pair.adopting import present_content

        present = present_content(output, content)
        if present is not None:
            staged.kept_content.add(path)
            content = present
    if output["method"] == "link":
        if staged.installs:
            write_new(inside, content, *access)
        else:
            # Servers read this generation.
            staged.transaction.replace_file(inside, content, *access)
        target = os.path.join(staged.layout.live, output_file(path))
        if link_target(path) != target:
            staged.transaction.relink(path, target)
        else:
            # A run that was killed had come so far, and may have left what lay there before under a third name.
            for name in leftovers(path):
                remove_if_there(name)
    else:
        staged.transaction.replace_file(path, content, *access)
    recorded = {"format": output["format"], "method": output["method"], "sha256": digest(content)}
    ingredients = ingredients_digest(output, contents[PRIVKEY])
    staged.manifest["outputs"][path] = {**recorded, **({"ingredients": ingredients} if ingredients else {})}


def stage_repair(
    layout: Layout,
    entry: dict[str, Any],
    live: int,
    manifest: dict[str, Any],
    claimed: frozenset[str],
    awaited: frozenset[str],
) -> Staged:
    """Put modes, owners, links and outputs of the live generation right."""
    own = {**manifest, "outputs": dict(manifest["outputs"])}
    staged = Staged(entry, layout, live, own, live, installs=False, claimed=claimed, awaited=awaited)
    staged.fallback = taken_before(layout, live)
    folder = staged.folder
    try:
        for name in (PRIVKEY, *PUBLIC_FILES):
            mode = entry["mode"] if name == PRIVKEY else PUBLIC_MODE
            staged.repaired += fix_metadata(os.path.join(folder, name), entry["owner"], entry["group"], mode)
        # What was staged a moment ago for the certificate that has taken over an output is no leftover.
        gone = {path: each for path, each in manifest["outputs"].items() if path not in claimed}
        for name in left_behind(layout, live, entry, {**manifest, "outputs": gone}):
            remove_if_there(name)
            staged.repaired.append(f"{name}: removed")
        repair_outputs(staged, {name: read(os.path.join(folder, name)) for name in (PRIVKEY, *PUBLIC_FILES)})
        retire_outputs(staged, manifest)
        if staged.manifest != manifest:
            # Last, and in the transaction: it never forgets a file that is still there or has come back.
            staged.transaction.replace_file(os.path.join(folder, MANIFEST), as_json(staged.manifest))
    except OSError as error:
        staged.discard()
        raise from_os_error(error, f"repairing {folder}") from error
    except BaseException:
        staged.discard()
        raise
    return staged


def taken_before(layout: Layout, live: int) -> int | None:
    """The newest generation before ``live`` that services took, where ``live`` itself they did not; else None."""
    if (layout.manifest(live) or {}).get("settled"):
        return None
    taken = [number for number in layout.numbers() if number < live and (layout.manifest(number) or {}).get("settled")]
    return max(taken, default=None)


def repair_outputs(staged: Staged, contents: dict[str, bytes]) -> None:
    """Render outputs that are missing or differ."""
    for output in staged.entry["outputs"]:
        recorded = staged.manifest["outputs"].get(output["path"])
        differs = content_drift(staged.layout, staged.folder, output, recorded)
        if not differs and output["method"] == "link":
            inside = content_path(staged.folder, output)
            staged.repaired += fix_metadata(inside, output["owner"], output["group"], output["mode"])
            continue
        # A copy may lie in somebody else's directory, where a path can become a link at any moment: it is always replaced.
        differs = differs or output_drift(staged.layout, staged.folder, output, recorded)
        if differs:
            stage_output(staged, output, contents)
            staged.repaired += differs


def retire_outputs(staged: Staged, before: dict[str, Any]) -> None:
    """Take away the outputs of the manifest ``before`` that are no longer wanted, as far as they are ours; what lay there first comes back."""
    linked = {output["path"] for output in staged.entry["outputs"] if output["method"] == "link"}
    wanted = {output["path"] for output in staged.entry["outputs"]}
    for path, recorded in before.get("outputs", {}).items():
        if path in staged.awaited:
            # What is there is better than nothing, until the other certificate has been issued.
            continue
        if path not in wanted:
            # It may have become another certificate's, which puts its own there.
            if path not in staged.claimed:
                if is_ours(staged.layout, path, recorded):
                    staged.transaction.give_back(path)
                else:
                    staged.transaction.give_up(path)
            staged.manifest["outputs"].pop(path, None)
            staged.repaired.append(f"{path}: no longer wanted")
        inside = os.path.join(staged.folder, output_file(path))
        if path not in linked and os.path.lexists(inside):
            staged.transaction.remove(inside)
