# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stories: pages whose blocks are run one after the other, in one folder and on the same hosts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from docs import substitutions
from docs.blocks import Block, BlockError, blocks, continues, differences
from docs.world import World, hosts_in
from tools import paths

PAGES = (
    "README.md",
    "docs/getting-started.md",
    "docs/upgrade.md",
    "docs/faq.md",
    "docs/guides/*.md",
    "docs/runbooks/*.md",
    "examples/*/README.md",
)


@dataclass
class Outcome:
    """What became of the blocks of a story.

    :param substituted: one entry a block, with the names of its substitutions.
    :param not_run: block → why.
    :param faults: what went wrong.
    :param stopped: whether nothing more can be run.
    """

    ran: int = 0
    substituted: list[list[str]] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    stopped: bool = False


class StoryError(Exception):
    """A block cannot be run as it is, and so none after it; the text says why."""


@dataclass(frozen=True)
class Page:
    """A page, by its path below the checkout.

    :param files: those of an example, beside its README.md.
    """

    name: str
    text: str
    files: tuple[Path, ...] = ()

    @property
    def before(self) -> str | None:
        """The page that this one goes on from."""
        named = continues(self.text)
        if not named:
            return None
        return str((paths.ROOT / self.name).parent.joinpath(named.page).resolve().relative_to(paths.ROOT))

    @property
    def last(self) -> bool:
        """Whether it comes after the others that go on from the same page."""
        named = continues(self.text)
        return bool(named and named.last)

    def blocks(self) -> list[Block]:
        """Its files first, then what it says."""
        known = [
            Block(
                str(each.relative_to(paths.ROOT)),
                1,
                each.suffix.lstrip("."),
                ("file",),
                each.read_text(encoding="utf-8"),
            )
            for each in self.files
        ]
        return [*known, *blocks(self.name, self.text)]


def stories() -> dict[str, list[Page]]:
    """First page of a story → its pages, in the order in which they are run."""
    known = {page.name: page for pattern in PAGES for page in map(_page, sorted(paths.ROOT.glob(pattern)))}
    wrong = {page.name: page.before for page in known.values() if page.before and page.before not in known}
    if wrong:
        raise ValueError(f"pages that continue one which is not there: {wrong}")
    found = [list(_followed(page, known)) for page in known.values() if not page.before]
    # The longest first, so that no process is left alone with it at the end.
    return {
        pages[0].name: pages for pages in sorted(found, key=lambda pages: -sum(len(page.blocks()) for page in pages))
    }


def _page(path: Path) -> Page:
    example = path.parent.parent.name == "examples"
    files = [each for each in sorted(path.parent.rglob("*")) if each.is_file() and each != path] if example else []
    return Page(str(path.relative_to(paths.ROOT)), path.read_text(encoding="utf-8"), tuple(files))


def _followed(page: Page, known: Mapping[str, Page]) -> Iterator[Page]:
    yield page
    following = [each for each in known.values() if each.before == page.name]
    for each in sorted(following, key=lambda each: each.last):
        yield from _followed(each, known)


def hosts_of(pages: list[Page]) -> list[str]:
    """Every host that an inventory of these pages names."""
    return list(dict.fromkeys(host for page in pages for block in page.blocks() for host in hosts_in(block.text)))


def tell(pages: list[Page], world: World) -> Outcome:
    """Run all blocks in order, up to the first that cannot be run. One that says something else than the page shows is a fault, no end."""
    outcome = Outcome()
    world.vault.update(substitutions.vault("\n".join(block.text for page in pages for block in page.blocks())))
    for page in pages:
        if page.name in substitutions.GIVEN and not outcome.stopped:
            substitutions.GIVEN[page.name](world)
        world.write_vault()
        for block in page.blocks():
            why = "a block before it went wrong" if outcome.stopped else substitutions.why_not_run(block)
            if why:
                outcome.not_run[block.where] = why
            else:
                _one(block, world, outcome)
    return outcome


def _one(block: Block, world: World, outcome: Outcome) -> None:
    text, names = substitutions.substituted(block, world)
    if substitutions.VAULT.search(block.text):
        names = (*names, "values for what Ansible Vault has")
    try:
        faults = _perform(replace(block, text=text), world)
    except (StoryError, BlockError) as error:
        outcome.stopped = True
        outcome.not_run[block.where] = str(error).partition("\n")[0]
        outcome.faults.append(f"{block.where}: {error}")
        return
    outcome.ran += 1
    outcome.faults += [f"{block.where}: {fault}" for fault in faults]
    if names:
        outcome.substituted.append(list(names))


def _perform(block: Block, world: World) -> list[str]:
    """Run a block; where what it said is not what the page shows.

    :raises StoryError: it cannot be run.
    """
    if "file" in block.words:
        _example_file(block, world)
    elif block.file:
        _write(block, world)
    elif block.language == "console":
        return _console(block, world)
    else:
        raise StoryError(
            "neither a console block nor a file: begin it with '# NAME.yml', or say in NOT_RUN why it is not run"
        )
    return []


def _example_file(block: Block, world: World) -> None:
    path = paths.ROOT / block.page
    target = world.work.joinpath(*path.relative_to(paths.ROOT / "examples").parts[1:])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(block.text, encoding="utf-8")
    shutil.copymode(path, target)


def _write(block: Block, world: World) -> None:
    path = world.work / str(block.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not block.added:
        path.write_text(block.text, encoding="utf-8")
    elif path.exists():
        merged = _merged(yaml.safe_load(path.read_text(encoding="utf-8")), yaml.safe_load(block.text))
        path.write_text(yaml.safe_dump(merged, sort_keys=False), encoding="utf-8")
    else:
        raise StoryError(f"there is no file {block.file} to add to")


def _merged(old: Any, new: Any) -> Any:
    """Mappings joined, all else replaced: as somebody would type it in."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new


def _console(block: Block, world: World) -> list[str]:
    commands, faults = block.commands(), []
    for number, command in enumerate(commands, start=1):
        done = world.run(command.text)
        if (done.code != 0) is not (block.fails and number == len(commands)):
            raise StoryError(f"'{command.text}' ended with {done.code}\n{done.said}")
        missing = differences(command.shown, done.said)
        if missing:
            faults.append(f"'{command.text}' did not say {missing}\n{done.said}")
    return faults
